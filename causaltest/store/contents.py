"""Contents: what a store's folder holds, by kind and by model; and what of it is damaged. Nothing is marked as used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from causaltest.store.files import opened
from causaltest.store.folder import Store
from causaltest.store.layout import DAMAGED, PARTIAL, Lying, lying
from causaltest.writing.raw_tensors import METADATA, TEXT, Damaged, header_bytes, header_of

NO_ENTRY = (DAMAGED, PARTIAL)


@dataclass(frozen=True)
class Group:
    """The entries of one kind and model."""

    kind: str
    model: str
    """Empty where its entries cannot be read, or are of none."""
    entries: int
    nbytes: int
    first: float
    """When the one that was used longest ago was used, and when the last was: seconds since 1970."""
    last: float


def groups(there: Iterable[Lying]) -> list[Group]:
    """Files of a store by kind and model, sorted."""
    of: dict[tuple[str, str], list[Lying]] = {}
    for one in there:
        of.setdefault((one.kind, "" if one.kind in NO_ENTRY else model_of(one)), []).append(one)
    return [
        Group(kind, model, len(ones), sum(o.nbytes for o in ones), min(o.used for o in ones), max(o.used for o in ones))
        for (kind, model), ones in sorted(of.items())
    ]


def model_of(one: Lying) -> str:
    """The model that an entry says it is about; it is not verified, and its numbers are not read."""
    try:
        stream, status = opened(Path(one.path))
        with stream:
            header = header_of(stream.read(header_bytes(stream.read(8), status.st_size)))
        return str(json.loads(header[METADATA][TEXT])["about"])
    except (OSError, MemoryError, Damaged, ValueError, LookupError, TypeError, RecursionError):
        return ""


@dataclass(frozen=True)
class Checked:
    """A file that was read in whole."""

    one: Lying
    told: tuple[str, ...]
    """What was wrong with it; nothing where it is as it was written."""


def verified(folder: Path) -> Iterator[Checked]:
    """Reads every entry of a store; those that are damaged are set aside."""
    for one in lying(folder):
        if one.kind not in NO_ENTRY:
            store = Store(folder, most_bytes=max(one.nbytes, 1))
            store.look_at(one.kind, one.key)
            yield Checked(one, (*store.damaged, *store.problems))
