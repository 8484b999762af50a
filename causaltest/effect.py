"""Effect: one number per pair, the experiment that it answers, and the controls run beside it.

An effect is known before its numbers: in rehearsal it holds only its experiment, and asking it
for a number raises. Values are plain floats, so that this module needs neither numpy nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Protocol

from causaltest.errors import ClaimError, JudgementError, RehearsalRead
from causaltest.plain_numbers import plain_number, plain_whole

if TYPE_CHECKING:
    from causaltest.verdict import Verdict

Kind = Literal["binary", "continuous", "ratio"]


class Question(Protocol):
    """What an effect answers: an experiment, or a difference of two."""

    @property
    def summary(self) -> str:
        """One line for the report: quantity, direction, site."""

    @property
    def site(self) -> str: ...

    def canonical(self) -> dict[str, Any]:
        """Plain data that two equal questions share."""


@dataclass(frozen=True)
class Waived:
    """A control left out on purpose; the reason is printed beside the verdict."""

    why: str

    def __post_init__(self) -> None:
        if not self.why.strip():
            raise JudgementError('Waived needs a reason, for instance Waived("simulated data").')


@dataclass(frozen=True)
class Exclusion:
    """A pair that does not count, and why; decided from the clean and corrupt runs only."""

    pair_id: str
    reason: str


@dataclass(frozen=True)
class SelfPatch:
    """The site patched with its own value: how far any score moved, and how far rounding may."""

    moved: float
    tolerance: float

    @property
    def neutral(self) -> bool:
        return bool(self.moved <= self.tolerance)


@dataclass(frozen=True)
class PositiveControl:
    """Patching every position there: the effect that a null must be seen against."""

    estimate: float
    needed: float
    what: str

    @property
    def passed(self) -> bool:
        return bool(self.estimate >= self.needed)


@dataclass(frozen=True)
class FullComponent:
    """Beside a patch of a direction, a subspace or features: the same patch of the whole component.

    A part that does more than its whole may work by a pathway that the model itself leaves dormant, and by no
    variable that the model uses (Makelov et al. 2023, arXiv 2311.17030).
    """

    estimate: float
    part: float
    """The effect of the part, which is the effect's own estimate."""
    what: str

    @property
    def excess(self) -> float:
        """How much more the part does than the whole, in size."""
        return abs(self.part) - abs(self.estimate)


@dataclass(frozen=True)
class Elsewhere:
    """The same patch at another layer or position, where it should not matter: a control on demand."""

    what: str
    """"layer 2"."""
    values: tuple[float, ...]
    """Per pair, in the units of `Effect.values`."""
    distance: tuple[float, ...]
    """Per pair, as of `Controls`: a patch that moves nothing there is beaten for free."""


@dataclass(frozen=True)
class Controls:
    """The controls measured on the same pairs. None: not measured; Waived: left out on purpose."""

    self_patch: SelfPatch | Waived | None = None
    placebo: tuple[float, ...] | Waived | None = None
    """Per pair, in the units of `Effect.values`, averaged over the draws."""
    positive: PositiveControl | Waived | None = None
    distance: tuple[float, ...] | None = None
    """Per pair, Euclidean: how far the patched vectors are from those they replace."""
    full: FullComponent | None = None
    """None where the whole component is patched."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """The wrong layers and positions that were asked for."""


@dataclass(frozen=True)
class Numbers:
    """What was measured, per eligible pair, in the order of `pair_ids`."""

    values: tuple[float, ...]
    pair_ids: tuple[str, ...]
    clusters: tuple[str, ...] | None
    """None: the pairs were declared independent (`iid=True`)."""
    kind: Kind
    range: tuple[float, float] | None = None
    denominators: tuple[float, ...] | None = None
    """For kind "ratio": the effect is sum(values) / sum(denominators)."""
    controls: Controls = Controls()
    clipped: float = 0.0
    """Share of pairs of which some value lay outside the metric's range and was clipped."""
    rounding: float = 0.0
    """How far rounding may move a value, measured on unpatched runs."""
    pairs_total: int = 0
    excluded: tuple[Exclusion, ...] = ()
    references: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Per pair, the metric itself in the "clean", "corrupt" and "patched" runs."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    estimated_by: str | None = None
    """The method, where no patched run was made: such numbers screen, and are not judged."""
    seen: tuple[str, ...] = field(default=(), compare=False)
    """Sweeps and searches of the same lab that have seen these pairs before."""

    def __post_init__(self) -> None:
        if not 0 <= self.rounding < math.inf:
            raise JudgementError(
                f"rounding={self.rounding}: how far rounding may move a value is 0 or more, and finite."
            )


