"""Sightings: which pairs a question looks at, and whether somebody has looked there before.

A claim is a test only of pairs that did not suggest it. So whoever sweeps or searches leaves a note of the pairs
(`Seen`), and a later claim about them is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from causaltest.asking.experiment import Experiment
from causaltest.asking.pairs import Pairs
from causaltest.asking.questions import experiments_of
from causaltest.effect import Question
from causaltest.seen import Kind, Seen

LEFT_OUT = frozenset(
    {"pairs", "seed", "controls", "placebo_draws", "waived", "wrong"}
    | {"range", "first_token", "max_new_tokens", "eligible", "both_right"}
)
"""What does not make it another question: the pairs it is asked of, the draws, and what is measured beside it; nor
how its metric is cut, and which pairs count."""


def looked_at(question: Question | None) -> Seen | None:
    """The note that a claim leaves; None where it asks nothing of a model, as of values that were given."""
    asked = experiments_of(question)
    return None if question is None or not asked else note(question, asked, "claim", question.summary)


def measured(experiment: Experiment) -> Seen:
    """The note that a measurement leaves in its lab."""
    return note(experiment, (experiment,), "claim", experiment.summary)


def swept_over(cell: Experiment, kind: Kind, what: str) -> Seen:
    """The note that a sweep or search leaves, of which this is the first cell."""
    return note(cell, (cell,), kind, what)


def note(question: Question, asked: Sequence[Experiment], kind: Kind, what: str) -> Seen:
    pairs = {experiment.patching.pairs.digest: experiment.patching.pairs for experiment in asked}
    return Seen(
        kind=kind,
        models=tuple(dict.fromkeys(experiment.patching.model for experiment in asked)),
        what=what,
        question=hashed(bare(question.canonical())),
        pairs=hashed(sorted(pairs)),
        each=each_of(list(pairs.values())),
    )


def each_of(pairs: Sequence[Pairs]) -> frozenset[str]:
    """The hashes of all pairs; of one set its own, which thousands of looks at it share."""
    return pairs[0].each if len(pairs) == 1 else frozenset().union(*(some.each for some in pairs))


def seen_by(question: Question | None) -> list[Seen]:
    """By which sweeps or searches its sites were found."""
    sites = [site for experiment in experiments_of(question) for site in experiment.patching.sites]
    return list(dict.fromkeys(site.found.by for site in sites if site.found is not None))


def told(claim: Seen | None, before: Iterable[Seen], *, beside: Iterable[Seen] = ()) -> tuple[str, ...]:
    """What a claim must say of what was looked at before it: a sentence each. `beside` are the other parts of it.

    A sweep or a search of this model that has seen some of the pairs; and the very same question asked of others
    together with some of these, as when somebody looks again with more pairs, or leaves some out. Not the same question
    of the same pairs: that is a reproduction, and what came after it was first asked could not suggest it.
    """
    if claim is None:
        return ()
    sentences: dict[str, None] = {}
    together = {claim_key(part) for part in beside}
    for seen in before:
        if claim_key(seen) == claim_key(claim):
            break
        if claim_key(seen) not in together and (sentence := overlap(claim, seen)):
            sentences[sentence] = None
    return tuple(sentences)


def overlap(claim: Seen, seen: Seen) -> str:
    """A sentence about the pairs that both have; empty where they have none, or it does not matter."""
    if not set(seen.models) & set(claim.models):
        return ""
    if seen.kind == "claim" and seen.question != claim.question:
        return ""
    both, count = len(seen.each & claim.each), len(claim.each)
    if not both:
        return ""
    if seen.kind == "claim":
        return f"the same was asked before of {len(seen.each)} pairs, {both} of these {count} among them: {seen.what}"
    return f"{both} of its {count} pairs were seen by the {seen.kind} {seen.what}"


def claim_key(seen: Seen) -> tuple[str, str, frozenset[str]]:
    return (seen.kind, seen.question, seen.each)


def bare(canonical: Any) -> Any:
    """A canonical question without what is left out, however deep."""
    if isinstance(canonical, dict):
        return {name: bare(value) for name, value in canonical.items() if name not in LEFT_OUT}
    return [bare(value) for value in canonical] if isinstance(canonical, list | tuple) else canonical


def hashed(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
