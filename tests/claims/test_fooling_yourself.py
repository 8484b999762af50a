"""A researcher's usual ways to fool themselves, each of which is refused, corrected or labelled."""

from __future__ import annotations

import inspect
import json

import pytest

# pytester forgets modules that a run imported, and numpy and torch cannot be loaded twice.
import causaltest.judging.judge
import causaltest.judging.survival
import causaltest.measuring.backend
import causaltest.organisms.wiring
import causaltest.pytest_suite  # noqa: F401
from causaltest import Effect, Lab, Pair, Pairs, Waived, accuracy, at_least, judge, resid_post, span
from causaltest.errors import JudgementError, PairsError
from causaltest.measuring.eligibility import reasons
from causaltest.organisms import planted

NOISE = '''
"""A model of 192 sites that do nothing: each gives every pair a number drawn for the two of them."""

import functools
import hashlib

import numpy as np
import pytest

from causaltest import *
from causaltest.effect import Controls, Numbers, PositiveControl, SelfPatch
from causaltest.sweep import PerPair, SweepMap


@functools.cache
def noise(*names):
    seed = int.from_bytes(hashlib.sha256(" ".join(names).encode()).digest()[:8], "big")
    return float(np.random.default_rng(seed).normal())


class Noise:
    model = "noise"

    def measure(self, experiment):
        ids = experiment.patching.pairs.ids
        controls = Controls(
            SelfPatch(0.0, 0.0), tuple(noise(i, "placebo") / 3 for i in ids), PositiveControl(1.0, 0.5, "all"),
            (1.0,) * len(ids),
        )
        values = tuple(noise(i, experiment.site) for i in ids)
        return Effect(experiment, Numbers(values, ids, experiment.patching.pairs.clusters, "continuous",
                                          controls=controls, pairs_total=len(ids)))

    def sweep(self, cells, rows, columns):
        effects = [self.measure(cell) for cell in cells]
        first = effects[0].measured
        values = np.array([effect.measured.values for effect in effects])
        return SweepMap("change(logit_diff), denoise resid_post", tuple(rows), tuple(columns),
                        tuple(e.estimate for e in effects), (1.0,) * len(cells), effects[0].n, effects[0].n,
                        tuple(c.patching.sites[0] for c in cells),
                        per_pair=PerPair(values, first.pair_ids, first.clusters))

    def spread(self, site, pairs): return site
    def expect(self, experiments): pass
    def counted(self): return {}


@pytest.fixture(scope="session")
def lab():
    return Lab(name="noise", backend=Noise())


@pytest.fixture(scope="session")
def pairs():
    return Pairs([Pair(clean=f"{i} a", corrupt=f"{i} b", answer="a", cluster=f"c{i}", id=f"p{i}") for i in range(120)])


EVERYWHERE = resid_post(range(12), index(*range(16)))
'''

LOOK = """
from conftest import *

def test_look(lab, pairs, causal_report):
    found = lab.sweep(pairs, at=EVERYWHERE).change(logit_diff)
    assert len(found.sites) == 192
    assert not len(found.survivors()) and not len(found.discoveries())
    causal_report.say(f"BEST {found.best.layers[0]} {found.best.position.numbers[0]}")
"""

CLAIM = """
from conftest import *

@claim("This site matters.", at_least(0), id="typed")
def test_typed(lab, pairs):
    return lab.denoise(pairs, at=resid_post({0}, index({1}))).change(logit_diff)
"""

HALVES = """
from conftest import *

@pytest.mark.parametrize("seed", range(6))
@claim("The best of 192 matters.", at_least(0), id="half", family="seed")
def test_half(lab, pairs, seed):
    halves = pairs.split(discovery=0.5, seed=seed)
    site = lab.search(halves.discovery, at=EVERYWHERE).change(logit_diff)
    return lab.denoise(halves.confirmation, at=site).change(logit_diff)
"""


@pytest.fixture
def told(pytester: pytest.Pytester):
    """Run a file, and give the claims that are written, and what is printed."""

    def run(body: str, *options: str):
        pytester.makepyfile(test_it=body)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-json=out.json", *options)
        claims = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
        return {claim["id"]: claim for claim in claims}, result

    return run


# The best of many sites, on the pairs that it was found on


def test_the_best_of_192_null_sites_looks_like_an_effect_and_is_labelled(told, pytester) -> None:
    pytester.makeconftest(NOISE)
    _, looked = told(LOOK)
    looked.assert_outcomes(passed=1)  # none of the 192 survives
    (best,) = [line.split()[1:] for line in looked.outlines if line.startswith("BEST")]
    claims, printed = told(CLAIM.format(*best))
    typed = claims["typed"]
    assert typed["verdict"] == "SUPPORTED", "alone it would convince anybody"
    assert typed["status_reason"] == (
        "120 of its 120 pairs were seen by the sweep change(logit_diff), denoise resid_post (192 sites)"
    )
    printed = told(CLAIM.format(*best), "-v")[1]
    printed.stdout.fnmatch_lines(
        ["CLAIM typed  SUPPORTED  [[]EXPLORATORY: pairs seen before]", "  seen  * 120 of its 120 pairs were seen by*"]
    )


