"""Earlier: what has seen a claim's pairs before it was registered."""

from __future__ import annotations

from collections.abc import Iterable

from causaltest.asking.questions import experiments_of
from causaltest.asking.sightings import claim_key, looked_at, overlap, seen_by
from causaltest.effect import Question
from causaltest.seen import Seen

Key = tuple[frozenset[str], frozenset[str]]
MEASURED = "the same was measured on these pairs before it was registered"


class Earlier:
    """All looks so far, to be asked about many claims."""

    def __init__(self, looks: Iterable[Seen]) -> None:
        self._looks = list(looks)
        self._known: dict[Key, tuple[Seen, ...]] = {}
        """By models and pairs, the looks that saw some of them."""

    def told(self, questions: Iterable[Question | None]) -> tuple[str, ...]:
        """A sentence for each look that saw some of a claim's pairs; its own looks are among them.

        Whatever came before the registration could have suggested it, in whichever order it came.
        """
        sentences: dict[str, None] = {}
        for question in questions:
            found = seen_by(question)
            if not found and not (self._looks and self._near(question)):
                continue
            claim = looked_at(question)
            if claim is not None:
                looks = dict.fromkeys([*found, *self._near(question)])
                sentences |= dict.fromkeys(s for seen in looks if (s := sentence(claim, seen)))
        return tuple(sentences)

    def _near(self, question: Question | None) -> tuple[Seen, ...]:
        """The looks at any of a question's models and pairs; what they asked is not compared yet."""
        patchings = [experiment.patching for experiment in experiments_of(question)]
        key = (frozenset(p.model for p in patchings), frozenset(p.pairs.digest for p in patchings))
        if key not in self._known:
            models, each = key[0], frozenset().union(*(p.pairs.each for p in patchings))
            self._known[key] = tuple(s for s in self._looks if models & set(s.models) and each & s.each)
        return self._known[key]


def sentence(claim: Seen, seen: Seen) -> str:
    return MEASURED if claim_key(seen) == claim_key(claim) else overlap(claim, seen)
