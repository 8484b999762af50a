"""A sequential claim: measured portion by portion, looked at after each, and stopped when the verdict is in.

in_looks -> plan_of        the pairs that the body is about, cut into portions
         per portion:
            -> Seen        what all portions so far have measured, as one effect
            -> look_at     its verdict, by the claim's stopping rule
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.experiment import Experiment
from causaltest.asking.joined import joined
from causaltest.asking.lab import Lab
from causaltest.asking.pairs import Pairs
from causaltest.asking.portions import in_portion, play_order, portions_of, put_to
from causaltest.asking.predictions import Prediction
from causaltest.asking.questions import experiments_of
from causaltest.asking.stopping import Stopping
from causaltest.effect import Effect, Exclusion
from causaltest.errors import ClaimError, MeasurementError, NothingEligible
from causaltest.once import Judged, judging_seed, labs_of, rehearse, returned_effect, unmeasured
from causaltest.results import Known
from causaltest.verdict import Look, Outcome

PARTNERLESS = (
    "some pair has no other with as many patched positions in its portion, and so no placebo: plan fewer looks, or "
    "name one position"
)
DECIDED = (Outcome.SUPPORTED, Outcome.REFUTED)


def in_looks(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Judged:
    """Runs the body on one portion of the pairs after the other, until what was measured so far decides the claim.

    Raises ClaimError for a body that cannot be looked at in portions, or whose pairs are too few for them.
    """
    plan = plan_of(claim, arguments, known)
    seen, looks = Seen(), list[Look]()
    for number, portion in enumerate(plan.portions):
        here = in_portion(arguments, plan.stopping, number)
        # Learnt before it is measured, so that all arms of a portion share one plan.
        rehearse(dataclasses.replace(claim, stopping=None), here)
        try:
            effect = returned_effect(claim, claim.body(**here))
            assert isinstance(effect, Effect)  # several are refused with a prediction about one
            seen = seen.joined_by(portion, effect)
        except NothingEligible as nothing:
            seen = seen.joined_by_none(portion, nothing)
        except MeasurementError as error:
            return Judged(None, unmeasured(claim, known.family, str(error)), plan.told(seen.taken + 1, looks))
        looks.append(look_at(claim, plan, seen, known))
        if looks[-1].verdict.outcome in DECIDED or beyond_repair(seen.effect):
            break
    return Judged(seen.effect, looks[-1].verdict, plan.told(seen.taken, looks), played=plan.played(seen))


@dataclass(frozen=True)
class Plan:
    """What a sequential claim may measure, known before it measures any of it."""

    prediction: Prediction
    stopping: Stopping
    experiments: tuple[Experiment, ...]
    portions: tuple[Pairs, ...]
    order: tuple[str, ...]
    """The units in the order of play."""
    largest: int
    """Pairs in the largest of them."""
    labs: tuple[Lab, ...]
    alpha: float
    """What all looks spend together: the family's share."""

    def told(self, taken: int, looks: list[Look]) -> dict[str, Any]:
        """What a report says of the looks, as plain data."""
        runs = [self.patched_runs(portion) for portion in self.portions]
        return {
            "looks": {
                "rule": self.stopping.rule,
                "taken": taken,
                "planned": self.stopping.looks,
                "alpha": self.alpha,
                "alpha_here": looks[-1].verdict.alpha if looks else None,
                "passed": {str(k): look.passed for k, look in enumerate(looks, start=1) if look.passed},
                "planned_runs": sum(runs),
                "saved_runs": sum(runs[taken:]),
                "price": price_of(self.stopping),
            }
        }

    def played(self, seen: Seen) -> dict[str, Any]:
        """What the last look's verdict rests on beside its effect, as plain data."""
        return {"units": [list(look) for look in seen.units], "order": list(self.order), "largest": self.largest}

    def patched_runs(self, portion: Pairs) -> int:
        """Those of one portion, by the plan that it would be measured by."""
        return sum(
            lab.backend.patched_runs([put_to(e, portion) for e in mine])
            for lab in self.labs
            if (mine := [e for e in self.experiments if e.patching.model == lab.name])
        )