def test_a_half_that_was_not_searched_does_not_support_it(told, pytester) -> None:
    pytester.makeconftest(NOISE)
    claims, _ = told(HALVES)
    assert len(claims) == 6
    assert sum(claim["verdict"] == "SUPPORTED" for claim in claims.values()) <= 1


# Looking again with more pairs, or without the inconvenient ones

PLANTED = """
import pytest
from causaltest import *
from causaltest.organisms import planted

@claim("The reader carries the value.", at_least(0.5), id="again", model="organism:planted")
def test_again(lab):
    return lab.denoise({0}, at=resid_post(2, last())).recovery(accuracy)
"""
LAB = ("--causal-model=organism:planted",)


def test_looking_again_with_more_pairs_is_labelled(told) -> None:
    labels = [
        told(PLANTED.format(f"planted.pairs(per_cluster=1)[:{n}]"), *LAB)[0]["again"]["seen"] for n in (20, 30, 45)
    ]
    assert labels[0] == []
    assert labels[1] == [
        "the same was asked before of 20 pairs, 20 of these 30 among them: recovery(accuracy), denoise resid_post L2 @ "
        "last()"
    ]
    assert len(labels[2]) == 2, "both looks before it"


def test_dropping_inconvenient_pairs_by_hand_is_labelled(told) -> None:
    assert told(PLANTED.format("planted.pairs(per_cluster=1)"), *LAB)[0]["again"]["seen"] == []
    fewer = "Pairs([p for p in planted.pairs(per_cluster=1) if not p.clean.startswith('Janet')])"
    (label,) = told(PLANTED.format(fewer), *LAB)[0]["again"]["seen"]
    assert label.startswith("the same was asked before of 45 pairs, 36 of these 36 among them: ")


def test_pairs_are_left_out_by_what_was_seen_unpatched_and_by_nothing_else() -> None:
    assert list(inspect.signature(reasons).parameters)[2:4] == ["clean", "corrupt"]
    assert "patched" not in inspect.signature(reasons).parameters
    pairs = planted.pairs(per_cluster=1)
    nowhere = Lab.load("organism:planted").denoise(pairs, at=resid_post(2, span("value"))).recovery(accuracy)
    assert (nowhere.n, nowhere.estimate) == (len(pairs), 0.0), "pairs at which the patch fails count"


# A ratio per pair, with a denominator near zero


def test_one_pair_with_a_tiny_denominator_does_not_make_an_effect() -> None:
    denominators = [1.0 + 0.01 * i for i in range(59)] + [1e-6]
    values = [0.76 * d + 0.05 * (-1) ** i for i, d in enumerate(denominators)]
    per_pair = sum(v / d for v, d in zip(values, denominators, strict=True)) / 60
    assert abs(per_pair) > 500

    def effect(n: int) -> Effect:
        return Effect.from_values(
            values[:n],
            denominators=denominators[:n],
            kind="ratio",
            iid=True,
            placebo=[0.1 * d for d in denominators[:n]],
        )

    assert effect(60).estimate == pytest.approx(0.76, abs=0.01)
    with_it, without = (judge(effect(n), at_least(0.5)) for n in (60, 59))
    assert (with_it.outcome, without.outcome) == ("SUPPORTED", "SUPPORTED")
    assert with_it.lower == pytest.approx(without.lower, abs=0.01)
    assert judge(effect(60), at_least(0.9)).outcome == "REFUTED"


# Ten paraphrases as ten samples

OUTCOMES = [1.0] * 40 + [0.0] * 10
PROMPT = [f"prompt {i // 10}" for i in range(50)]


def test_ten_paraphrases_of_five_prompts_are_five_samples() -> None:
    placebo = [0.0] * 50
    alone = judge(Effect.from_values(OUTCOMES, kind="binary", iid=True, placebo=placebo), at_least(0.5))
    together = judge(Effect.from_values(OUTCOMES, kind="binary", clusters=PROMPT, placebo=placebo), at_least(0.5))
    assert (alone.outcome, together.outcome) == ("SUPPORTED", "INCONCLUSIVE")
    assert together.units == 5 and together.lower < alone.lower


def test_what_belongs_together_must_be_said() -> None:
    paraphrases = [Pair(clean=f"{i} ducks", corrupt="no ducks", answer=str(i)) for i in range(10)]
    with pytest.raises(PairsError, match="cluster"):
        Pairs(paraphrases)
    with pytest.raises(JudgementError, match=r"either clusters=\[\.\.\.\].*or iid=True"):
        Effect.from_values(OUTCOMES, kind="binary")


# No control


def test_without_a_control_nothing_is_supported() -> None:
    perfect = [1.0] * 100
    bare = judge(Effect.from_values(perfect, kind="binary", iid=True), at_least(0.5))
    assert bare.outcome == "INCONCLUSIVE" and "placebo" in bare.reason
    beaten_by_itself = judge(Effect.from_values(perfect, kind="binary", iid=True, placebo=perfect), at_least(0.5))
    assert beaten_by_itself.outcome == "INCONCLUSIVE"
    waived = judge(
        Effect.from_values(perfect, kind="binary", iid=True, placebo=Waived("published without one")), at_least(0.5)
    )
    assert waived.outcome == "SUPPORTED"
    assert "placebo waived: published without one" in waived.notes
