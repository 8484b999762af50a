"""Which cautions a claim's result carries, and which of them the claim has accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causaltest.asking.claims import Claim
from causaltest.asking.questions import experiments_of
from causaltest.effects import Effects
from causaltest.once import Judged, judging_seed
from causaltest.results import Known
from causaltest.verdict import Outcome

if TYPE_CHECKING:
    from causaltest.judging.cautions import Caution, Cautioned

MOST_RESAMPLES_OVER_ALPHA = 20_000
"""A family beyond this takes more resamples to ask about than the answer is worth."""


def warnings_of(claim: Claim, judged: Judged, known: Known) -> list[dict[str, str]]:
    """Each caution as plain data; what was accepted and did not come up says nothing."""
    from causaltest.judging.cautions import cautions_of  # late: scipy is not loaded until a claim is judged

    return [told(caution, claim) for caution in cautions_of(cautioned(claim, judged, known))]


def told(caution: Caution, claim: Claim) -> dict[str, str]:
    accepted = "by the claim" if caution.name in claim.accept else ""
    return {"name": caution.name, "says": caution.says, "source": caution.source, "accepted": accepted}


def cautioned(claim: Claim, judged: Judged, known: Known) -> Cautioned:
    from causaltest.judging.cautions import Cautioned

    # Several effects by name, for a claim about their order, are told of by what they share.
    shown = judged.effect.joint if isinstance(judged.effect, Effects) else judged.effect
    effects = [rehearsed if effect is None else effect for rehearsed, effect in judged.parts]
    return Cautioned(
        sentence=claim.sentence,
        prediction=claim.prediction,
        experiments=tuple(e for effect in effects if effect is not None for e in experiments_of(effect.question)),
        numbers=None if shown is None else shown.measured,
        verdict=judged.verdict,
        claims_in_run=known.claims_in_run,
        as_one_family=lambda size: judged_in(size, claim, judged, known),
    )


def judged_in(size: int, claim: Claim, judged: Judged, known: Known) -> Outcome | None:
    """The outcome in a family of another size; None for a claim that stops early, whose looks cannot be repeated."""
    from causaltest.judging.judge import judge

    verdict, alpha = judged.verdict, claim.prediction.alpha
    if judged.effect is None or claim.stopping is not None:
        return None
    # Of a claim in variants, the one that decides was judged at a part of alpha.
    part = round(alpha / (verdict.alpha * known.family.size))
    if size * part > MOST_RESAMPLES_OVER_ALPHA:
        return None
    again = judge(judged.effect, claim.prediction, family_size=size * part, seed=judging_seed(known.seed))
    return again.outcome
