"""How claims stand beside their baseline, as lines of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from causaltest.results import ClaimResult

MOST_TOLD = 20
NEW, UNKEPT, OTHER = "new", "not kept", "not compared"


def drift_word(drift: Mapping[str, Any]) -> str:
    """One word for the table; empty where nothing was asked."""
    if not drift:
        return ""
    if not drift["word"]:
        return str(drift["cause"])
    return OTHER if drift["cause"] == "experiment" else str(drift["word"])


def drift_row(drift: Mapping[str, Any]) -> str:
    """What a claim's section says of its baseline."""
    if not drift:
        return ""
    word = drift_word(drift)
    told = str(drift["sentence"]) if word in (NEW, UNKEPT, OTHER) else f"{word}: {drift['sentence']}"
    return " ".join(filter(None, (told, margin_told(drift), taken(drift))))


def margin_told(drift: Mapping[str, Any]) -> str:
    """The margin, and who has declared it."""
    if drift_word(drift) in (NEW, UNKEPT, OTHER):
        return ""
    if drift["margin"] is None:
        how = "A margin is declared by margin=... in @claim, by --causal-margin or causaltest_margin."
        return how if drift["word"] == "INCONCLUSIVE" else ""
    return f"(margin {drift['margin']:g}, {drift['whose']})"


def taken(drift: Mapping[str, Any]) -> str:
    return "It is the new baseline." if drift["kept"] == "changed" else ""


def drift_lines(results: Sequence[ClaimResult]) -> list[str]:
    """Of each baseline how many claims hold; and of those that do not, why."""
    compared = [result for result in results if result.drift]
    return [line for file in dict.fromkeys(r.drift["file"] for r in compared) for line in lines_of(file, compared)]


def lines_of(file: str, compared: Sequence[ClaimResult]) -> list[str]:
    mine = [result for result in compared if result.drift["file"] == file]
    words = [drift_word(result.drift) for result in mine]
    said = {"HOLDS": "hold" if words.count("HOLDS") > 1 else "holds"}
    order = ("HOLDS", "REGRESSED", "IMPROVED", "INCONCLUSIVE", OTHER, UNKEPT, NEW)
    counts = ", ".join(f"{n} {said.get(word, word.lower())}" for word in order if (n := words.count(word)))
    told = [
        f"  {word}  {result.id}: {told_of(result)}"
        for word in ("REGRESSED", "INCONCLUSIVE", OTHER, UNKEPT, "IMPROVED")
        for result in mine
        if drift_word(result.drift) == word
    ]
    rest = len(told) - MOST_TOLD
    more = [f"  and {rest} more, all of them in --causal-json"] if rest > 0 else []
    return [f"drift from {file}: {counts}", *told[:MOST_TOLD], *more]


def told_of(result: ClaimResult) -> str:
    return " ".join(filter(None, (str(result.drift["sentence"]), margin_told(result.drift), taken(result.drift))))
