"""claim: the decorator that turns a measuring function into a claim that pytest can judge."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec, TypeVar

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.asking.stopping import Stopping, StoppingRule, stopping_of
from causaltest.effect import Effect
from causaltest.effects import Effects
from causaltest.errors import ClaimError

P = ParamSpec("P")
R = TypeVar("R", bound=Effect | Mapping[Any, Effect] | Effects)

CLAIM_ATTRIBUTE = "__causal_claim__"
WRAPPER_ATTRIBUTE = "__causal_wrapper__"
"""The function that claim made: a decorator outside of it copies the mark, and is not this function."""


@dataclass(frozen=True)
class Claim:
    """A sentence, its prediction, and the function that measures."""

    sentence: str
    prediction: Prediction | Ordering
    body: Callable[..., Any]
    id: str | None = None
    model: str | None = None
    family: str | None = None
    stopping: Stopping | None = None
    """None: all pairs are measured, and looked at once."""
    accept: tuple[str, ...] = ()
    """The names of warnings that the claim answers for."""


def claim(
    sentence: str,
    prediction: Prediction | Ordering,
    *,
    id: str | None = None,
    model: str | None = None,
    family: str | None = None,
    stopping: StoppingRule | None = None,
    looks: int | None = None,
    accept: Iterable[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare a claim: the decorated test measures and returns an `Effect`, or a mapping of them; causaltest judges it.

    `id` names the claim in reports (by default the test's name), `model` the lab's model for this
    claim, `family` the claims of this file that share one alpha (by default the whole file).
    `stopping="obrien-fleming"` or `"anytime"` looks at the pairs in portions, up to `looks` times, and stops
    when the verdict is in. `accept` names the warnings that the claim answers for.

    Raises ClaimError for a sentence that is empty, a prediction that is none, an order that is to be
    looked at in portions, or a Hypothesis test.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise ClaimError(f"A claim starts with a sentence, and {sentence!r} was given.")
    if not isinstance(prediction, Prediction | Ordering):
        raise ClaimError(
            f"The claim {sentence!r} needs a prediction such as at_least(0.3) or negligible(within=0.05), "
            f"and got {prediction!r}."
        )
    if stopping is not None and not isinstance(prediction, Prediction):
        raise ClaimError(
            f"The claim {sentence!r} is about an order of effects ({prediction}), which is judged once, on all pairs: "
            "leave out stopping=."
        )

    def decorate(body: Callable[P, R]) -> Callable[P, R]:
        if getattr(body, "is_hypothesis_test", False):
            raise ClaimError(given_message(sentence))
        declared = Claim(sentence, prediction, body, id, model, family, stopping_of(stopping, looks), tuple(accept))

        @functools.wraps(body)
        def undecided(*_: P.args, **__: P.kwargs) -> NoReturn:
            raise ClaimError(
                f"The claim {sentence!r} was called without the causaltest plugin, so nothing would judge what it "
                "returns. Run it with `pytest -p causaltest.pytest_plugin` (autoload is off), or call judge() yourself."
            )

        setattr(undecided, CLAIM_ATTRIBUTE, declared)
        setattr(undecided, WRAPPER_ATTRIBUTE, undecided)
        return undecided

    return decorate


def given_message(sentence: str) -> str:
    return (
        f"The claim {sentence!r} is also a Hypothesis test. Generated examples are not a sample of a population, so "
        "no interval can be put around them. Write a universal law as a plain @given test without @claim, or a "
        "claim about Pairs without @given."
    )
