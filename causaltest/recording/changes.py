"""Changes: in which fields two specs differ, for programs by their path and for people as sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from causaltest.writing.canonical import canonical

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHOWN = 60
"""Characters of a value in a sentence."""
ALONE = {
    "body": "body: the code of the test is another",
    "statistics": "statistics: another version of causaltest's statistics judges it",
}
"""What says more of a field than its two values do."""

Change = tuple[Any, Any]


def differences(before: Any, after: Any, *, at: str = "") -> dict[str, Change]:
    """The fields in which two specs differ, by their path, each with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {
            path: change
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
            for path, change in differences(
                before.get(name), after.get(name), at=f"{at}.{name}" if at else name
            ).items()
        }
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return {
            path: change
            for i, (one, other) in enumerate(zip(before, after, strict=True))
            for path, change in differences(one, other, at=f"{at}[{i}]").items()
        }
    return {} if before == after else {at: (before, after)}


def field_of(path: str) -> str:
    """The field of a spec that a path such as models[0].weights leads into."""
    return path.split(".")[0].split("[")[0]


def changes(fields: Mapping[str, Change]) -> list[str]:
    """A sentence for each field that differs: "prediction.threshold: 0.3 -> 0.35"."""
    return [
        ALONE.get(path) or f"{path}: {shown(before)} -> {shown(after)}"
        for path, (before, after) in fields.items()
        # Everything about pairs is in their hash: it is told where nothing else is.
        if not (path.endswith("].hash") and others(path, fields))
    ]


def others(path: str, fields: Mapping[str, Change]) -> bool:
    """Whether another field of the same pairs differs."""
    stem = path.removesuffix("hash")
    return any(one.startswith(stem) and one != path for one in fields)


def shown(value: Any) -> str:
    """A value in a sentence: hashes by their first digits, what is absent by a word."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value[:8] if HASH.fullmatch(value) else shortened(value)
    return shortened(canonical(value))


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