def plan_of(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Plan:
    """The portions of the pairs that the body is about. Raises ClaimError where it has none."""
    assert claim.stopping is not None  # the session asks only then
    assert isinstance(claim.prediction, Prediction)  # a claim about an order is refused a stopping rule
    experiments = experiments_asked(claim, arguments)
    different = {e.patching.pairs.digest: e.patching.pairs for e in experiments}
    if len(different) > 1:
        raise ClaimError(
            f"The claim {claim.sentence!r} is about {len(different)} different sets of pairs, and stopping= looks at "
            "portions of one. Measure all of its effects on the same pairs, or leave stopping= out."
        )
    if claim.stopping.rule == "anytime":
        refuse_without_range(experiments)
    pairs, labs = experiments[0].patching.pairs, labs_of(arguments)
    # A lab cuts by its own seed, and the body may give its experiments another.
    seed = next((lab.seed for lab in labs if lab.name == experiments[0].patching.model), experiments[0].seed)
    return Plan(
        prediction=claim.prediction,
        stopping=claim.stopping,
        experiments=experiments,
        portions=portions_of(pairs, claim.stopping, seed),
        order=tuple(play_order(pairs, seed)),
        largest=max(Counter(pairs.clusters or pairs.ids).values()),
        labs=labs,
        alpha=claim.prediction.alpha / known.family.size,
    )


def experiments_asked(claim: Claim, arguments: Mapping[str, Any]) -> tuple[Experiment, ...]:
    """What the body is about to measure. Raises ClaimError where that cannot be known, or is nothing."""
    effect = rehearse(claim, arguments)
    if effect is None:
        raise ClaimError(
            f"The claim {claim.sentence!r} has a stopping rule, and its body does not name its experiment before it "
            "has a number, or does not return one effect. Its pairs are measured in portions: return one effect, such "
            "as lab.denoise(...).recovery(...), and choose nothing by a number; or leave stopping= out."
        )
    experiments = tuple({e.digest: e for e in experiments_of(effect.question)}.values())
    if not experiments:
        raise ClaimError(
            f"The claim {claim.sentence!r} returns values that are all there, so there is nothing left to stop, and "
            "looking at a part of them first would be choosing among them: leave stopping= out."
        )
    return experiments


def refuse_without_range(experiments: tuple[Experiment, ...]) -> None:
    """Raises ClaimError for a metric in which nobody can bet, before anything is measured."""
    metric = next((e.metric for e in experiments if e.metric.kind == "continuous" and e.metric.range is None), None)
    if metric is not None:
        raise ClaimError(
            f'stopping="anytime" bets within the metric\'s range, and {metric} has none. Declare one that you would '
            f'have named before looking, as in {metric}(range=(-20, 20)), or use stopping="obrien-fleming".'
        )


@dataclass(frozen=True)
class Seen:
    """What the portions so far have measured."""

    portions: tuple[Pairs, ...] = ()
    effects: tuple[Effect, ...] = ()
    units: tuple[tuple[int, int], ...] = ()
    """Of each look that brought new units: its number from 1, and those that count by then."""
    missing: tuple[Exclusion, ...] = ()
    """The pairs of portions of which none counts."""
    why_none: str = ""

    @property
    def taken(self) -> int:
        return len(self.portions)

    def joined_by(self, portion: Pairs, effect: Effect) -> Seen:
        """With the effect of one more portion."""
        numbers = effect.measured
        new = len(set(numbers.pair_ids if numbers.clusters is None else numbers.clusters))
        so_far = self.units[-1][1] if self.units else 0
        return dataclasses.replace(
            self,
            portions=(*self.portions, portion),
            effects=(*self.effects, effect),
            units=(*self.units, (self.taken + 1, so_far + new)),
        )

    def joined_by_none(self, portion: Pairs, nothing: NothingEligible) -> Seen:
        """With one more portion of which no pair counts, which is no failure of the claim."""
        return dataclasses.replace(
            self,
            portions=(*self.portions, portion),
            missing=(*self.missing, *(Exclusion(pair, why) for pair, why in nothing.excluded)),
            why_none=str(nothing),
        )

    @property
    def effect(self) -> Effect | None:
        """All that was measured, as one effect; None where no pair counts."""
        if not self.effects:
            return None
        whole = joined(self.effects)
        numbers = dataclasses.replace(
            whole.measured,
            pairs_total=sum(map(len, self.portions)),
            excluded=(*whole.measured.excluded, *self.missing),
        )
        return Effect(whole.question, numbers)

    @property
    def why_nothing(self) -> str:
        """Why there is no effect."""
        if self.taken == 1:
            return self.why_none
        return f"No pair of {self.taken} portions is eligible. Of the last: {self.why_none}"


def look_at(claim: Claim, plan: Plan, seen: Seen, known: Known) -> Look:
    """What may be said after the portions so far, by the claim's stopping rule."""
    from causaltest.judging.anytime import judge_anytime  # late: scipy is not loaded until a claim is judged
    from causaltest.judging.sequential import judge_look

    effect, seed = seen.effect, judging_seed(known.seed)
    if effect is None:
        return Look(unmeasured(claim, known.family, seen.why_nothing), "no pair counts")
    lonely = PARTNERLESS if plan.prediction.needs_placebo and effect.measured.controls.placebo is None else ""
    if plan.stopping.rule == "obrien-fleming":
        look = judge_look(
            effect,
            plan.prediction,
            looks=plan.stopping.looks,
            units=dict(seen.units),
            family_size=known.family.size,
            seed=seed,
        )
        return Look(look.verdict, look.passed or lonely)
    return Look(
        judge_anytime(
            effect,
            plan.prediction,
            order=plan.order,
            largest=plan.largest,
            family_size=known.family.size,
            seed=seed,
        ),
        lonely,
    )


def beyond_repair(effect: Effect | None) -> bool:
    """Whether the numbers are broken in a way that no further pair can mend."""
    from causaltest.judging.validity import moved_by_itself, not_finite  # late, as above

    return effect is not None and bool(moved_by_itself(effect.measured) or not_finite(effect.measured))


def price_of(stopping: Stopping) -> str:
    """What a stopping rule costs, for the report."""
    from causaltest.judging.anytime import PRICE  # late, as above

    return PRICE if stopping.rule == "anytime" else ""
