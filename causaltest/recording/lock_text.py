"""The text of a lock: one field on one line and the claims sorted, so that a change shows as that change alone.

It is read as data and nothing else. Whatever is no lock is refused, with what to do.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from causaltest.errors import RecordError
from causaltest.writing.canonical import Twice, once_each, written

if TYPE_CHECKING:
    from causaltest.recording.lock import Entry, Lock

FORMAT, VERSION = "causaltest lock", 1
LARGEST = 256 << 20
"""Bytes of a lock that is read; one of 10,000 claims has about 15 MB."""
DEEPEST = 60
"""Lists and mappings in one another; a spec has about ten."""
PUT_BACK = "`git checkout HEAD -- claims.lock` puts back the one that was committed."

CONFLICT = re.compile(rb"^(<{7}|={7}|>{7}|\|{7})( |\r?$)", re.MULTILINE)

ENTRY = {"batch": str, "hash": str, "prior": list, "seen": list, "spec": dict}
SHARED = {"at": str, "commit": str, "hash": str, "kind": str, "ledger": dict, "previous": str, "versions": dict}
EVENTS: dict[str, dict[str, type]] = {
    "register": {**SHARED, "claims": int, "digest": str},
    "amend": {**SHARED, "claim": str, "prior": str, "spec": str, "why": str},
    "merge": {**SHARED, "also": str},
}
LEDGER = {"head": str, "lines": int}
CONTAINERS = frozenset({dict, list})
NAMED = {int: "a whole number", str: "a text", list: "a list", dict: "a mapping"}


def formatted(lock: Lock) -> str:
    """The text of a lock, the same for the same lock."""
    claims = ",\n".join(f"  {written(id)}: {formatted_entry(lock.entries[id])}" for id in sorted(lock.entries))
    events = ",\n".join(f"  {written(event)}" for event in lock.events)
    return (
        f'{{\n "claims": {{\n{claims}\n }},\n "events": [\n{events}\n ],\n'
        f' "format": {written(FORMAT)},\n "version": {VERSION}\n}}\n'
    )


def formatted_entry(entry: Entry) -> str:
    spec = ",\n".join(f"    {written(name)}: {written(entry.spec[name])}" for name in sorted(entry.spec))
    shown = {"batch": entry.batch, "hash": entry.digest, "prior": list(entry.prior), "seen": list(entry.seen)}
    lines = ",\n".join(f"   {written(name)}: {written(value)}" for name, value in shown.items())
    return f'{{\n{lines},\n   "spec": {{\n{spec}\n   }}\n  }}'


def parsed(raw: bytes) -> dict[str, Any]:
    """The claims and events of a text. Raises RecordError for what is no lock, with what to do."""
    data = json_of(raw)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        refuse(f'it does not say "format": "{FORMAT}"')
    version = data.get("version")
    if type(version) is not int or version < 1:
        refuse(f"it has {version!r} for version, which is a whole number from 1")
    if version > VERSION:
        refuse(
            f"it has version {version}, of a newer causaltest; this one reads up to version {VERSION}",
            do="`pip install --upgrade causaltest` gets one that reads it.",
        )
    fields("it", data, {"claims": dict, "events": list, "format": str, "version": int})
    for i, event in enumerate(data["events"], 1):
        check_event(f"event {i}", event)
    for id, entry in data["claims"].items():
        check_entry(f"claim '{id}'", entry)
    return data


def json_of(raw: bytes) -> Any:
    """The data of a text, within bounds, and without what JSON reads in more than one way."""
    if len(raw) > LARGEST:
        refuse(f"it is larger than {LARGEST >> 20} MB")
    try:
        text = raw.decode()
        with uncollected():
            data = json.loads(text, object_pairs_hook=once_each, parse_float=no_number, parse_constant=no_number)
        if "\\u" in text and "\\ud" in text.lower():
            written(data).encode()  # half a character has no UTF-8
    except UnicodeError:
        refuse("it is not UTF-8 throughout")
    except Twice as twice:
        refuse(f"it has {twice.name!r} twice in one place")
    except RecursionError:
        refuse(f"it is nested deeper than {DEEPEST} levels")
    except ValueError as error:
        if CONFLICT.search(raw):
            refuse(
                "it has merge-conflict markers, since two branches registered claims",
                do="`causaltest register FOLDER --merge` keeps the claims of both.",
            )
        refuse(f"it is no JSON ({error}), so it was edited by hand or cut")
    if depth_of(data) > DEEPEST:
        refuse(f"it is nested deeper than {DEEPEST} levels")
    return data


def no_number(text: str) -> NoReturn:
    refuse(f"it has the number {text}, and in a lock decimals stand as strings and NaN nowhere")


def depth_of(data: Any) -> int:
    """How many lists and mappings stand in one another, counted no further than needed."""
    level, depth = [data], 0
    while level and depth <= DEEPEST:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer if type(outer) is list else ())
            if type(inner) in CONTAINERS
        ]
    return depth


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles: there are none in what is read, and it would take as long as the reading."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def check_entry(which: str, entry: Any) -> None:
    fields(which, entry, ENTRY)
    if not all(isinstance(spec, dict) for spec in entry["prior"]):
        refuse(f"{which} has a prior spec that is no mapping")
    if not all(isinstance(sentence, str) for sentence in entry["seen"]):
        refuse(f"{which} has for seen what is no list of sentences")
    family = entry["spec"].get("family")
    size = family.get("size") if isinstance(family, dict) else None
    if type(size) is not int or size < 1:  # by it every claim is judged
        refuse(f"{which} has {size!r:.60} for family.size in its spec, which is a whole number from 1")


def check_event(which: str, event: Any) -> None:
    kind = event.get("kind") if isinstance(event, dict) else None
    if not isinstance(kind, str) or kind not in EVENTS:
        refuse(f"{which} has {kind!r:.60} for kind, which is one of {', '.join(EVENTS)}")
    fields(which, event, {**EVENTS[kind], **({"was": str} if kind == "amend" and "was" in event else {})})
    fields(f"ledger in {which}", event["ledger"], LEDGER)
    fields(f"versions in {which}", event["versions"], dict.fromkeys(event["versions"], str))


def fields(which: str, said: Any, kinds: Mapping[str, type]) -> None:
    """Raises RecordError unless it is a mapping of exactly these fields."""
    if not isinstance(said, dict):
        refuse(f"{which} is no mapping")
    if said.keys() != kinds.keys():
        for name in sorted(kinds.keys() - said.keys()):
            refuse(f"{which} lacks {name}")
        refuse(f"{which} has {min(said.keys() - kinds.keys())!r:.60}, which no lock has")
    for name, kind in kinds.items():
        # true is a number to Python, and none here
        if type(said[name]) is not kind:
            refuse(f"{which} has {said[name]!r:.60} for {name}, which is {NAMED[kind]}")


def refuse(what: str, *, do: str = PUT_BACK) -> NoReturn:
    raise RecordError(f"{what}. {do}")
