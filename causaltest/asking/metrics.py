"""Metrics: what is read off a run. One scorer serves the clean, the corrupt and the patched run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from causaltest.errors import ClaimError


@dataclass(frozen=True)
class Metric:
    """A number per run. Call it to set options: `logit(first_token=True)`."""

    name: Literal["accuracy", "exact_match", "logit", "logit_diff"]
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
        }[self.name]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ClaimError(f"{self.name} has no option {unknown[0]!r}; it has {list(known) or 'none'}.")
        if (span := options.get("range")) is not None:
            low, high = span
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ClaimError(f"range={span} must be two finite numbers, the smaller first.")
        return replace(self, **options)

    def __str__(self) -> str:
        return self.name


accuracy = Metric("accuracy", "binary")
"""1 when the greedy continuation begins with the tokens of `answer`."""
exact_match = Metric("exact_match", "binary", max_new_tokens=32)
"""1 when the generated text is `answer`; `extract="last_number"` compares its last number."""
logit = Metric("logit", "continuous")
"""The raw logit of `answer` where the answer is predicted."""
logit_diff = Metric("logit_diff", "continuous")
"""The logit of `answer` minus that of `corrupt_answer` where the answer is predicted."""
