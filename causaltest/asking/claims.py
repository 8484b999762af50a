"""claim: the decorator that turns a measuring function into a claim that pytest can judge."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NoReturn, ParamSpec, TypeVar

from causaltest.asking.cautions import accepted
from causaltest.asking.multiverse import MULTIVERSE_ATTRIBUTE, Multiverse, multiverse_of
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
    multiverse: Multiverse | None = None
    """The variants that are judged together; None for a claim that is measured one way."""
    margin: float | None = None
    """The largest change since a baseline that counts as none, in the effect's units; None for the suite's."""


class ClaimMaker:
    """Declare a claim: the decorated test measures and returns an `Effect`, or a mapping of them; causaltest judges it.

        @claim("Thought 0 carries the total.", at_least(0.3))
        def test_thought(lab, pairs):
            return lab.denoise(pairs, at=resid_post(6, thought(0))).recovery(accuracy)

    `claim.multiverse(...)`, written below it, declares variants of the same claim.
    """

    __name__ = "claim"

    def __call__(
        self,
        sentence: str,
        prediction: Prediction | Ordering,
        *,
        id: str | None = None,
        model: str | None = None,
        family: str | None = None,
        stopping: StoppingRule | None = None,
        looks: int | None = None,
        accept: Iterable[str] = (),
        margin: float | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for the function that measures.

        `id` names the claim in reports (by default the test's name), `model` the lab's model for this
        claim, `family` the claims of this file that share one alpha (by default the whole file).
        `stopping="obrien-fleming"` or `"anytime"` looks at the pairs in portions, up to `looks` times, and stops
        when the verdict is in. `accept` names the warnings that the claim answers for. `margin` is the largest change
        since a baseline that still counts as none, in the effect's units.

        Raises ClaimError for a sentence that is empty, a prediction that is none, a warning that does not exist, an
        order that is to be looked at in portions, a margin that is not above 0, or a Hypothesis test.
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
                f"The claim {sentence!r} is about an order of effects ({prediction}), which is judged once, on all "
                "pairs: leave out stopping=."
            )
        accepting = accepted(accept)
        check_margin(margin)

        def decorate(body: Callable[P, R]) -> Callable[P, R]:
            if getattr(body, "is_hypothesis_test", False):
                raise ClaimError(given_message(sentence))
            stops = stopping_of(stopping, looks)
            declared = Claim(sentence, prediction, body, id, model, family, stops, accepting, margin=margin)

            @functools.wraps(body)
            def undecided(*_: P.args, **__: P.kwargs) -> NoReturn:
                raise ClaimError(
                    f"The claim {sentence!r} was called without the causaltest plugin, so nothing would judge what it "
                    "returns. Run it with `pytest -p causaltest.pytest_plugin` (autoload is off), or call judge() "
                    "yourself."
                )

            setattr(undecided, WRAPPER_ATTRIBUTE, undecided)
            mark(undecided, declared)
            below = getattr(body, MULTIVERSE_ATTRIBUTE, None)
            if below is not None:
                mark(undecided, in_multiverse(declared, below))
            return undecided

        return decorate

    def multiverse(
        self, *, share: float = 1.0, **axes: Iterable[Any]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Variants of one claim: every combination of the values is measured, in one plan, and judged as one claim.

            @claim("Thought 0 carries the total.", at_least(0.3))
            @claim.multiverse(metric=[logit_diff(range=(-20, 20)), accuracy], layer=[5, 6])
            def test_thought(lab, pairs, metric, layer):
                return lab.denoise(pairs, at=resid_post(layer, thought(0))).recovery(metric)

        An axis is a parameter of the body, and gets its values as they are given. `model=[names]` needs none: every
        lab among the arguments is swapped for that model's. `seed=[...]` is the seed of every draw, where the body
        has no parameter of that name. The claim is SUPPORTED when `share` of the variants are: 1.0 means all.

        Raises ClaimError for an axis without values, with one value twice, or of no parameter, for a share outside
        (0, 1], and for more than 1000 combinations.
        """
        declared = multiverse_of(axes, share)

        def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
            claimed: Claim | None = getattr(body, CLAIM_ATTRIBUTE, None)
            if hasattr(body, MULTIVERSE_ATTRIBUTE) or (claimed is not None and claimed.multiverse is not None):
                raise ClaimError("A claim has one claim.multiverse(...): give all axes to it.")
            if claimed is None:
                setattr(body, MULTIVERSE_ATTRIBUTE, declared)
            else:
                mark(body, in_multiverse(claimed, declared))
            return body

        return decorate


claim = ClaimMaker()


def mark(wrapper: Callable[..., Any], declared: Claim) -> None:
    """Keeps the claim on its wrapper, which to pytest has no parameter that an axis fills."""
    setattr(wrapper, CLAIM_ATTRIBUTE, declared)
    if declared.multiverse is not None:
        whole = inspect.signature(declared.body)
        rest = [p for name, p in whole.parameters.items() if name not in declared.multiverse.axes]
        wrapper.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]


def check_margin(margin: float | None) -> None:
    """Raises ClaimError for a change since a baseline that is no size."""
    if margin is None:
        return
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 < margin < math.inf:
        raise ClaimError(
            f"margin={margin!r}: give the largest change since a baseline that still counts as none, a number above 0 "
            "in the effect's units, as in margin=0.1."
        )


def in_multiverse(claimed: Claim, declared: Multiverse) -> Claim:
    """The claim with its variants. Raises ClaimError for axes that do not fit it."""
    declared.fit(claimed.sentence, inspect.signature(claimed.body).parameters)
    if claimed.model is not None and "model" in declared.axes:
        raise ClaimError(
            f"The claim {claimed.sentence!r} names model={claimed.model!r}, and its multiverse has models too: "
            "leave model= out of @claim."
        )
    if claimed.stopping is not None:
        raise ClaimError(
            f"The claim {claimed.sentence!r} stops by {claimed.stopping.rule} and has variants, which would each stop "
            "at another look. Leave out stopping=, or the multiverse."
        )
    return replace(claimed, multiverse=declared)


def given_message(sentence: str) -> str:
    return (
        f"The claim {sentence!r} is also a Hypothesis test. Generated examples are not a sample of a population, so "
        "no interval can be put around them. Write a universal law as a plain @given test without @claim, or a "
        "claim about Pairs without @given."
    )
