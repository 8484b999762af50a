"""Partners: for each pair another one of the same shape, from another cluster where there is one.

With 100,000 pairs nobody can list for each of them all others. So the others are counted, and the one that a draw
names is found among them: as if each pair had a list of its own.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Partners = NDArray[np.int32]
NOBODY = -1


class Pool:
    """Pairs that may be partners, in groups of one shape, in a given order."""

    def __init__(
        self, clusters: Sequence[str], shapes: Sequence[Hashable], usable: Sequence[bool], order: Sequence[int] = ()
    ) -> None:
        """`usable`: which pairs may be a partner; `order`: all pairs in the order in which they are counted."""
        self._clusters, self._shapes = clusters, shapes
        self._groups: dict[Hashable, list[int]] = {}
        self._before: dict[tuple[Hashable, str], list[int]] = {}
        """Per shape and cluster, of each member how many of other clusters stand before it in its group."""
        self._place = np.full(len(shapes), NOBODY, dtype=np.int32)
        """In its group."""
        for pair in order or range(len(shapes)):
            if usable[pair]:
                group = self._groups.setdefault(shapes[pair], [])
                own = self._before.setdefault((shapes[pair], clusters[pair]), [])
                self._place[pair] = len(group)
                own.append(len(group) - len(own))
                group.append(pair)

    def one_of(self, pair: int, choice: Callable[[range], int]) -> int:
        """A partner of a pair: that of another cluster, or any other, which `choice` names by its number; or NOBODY."""
        group = self._groups.get(self._shapes[pair], [])
        own = self._before.get((self._shapes[pair], self._clusters[pair]), [])
        if len(group) > len(own):
            number = choice(range(len(group) - len(own)))
            return group[number + bisect_right(own, number)]
        place = int(self._place[pair])
        others = len(group) - (place != NOBODY)
        if not others:
            return NOBODY
        number = choice(range(others))
        return group[number + (place != NOBODY and number >= place)]


def partners(pool: Pool, count: int, rng: random.Random) -> Partners:
    """For each of `count` pairs a partner, or NOBODY."""
    return np.array([pool.one_of(pair, rng.choice) for pair in range(count)], dtype=np.int32)


def nearest_unlike(clusters: Sequence[str], shapes: Sequence[Hashable], kinds: Sequence[Hashable]) -> Partners:
    """For each pair the next one, and after the last the first, of the same shape and another kind, from another
    cluster where there is one; NOBODY where none is of another kind.

    A kind of None is another than every kind, its own too.
    """
    out = np.full(len(shapes), NOBODY, dtype=np.int32)
    groups: dict[Hashable, list[int]] = {}
    for pair, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(pair)
    for group in groups.values():
        ring = Ring([clusters[pair] for pair in group], [kinds[pair] for pair in group])
        for place, pair in enumerate(group):
            found = ring.after(place)
            if found is not None:
                out[pair] = group[found]
    return out


class Ring:
    """Pairs of one shape in a ring, asked from the first to the last."""

    def __init__(self, clusters: Sequence[str], kinds: Sequence[Hashable]) -> None:
        self._clusters, self._kinds = clusters, kinds
        self._found: dict[tuple[Hashable, ...], int | None] = {}
        """What the last pair of a cluster and kind has found, counted on beyond the last place."""
        self._runs = {True: ends(clusters), False: ends(kinds)}

    def after(self, place: int) -> int | None:
        """The place of the next unlike pair of another cluster, or else of the same cluster."""
        for elsewhere in (True, False):
            found = self._next(place, elsewhere)
            if found is not None:
                return found % len(self._kinds)
        return None

    def _next(self, place: int, elsewhere: bool) -> int | None:
        cluster, kind, count = self._clusters[place], self._kinds[place], len(self._kinds)
        key = (elsewhere, cluster, kind)
        if kind is not None and key in self._found:
            known = self._found[key]
            # Nobody stood between the pair that asked before and what it found; so it is the next of this one too.
            if known is None or known > place:
                return known
        at: int | None = place + 1
        while at is not None and at < place + count:
            here = at % count
            if kind is not None and self._kinds[here] == kind:
                at += self._runs[False][here]
            elif elsewhere and self._clusters[here] == cluster:
                at += self._runs[True][here]
            elif not elsewhere and self._clusters[here] != cluster:
                at += self._runs[True][here]
            else:
                break
        else:
            at = None
        if kind is not None:
            self._found[key] = at
        return at


def ends(names: Sequence[Hashable]) -> list[int]:
    """Per place, how many places further the name that stands there is another, or the ring's end is."""
    out = [1] * len(names)
    for place in range(len(names) - 2, -1, -1):
        if names[place] == names[place + 1]:
            out[place] = out[place + 1] + 1
    return out
