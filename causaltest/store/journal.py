"""Journal: which experiments are being measured together, written down before they are.

Who is measured with whom decides the shapes of forwards, and with them the last bits. So a run that is killed leaves
its company in the journal, and the next one measures the same experiments together again, from the parts that were
kept of them. A run that knows only some of a company, as with `-k`, leaves it to one that knows all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from causaltest.store.entry import Entry
from causaltest.store.kept import Kept

PLAN, PART = "plans", "parts"
MOST = 16
"""Companies that were begun and not finished; of more, the oldest are forgotten."""
GAP = 2
"""A part that was damaged is missing between others; as many in a row are the end."""

Members = Sequence[str]
"""Digests of experiments."""


@dataclass(frozen=True)
class Journal:
    """What was begun among experiments that are alike. Ask and write it only under their lock."""

    kept: Kept
    of: Any
    """Plain data that tell these experiments from all others."""

    def begun(self) -> list[list[str]]:
        """The companies that were begun and are not at their end, in the order in which they were begun."""
        entry = self.kept.get(PLAN, self.of)
        begun = [] if entry is None else entry.said.get("begun")
        return [each for each in begun if is_company(each)] if isinstance(begun, list) else []

    def begin(self, members: Members) -> None:
        """Notes a company that is now measured."""
        others = [each for each in self.begun() if each != list(members)]
        self._write([*others[1 - MOST :], list(members)])

    def end(self, members: Members) -> None:
        """A company is measured, and its effects are kept: neither it nor its parts are needed."""
        # The parts first: whoever is killed in between finds the company, and lets go of the rest.
        missing = n = 0
        while missing < GAP:
            part = [sorted(members), {}, n]
            missing = 0 if self.kept.has(PART, part) else missing + 1
            self.kept.drop(PART, part)
            n += 1
        begun = self.begun()
        if list(members) in begun:
            self._write([each for each in begun if each != list(members)])

    def _write(self, begun: list[list[str]]) -> None:
        if begun:
            self.kept.put(PLAN, self.of, Entry({"begun": begun}))
        else:
            self.kept.drop(PLAN, self.of)


def is_company(said: object) -> bool:
    return isinstance(said, list) and bool(said) and all(isinstance(digest, str) for digest in said)
