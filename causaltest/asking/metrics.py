"""Metrics: what is read off a run. One scorer serves the clean, the corrupt and the patched run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal

from causaltest.errors import ClaimError


@dataclass(frozen=True)
class Metric:
    """A number per run. Call it to set options: `logit(first_token=True)`."""

    name: Literal["accuracy", "exact_match", "logit", "logit_diff", "probability"]
    kind: Literal["binary", "continuous"]
    range: tuple[float, float] | None = None
    """The values that count; what lies outside is clipped, and the share clipped is reported."""
    first_token: bool = False
    """Read the first token of an answer that has several."""
    extract: Literal["text", "last_number"] = "text"
    max_new_tokens: int | None = None

    def __call__(self, **options: Any) -> Metric:
        """The same metric with other options. Raises ClaimError for an option that it does not have."""
        known = {
            "accuracy": (),
            "exact_match": ("extract", "max_new_tokens"),
            "logit": ("first_token", "range"),
            "logit_diff": ("first_token", "range"),
            "probability": ("first_token",),
        }[self.name]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ClaimError(f"{self.name} has no option {unknown[0]!r}; it has {list(known) or 'none'}.")
        if (span := options.get("range")) is not None:
            options["range"] = checked_range(span)
        if options.get("extract", "text") not in ("text", "last_number"):
            raise ClaimError(f"extract={options['extract']!r} is not known; it is 'text' or 'last_number'.")
        count = options.get("max_new_tokens", 1)
        if type(count) is not int or count < 1:
            raise ClaimError(f"max_new_tokens={count!r} must be a whole number from 1.")
        return replace(self, **options)

    def __str__(self) -> str:
        return self.name


def checked_range(span: Any) -> tuple[float, float]:
    """Two finite numbers, the smaller first."""
    edges = tuple(span) if isinstance(span, Iterable) else ()
    if len(edges) != 2 or not all(isinstance(e, Real) and math.isfinite(e) for e in edges) or edges[0] >= edges[1]:
        raise ClaimError(f"range={span!r} must be two finite numbers, the smaller first.")
    return float(edges[0]) + 0.0, float(edges[1]) + 0.0  # -0.0 and 0.0 are one edge


accuracy = Metric("accuracy", "binary")
"""1 when the greedy continuation begins with the tokens of `answer`."""
exact_match = Metric("exact_match", "binary", max_new_tokens=32)
"""1 when the generated text is `answer`; `extract="last_number"` compares its last number."""
logit = Metric("logit", "continuous")
"""The raw logit of `answer` where the answer is predicted."""
logit_diff = Metric("logit_diff", "continuous")
"""The logit of `answer` minus that of `corrupt_answer` where the answer is predicted."""
probability = Metric("probability", "continuous", range=(0.0, 1.0))
"""The probability of `answer` among all tokens where it is predicted. It saturates, so that a logit may move far and
this not at all: beside it, read logit_diff. It needs the logits of every token, as accuracy does."""
