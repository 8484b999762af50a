"""Wrong places: the same patch elsewhere, which a claim that something matters must beat like its placebo.

Each is one more test at the full alpha, and all must clear (an intersection-union test), so nothing extra is spent.
"""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.effect import Elsewhere, Numbers
from causaltest.judging.paired import Contest, contest_of
from causaltest.judging.sample import Sample
from causaltest.judging.wording import number, p_in_words


def contests_elsewhere(sample: Sample) -> tuple[Contest, ...]:
    """The sample against the same patch at each wrong place."""
    return tuple(contest_of(sample, against=values) for values in sample.elsewhere)


def unbeaten_elsewhere(numbers: Numbers, p_values: Sequence[float], *, level: float, alpha: str) -> str | None:
    """The first wrong place that the claim does not beat at `level`, in a sentence; None when it beats all of them.

    `alpha` is the level in words.
    """
    for place, p in zip(numbers.controls.elsewhere, p_values, strict=True):
        still = moves_nothing(numbers, place)
        if still:
            return (
                f"The same patch at {place.what} moves nothing in {still} of {len(numbers.values)} pairs, so that it "
                "is beaten there for free: a control that cannot fail is none. Name a place where the runs differ."
            )
        if p > level:
            below = sum(numbers.denominators) if numbers.denominators else len(numbers.values)
            return (
                f"The same patch at {place.what} does as much: it gives {number(sum(place.values) / below)}, and is "
                f"not beaten ({p_in_words(p)} at alpha {alpha}), so what was seen is not this place's own."
            )
    return None


def moves_nothing(numbers: Numbers, place: Elsewhere) -> int:
    """In how many pairs the claim's own patch moves something and the same patch elsewhere does not."""
    own = numbers.controls.distance or ()
    return sum(mine > numbers.rounding >= theirs for mine, theirs in zip(own, place.distance, strict=False))
