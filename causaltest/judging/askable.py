"""Whether a prediction can be asked of an effect at all: what no sample could ever decide is refused."""

from __future__ import annotations

from causaltest.asking.predictions import Prediction
from causaltest.effect import Numbers
from causaltest.errors import JudgementError


def check_askable(numbers: Numbers, prediction: Prediction) -> None:
    """Raises JudgementError where the prediction asks for a difference, or lies outside the effect's range."""
    if prediction.relation == "unchanged" and not is_difference(numbers):
        raise JudgementError(
            f"The prediction {prediction} is about a difference of two effects on the same pairs, and one effect was "
            "given. Return now - before; for one effect, at_least(...) and its kin give the threshold themselves."
        )
    span = range_of(numbers)
    if span is None:
        return
    beyond = what_lies_beyond(prediction, *span)
    if beyond is not None:
        raise JudgementError(
            f"The prediction {prediction} cannot be tested: an effect by this metric lies within [{span[0]:g}, "
            f"{span[1]:g}], and {beyond}."
        )


def is_difference(numbers: Numbers) -> bool:
    return "first" in numbers.references and "second" in numbers.references


def range_of(numbers: Numbers) -> tuple[float, float] | None:
    """Where the effect itself must lie; None where nothing is declared. A ratio's range is that of its numerators."""
    if numbers.kind == "ratio":
        return None
    return (0.0, 1.0) if numbers.kind == "binary" else numbers.range


def what_lies_beyond(prediction: Prediction, low: float, high: float) -> str | None:
    floor, ceiling = prediction.floor, prediction.ceiling
    if prediction.relation == "between":
        if low < floor and ceiling < high:
            return None
        if floor <= low and ceiling >= high:
            return "that is all of the range. Choose a narrower one"
        one_sided = f"at_most({ceiling:g})" if floor <= low else f"at_least({floor:g})"
        return f"one end of the prediction leaves nothing beyond it. Choose ends inside the range, or write {one_sided}"
    if prediction.relation == "negligible":
        inside = floor > low or ceiling < high
        return None if inside else "that is all of the range. Choose a smaller within="
    if prediction.relation == "unchanged":
        return None if floor > low else "none could fall by more than the margin. Choose a smaller margin="
    return None if low <= prediction.threshold <= high else "the threshold lies outside of it. Choose one inside"
