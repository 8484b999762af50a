"""Drift: whether a claim's finding still is what it was in a baseline, and which of three causes moved its numbers.

drifted -> moved_experiment    another spec or other data: shown, and not compared
        -> shifts_of           what each pair moved by: of the effect, of an order's steps, of each variant
        -> moved               per shift: within rounding, or by the paired test (judging/moved.py)
        -> together            several of them, as one
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from causaltest.asking.orderings import Monotone, Ordering
from causaltest.asking.predictions import Prediction
from causaltest.effect import Effect
from causaltest.effects import Effects, Measured
from causaltest.errors import MISREAD, JudgementError
from causaltest.recording.changes import differences, field_of
from causaltest.recording.saved import SavedClaim
from causaltest.rejudged import prediction_of
from causaltest.results import finite

if TYPE_CHECKING:
    from causaltest.judging.moved import Moved
    from causaltest.judging.shift import Shift
    from causaltest.judging.side import Word

OF_THE_JUDGING = frozenset({"accepted", "family", "statistics"})
"""Fields of a spec that say how numbers are judged, and nothing of what is measured or claimed."""
OF_THE_MODEL = frozenset({"models", "settings"})
"""What may differ where two models are compared."""
DTYPE = "dtype"
"""Of the settings, what moves numbers by rounding alone."""
NAMED = 3


@dataclass(frozen=True)
class Drift:
    """What may be said of a claim in a later run. Numbers that do not exist are None, never NaN."""

    word: Word
    cause: Literal["rounding", "finding", "experiment", ""]
    """What moved its numbers; "" where nothing could be compared."""
    sentence: str
    estimate: float | None = None
    """After minus before, in the effect's own units; of several, of the one that decided."""
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """In which the two specs differ, with both values."""
    n: int = 0
    """Pairs that were compared."""
    parts: tuple[tuple[str, Word, float], ...] = ()
    """Of an order's steps or of variants: name, word and estimate of each."""
    lost: bool = False
    """Whether the claim had numbers before, and now is INVALID: no change can be measured, and yet it is one."""

    @property
    def fails(self) -> bool:
        """Whether the finding is not what it was: it has REGRESSED, or has no numbers any more."""
        return self.word == "REGRESSED" or self.lost


def drifted(
    before: SavedClaim,
    after: SavedClaim,
    *,
    margin: float | None = None,
    seed: int | None = None,
    across_models: bool = False,
) -> Drift:
    """Whether what `before` found still holds in `after`: the same claim, paired by pair.

    It has REGRESSED where the effect is shown to have moved against the claim by more than `margin`, in the effect's
    units, and HOLDS where it is shown to have not, each at alpha .05; IMPROVED where it is shown to have moved the
    other way by more. Without a margin only rounding can be told. With `across_models` the two runs may be of two
    models, or of one that was quantized.

    Raises JudgementError for a margin that is not above zero and finite.
    """
    check_margin(margin)
    changed = differences(before.spec, after.spec)
    nothing = Drift("INCONCLUSIVE", "", "", margin=margin, fields=changed)
    other = moved_experiment(changed, across_models=across_models)
    if other:
        return replace(nothing, cause="experiment", sentence=not_compared(other))
    for claim, when in ((before, "in the baseline"), (after, "now")):
        if not claim.effects or claim.told.get("verdict") == "INVALID":
            told = f"Not compared: {when} the claim is INVALID, and its numbers say nothing."
            return replace(nothing, sentence=told, lost=claim is after)
    try:
        drift = compared(
            before, after, margin=margin, seed=seed, same=not (set(map(field_of, changed)) - OF_THE_JUDGING)
        )
    except JudgementError as error:
        return replace(nothing, sentence=f"Not compared: {str(error).rstrip('.')}.")
    except MISREAD as error:
        # a stranger's file may hold anything where causaltest writes something else
        return replace(
            nothing, sentence=f"Not compared: a saved claim is not as causaltest writes them ({error!r:.200})."
        )
    return replace(drift, margin=margin, fields=changed)


def check_margin(margin: float | None) -> None:
    """Raises JudgementError for a margin that is no size."""
    real = isinstance(margin, int | float) and not isinstance(margin, bool)
    if margin is not None and not (real and 0 < margin < math.inf):
        raise JudgementError(f"margin={margin!r}: give the largest change that still counts as none, a number above 0.")


def moved_experiment(changed: Mapping[str, Any], *, across_models: bool) -> list[str]:
    """The fields that make it another experiment."""
    allowed = OF_THE_JUDGING | (OF_THE_MODEL if across_models else frozenset())
    return [path for path in changed if field_of(path) not in allowed and not is_dtype(path)]


def is_dtype(path: str) -> bool:
    return field_of(path) == "settings" and path.rsplit(".", 1)[-1] == DTYPE


