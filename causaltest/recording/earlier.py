"""Earlier: what has seen a claim's pairs before it was registered."""

from __future__ import annotations

from collections.abc import Iterable

from causaltest.asking.sightings import claim_key, looked_at, overlap, seen_by
from causaltest.effect import Question
from causaltest.seen import Seen

MEASURED = "the same was measured on these pairs before it was registered"


class Earlier:
    """All looks so far, to be asked about many claims."""

    def __init__(self, looks: Iterable[Seen]) -> None:
        self._claims: dict[str, list[Seen]] = {}
        """Questions that were asked before, by their hash."""
        self._others: list[Seen] = []
        """Sweeps and searches."""
        self._known: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}
        for seen in looks:
            if seen.kind == "claim":
                self._claims.setdefault(seen.question, []).append(seen)
            else:
                self._others.append(seen)

    def told(self, questions: Iterable[Question | None]) -> tuple[str, ...]:
        """A sentence for each look that saw some of a claim's pairs; its own looks are among them.

        Whatever came before the registration could have suggested it, in whichever order it came.
        """
        sentences: dict[str, None] = {}
        for question in questions:
            found = [seen for seen in seen_by(question) if seen not in self._others]
            if not (self._claims or self._others or found):
                continue
            claim = looked_at(question)
            if claim is None:
                continue
            sentences |= dict.fromkeys(s for seen in found if (s := overlap(claim, seen)))
            sentences |= dict.fromkeys(self._by_others(claim))
            asked = self._claims.get(claim.question, ())
            sentences |= dict.fromkeys(
                MEASURED if claim_key(seen) == claim_key(claim) else s for seen in asked if (s := overlap(claim, seen))
            )
        return tuple(sentences)

    def _by_others(self, claim: Seen) -> tuple[str, ...]:
        key = (claim.models, claim.pairs)
        if key not in self._known:
            self._known[key] = tuple(s for seen in self._others if (s := overlap(claim, seen)))
        return self._known[key]
