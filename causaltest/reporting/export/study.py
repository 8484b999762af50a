"""Study: the registered claims, grouped as a reader would tell them: by family, and parametrised ones together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from causaltest.printable import printable
from causaltest.recording.lock import Entry, Lock, batch_name
from causaltest.reporting.export.wording import natural, one_line
from causaltest.writing.canonical import canonical

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Claims:
    """One claim, or several that differ in a test's parameters alone."""

    entries: tuple[Entry, ...]

    @property
    def spec(self) -> Fields:
        """That of the first."""
        return self.entries[0].spec

    @property
    def prediction(self) -> Fields:
        prediction: Fields = self.spec["prediction"]
        return prediction

    @cached_property
    def experiments(self) -> list[Fields]:
        """All that is measured for them."""
        return [one for entry in self.entries for one in experiments_in(entry.spec["asked"])]

    @property
    def name(self) -> str:
        """Its id; of several, that of the test."""
        first = self.entries[0].id
        return first if len(self.entries) == 1 else stem(first)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class Family:
    """The claims that share one alpha: those of a file, or of a name, in one registration."""

    name: str
    size: int
    registered: str
    """When, in UTC; empty where the lock does not say."""
    groups: tuple[Claims, ...]

    @property
    def told(self) -> int:
        """How many of its claims are told of here."""
        return sum(map(len, self.groups))

    @property
    def alphas(self) -> list[float]:
        """The alphas that its claims ask for, before the correction."""
        return sorted({float(group.prediction["alpha"]) for group in self.groups})


@dataclass(frozen=True)
class Study:
    """Everything that a form is filled from."""

    families: tuple[Family, ...]
    events: tuple[Fields, ...]
    looks: tuple[Fields, ...]
    """What the ledger says of them: lines of the kind look."""
    lock_hash: str
    """SHA-256 of the lock's file."""

    @cached_property
    def groups(self) -> list[Claims]:
        return [group for family in self.families for group in family.groups]

    @cached_property
    def entries(self) -> list[Entry]:
        return [entry for group in self.groups for entry in group.entries]

    @cached_property
    def experiments(self) -> list[Fields]:
        return [one for group in self.groups for one in group.experiments]

    @cached_property
    def amendments(self) -> list[Fields]:
        """The amendments of its claims, in order."""
        ids = {entry.id for entry in self.entries}
        return [event for event in self.events if event["kind"] == "amend" and event["claim"] in ids]

    @property
    def model_names(self) -> list[str]:
        return list(dict.fromkeys(str(model["name"]) for model, _ in self.of_each("models")))

    def of_each(self, field: str) -> list[tuple[Fields, int]]:
        """What the claims say under a field that lists things (pairs, models): each once, with how many claims."""
        found: dict[str, tuple[Fields, int]] = {}
        for entry in self.entries:
            for thing in entry.spec[field]:
                key = canonical(thing)
                found[key] = (thing, found[key][1] + 1 if key in found else 1)
        return list(found.values())


def all_printable(data: Any) -> Any:
    """The same data with every text in one line and without control characters: a lock may be a stranger's."""
    if isinstance(data, str):
        return printable(one_line(data))
    if isinstance(data, Mapping):
        return {all_printable(name): all_printable(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [all_printable(one) for one in data]
    return data


def shown_entry(entry: Entry) -> Entry:
    id, spec, seen, prior = all_printable([entry.id, entry.spec, entry.seen, entry.prior])
    return Entry(id, spec, entry.batch, tuple(seen), tuple(prior))


def study_of(lock: Lock, *, ids: Iterable[str], looks: Sequence[Fields], lock_hash: str) -> Study:
    """The study that these claims of a lock are."""
    entries = [shown_entry(lock.entries[id]) for id in sorted(ids, key=natural)]
    families = []
    for _, members in groupby(sorted(entries, key=family_key), key=family_key):
        claims = list(members)
        spec = claims[0].spec["family"]
        families.append(Family(spec["name"], int(spec["size"]), registered_at(lock, claims[0]), grouped(claims)))
    chosen = {entry.id for entry in entries}
    told = tuple(line for line in all_printable(looks) if line.get("kind") == "look" and line.get("claim") in chosen)
    in_order = sorted(families, key=lambda family: (family.registered, natural(family.name)))
    return Study(tuple(in_order), tuple(all_printable(lock.events)), told, lock_hash)


def family_key(entry: Entry) -> tuple[str, str]:
    return str(entry.spec["family"]["name"]), str(entry.batch)


def registered_at(lock: Lock, entry: Entry) -> str:
    """When the batch of a claim was registered."""
    for event in lock.events:
        if event["kind"] == "register" and batch_name(str(event["digest"])) == entry.batch:
            return str(all_printable(event["at"]))
    return ""


def grouped(entries: Iterable[Entry]) -> tuple[Claims, ...]:
    """Claims of one test that say the same of different sites are one group; the order is that of the ids."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        spec = entry.spec
        same = [stem(entry.id), spec["sentence"], spec["prediction"], spec["stopping"], spec["pairs"], spec["models"]]
        groups.setdefault(canonical([*same, list(entry.prior)]), []).append(entry)
    return tuple(Claims(tuple(members)) for members in groups.values())


def stem(id: str) -> str:
    """An id without the parameters that pytest adds."""
    return id.partition("[")[0]


def experiments_in(asked: Any) -> Iterator[Fields]:
    """The experiments of a question, a difference, several effects, or variants; none where values were given."""
    if isinstance(asked, list):
        for one in asked:
            yield from experiments_in(one)
    elif isinstance(asked, Mapping):
        if "metric" in asked:
            yield asked
        elif "difference" in asked:
            yield from experiments_in(asked["difference"])
        elif "effects" in asked:
            yield from experiments_in([one["asked"] for one in asked["effects"]])
        elif "variants" in asked:
            yield from experiments_in(list(asked["variants"].values()))
