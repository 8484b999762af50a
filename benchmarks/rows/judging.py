"""Judging a thousand claims of 634 pairs with 10,000 resamples, beside scipy's bootstrap alone."""

from __future__ import annotations

import dataclasses

from benchmarks.row import Options, Row
from benchmarks.timing import median, timed

KINDS = ("continuous", "ratio", "with a range")


def thousand(options: Options) -> list[Row]:
    return [of_kind(kind, options) for kind in KINDS]


def of_kind(kind: str, options: Options) -> Row:
    row = Row(f"1,000 claims of n = 634 judged, {kind}, 10,000 resamples", "scipy.stats.bootstrap", unit="s")
    row = dataclasses.replace(row, better="less", at_least=2.0, aim=0.5)
    try:
        from benchmarks import judging
        from causaltest import at_least
        from causaltest.judging.judge import judge_family
    except ImportError as error:
        return dataclasses.replace(row, notes=f"Nothing to measure: {error}")
    family = list(judging.effects(kind))
    predictions = [at_least(0.3)] * len(family)

    def work() -> None:
        judge_family(family, predictions, family_size=1, resamples=judging.RESAMPLES)

    work()
    seconds = tuple(timed(work).seconds for _ in range(max(3, options.repeats)))
    scipy = judging.scipy_seconds(family[: judging.SCIPY_CLAIMS])
    return dataclasses.replace(
        row,
        ours=f"{median(seconds):.2f} s",
        theirs=f"{scipy:.0f} s",
        figure=median(seconds),
        lowest=min(seconds),
        highest=max(seconds),
        notes=f"The whole verdict. scipy's bootstrap of {judging.SCIPY_CLAIMS} of the same claims, scaled.",
    )