@dataclass(frozen=True)
class Effect:
    """A measured effect, or (in rehearsal) the promise of one.

    Effects subtract, paired by pair id: `late - early`. Compared with a number (`effect > 0.3`)
    they give a `Verdict` by the same judge that serves claims.
    """

    question: Question | None
    numbers: Numbers | None

    @classmethod
    def from_values(
        cls,
        values: Sequence[float | bool],
        *,
        kind: Kind,
        clusters: Sequence[str | int] | None = None,
        iid: bool = False,
        placebo: Sequence[float] | Waived | None = None,
        range: tuple[float, float] | None = None,
        denominators: Sequence[float] | None = None,
        pair_ids: Sequence[str] | None = None,
        question: Question | None = None,
        provenance: Mapping[str, str] | None = None,
        pairs_total: int | None = None,
        excluded: Mapping[str, str] | None = None,
        distance: float | Sequence[float] | None = None,
        self_patch: SelfPatch | Waived | None = None,
    ) -> Effect:
        """An effect from numbers measured elsewhere, one per pair.

        `kind` is "binary" (0 or 1 per pair), "continuous", or "ratio" (with `denominators`:
        the effect is the ratio of the sums). Say which pairs belong together with `clusters`,
        or that none do with `iid=True`. Without `placebo` the effect cannot be SUPPORTED.

        What else was seen is reported: `excluded`, the reason of each pair that does not count by its id, or only
        how many pairs there were (`pairs_total`); the `distance` of the patch, per pair or its mean; and what a
        `self_patch` moved.

        Raises JudgementError when the lengths differ, neither clusters nor iid is said, or pairs do not add up.
        """
        numbers = tuple(float(v) for v in values)
        n = len(numbers)
        moved = (float(distance),) * n if isinstance(distance, Real | float) else distance
        check_lengths(
            n, clusters=clusters, placebo=placebo, denominators=denominators, pair_ids=pair_ids, distance=moved
        )
        unreal = next((d for d in moved or () if not 0 <= d < math.inf), None)
        if unreal is not None:
            raise JudgementError(f"distance={unreal}: how far a patch moves a vector is 0 or more, and finite.")
        ids = tuple(map(str, pair_ids)) if pair_ids is not None else tuple(f"pair {i}" for i in _range(n))
        left_out = tuple(Exclusion(str(pair_id), str(why)) for pair_id, why in (excluded or {}).items())
        pairs_total = plain_whole(pairs_total)
        check_total(ids, left_out, pairs_total)
        if (clusters is None) == (not iid):
            raise JudgementError(
                "from_values needs either clusters=[...] (which pairs share a template or source) "
                "or iid=True (they share nothing): give exactly one of them."
            )
        if kind not in ("binary", "continuous", "ratio"):
            raise JudgementError(f'kind={kind!r} is not known; it is "binary", "continuous" or "ratio".')
        odd = next((v for v in numbers if math.isfinite(v) and v not in (0.0, 1.0)), None)
        if kind == "binary" and odd is not None:
            raise JudgementError(f'kind="binary" takes 0 or 1 per pair, and got {odd}; use kind="continuous".')
        if (kind == "ratio") != (denominators is not None):
            raise JudgementError('denominators=[...] and kind="ratio" go together: give both or neither.')
        if range is not None:
            outside = [v for v in numbers if math.isfinite(v) and not range[0] <= v <= range[1]]
            if outside and kind == "continuous":
                raise JudgementError(f"value {outside[0]} lies outside range={range}; clip it or widen the range.")
        return cls(
            question,
            Numbers(
                values=numbers,
                pair_ids=ids,
                clusters=None if clusters is None else tuple(str(c) for c in clusters),
                kind=kind,
                range=None if range is None else (plain_number(range[0]), plain_number(range[1])),
                denominators=None if denominators is None else tuple(float(d) for d in denominators),
                controls=Controls(
                    placebo=placebo if placebo is None or isinstance(placebo, Waived) else tuple(map(float, placebo)),
                    self_patch=self_patch or Waived("measured outside causaltest"),
                    positive=Waived("measured outside causaltest"),
                    distance=None if moved is None else tuple(map(float, moved)),
                ),
                pairs_total=n + len(left_out) if pairs_total is None else pairs_total,
                excluded=left_out,
                provenance={str(name): str(told) for name, told in (provenance or {}).items()},
            ),
        )

    @property
    def measured(self) -> Numbers:
        """The numbers. Raises RehearsalRead in rehearsal."""
        if self.numbers is None:
            raise RehearsalRead(
                "This effect has no numbers yet: the claim's body is being rehearsed to learn its "
                "experiments. A body that chooses its experiment by a number can be run, but it "
                "is exploratory and cannot be registered."
            )
        return self.numbers

    @property
    def n(self) -> int:
        return len(self.measured.values)

    @property
    def estimate(self) -> float:
        """The mean over pairs, or the ratio of sums; NaN without pairs."""
        numbers = self.measured
        if not numbers.values:
            return math.nan
        total = math.fsum(numbers.values)
        if numbers.denominators is None:
            return total / len(numbers.values)
        below = math.fsum(numbers.denominators)
        return total / below if below else math.nan

    @property
    def is_neutral(self) -> bool:
        """True when no pair moved by more than the rounding measured beside it."""
        numbers = self.measured
        if numbers.estimated_by is not None:
            raise JudgementError(
                f"is_neutral asks what a patched run did, and this effect is an estimate by {numbers.estimated_by}, "
                "for screening only. Measure it: drop method=."
            )
        own = numbers.controls.self_patch
        tolerance = max(own.tolerance if isinstance(own, SelfPatch) else 0.0, numbers.rounding)
        if "patched" in numbers.references:
            base = numbers.references["baseline"]
            return all(abs(a - b) <= tolerance for a, b in zip(numbers.references["patched"], base, strict=True))
        return all(abs(v) <= tolerance for v in numbers.values)

    def __repr__(self) -> str:
        what = "given values" if self.question is None else self.question.summary
        if self.numbers is None:
            return f"Effect({what}: rehearsed, no numbers)"
        clusters = self.numbers.clusters
        units = "declared independent" if clusters is None else f"in {len(set(clusters))} clusters"
        screens = "" if self.numbers.estimated_by is None else ", for screening only"
        return f"Effect({what}: {self.estimate:.4g}, {self.n} pairs {units}{screens})"

    def __sub__(self, other: Effect) -> Effect:
        """The paired difference. Raises JudgementError when the two are not about the same pairs."""
        if not isinstance(other, Effect):
            return NotImplemented
        question = Difference(self.question, other.question)
        if self.numbers is None or other.numbers is None:
            return Effect(question, None)
        return Effect(question, paired_difference(self.numbers, other.numbers))

    def __gt__(self, threshold: float) -> Verdict:
        return self._compared(">", threshold)

    def __ge__(self, threshold: float) -> Verdict:
        return self._compared(">=", threshold)

    def __lt__(self, threshold: float) -> Verdict:
        return self._compared("<", threshold)

    def __le__(self, threshold: float) -> Verdict:
        return self._compared("<=", threshold)

    def __eq__(self, other: object) -> bool:
        """Equal to an effect of the same question and numbers. Raises ClaimError beside a number."""
        if isinstance(other, Real):
            raise ClaimError(
                f"An Effect is a sample, and is not equal to a number: {other} was given. To claim that it is close to "
                f"one, return it from a @claim with negligible(within=...); `effect > {other}` is judged; "
                "`effect.estimate` is the bare number."
            )
        if not isinstance(other, Effect):
            return NotImplemented
        return (self.question, self.numbers) == (other.question, other.numbers)

    def _compared(self, sign: Literal[">", ">=", "<", "<="], threshold: float) -> Verdict:
        from causaltest.judging.judge import judge_comparison  # a late door: docs/decisions/0002

        if isinstance(threshold, Effect):
            raise ClaimError(f"Two effects are compared by their paired difference: (first - second) {sign} 0.")
        return judge_comparison(self, sign, threshold)

    def __bool__(self) -> bool:
        raise ClaimError(
            "An Effect is neither true nor false. Compare it (`assert effect > 0.3`), or return it from a @claim."
        )


