"""What the claims of a family share: for effects of as many units, one draw of resamples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from causaltest.judging.bca import BCA, replicates_of
from causaltest.judging.paired import SIGN_FLIP, Contest, beat, flips_of
from causaltest.judging.rules import Drawn, Rule
from causaltest.judging.sample import Sample

# what a matrix of [claim, resample] may hold: 128 MB; a larger family is judged part after part
REPLICATES_AT_ONCE = 2**24


@dataclass(frozen=True)
class Draws:
    """All that the resamples depend on; nothing about an effect, and nothing about the others."""

    units: int
    resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class Wanted:
    """What one claim needs drawn."""

    draws: Draws
    sample: Sample
    rule: Rule
    contest: Contest | None
    """Against the placebo, where the prediction asks for it and one was measured."""
    elsewhere: tuple[Contest, ...] = ()
    """Against the wrong places, where the prediction asks for a placebo."""


def drawn_for(wanted: Sequence[Wanted]) -> Iterator[tuple[int, Drawn]]:
    """Each claim's place in `wanted` with what was drawn for it, in the order in which the draws are shared."""
    sharing: dict[Draws, list[int]] = {}
    for place, claim in enumerate(wanted):
        sharing.setdefault(claim.draws, []).append(place)
    for draws, places in sharing.items():
        at_once = max(1, REPLICATES_AT_ONCE // draws.resamples)
        for start in range(0, len(places), at_once):
            part = places[start : start + at_once]
            yield from zip(part, drawn_together([wanted[place] for place in part], draws), strict=True)


def drawn_together(claims: Sequence[Wanted], draws: Draws) -> list[Drawn]:
    """For claims that share their draws."""
    resampled = [c.sample for c in claims if BCA in c.rule.procedures]
    flipped = [c.sample for c in claims if SIGN_FLIP in c.rule.procedures]
    contests = [one for c in claims for one in (c.contest, *c.elsewhere) if one is not None]
    replicates = iter(replicates_of(resampled, resamples=draws.resamples, seed=draws.seed))
    flips = iter(flips_of(flipped, resamples=draws.resamples, seed=draws.seed))
    p_values = iter(beat(contests, resamples=draws.resamples, seed=draws.seed))
    return [
        Drawn(
            replicates=next(replicates) if BCA in claim.rule.procedures else None,
            flips=next(flips) if SIGN_FLIP in claim.rule.procedures else None,
            placebo_p=next(p_values) if claim.contest is not None else None,
            elsewhere_p=tuple(next(p_values) for _ in claim.elsewhere),
        )
        for claim in claims
    ]
