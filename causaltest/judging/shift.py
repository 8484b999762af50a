"""Shift: what each pair moved by between two runs of one claim, and what rounding alone may have moved it by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from causaltest.effect import Controls, Effect, Exclusion, Numbers, SelfPatch, Waived, paired_difference
from causaltest.errors import JudgementError
from causaltest.judging.sample import RELATIVE_ROUNDING, largest_of, sample_of
from causaltest.judging.validity import moved_by_itself, not_finite, weak_denominators

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
GROWTH = 1024
"""How many times the last digit of a number may be off after a forward pass: docs/decisions/0016-drift.md."""
COARSEST = 1e-3
"""Of the largest score: what is more is no rounding, however coarse the arithmetic."""
NOT_MEASURED = "not measured"
UNPATCHED = ("clean", "corrupt")
OTHER_RUN = Waived("compared with the same claim in another run")


@dataclass(frozen=True)
class Shift:
    """An effect in two runs, on the pairs that count in both; `before` and `after` have them in one order."""

    before: Numbers
    after: Numbers
    left_out: tuple[Exclusion, ...]
    """The pairs that count in one run alone, and why not in the other."""

    @property
    def n(self) -> int:
        return len(self.before.values)

    @property
    def units(self) -> int:
        clusters = self.before.clusters
        return self.n if clusters is None else len(set(clusters))

    @cached_property
    def noise(self) -> float:
        """How far rounding may have moved a value of a pair from one run to the other.

        What was measured within each run, on unpatched runs computed in two ways; and what the arithmetic of the
        coarser run makes of the largest score, as other hardware, another library or another dtype round otherwise.
        """
        arms = (self.before, self.after)
        measured = sum(max(arm.rounding, own_tolerance(arm)) for arm in arms)
        epsilon = max(EPSILON.get(arm.provenance.get("dtype", ""), 0.0) for arm in arms)
        relative = max(RELATIVE_ROUNDING, min(GROWTH * epsilon, COARSEST))
        return measured + relative * max(map(largest_score, arms))

    @cached_property
    def furthest(self) -> float:
        """The most that any number of a pair has moved: its value, its denominator, or an unpatched score."""
        return max((abs(a - b) for one, other in self._columns() for a, b in zip(one, other, strict=True)), default=0.0)

    def _columns(self) -> Iterable[tuple[Sequence[float], Sequence[float]]]:
        yield self.before.values, self.after.values
        if self.before.denominators is not None and self.after.denominators is not None:
            yield self.before.denominators, self.after.denominators
        for name in UNPATCHED:
            if name in self.before.references and name in self.after.references:
                yield self.before.references[name], self.after.references[name]

    @property
    def counts_alike(self) -> bool:
        """Whether no pair that was measured in both runs counts in one alone: else an unpatched run has changed."""
        return all(pair.reason == NOT_MEASURED for pair in self.left_out)

    @property
    def is_still(self) -> bool:
        """Whether no number of any pair moved by more than rounding explains."""
        return self.furthest <= self.noise

    @property
    def is_coarse(self) -> bool:
        """Whether equal values are no sign of equal runs: right or wrong, or clipped."""
        return self.is_right_or_wrong or self.before.clipped > 0 or self.after.clipped > 0

    @property
    def is_right_or_wrong(self) -> bool:
        """Whether all that was read off the runs are outcomes, or changes or differences of outcomes."""
        return all(set(column) <= {-1.0, 0.0, 1.0} for columns in self._columns() for column in columns)

    @property
    def same_denominators(self) -> bool:
        ours, theirs = self.before.denominators, self.after.denominators
        if ours is None or theirs is None:
            return True
        return all(abs(a - b) <= self.noise for a, b in zip(ours, theirs, strict=True))

    @property
    def reach(self) -> float:
        """How far rounding moves the effect, if it moves every pair the same way."""
        below = self.before.denominators
        if below is None:
            return self.noise
        return self.noise * (1 + abs(self.estimate_after)) * self.n / abs(math.fsum(below))

    @cached_property
    def estimate_before(self) -> float:
        return Effect(None, self.before).estimate

    @cached_property
    def estimate_after(self) -> float:
        return Effect(None, self.after).estimate

    @property
    def estimate(self) -> float:
        return self.estimate_after - self.estimate_before

    @cached_property
    def difference(self) -> Numbers:
        """After minus before, per pair, as the judge takes it."""
        if self.same_denominators:
            return self._paired()
        return linearised(self.before, self.after)

    def _paired(self) -> Numbers:
        allowed = self.noise / 2 if self.before.kind == "ratio" else 0.0
        before, after = (replace(bare(arm), rounding=max(arm.rounding, allowed)) for arm in (self.before, self.after))
        return paired_difference(after, before)

    @property
    def why_not(self) -> str | None:
        """Why the two cannot be compared, or None."""
        if not self.n:
            return "no pair counts in both runs"
        for when, arm in (("in the baseline", self.before), ("now", self.after)):
            wrong = moved_by_itself(arm) or not_finite(arm) or weak_denominators(sample_of(arm))
            if wrong is not None:
                return f"{when}: {wrong[0].lower()}{wrong[1:]}".rstrip(".")
        return None


def shift_of(before: Numbers, after: Numbers) -> Shift:
    """The two on the pairs that count in both.

    Raises JudgementError for effects of different kinds, or that disagree on which pairs belong together.
    """
    if before.kind != after.kind:
        raise JudgementError(f"A {before.kind} effect and a {after.kind} effect cannot be compared.")
    ours, theirs = place_of(before), place_of(after)
    common = [pair for pair in before.pair_ids if pair in theirs]
    reasons = {e.pair_id: e.reason for e in (*before.excluded, *after.excluded)}
    alone = [pair for pair in (*before.pair_ids, *after.pair_ids) if (pair in ours) != (pair in theirs)]
    left_out = tuple(Exclusion(pair, reasons.get(pair, NOT_MEASURED)) for pair in alone)
    then, now = (picked(arm, [at[p] for p in common]) for arm, at in ((before, ours), (after, theirs)))
    if then.clusters != now.clusters:
        raise JudgementError("The two runs disagree on which pairs belong together.")
    return Shift(then, now, left_out)


def linearised(before: Numbers, after: Numbers) -> Numbers:
    """Two ratios of sums whose denominators moved too: per pair, what it adds to their difference.

    To first order each pair moves a ratio by its own residual over the mean denominator (Woodruff 1971, J. Am. Stat.
    Assoc. 66:411); the mean over pairs is the difference of the two ratios itself.
    """
    residuals = []
    for arm in (before, after):
        assert arm.denominators is not None  # asked only of ratios
        ratio, mean = Effect(None, arm).estimate, math.fsum(arm.denominators) / len(arm.values)
        residuals.append([(v - ratio * d) / mean + ratio for v, d in zip(arm.values, arm.denominators, strict=True)])
    then, now = (
        replace(bare(arm), kind="continuous", range=None, denominators=None, values=tuple(per_pair), rounding=0.0)
        for arm, per_pair in zip((before, after), residuals, strict=True)
    )
    return paired_difference(now, then)


def picked(numbers: Numbers, places: Sequence[int]) -> Numbers:
    """Of these pairs alone, in this order."""

    def of(column: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(column[i] for i in places)

    return replace(
        numbers,
        values=of(numbers.values),
        pair_ids=tuple(numbers.pair_ids[i] for i in places),
        clusters=None if numbers.clusters is None else tuple(numbers.clusters[i] for i in places),
        denominators=None if numbers.denominators is None else of(numbers.denominators),
        references={name: of(column) for name, column in numbers.references.items()},
        controls=Controls(self_patch=numbers.controls.self_patch),
    )


def bare(numbers: Numbers) -> Numbers:
    """Without controls: they have spoken when the claim itself was judged."""
    return replace(numbers, controls=Controls(self_patch=OTHER_RUN, placebo=OTHER_RUN, positive=OTHER_RUN))


def place_of(numbers: Numbers) -> dict[str, int]:
    """Where each pair stands. Raises JudgementError when a pair id occurs twice."""
    places = {pair: i for i, pair in enumerate(numbers.pair_ids)}
    if len(places) < len(numbers.pair_ids):
        raise JudgementError("A pair id occurs more than once: give every pair its own id.")
    return places


def own_tolerance(numbers: Numbers) -> float:
    own = numbers.controls.self_patch
    return own.tolerance if isinstance(own, SelfPatch) else 0.0


def largest_score(numbers: Numbers) -> float:
    """The largest number that was read off a run, or that was made of it."""
    columns = [numbers.values, numbers.denominators or (), *numbers.references.values()]
    return max(map(largest_of, columns))
