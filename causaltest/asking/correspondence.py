"""Where a stretch of one prompt stands in the other: found where the two texts leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

Stretch = tuple[int, int]

# Words, numbers, and single marks.
PIECE = re.compile(r"[^\W\d_]+|\d+|\S")
MOST_COMPARISONS = 4_000_000
"""Aligning two texts can take the product of their words; beyond this, it is not clear."""


class Block(NamedTuple):
    """Pieces `a` to `b` of one text, which stand where `c` to `d` stand in the other."""

    a: int
    b: int
    c: int
    d: int

    @property
    def one_to_one(self) -> bool:
        return self.b - self.a == self.d - self.c


def counterpart(text: str, other: str, stretch: Stretch) -> Stretch | None:
    """The stretch of `other` that stands where `stretch` stands in `text`, or None where that is not clear.

    Both texts are aligned word by word. A stretch has a counterpart where as many words stand in its
    place, or where it is all that was replaced.
    """
    if text == other:
        return stretch
    pieces, others = ([match.span() for match in PIECE.finditer(t)] for t in (text, other))
    begins = {begin: n for n, (begin, _) in enumerate(pieces)}
    ends = {end: n for n, (_, end) in enumerate(pieces)}
    if stretch[0] not in begins or stretch[1] not in ends:
        return by_ends(text, other, stretch)
    aligned = blocks([text[i:j] for i, j in pieces], [other[i:j] for i, j in others])
    first, last = edge(aligned, begins[stretch[0]], left=True), edge(aligned, ends[stretch[1]], left=False)
    return None if first is None or last is None or first > last else (others[first][0], others[last][1])


def edge(aligned: Sequence[Block], piece: int, *, left: bool) -> int | None:
    """The other text's piece at which a stretch begins (`left`) or ends that does so at `piece`."""
    block = next((b for b in aligned if b.a <= piece < b.b), None)
    # What was only put in, at the edge of the stretch, may or may not belong to it.
    beside = any(b.a == b.b == (piece if left else piece + 1) and b.c < b.d for b in aligned)
    if block is None or block.c == block.d or beside:
        return None
    if block.one_to_one:
        return piece - block.a + block.c
    if left:
        return block.c if piece == block.a else None
    return block.d - 1 if piece == block.b - 1 else None


def blocks(words: Sequence[str], others: Sequence[str]) -> list[Block]:
    """Two texts aligned; one to one where they have as many words and no other alignment has more in common."""
    shorter = min(len(words), len(others))
    same = [a == b for a, b in zip(words, others, strict=False)]
    straight = [Block(0, len(words), 0, len(others))]
    if len(words) == len(others) and sum(same) >= len(words) - 1:
        return straight
    # What both begin and end with needs no search.
    before = next((n for n, equal in enumerate(same) if not equal), shorter)
    after = next((n for n in range(shorter - before) if words[-1 - n] != others[-1 - n]), shorter - before)
    middle = words[before : len(words) - after], others[before : len(others) - after]
    if len(middle[0]) * len(middle[1]) > MOST_COMPARISONS:
        return []
    found = SequenceMatcher(None, *middle, autojunk=False).get_opcodes()
    common = sum(b - a for tag, a, b, _, _ in found if tag == "equal") + before + after
    if len(words) == len(others) and sum(same) >= common:
        return straight
    inner = [Block(a + before, b + before, c + before, d + before) for _, a, b, c, d in found]
    tail = Block(len(words) - after, len(words), len(others) - after, len(others))
    return [Block(0, before, 0, before), *inner, tail]


def by_ends(text: str, other: str, stretch: Stretch) -> Stretch | None:
    """The counterpart of a stretch that is cut from words: it holds all that differs, or nothing of it."""
    shorter = min(len(text), len(other))
    before = next((n for n in range(shorter) if text[n] != other[n]), shorter)
    after = next((n for n in range(shorter - before) if text[-1 - n] != other[-1 - n]), shorter - before)
    begin, end, more = before, len(text) - after, len(other) - len(text)
    inside = stretch[0] <= begin and end <= stretch[1] and (begin < end or stretch[0] < begin < stretch[1])
    if stretch[1] < begin or (stretch[1] == begin < end):
        return stretch
    if stretch[0] > end or (stretch[0] == end > begin):
        return (stretch[0] + more, stretch[1] + more)
    return (stretch[0], stretch[1] + more) if inside and stretch[1] + more > stretch[0] else None
