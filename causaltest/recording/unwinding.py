"""Unwinding: a lock's events taken back, the last first. Each must find what it made, and nothing may be left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.recording.lock import Entry, Lock, batch_digest, batch_name, said_of


@dataclass(frozen=True)
class Registration:
    """What a claim was when it was registered."""

    id: str
    spec: str
    """The hash of its first spec."""
    since: int
    """The event that registered it, counted from 0."""
    amended: tuple[int, ...]
    """The events that amended it."""


@dataclass(frozen=True)
class Unwinding:
    """What was found by taking the events back."""

    problems: tuple[str, ...]
    registrations: tuple[Registration, ...]


@dataclass
class Rewound:
    """An entry, as it was before the events that were taken back."""

    entry: Entry
    id: str
    specs: list[str]
    """The hashes of its specs, the latest last."""
    amended: list[int] = field(default_factory=list)


def unwound(lock: Lock) -> Unwinding:
    """Takes all events of a lock back."""
    state = {id: Rewound(entry, id, list(entry.history)) for id, entry in lock.entries.items()}
    batches: dict[str, list[Rewound]] = {}
    for one in state.values():
        batches.setdefault(one.entry.batch, []).append(one)
    problems: list[str] = []
    registrations: list[Registration] = []
    for i, event in reversed(list(enumerate(lock.events))):
        if event["kind"] == "amend":
            problems += amendment_undone(i, event, state)
        elif event["kind"] == "register":
            # the very same claims may have been registered on two branches, so members are not taken away
            members = batches.get(batch_name(event["digest"]), [])
            problems += batch_undone(event, members)
            for one in members:
                state.pop(one.id, None)
                registrations.append(Registration(one.id, one.specs[0], i, tuple(one.amended)))
    problems += [f"{id}: it is in the lock, and no event registered it: it was added by hand" for id in state]
    return Unwinding(tuple(problems), tuple(registrations))


def amendment_undone(i: int, event: Mapping[str, Any], state: dict[str, Rewound]) -> Iterator[str]:
    id = event["claim"]
    one = state.pop(id, None)
    if one is None:
        yield f"{id}: it was amended on {event['at']} and is not in the lock: its entry was removed"
        return
    if one.specs[-2:] != [event["prior"], event["spec"]]:
        yield f"{id}: its specs are not those of its amendment on {event['at']}: one was changed or removed"
    if len(one.specs) > 1:
        one.specs.pop()
    one.amended.append(i)
    one.id = str(event.get("was", id))
    if one.id in state:
        yield f"{id}: on {event['at']} it was still named {one.id}, as another claim in the lock was"
    state[one.id] = one


def batch_undone(event: Mapping[str, Any], members: list[Rewound]) -> Iterator[str]:
    for one in members:
        if len(one.specs) > 1:
            yield f"{one.entry.id}: it has prior specs, and no event that amended it"
    if len(members) != event["claims"]:
        what = "removed" if len(members) < event["claims"] else "added"
        yield f"{said_of(event)} entered {event['claims']} claims, and {len(members)} are there: an entry was {what}"
    elif batch_digest((one.id, one.specs[0], one.entry.seen) for one in members) != event["digest"]:
        yield f"{said_of(event)} entered other claims than these: an id, a spec, or what had seen its pairs was changed"
