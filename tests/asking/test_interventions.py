"""Interventions: what they are called with, what a direction takes, and what has no meaning at a site."""

from __future__ import annotations

import math
from typing import Any

import pytest

from causaltest import (
    SAE,
    Lab,
    Pair,
    Pairs,
    accuracy,
    add,
    direction,
    gaussian,
    logit_diff,
    mean,
    replace,
    resample,
    resid_post,
    scale,
    zero,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import Intervention
from causaltest.asking.lab import Rehearsal
from causaltest.errors import ClaimError, SiteError

PAIRS = Pairs([Pair(clean="2 ducks", corrupt="3 ducks", answer="2", cluster="a")])
OTHERS = Pairs([Pair(clean="4 ducks", corrupt="3 ducks", answer="4", cluster="b")])
SITE = resid_post(6)
FEATURE = SITE.features(SAE.from_safetensors("sae.safetensors", subtract_decoder_bias=True), 3)
ABLATIONS = (zero, mean, mean(over=OTHERS), resample, gaussian(sd=3), scale(0.5))
STEERS = (add([1.0, 2.0]), add([1.0, 2.0], times=-3))


def patching(way: str, by: Any, site: Any = SITE) -> Patching:
    return Patching("m", way, PAIRS, (site,), by)  # type: ignore[arg-type]


def test_each_intervention_is_its_own_value_and_reads_as_its_name() -> None:
    known = (replace, zero, mean, resample)
    assert [str(i) for i in known] == ["replace", "zero", "mean", "resample"]
    assert len({*known}) == 4
    assert zero == Intervention("zero")


def test_each_says_what_it_is() -> None:
    said = [str(by) for by in (*ABLATIONS, add(4.0, times=None), add([1.0], times=2))]
    assert said[:-1] == [
        "zero", "mean", "mean over 1 other pairs", "resample", "gaussian(sd=3)", "scale(0.5)", "add(4)",
    ]  # fmt: skip
    assert said[-1] == f"add({direction([1.0])}, times=2)"
    asked = Experiment(patching("steer", add(4.0), SITE.along([1.0])), "change", logit_diff)
    assert asked.summary == (
        f"change(logit_diff), steer resid_post L6 @ every position along {direction([1.0])} by add(4)"
    )


def test_every_option_is_in_the_digest_and_nothing_is_where_there_is_none() -> None:
    given = [
        *(patching("ablate", by) for by in ABLATIONS),
        *(patching("steer", by) for by in STEERS),
        patching("ablate", scale(0.25)),
        patching("ablate", gaussian(sd=2)),
        patching("ablate", mean(over=PAIRS)),
        patching("ablate", zero, SITE.along([1.0])),
        patching("ablate", zero, SITE.along([2.0])),
        patching("noise", replace),
        patching("steer", add(1.0), SITE.along([1.0])),
    ]
    asked = [Experiment(p, "change", logit_diff) for p in given]
    assert len({e.digest for e in asked}) == len(asked)
    assert [("by" in e.canonical()) for e in asked[:3]] == [False, False, True]
    assert asked[2].canonical()["by"] == {"over": OTHERS.digest}
    assert asked[6].canonical()["by"] == {"amount": "1.0", "vector": direction([1.0, 2.0]).digest}
    assert Experiment(patching("ablate", scale(0.25)), "change", logit_diff).digest == asked[8].digest


def test_which_directions_take_which() -> None:
    for by in ABLATIONS:
        patching("ablate", by)
        with pytest.raises(ClaimError, match=r"steer takes by=add\(vector, times=\.\.\.\), and by=.* lab\.ablate"):
            patching("steer", by)
        for way in ("denoise", "noise"):
            with pytest.raises(ClaimError, match=f"{way} puts the other run's .* an ablation does that"):
                patching(way, by)
    for by in STEERS:
        patching("steer", by)
        with pytest.raises(ClaimError, match=r"ablate takes by=zero, .*; lab\.steer adds a vector"):
            patching("ablate", by)
        with pytest.raises(ClaimError, match="steering does that: direction='steer'"):
            patching("denoise", by)
    with pytest.raises(ClaimError, match=r"by= takes an intervention such as zero, mean or gaussian\(sd=3\), and got"):
        patching("ablate", gaussian)


def test_steering_and_ablation_change_the_clean_run_and_so_have_a_drop_and_no_recovery() -> None:
    lab = Lab(name="m", backend=Rehearsal("m"))
    for run in (lab.steer(PAIRS, at=SITE, by=STEERS[0]), lab.ablate(PAIRS, at=SITE, by=resample)):
        assert run.drop(accuracy).question is not None and run.change(accuracy).question is not None
        with pytest.raises(ClaimError, match="has no recovery; it has drop and change"):
            run.recovery(accuracy)


# What has no meaning


@pytest.mark.parametrize(
    ("by", "site", "told"),
    [
        (
            gaussian(sd=3),
            FEATURE,
            r"counts in the input embedding's own units, and an activation of a feature has others",
        ),
        (add([1.0]), FEATURE, r"A feature is steered by a number, add\(4\.0\), and add\(direction"),
        (add(4.0), SITE, r"add\(4\) adds a number, and resid_post L6 .* has no direction to add it along"),
    ],
)
def test_what_has_no_meaning_at_a_site_is_refused(by: Intervention, site: Any, told: str) -> None:
    with pytest.raises(ClaimError, match=told):
        patching("ablate" if by.kind == "gaussian" else "steer", by, site)


@pytest.mark.parametrize("odd", [math.nan, math.inf, "2", True, None])
def test_an_amount_is_a_finite_number(odd: Any) -> None:
    for make in (
        lambda: scale(odd),
        lambda: gaussian(sd=odd),
        lambda: add([1.0], times=odd) if odd is not None else scale(odd),
    ):
        with pytest.raises(ClaimError, match="takes a finite number, and got"):
            make()


def test_what_an_intervention_is_called_with() -> None:
    for sd in (0, -1):
        with pytest.raises(ClaimError, match=r"gaussian\(sd=-?\d\): a standard deviation is above 0"):
            gaussian(sd=sd)
    for call in (lambda: mean(), lambda: mean(over=[1]), lambda: zero(over=OTHERS)):  # type: ignore[arg-type]
        with pytest.raises(ClaimError, match=r"mean\(over=Pairs\(\[\.\.\.\]\)\) takes the mean over other pairs"):
            call()
    with pytest.raises(ClaimError, match=r"add\(2, times=3\): times counts a vector; add\(6\) adds it"):
        add(2, times=3)
    with pytest.raises(ClaimError, match=r"add takes one vector, and 2 directions \w+ are 2"):
        add([[1.0], [2.0]])
    with pytest.raises(SiteError, match=r"direction\(\.\.\.\) takes numbers"):
        add(True)