def not_compared(other: Sequence[str]) -> str:
    named = ", ".join(other[:NAMED]) + (f" and {len(other) - NAMED} more" if len(other) > NAMED else "")
    across = ""
    if set(map(field_of, other)) <= OF_THE_MODEL:
        across = " To compare two models: causaltest compare --across-models, or pytest --causal-across-models."
    return f"Not compared, as the experiment is another: {named} changed.{across}"


def compared(before: SavedClaim, after: SavedClaim, *, margin: float | None, seed: int | None, same: bool) -> Drift:
    """The same experiment, twice. Raises JudgementError where the numbers cannot be compared."""
    from causaltest.judging.moved import Asked, moved  # late: numpy is not loaded until something is compared
    from causaltest.judging.side import side_of

    prediction = prediction_of(before.spec["prediction"], before)
    then, now = dict(before.effects), dict(after.effects)
    alone = sorted(set(then) ^ set(now))
    if alone:
        raise JudgementError(f"{alone[0]} gave a number in one of the two runs alone.")
    shifts = {
        ", ".join(filter(None, (variant, step))): shift
        for variant, effect in then.items()
        for step, shift in shifts_of(effect, now[variant], prediction)
    }
    asked = Asked(side_of(prediction), margin, seed, same, among=len(shifts))
    found = {}
    for name, shift in shifts.items():
        try:
            found[name] = moved(shift, asked)
        except JudgementError as error:
            raise JudgementError(f"{name}: {error}" if name else str(error)) from None
    drift = together(found)
    return replace(drift, sentence=drift.sentence + left_out(list(shifts.values())))


def shifts_of(before: Measured, after: Measured, prediction: Prediction | Ordering) -> Iterator[tuple[str, Shift]]:
    """The shift of an effect; of an order those of its steps, by their names."""
    from causaltest.judging.shift import shift_of  # late: numpy is not loaded until something is compared

    if isinstance(before, Effect) and isinstance(after, Effect):
        yield "", shift_of(before.measured, after.measured)
    elif isinstance(before, Effects) and isinstance(after, Effects) and not isinstance(prediction, Prediction):
        for low, high in steps_of(before, prediction):
            then, now = (effects[high] - effects[low] for effects in (before, after))
            yield f"{high} over {low}", shift_of(then.measured, now.measured)
    else:
        raise JudgementError("one run gave one effect, and the other several.")


def steps_of(effects: Effects, prediction: Ordering) -> list[tuple[Any, Any]]:
    """(lower, higher): neighbours in a declared order; each named member over those that lay below it."""
    if isinstance(prediction, Monotone):
        return list(zip(prediction.order, prediction.order[1:], strict=False))
    leads = [(other, name) for name in prediction.names for other in effects.members if other not in prediction.names]
    return [(other, name) for other, name in leads if effects[other].estimate < effects[name].estimate] or leads


def together(found: Mapping[str, Moved]) -> Drift:
    """What several say of one claim: it has REGRESSED where one of them has, and HOLDS where each of them does.

    That each holds needs no correction (Berger 1982, Technometrics 24:295); that one has changed is shown at its share
    of alpha.
    """
    words = {part.among.word for part in found.values()}
    word: Word = "INCONCLUSIVE"
    if "REGRESSED" in words:
        word = "REGRESSED"
    elif all(part.alone.word in ("HOLDS", "IMPROVED") for part in found.values()):
        word = "IMPROVED" if "IMPROVED" in words else "HOLDS"
    said = {name: part.alone if word == "HOLDS" else part.among for name, part in found.items()}
    alike = [name for name, one in said.items() if one.word == word] or list(found)
    name = (min if word == "IMPROVED" else max)(alike, key=lambda name: found[name].against)
    shown, told = said[name], said[name].told
    return Drift(
        word=word,
        cause="rounding" if all(part.cause == "rounding" for part in found.values()) else "finding",
        sentence=told[0].upper() + told[1:]
        if len(found) == 1
        else f"{of_all(word, len(alike), len(found))}{name}: {told}",
        estimate=finite(found[name].estimate),
        lower=finite(shown.lower),
        upper=finite(shown.upper),
        n=found[name].n,
        parts=tuple((name, one.word, found[name].estimate) for name, one in said.items()) if len(found) > 1 else (),
    )


def of_all(word: Word, alike: int, among: int) -> str:
    """How many of several say so."""
    if word == "HOLDS":
        return f"All {among} hold; closest to the margin, "
    what = {"REGRESSED": "regressed", "IMPROVED": "improved", "INCONCLUSIVE": "are open"}[word]
    return f"{alike} of {among} {what}; furthest, "


def left_out(shifts: Sequence[Shift]) -> str:
    """What is not compared because it counts in one of the runs alone; of several, the most."""
    alone = max((shift.left_out for shift in shifts), key=len)
    if not alone:
        return ""
    ((why, _),) = Counter(e.reason for e in alone).most_common(1)
    many = f"{len(alone)} pairs count" if len(alone) > 1 else "1 pair counts"
    return f" {many} in one run alone and {'are' if len(alone) > 1 else 'is'} left out (mostly: {why})."
