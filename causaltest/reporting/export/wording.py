"""Words for what a spec says, as a form has them: numbers, lists, predictions, and sites that are told together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MOST_LISTED = 12
"""Things in a list before the others are counted."""
NUMBERS = re.compile(r"(?<![-.\d])(\d+)(?![-.\d])")
"""Whole numbers, and none that is a part of a range, a decimal or a negative number."""
GAP = "[TO WRITE: "


def to_write(what: str) -> str:
    """A gap that a person fills; nothing else in a form stands in such brackets."""
    return f"{GAP}{what}]"


def number(value: Any) -> str:
    return f"{float(value):g}"


def listed(things: Iterable[Any], *, last: str = "and") -> str:
    """As in "a, b and c"; of many the first, and how many more."""
    told = several(things)
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} {last} {told[-1]}" if told else "none"


def several(things: Iterable[Any]) -> list[str]:
    """All of them, or of many the first and how many more."""
    told = [str(thing) for thing in things]
    return told if len(told) <= MOST_LISTED else [*told[: MOST_LISTED - 1], f"{len(told) - MOST_LISTED + 1} more"]


def runs(numbers: Iterable[int]) -> str:
    """As in "0-3, 6"."""
    spans: list[list[int]] = []
    for n in sorted(set(numbers)):
        if spans and n == spans[-1][1] + 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}" for a, b in spans)


def folded(lines: Iterable[str]) -> list[str]:
    """Lines that differ in whole numbers alone, as one: "resid_post L{6, 9-11} @ thought 2".

    Lines are put together where they say exactly what the fold says: several numbers differ only in all combinations.
    """
    folds: dict[tuple[str, ...], list[tuple[frozenset[str], ...]]] = {}
    for line in dict.fromkeys(lines):
        parts = NUMBERS.split(line)
        folds.setdefault(tuple(parts[::2]), []).append(tuple(frozenset([n]) for n in parts[1::2]))
    told = []
    for words, several in folds.items():
        for place in reversed(range(len(words) - 1)):
            several = merged(several, place)
        for sets in several:
            numbers = [next(iter(one)) if len(one) == 1 else f"{{{runs(map(int, one))}}}" for one in sets]
            told.append("".join(part for pair in zip(words, [*numbers, ""], strict=True) for part in pair))
    return told


def merged(several: list[tuple[frozenset[str], ...]], place: int) -> list[tuple[frozenset[str], ...]]:
    """Those that differ at one place alone, as one."""
    found: dict[tuple[frozenset[str], ...], frozenset[str]] = {}
    for sets in several:
        others = (*sets[:place], *sets[place + 1 :])
        found[others] = found.get(others, frozenset()) | sets[place]
    return [(*others[:place], numbers, *others[place:]) for others, numbers in found.items()]


def predicted(prediction: Mapping[str, Any]) -> str:
    """What is claimed, after "the effect"."""
    kind = prediction["kind"]
    if kind == "Monotone":
        return f"rises along {' < '.join(map(str, prediction['order']))}, and no step falls"
    if kind == "Top":
        names, k = [str(name) for name in prediction["names"]], prediction["k"]
        if len(names) == 1 and int(k) == 1:
            return f"is largest for {names[0]}"
        return f"is among the {k} largest for {listed(names)}"
    threshold = number(prediction["threshold"])
    return {
        "at_least": f"is {threshold} or more",
        "at_most": f"is {threshold} or less",
        "between": f"lies between {threshold} and {number(prediction['upper'] or 0)}",
        "negligible": f"lies between -{threshold} and {threshold}",
        "greater_than": f"is more than {threshold}",
        "unchanged": f"has not fallen by more than {threshold}",
    }[prediction["relation"]]


def expected(prediction: Mapping[str, Any]) -> str:
    """The effects that it expects and is interested in, in brackets; empty where it names none."""
    what = {"Monotone": " of each step", "Top": " of the lead"}.get(prediction["kind"], "")
    told = [
        f"{name}{what}: {number(prediction[field])}"
        for field, name in (("expecting", "expected"), ("smallest", "smallest of interest"))
        if prediction.get(field) is not None
    ]
    return f" ({'; '.join(told)})" if told else ""


def one_line(text: str) -> str:
    return " ".join(text.split())


def bullets(lines: Iterable[str]) -> str:
    """Lines as one list."""
    return "\n".join(f"- {line}" for line in lines)


def natural(text: str) -> list[tuple[bool, int, str]]:
    """A key that sorts 2 before 10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]
