"""Pairs drawn from templates: which fillers meet is decided by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from causaltest.asking.pair import Pair
from causaltest.asking.templates import Template, fill_both
from causaltest.errors import PairsError

Fillers = Mapping[str, str]
Answer = str | Mapping[str, str] | Callable[[Fillers], str]
"""A template of the fillers, a table from the filler that varies, or a function of all fillers."""
Parsed = Template | Mapping[str, str] | Callable[[Fillers], str]
MOST_MISSES = 1_000_000


@dataclass(frozen=True)
class Source:
    """What the pairs of one template are drawn from.

    `vary` is the slot in which clean and corrupt differ, or None where they have a template each.
    """

    template: Template
    corrupt: Template | None
    fillers: Mapping[str, Sequence[str]]
    answer: Parsed
    corrupt_answer: Parsed
    vary: str | None
    cluster: str | Callable[[Fillers], str] | None
    where: Callable[[Fillers], bool] | None

    @cached_property
    def slots(self) -> tuple[str, ...]:
        both = (*self.template.slots, *(self.corrupt.slots if self.corrupt is not None else ()))
        return tuple(slot for slot in dict.fromkeys(both) if slot in self.fillers)

    def pairs(self, seed: int) -> Iterator[Pair]:
        """Every distinct pair once, in an order that the seed decides. How many are taken changes none of them."""
        choices = [self.fillers[slot] for slot in self.slots]
        if self.vary is not None:
            choices.append(self.fillers[self.vary])
        rng = random.Random(f"{seed} {self.template.source} {self.corrupt and self.corrupt.source}")
        seen: set[tuple[str, str]] = set()
        misses = 0
        for number in shuffled(math.prod(map(len, choices)), rng):
            chosen = []
            for fillers in choices:
                number, at = divmod(number, len(fillers))
                chosen.append(fillers[at])
            pair = self.pair(chosen)
            if pair is not None and (pair.clean, pair.corrupt) not in seen:
                seen.add((pair.clean, pair.corrupt))
                misses = 0
                yield pair
            elif (misses := misses + 1) == MOST_MISSES:
                raise PairsError(
                    f"{len(seen)} pairs were found, and then {MOST_MISSES} combinations of fillers that are none, for "
                    f"where= accepts too few. Give fillers of which more fit together in {self.template.source!r}."
                )

    def pair(self, chosen: Sequence[str]) -> Pair | None:
        """The pair of one choice of fillers, or None where it is not asked for, or differs in nothing."""
        clean = dict(zip(self.slots, chosen, strict=False))
        corrupt = clean if self.vary is None else clean | {self.vary: chosen[-1]}
        if self.where is not None and not (self.where(clean) and self.where(corrupt)):
            return None
        one, other = fill_both(self.template, self.corrupt, clean, corrupt)
        if one.text == other.text:
            return None
        answer, corrupt_answer = self.answered(self.answer, clean), self.answered(self.corrupt_answer, corrupt)
        if answer == corrupt_answer:
            return None
        names = ", ".join(clean.values()) if self.vary is None else f"{clean[self.vary]} / {corrupt[self.vary]}"
        return Pair(one.text, other.text, answer, corrupt_answer, self.grouped(clean), names, one.spans, other.spans)

    def answered(self, answer: Parsed, fillers: Fillers) -> str:
        if callable(answer):
            return answer(dict(fillers))
        if isinstance(answer, Template):
            return answer.fill(fillers).text
        keys = self.slots if self.vary is None else (self.vary,)
        if len(keys) != 1:
            raise PairsError(
                f"A table of answers goes by one slot, and there are {list(keys)}: give a function of them."
            )
        filler = fillers[keys[0]]
        if filler not in answer:
            raise PairsError(f"The answers have none for {filler!r}; they have {sorted(answer)[:20]}.")
        return answer[filler]

    def grouped(self, fillers: Fillers) -> str:
        if self.cluster is None:
            return self.template.form
        return fillers[self.cluster] if isinstance(self.cluster, str) else self.cluster(dict(fillers))


def draw(sources: Sequence[Source], *, n: int, seed: int) -> list[Pair]:
    """The first `n` pairs, from each template in turn. Raises PairsError when there are fewer."""
    if type(n) is not int or n < 1:
        raise PairsError(f"n={n!r}: how many pairs are drawn is a whole number from 1.")
    going, drawn = [source.pairs(seed) for source in sources], list[Pair]()
    while going and len(drawn) < n:
        for pairs in tuple(going):
            pair = next(pairs, None)
            if pair is None:
                going.remove(pairs)
            else:
                drawn.append(replace(pair, id=f"{pair.id} {len(drawn)}"))
    if len(drawn) < n:
        raise PairsError(
            f"The fillers give {len(drawn)} distinct pairs, and n={n} are asked for. Add fillers or templates, or ask "
            "for fewer. (A pair's two prompts differ, and so do its answers.)"
        )
    return drawn[:n]


def sources(
    templates: Sequence[str],
    corrupts: Sequence[str] | None,
    fillers: Mapping[str, Iterable[str]],
    answer: Answer,
    corrupt_answer: Answer | None,
    vary: str | None,
    cluster: str | Callable[[Fillers], str] | None,
    where: Callable[[Fillers], bool] | None,
) -> list[Source]:
    """One source per template. Raises PairsError when templates, fillers and what varies do not fit."""
    if not templates or len(set(templates)) < len(templates):
        raise PairsError(f"Templates are given once each, and at least one; these are {len(templates)}: {templates}.")
    if corrupts is not None and len(corrupts) != len(templates):
        raise PairsError(f"There are {len(templates)} templates and {len(corrupts)} corrupt ones; give one for each.")
    forms = [Template(t) for t in templates]
    others = [None] * len(forms) if corrupts is None else [Template(t) for t in corrupts]
    given = {slot: checked_fillers(slot, texts) for slot, texts in fillers.items()}
    slots = {slot for form in (*forms, *others) if form is not None for slot in form.slots}
    unknown = sorted(set(given) - slots)
    if unknown:
        raise PairsError(f"There are fillers for {unknown}, and the templates have the slots {sorted(slots)}.")
    if corrupts is None:
        vary = the_one_that_varies(vary, forms, given)
    elif vary is not None:
        raise PairsError(
            "With a corrupt template both prompts have the same fillers, so no slot varies: leave vary= out."
        )
    elif corrupt_answer is None:
        raise PairsError("With a corrupt template, corrupt_answer= says what the corrupt run should give.")
    if isinstance(cluster, str) and any(cluster not in form.slots or cluster not in given for form in forms):
        raise PairsError(
            f"cluster={cluster!r} is no slot that every template has and fills; pairs are grouped by their template "
            f"unless cluster= names one of {sorted(given)} or is a function of the fillers."
        )
    right = parsed(answer)
    wrong = right if corrupt_answer is None else parsed(corrupt_answer)
    return [
        Source(form, other, given, right, wrong, vary, cluster, where)
        for form, other in zip(forms, others, strict=True)
    ]


def parsed(answer: Answer) -> Parsed:
    return Template(answer) if isinstance(answer, str) else answer


def the_one_that_varies(vary: str | None, forms: Sequence[Template], fillers: Mapping[str, Sequence[str]]) -> str:
    if vary is None and len(fillers) == 1:
        vary = next(iter(fillers))
    if vary is None:
        raise PairsError(f"vary= says in which slot clean and corrupt differ; fillers are given for {sorted(fillers)}.")
    without = [form.source for form in forms if vary not in form.slots]
    if vary not in fillers or without:
        raise PairsError(
            f"vary={vary!r} is the slot in which clean and corrupt differ: it has fillers (they are given for "
            f"{sorted(fillers)}) and stands in every template{f', and not in {without[0]!r}' if without else ''}."
        )
    return vary


def checked_fillers(slot: str, texts: Iterable[str]) -> tuple[str, ...]:
    """The fillers of a slot, sorted: the order in which they are given decides nothing."""
    given = [] if isinstance(texts, str) else list(texts)
    if not given or any(not isinstance(t, str) or not t for t in given):
        raise PairsError(f"The fillers of {slot!r} are a list of texts, none of them empty, and are {texts!r}.")
    twice = next((t for t in given if given.count(t) > 1), None)
    if twice is not None:
        raise PairsError(f"The fillers of {slot!r} hold {twice!r} twice; each is given once.")
    return tuple(sorted(given))


def shuffled(count: int, rng: random.Random) -> Iterator[int]:
    """0 to count - 1 in a random order, one at a time (Durstenfeld's shuffle, which keeps only what it moved)."""
    moved: dict[int, int] = {}
    for n in range(count):
        at = rng.randrange(n, count)
        here = moved.pop(n, n)
        if at == n:
            yield here
        else:
            yield moved.get(at, at)
            moved[at] = here