@dataclass(frozen=True)
class Difference:
    """The question of `first - second`."""

    first: Question | None
    second: Question | None

    @property
    def summary(self) -> str:
        names = [q.summary if q is not None else "values" for q in (self.first, self.second)]
        return f"{names[0]}  minus  {names[1]}"

    @property
    def site(self) -> str:
        return " - ".join(q.site if q is not None else "values" for q in (self.first, self.second))

    def canonical(self) -> dict[str, Any]:
        return {
            "difference": [None if q is None else q.canonical() for q in (self.first, self.second)],
        }


def paired_difference(first: Numbers, second: Numbers) -> Numbers:
    """Per-pair differences, with the controls of both arms."""
    missing = set(first.pair_ids) ^ set(second.pair_ids)
    if missing:
        named = ", ".join(sorted(missing)[:5])
        raise JudgementError(
            f"The two effects are not about the same pairs: {len(missing)} are in one only ({named}). "
            "Measure both on the same pairs with the same metric."
        )
    if first.estimated_by != second.estimated_by:
        ways = " and ".join(way or "patched runs" for way in (first.estimated_by, second.estimated_by))
        raise JudgementError(
            f"The two effects come from {ways}: what a gradient estimates is not what a patched run measures, so their "
            "difference means nothing. Find both the same way."
        )
    if first.kind != second.kind:
        raise JudgementError(f"A {first.kind} effect and a {second.kind} effect cannot be subtracted.")
    where = {pair_id: i for i, pair_id in enumerate(second.pair_ids)}
    order = [where[pair_id] for pair_id in first.pair_ids]
    if first.clusters != (None if second.clusters is None else tuple(second.clusters[j] for j in order)):
        raise JudgementError(
            "The two effects disagree on which pairs belong together: give both the same clusters, or say iid=True "
            "of both."
        )
    rounding = first.rounding + second.rounding
    if first.denominators is not None and second.denominators is not None:
        if any(abs(d - second.denominators[j]) > rounding for d, j in zip(first.denominators, order, strict=True)):
            raise JudgementError("The two ratios have different denominators: use the same metric and pairs for both.")
    values = tuple(v - second.values[j] for v, j in zip(first.values, order, strict=True))
    spread = None
    if first.kind == "binary":
        spread = (-1.0, 1.0)
    elif first.range is not None and second.range is not None:
        spread = (first.range[0] - second.range[1], first.range[1] - second.range[0])
    return Numbers(
        values=values,
        pair_ids=first.pair_ids,
        clusters=first.clusters,
        kind="ratio" if first.kind == "ratio" else "continuous",
        range=spread,
        denominators=first.denominators,
        controls=Controls(
            self_patch=worse_self_patch(first.controls.self_patch, second.controls.self_patch),
            placebo=placebo_of_difference(first.controls.placebo, second.controls.placebo, order),
            positive=worse_positive(first.controls.positive, second.controls.positive),
            distance=smaller_distances(first.controls.distance, second.controls.distance, order),
            full=larger_excess(first.controls.full, second.controls.full),
            elsewhere=elsewhere_of_difference(first.controls.elsewhere, second.controls.elsewhere, order),
        ),
        clipped=max(first.clipped, second.clipped),
        rounding=rounding,
        pairs_total=first.pairs_total,
        excluded=first.excluded,
        references={"first": first.values, "second": tuple(second.values[j] for j in order)},
        provenance=first.provenance,
        estimated_by=first.estimated_by,
        seen=tuple(dict.fromkeys(first.seen + second.seen)),
    )


