"""A look at pairs as plain data, as the log of what was seen and the ledger keep it. The hashes of pairs stand once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from causaltest.asking.pair import PAIR_DIGITS
from causaltest.seen import Kind, Seen

HASHES = re.compile(f"([0-9a-f]{{{PAIR_DIGITS}}})*")


def plain(seen: Seen, *, with_pairs: bool) -> dict[str, Any]:
    """Strings and lists; with the hash of each pair where the file has not got them yet."""
    data: dict[str, Any] = {
        "kind": seen.kind,
        "models": list(seen.models),
        "what": seen.what,
        "question": seen.question,
        "pairs": seen.pairs,
    }
    return {**data, "each": "".join(sorted(seen.each))} if with_pairs else data


def parsed(data: Any, known: Mapping[str, frozenset[str]]) -> Seen:
    """The inverse of `plain`. Raises ValueError, KeyError or TypeError for anything else."""
    kind, models, what, question, pairs = (data[name] for name in ("kind", "models", "what", "question", "pairs"))
    if kind not in get_args(Kind) or not all(isinstance(text, str) for text in [*models, what, question, pairs]):
        raise ValueError(kind)
    each = known[pairs] if "each" not in data else split(data["each"])
    return Seen(kind, tuple(models), what, question, pairs, each)


def split(hashes: str) -> frozenset[str]:
    if not HASHES.fullmatch(hashes):
        raise ValueError("no hashes")
    return frozenset(hashes[at : at + PAIR_DIGITS] for at in range(0, len(hashes), PAIR_DIGITS))
