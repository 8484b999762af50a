"""Past: which events of a lock came before which. Of branches that were merged neither knew of the other's events.

Events that follow one another without a fork are one run, and what came before is kept of runs alone: of a record with
one branch that is nothing, however many events it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.lock import followed_by

MOST_RUNS = 10_000
"""Each keeps a bit of every other. A merger makes three, and a person makes each merger."""


class Past:
    """The events of a lock, by their number from 0, and what each of them follows."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.number: dict[str, int] = {}
        """Of an event, by its hash."""
        self._run: list[int] = []
        self._before: list[int] = []
        """The runs before each run, as the bits of a number."""
        followers = Counter(before for event in events for before in followed_by(event))
        for i, event in enumerate(events):
            before = [name for name in followed_by(event) if name in self.number]
            if len(before) == 1 and followers[before[0]] == 1:
                self._run.append(self._run[self.number[before[0]]])
            else:
                self._begin([self._run[self.number[name]] for name in before])
            self.number[event["hash"]] = i

    def _begin(self, runs: Sequence[int]) -> None:
        """A run that follows the ends of others."""
        if len(self._before) == MOST_RUNS:
            raise RecordError(
                f"The lock's events fork and join more than {MOST_RUNS:,} times, and those of a record do so as often "
                "as its branches were merged. Put back one that was committed: git checkout COMMIT -- claims.lock"
            )
        bits = 0
        for run in runs:
            bits |= self._before[run] | 1 << run
        self._run.append(len(self._before))
        self._before.append(bits)

    def has(self, then: int, event: int) -> bool:
        """Whether an event is `then`, or came before it."""
        run, other = self._run[then], self._run[event]
        return event <= then if run == other else bool(self._before[run] >> other & 1)
