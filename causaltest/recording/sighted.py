"""Sighted: what the ledger knows of looks at pairs, found by what they looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causaltest.asking.sightings import claim_key, told
from causaltest.errors import RecordError
from causaltest.recording.noted import parsed, plain
from causaltest.seen import Seen


@dataclass(frozen=True)
class Sighting:
    """A look at pairs, and the line that it stands in."""

    number: int
    seen: Seen
    line: Mapping[str, Any]


class Sighted:
    """The looks at pairs of all lines so far, in their order."""

    def __init__(self) -> None:
        self.lines = 0
        """How many lines were taken up."""
        self.last = ""
        """The hash of the last of them."""
        self._pairs: dict[str, frozenset[str]] = {}
        self._searches: dict[Seen, Sighting] = {}
        self._claims: dict[str, list[Sighting]] = {}

    def begins(self, lines: Sequence[Mapping[str, Any]]) -> bool:
        """Whether what was taken up is the beginning of these lines still."""
        return self.lines <= len(lines) and (not self.lines or lines[self.lines - 1]["hash"] == self.last)

    def take(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Takes up the lines that are new. Raises RecordError where one is about pairs that no line before names."""
        for number in range(self.lines, len(lines)):
            line = lines[number]
            for said in line.get("sightings", ()):
                try:
                    seen = parsed(said, self._pairs)
                except (ValueError, KeyError, TypeError):
                    raise RecordError(
                        f"Line {number + 1} of the ledger does not say which pairs were looked at: it was changed, or "
                        "one before it was taken out. causaltest verify says more."
                    ) from None
                self._pairs.setdefault(seen.pairs, seen.each)
                one = Sighting(number, seen, line)
                if seen.kind == "claim":
                    self._claims.setdefault(seen.question, []).append(one)
                else:
                    self._searches.setdefault(seen, one)
            self.lines, self.last = number + 1, str(line["hash"])

    def named_in(self, line: Mapping[str, Any]) -> list[Seen]:
        """What a line that follows these has looked at. Raises RecordError as `take` does."""
        known, seen = dict(self._pairs), list[Seen]()
        try:
            for said in line.get("sightings", ()):
                seen.append(parsed(said, known))
                known.setdefault(seen[-1].pairs, seen[-1].each)
        except (ValueError, KeyError, TypeError):
            raise RecordError(f"The ledger's line of {line['at']} does not say which pairs were looked at.") from None
        return seen

    def plain(self, seen: Iterable[Seen]) -> list[dict[str, Any]]:
        """Looks for a new line, with the hashes of pairs that no line has yet."""
        known, said = set(self._pairs), list[dict[str, Any]]()
        for one in seen:
            said.append(plain(one, with_pairs=one.pairs not in known))
            known.add(one.pairs)
        return said

    def has(self, search: Seen) -> bool:
        """Whether a sweep or search stands there."""
        return search in self._searches

    def asked(self, claim: Seen) -> list[Sighting]:
        """The looks that asked the same of the same pairs, by whichever claim."""
        return [one for one in self._claims.get(claim.question, ()) if claim_key(one.seen) == claim_key(claim)]

    def told(self, claims: Sequence[Seen], *, by: Collection[str]) -> list[str]:
        """What must be said of the looks before these, the parts of one claim with these ids: a sentence each."""
        sentences: dict[str, None] = {}
        for claim in claims:
            # Another claim that asked the very same does not end what this one must be told.
            looks = [
                one
                for one in self._claims.get(claim.question, ())
                if one.line["claim"] in by or claim_key(one.seen) != claim_key(claim)
            ]
            relevant = [*self._searches.values(), *looks]
            in_order = [one.seen for one in sorted(relevant, key=lambda one: one.number)]
            sentences |= dict.fromkeys(told(claim, in_order, beside=claims))
        return list(sentences)
