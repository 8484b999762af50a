"""The pairs that the claims of a run need, worked out before anything is measured: no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.claims import Claim
from causaltest.asking.predictions import Prediction
from causaltest.asking.stopping import Stopping
from causaltest.effect import Effect
from causaltest.errors import CausaltestError, RehearsalRead
from causaltest.judging.anytime import PRICE
from causaltest.judging.curves import PowerCurve
from causaltest.judging.designs import Design, design_of
from causaltest.judging.multiplicity import bonferroni
from causaltest.judging.planning import Need, curve_around, needs_of
from causaltest.judging.sequential import inflation
from causaltest.judging.supposing import effects_to_try, expected_by
from causaltest.once import judging_seed, returned_effect, stand_ins
from causaltest.results import Family

READS_A_NUMBER = "the body reads a number before it has chosen its experiment, so nothing is known before it is run"
AN_ORDER = (
    "the pairs needed are worked out for one effect beside a threshold, and this claim is about an order of several"
)
NO_SCALE = (
    "it expects no effect, and without a range of the metric there is no scale to try some on: give the prediction "
    "expecting=..., or --effect and --sd"
)
NO_PLACEBO = "no placebo is measured, and without one this claim is never SUPPORTED"
SIMULATIONS_TO_TRY = 150
"""Where several effects are tried because none is expected."""
ONE_LOOK = "counted for one look at all pairs"


@dataclass(frozen=True)
class Foreseen:
    """A claim as it is known before it runs: the effect that its body promised, or why there is none."""

    id: str
    nodeid: str
    claim: Claim
    family: Family
    effect: Effect | None
    why: str = ""


@dataclass(frozen=True)
class PowerRow:
    """What is said of one claim, or of several that have the same answer."""

    claims: tuple[Foreseen, ...]
    design: Design | None = None
    needs: tuple[Need, ...] = ()
    """One at the effect expected; several where none is."""
    expects: bool = False
    notes: tuple[str, ...] = ()
    curve: PowerCurve | None = None
    reason: str = ""
    """Why nothing can be said."""

    @property
    def first(self) -> Foreseen:
        return self.claims[0]

    @property
    def alpha(self) -> float:
        return bonferroni(self.first.claim.prediction.alpha, self.first.family.size)


@dataclass(frozen=True)
class PowerPlan:
    """Every claim's row, and what all of them rest on."""

    rows: tuple[PowerRow, ...]
    assumptions: Assumptions
    suite_seed: str


def foresee(claim: Claim, arguments: Mapping[str, Any]) -> tuple[Effect | None, str]:
    """The effect that the body promises when it is rehearsed without a model, or the reason why it promises none."""
    try:
        returned = returned_effect(claim, claim.body(**stand_ins(arguments)))
    except RehearsalRead:
        return None, READS_A_NUMBER
    except Exception as error:
        return None, f"its body cannot be rehearsed: {type(error).__name__}: {error}"
    return (returned, "") if isinstance(returned, Effect) else (None, AN_ORDER)


def power_plan(
    claims: Sequence[Foreseen], assumptions: Assumptions, *, suite_seed: str, curves: bool = False
) -> PowerPlan:
    """The rows of all claims. What several ask alike is answered once. `curves` adds power against pairs."""
    plan = Planning(assumptions, judging_seed(suite_seed) or 0, curves)
    together: dict[object, list[Foreseen]] = {}
    for foreseen in claims:
        question = question_of(foreseen)
        together.setdefault((foreseen.claim.sentence, key_of(foreseen), question), []).append(foreseen)
    rows = [replace(plan.row(group[0]), claims=tuple(group)) for group in together.values()]
    return PowerPlan(tuple(rows), assumptions, suite_seed)


def key_of(foreseen: Foreseen) -> tuple[object, ...]:
    return foreseen.claim.prediction, foreseen.claim.stopping, foreseen.family


def question_of(foreseen: Foreseen) -> Design | str:
    """What is known of the claim's numbers, or why nothing is."""
    if foreseen.effect is None:
        return foreseen.why
    try:
        return design_of(foreseen.effect)
    except CausaltestError as error:
        return str(error)


@dataclass(frozen=True)
class Planning:
    """What all claims are planned under, and the answers that are known."""

    assumptions: Assumptions
    seed: int
    curves: bool
    known: dict[object, PowerRow] = field(default_factory=dict)

    def row(self, foreseen: Foreseen) -> PowerRow:
        """The claim's row, from an earlier claim's where they ask the same."""
        design, prediction, size = question_of(foreseen), foreseen.claim.prediction, foreseen.family.size
        if isinstance(design, str) or not isinstance(prediction, Prediction):
            return PowerRow((foreseen,), reason=design if isinstance(design, str) else AN_ORDER)
        key = (prediction, size, design)
        if key not in self.known:
            self.known[key] = self.answered(PowerRow((foreseen,), design), prediction, size, design)
        return replace(self.known[key], notes=notes_on(foreseen, prediction, design))

    def answered(self, row: PowerRow, prediction: Prediction, family_size: int, design: Design) -> PowerRow:
        assumptions = self.assumptions
        try:
            expected = expected_by(prediction, assumptions)
            tried = (expected,) if expected is not None else effects_to_try(design, prediction, assumptions)
            if expected is None and assumptions.simulations is None:
                assumptions = replace(assumptions, simulations=SIMULATIONS_TO_TRY)
            found = [
                needs_of(
                    prediction,
                    design,
                    family_size=family_size,
                    assumptions=assumptions,
                    seed=self.seed,
                    effect=effect,
                )
                for effect in tried
            ]
        except CausaltestError as error:
            return replace(row, reason=str(error))
        needs = tuple(need for need in found if need is not None)
        if not needs:
            return replace(row, reason=NO_SCALE)
        return replace(
            row,
            needs=needs,
            expects=expected is not None,
            curve=curve_around(needs[0].question, needs[0]) if self.curves else None,
        )


def notes_on(foreseen: Foreseen, prediction: Prediction, design: Design) -> tuple[str, ...]:
    unmeasured = prediction.needs_placebo and design.placebo == "none"
    stopping, alpha = foreseen.claim.stopping, bonferroni(prediction.alpha, foreseen.family.size)
    looks = () if stopping is None else (price_of_looks(stopping, alpha, prediction.power),)
    return (*((NO_PLACEBO,) if unmeasured else ()), *looks)


def price_of_looks(stopping: Stopping, alpha: float, power: float) -> str:
    """What a claim that may stop early needs beyond the pairs that are counted."""
    if stopping.rule == "anytime":
        return f"{ONE_LOOK} ({stopping}): {PRICE}, and fewer on average"
    more = 100 * (inflation(alpha, stopping.looks, power) - 1)
    return f"{ONE_LOOK} ({stopping}): plan for about {more:.1f} % more, of which stopping early leaves some unmeasured"
