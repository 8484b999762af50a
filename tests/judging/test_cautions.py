"""Cautions: each comes up where it should, and nowhere else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from causaltest.asking.cautions import CAUTIONS
from causaltest.asking.experiment import Experiment
from causaltest.asking.interventions import gaussian, zero
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import Metric, accuracy, exact_match, logit_diff
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import last, span
from causaltest.asking.predictions import at_least, negligible
from causaltest.asking.questions import experiments_of
from causaltest.asking.sites import Site, embed, resid_post
from causaltest.effect import Controls, Effect, FullComponent, Numbers
from causaltest.judging.cautions import RULES, Caution, Cautioned, cautions_of
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome, Verdict

PAIRS = Pairs([Pair(clean="a b c", corrupt="a d c", answer="e", cluster="c", spans={"fact": (2, 3)})])
LAB = Lab(name="any").rehearsal()


HERE_AT = resid_post(1, last())


def asked(metric: Metric = logit_diff, at: Site = HERE_AT) -> tuple[Experiment, ...]:
    return experiments_of(LAB.denoise(PAIRS, at=at).recovery(metric).question)


def numbers(values: tuple[float, ...] = (1.0,) * 40, **more: Any) -> Numbers:
    names = tuple(f"p{i}" for i in range(len(values)))
    return Numbers(
        **{"values": values, "pair_ids": names, "clusters": names, "kind": "binary", "pairs_total": 40, **more}
    )


def verdict(outcome: str = "SUPPORTED", p: float = 0.001, size: int = 1) -> Verdict:
    return Verdict(Outcome(outcome), "", 1, 1, 1, 0.05 / size, 40, 40, p, p, size, None, "", ())


def case(**more: Any) -> Cautioned:
    given = {
        "sentence": "Layer 1 matters.",
        "prediction": at_least(0.5),
        "experiments": asked(),
        "numbers": numbers(),
        "verdict": verdict(),
    }
    return Cautioned(**{**given, **more})


def names(told: tuple[Caution, ...]) -> list[str]:
    return [caution.name for caution in told]


def test_a_claim_without_any_of_it_has_none() -> None:
    assert cautions_of(case()) == ()
    assert cautions_of(case(experiments=(), numbers=None)) == ()


def test_every_name_that_can_be_accepted_has_one_rule() -> None:
    assert [rule.__name__.replace("_", "-") for rule in RULES] == list(CAUTIONS)


HERE = ("any", str(HERE_AT))


@pytest.mark.parametrize(
    ("experiments", "warned"),
    [
        (asked(accuracy), True),
        (asked(exact_match), True),
        (asked(accuracy) + asked(exact_match), True),
        (asked(accuracy) + asked(logit_diff), False),
        (asked(accuracy) + asked(logit_diff, resid_post(2, last())), True),
        (asked(logit_diff), False),
    ],
)
def test_accuracy_alone_at_a_site(experiments: tuple[Experiment, ...], warned: bool) -> None:
    told = cautions_of(case(experiments=experiments))
    assert names(told) == (["accuracy-only"] if warned else [])


def test_a_probability_is_told_of() -> None:
    experiment = dataclasses.replace(asked()[0], metric=dataclasses.replace(logit_diff, name="probability"))  # type: ignore[arg-type]
    assert names(cautions_of(case(experiments=(experiment,)))) == ["probability-metric"]


def test_noise_is_told_of_and_other_ablations_are_not() -> None:
    noisy = LAB.ablate(PAIRS, at=embed(span("fact")), by=gaussian(sd=3)).drop(logit_diff)
    assert names(cautions_of(case(experiments=experiments_of(noisy.question)))) == ["gaussian-corruption"]
    zeroed = LAB.ablate(PAIRS, at=embed(span("fact")), by=zero).drop(logit_diff)
    assert cautions_of(case(experiments=experiments_of(zeroed.question))) == ()


@pytest.mark.parametrize(
    ("full", "told"),
    [
        (None, "and not the whole component beside it"),
        (FullComponent(0.2, 0.9, "resid_post L1"), r"does more \(0\.9\) than the whole component \(0\.2\)"),
        (FullComponent(0.9, 0.2, "resid_post L1"), None),
    ],
)
def test_a_part_without_its_whole_or_beyond_it(full: FullComponent | None, told: str | None) -> None:
    part = asked(at=resid_post(1, last()).along([1.0, 0.0]))
    found = cautions_of(case(experiments=part, numbers=numbers(controls=Controls(full=full))))
    if told is None:
        assert found == ()
    else:
        assert names(found) == ["subspace"]
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(found[0].says)


@pytest.mark.parametrize(
    ("sentence", "warned"),
    [
        ("This is the circuit.", True),
        ("The mechanism of addition.", True),
        ("Layer 6 is the\nonly reader.", True),
        ("A circuit reads it.", False),
        ("It is only the reader.", False),
        ("The circuitry hums.", False),
    ],
)
def test_a_sentence_that_leaves_no_other_way(sentence: str, warned: bool) -> None:
    assert names(cautions_of(case(sentence=sentence))) == (["the-circuit"] if warned else [])


@pytest.mark.parametrize(("eligible", "warned"), [(19, True), (20, False), (40, False)])
def test_under_half_of_the_pairs(eligible: int, warned: bool) -> None:
    told = cautions_of(case(numbers=numbers((1.0,) * eligible)))
    assert names(told) == (["few-eligible"] if warned else [])


@pytest.mark.parametrize(
    ("given", "every", "otherwise", "warned"),
    [
        (verdict(p=0.02), 1, "INCONCLUSIVE", False),
        (verdict(p=0.02), 2, "INCONCLUSIVE", False),
        (verdict(p=0.02), 3, "INCONCLUSIVE", True),
        (verdict(p=0.02, size=3), 3, "INCONCLUSIVE", False),
        (verdict("REFUTED", p=1.0), 3, "INCONCLUSIVE", True),
        (verdict("REFUTED", p=1.0), 3, "REFUTED", False),
        (verdict("INCONCLUSIVE", p=0.2), 3, "INCONCLUSIVE", False),
        (verdict("INVALID", p=1.0), 3, "INVALID", False),
    ],
)
def test_a_verdict_that_one_family_would_change(given: Verdict, every: int, otherwise: str, warned: bool) -> None:
    told = cautions_of(case(verdict=given, claims_in_run=every, as_one_family=lambda _: Outcome(otherwise)))
    assert names(told) == (["one-family"] if warned else [])


def test_one_family_agrees_with_the_judge() -> None:
    """Both ways at once: the p-value that is asked first, and the verdict that the larger family gives."""
    for hits in range(60):
        effect = Effect.from_values([1] * hits + [0] * (60 - hits), kind="binary", iid=True, placebo=[0] * 60)
        alone, together = (judge(effect, at_least(0.5), family_size=size) for size in (2, 30))
        told = cautions_of(
            case(
                verdict=alone,
                claims_in_run=30,
                as_one_family=lambda size, e=effect: judge(e, at_least(0.5), family_size=size).outcome,
            )
        )
        assert names(told) == (["one-family"] if alone.outcome is not together.outcome else []), hits


NULL: dict[str, Any] = {
    "prediction": negligible(within=0.1),
    "experiments": asked(at=resid_post(2, span("fact"))),
    "numbers": numbers((0.0,) * 40, provenance={"layers": "3"}),
}


def test_a_null_that_is_true_of_any_model() -> None:
    assert names(cautions_of(case(**NULL))) == ["null-by-layer"]


@pytest.mark.parametrize(
    "but",
    [
        {"prediction": at_least(0.5)},
        {"experiments": asked(at=resid_post(1, span("fact")))},
        {"experiments": ()},
        {"numbers": numbers((0.0,) * 39 + (1.0,), provenance={"layers": "3"})},
        {"numbers": numbers((0.0,) * 40)},
    ],
)
def test_a_null_that_need_not_be_is_left_alone(but: dict[str, Any]) -> None:
    assert cautions_of(case(**{**NULL, **but})) == ()


def test_each_has_a_source() -> None:
    told = (*cautions_of(case(experiments=asked(accuracy), sentence="The only one.")), *cautions_of(case(**NULL)))
    assert all(any(character.isdigit() for character in caution.source) for caution in told)
    assert len(told) == 3