def placebo_of_difference(
    first: tuple[float, ...] | Waived | None, second: tuple[float, ...] | Waived | None, order: Sequence[int]
) -> tuple[float, ...] | Waived | None:
    """What the placebos of both arms differ by; where an arm has none, the other arm is the control."""
    if isinstance(first, tuple) and isinstance(second, tuple):
        return tuple(a - second[j] for a, j in zip(first, order, strict=True))
    return Waived("the control of a difference is its other arm")


def elsewhere_of_difference(
    first: tuple[Elsewhere, ...], second: tuple[Elsewhere, ...], order: Sequence[int]
) -> tuple[Elsewhere, ...]:
    """What both arms differ by at each wrong place. Raises JudgementError where one arm alone has it."""
    named = {place.what: place for place in second}
    alone = {place.what for place in first} ^ set(named)
    if alone:
        raise JudgementError(
            f"The two effects have different wrong places ({', '.join(sorted(alone))} in one only): give both the same "
            "wrong_layer= and wrong_position=, or neither."
        )
    return tuple(
        Elsewhere(
            place.what,
            tuple(v - named[place.what].values[j] for v, j in zip(place.values, order, strict=True)),
            smaller_distances(place.distance, named[place.what].distance, order) or (),
        )
        for place in first
    )


def worse_positive(
    first: PositiveControl | Waived | None, second: PositiveControl | Waived | None
) -> PositiveControl | Waived | None:
    """The arm whose control is further from what it needs."""
    if isinstance(first, PositiveControl) and isinstance(second, PositiveControl):
        # one that is no number has not passed, and compares with nothing
        return min(first, second, key=lambda control: (control.passed, control.estimate - control.needed))
    return first if isinstance(first, PositiveControl) else second


