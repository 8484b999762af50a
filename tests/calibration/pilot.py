"""Part 9: the retracted pilot. 5 of 9 against .5 is INCONCLUSIVE, and the report names 634 pairs."""

from __future__ import annotations

from calibration.row import Row
from calibration.verdicts import effect_of
from causaltest.asking.predictions import at_least
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome, Verdict


def rows() -> list[Row]:
    pilot = judge(effect_of([1.0] * 5 + [0.0] * 4, kind="binary"), at_least(0.5), family_size=3)
    clear = judge(effect_of([1.0] * 356 + [0.0] * 278, kind="binary"), at_least(0.5), family_size=1)
    return [
        Row(9, "5 of 9 against .5 in a family of three is INCONCLUSIVE", inconclusive(pilot), 1, 1),
        Row(9, "the pairs needed by the published formula, as printed", published(pilot), 634, 634),
        Row(9, "356 of 634, the same share, is INCONCLUSIVE", inconclusive(clear), 0, 0, "negative control"),
    ]


def inconclusive(verdict: Verdict) -> float:
    return float(verdict.outcome is Outcome.INCONCLUSIVE)


def published(verdict: Verdict) -> float:
    return next(pairs for label, pairs in verdict.needed.items() if "published" in label) or 0.0
