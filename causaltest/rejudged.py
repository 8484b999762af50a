"""Judged again: the verdict on effects that were saved, by the claim's spec alone, without the model or the body.

rejudged -> asked_by       what the spec says of the judging
         -> in_variants | at_a_look | once
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from causaltest.asking.experiment import Direction
from causaltest.asking.multiverse import Multiverse
from causaltest.asking.orderings import Monotone, Ordering, Top
from causaltest.asking.predictions import Prediction
from causaltest.asking.stopping import Stopping
from causaltest.asking.sufficiency import why_not_tested
from causaltest.effect import Effect
from causaltest.effects import Effects, Measured
from causaltest.errors import CausaltestError, RecordError
from causaltest.once import judging_seed, unmeasured_by
from causaltest.recording.saved import SavedClaim
from causaltest.recording.wording import as_number
from causaltest.verdict import Verdict
from causaltest.writing.canonical import plain
from causaltest.writing.plain_effects import key_of

PREDICTIONS: dict[str, type[Prediction | Monotone | Top]] = {"Prediction": Prediction, "Monotone": Monotone, "Top": Top}
NOT_MEASURED = "No usable number was measured."
NAMES = ("order", "names")
"""Fields of an ordering that name effects."""


def rejudged(saved: SavedClaim) -> Verdict:
    """What may be said of a claim, by its saved effects: the verdict of its look, to the last bit on the same machine.

    Where nothing was measured, it is INVALID. Raises RecordError for a spec or effects that cannot be judged.
    """
    try:
        asked = asked_by(saved)
        if asked.variants is not None:
            return in_variants(saved, asked, asked.variants)
        if not saved.effects:
            return unmeasured_by(asked.prediction, asked.family_size, NOT_MEASURED)
        ((_, effect),) = saved.effects
        return one(effect, saved, asked)
    except RecordError:
        raise
    except (CausaltestError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(f"{saved.id} cannot be judged again from what was saved: {error}") from error


@dataclass(frozen=True)
class Asked:
    """What judging needs of a spec."""

    sentence: str
    prediction: Prediction | Ordering
    family_size: int
    stopping: Stopping | None
    variants: Multiverse | None
    """All variants as the one axis of their names, with the share that must hold."""


def asked_by(saved: SavedClaim) -> Asked:
    """The inverse of `spec_of`, as far as judging needs it."""
    spec = saved.spec
    stopping, variants = spec["stopping"], spec["variants"]
    return Asked(
        sentence=str(spec["sentence"]),
        prediction=prediction_of(spec["prediction"], saved),
        family_size=int(spec["family"]["size"]),
        stopping=None if stopping is None else Stopping(stopping["rule"], int(stopping["looks"])),
        variants=None
        if variants is None
        else Multiverse({"variant": tuple(variants["names"])}, float(variants["share"])),
    )


def prediction_of(data: Mapping[str, Any], saved: SavedClaim) -> Prediction | Ordering:
    """A prediction from its fields, in which decimals stand as strings, and names as JSON has them."""
    kind = PREDICTIONS[data["kind"]]
    members = next((list(effect.members) for _, effect in saved.effects if isinstance(effect, Effects)), [])
    known = {repr(plain(name)): name for name in members}
    given: dict[str, Any] = {}
    for field in fields(kind):
        value = data[field.name]
        if field.name in NAMES:
            given[field.name] = tuple(known.get(repr(name), key_of(name)) for name in value)
        else:
            given[field.name] = float(value) if isinstance(value, str) and field.name != "relation" else value
    return kind(**given)


def one(effect: Measured, saved: SavedClaim, asked: Asked) -> Verdict:
    """A claim that is measured one way."""
    from causaltest.judging.judge import judge  # late: scipy is not loaded until a claim is judged

    question = effect.question
    wrong = why_not_tested(asked.sentence, [] if question is None else list(directions_in(question.canonical())))
    if wrong is not None:
        return unmeasured_by(asked.prediction, asked.family_size, wrong)
    if asked.stopping is not None:
        return at_last_look(effect, saved, asked, asked.stopping)
    return judge(effect, asked.prediction, family_size=asked.family_size, seed=judging_seed(saved.seed))


def at_last_look(effect: Measured, saved: SavedClaim, asked: Asked, stopping: Stopping) -> Verdict:
    """A sequential claim, at the look at which it stopped."""
    from causaltest.judging.anytime import judge_anytime  # late, as above
    from causaltest.judging.sequential import judge_look

    played, prediction, seed = saved.played, asked.prediction, judging_seed(saved.seed)
    if played is None or not isinstance(effect, Effect) or not isinstance(prediction, Prediction):
        raise RecordError(f"{saved.id} is a sequential claim, and how it was played was not saved.")
    if stopping.rule == "obrien-fleming":
        return judge_look(
            effect,
            prediction,
            looks=stopping.looks,
            units={int(number): int(units) for number, units in played["units"]},
            family_size=asked.family_size,
            seed=seed,
        ).verdict
    return judge_anytime(
        effect,
        prediction,
        order=[str(unit) for unit in played["order"]],
        largest=int(played["largest"]),
        family_size=asked.family_size,
        seed=seed,
    )


def in_variants(saved: SavedClaim, asked: Asked, variants: Multiverse) -> Verdict:
    """All variants as one claim; one that gave no number is INVALID, and counts."""
    from causaltest.judging.robustness import Share, judge_together, judge_variant  # late, as above

    names, share, measured = variants.axes["variant"], Share(variants.needed, variants.count), dict(saved.effects)

    def verdict_of(name: str) -> Verdict:
        if name not in measured:
            return unmeasured_by(asked.prediction, asked.family_size, NOT_MEASURED)
        return judge_variant(
            measured[name],
            asked.prediction,
            share,
            family_size=asked.family_size,
            seed=judging_seed(saved.seed),
        )

    return judge_together(
        names,
        [verdict_of(name) for name in names],
        share,
        alpha=asked.prediction.alpha,
        family_size=asked.family_size,
    ).verdict


def directions_in(canonical: Any) -> Iterator[str]:
    """The directions of all experiments of a question."""
    if isinstance(canonical, Mapping):
        if canonical.get("direction") in get_args(Direction):
            yield canonical["direction"]
        for value in canonical.values():
            yield from directions_in(value)
    elif isinstance(canonical, list):
        for value in canonical:
            yield from directions_in(value)


def differing(verdict: Verdict, told: Mapping[str, Any], *, within: float = 1e-9) -> list[str]:
    """In what a verdict is another than the one that was written down; nothing where it is the same."""
    now = {"verdict": str(verdict.outcome), "n": verdict.n}
    wrong = [
        f"{name} {value}, written down as {told.get(name)}" for name, value in now.items() if value != told.get(name)
    ]
    for name in ("estimate", "lower", "upper", "alpha"):
        value, number = getattr(verdict, name), as_number(told.get(name))
        then = math.nan if number is None else number  # what is not finite is written down as nothing
        if math.isfinite(value) != math.isfinite(then) or abs(value - then) > within * max(1.0, abs(value)):
            wrong.append(f"{name} {value:.6g}, written down as {then:.6g}")
    return wrong
