"""What a claim promises before anything is measured: the effects that its body names, of every variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.portions import in_portion
from causaltest.asking.questions import experiments_of
from causaltest.effects import Measured, members_of
from causaltest.errors import ClaimError
from causaltest.looks import plan_of
from causaltest.once import misdirected, returned_effect, stand_ins
from causaltest.results import Known
from causaltest.variants import plan_variants, refuse_alike

GIVEN = (
    "It returns values that were given, Effect.from_values(...), so they are known already and nothing is left to "
    "predict. Let the body measure with a lab, or leave it unregistered."
)


def promised(claim: Claim, arguments: Mapping[str, Any], known: Known) -> list[Measured]:
    """The effects that the body would return, one or one for each variant; no model is opened.

    Raises RehearsalRead from the line that reads a number; ClaimError for values that were measured already, for what
    could never be judged as the claim says, for variants that ask the same, and for looks that its pairs do not allow;
    and what the body raises.
    """
    if claim.multiverse is None:
        return [promise(claim, arguments, known)]
    planned = plan_variants(claim, arguments, known)
    effects = [promise(claim, one.arguments, known) for one in planned]
    refuse_alike(planned, effects)
    return effects


def promise(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Measured:
    whole = arguments
    if claim.stopping is not None:
        arguments = in_portion(arguments, claim.stopping, 0)
    effect = returned_effect(claim, claim.body(**stand_ins(arguments)))
    if any(member.numbers is not None for member in members_of(effect)) or not experiments_of(effect.question):
        raise ClaimError(GIVEN)
    wrong = misdirected(claim, effect)
    if wrong is not None:
        raise ClaimError(wrong)
    if claim.stopping is not None:
        plan_of(claim, whole, known)
    return effect