def smaller_distances(
    first: tuple[float, ...] | None, second: tuple[float, ...] | None, order: Sequence[int]
) -> tuple[float, ...] | None:
    """Per pair, the arm that was moved less: a null of a difference needs both to have been moved."""
    if first is None or second is None:
        return first if second is None else tuple(second[j] for j in order)
    return tuple(min(a, second[j]) for a, j in zip(first, order, strict=True))


def larger_excess(first: FullComponent | None, second: FullComponent | None) -> FullComponent | None:
    """The arm whose part does more beside its whole, so that a difference cannot hide it."""
    if first is None or second is None:
        return first or second
    return first if first.excess >= second.excess else second


def worse_self_patch(first: SelfPatch | Waived | None, second: SelfPatch | Waived | None) -> SelfPatch | Waived | None:
    """The arm that moved more, so that a difference cannot hide it."""
    if isinstance(first, SelfPatch) and isinstance(second, SelfPatch):
        return max(first, second, key=lambda own: (not own.neutral, own.moved - own.tolerance))
    return first if isinstance(first, SelfPatch) else second


def check_total(pair_ids: Sequence[str], excluded: Sequence[Exclusion], pairs_total: int | None) -> None:
    """Raises JudgementError where a pair is in and out, or the pairs named are not those that there were."""
    both = sorted({e.pair_id for e in excluded} & set(pair_ids))
    if both:
        raise JudgementError(f"{both[0]!r} has a value and is excluded; a pair counts or does not.")
    named = len(pair_ids) + len(excluded)
    if pairs_total is not None and (pairs_total < named or (excluded and pairs_total != named)):
        raise JudgementError(
            f"pairs_total={pairs_total}, and {len(pair_ids)} pairs have values and {len(excluded)} are excluded: give "
            "the number of all pairs, or leave it out."
        )


def check_lengths(n: int, **columns: Any) -> None:
    for name, column in columns.items():
        if column is not None and not isinstance(column, Waived) and len(column) != n:
            raise JudgementError(f"{name} has {len(column)} entries, and there are {n} values: one per pair.")


_range = range
