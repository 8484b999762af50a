"""Record: the folder of claims that a lock and a ledger belong to, and a claim's place in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from causaltest.recording import ledger, lock
from causaltest.recording.git import Committed, committed
from causaltest.recording.ledger import Ledger
from causaltest.recording.lock import Lock, read_lock
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Standing, Status, standing_of


class Record:
    """A folder's lock and ledger, read once for one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / ledger.NAME)

    @property
    def lock_file(self) -> Path:
        return self.folder / lock.NAME

    @cached_property
    def lock(self) -> Lock:
        return read_lock(self.lock_file)

    @cached_property
    def committed(self) -> Committed:
        return committed(self.lock_file)

    def family_size(self, id: str) -> int | None:
        """Of a registered claim, that of its batch: a claim that is added later does not change its neighbours."""
        entry = self.lock.entries.get(id)
        return None if entry is None else int(entry.spec["family"]["size"])

    def look(self, spec: Spec, *, seed: str, seen: Sequence[str], told: Mapping[str, Any]) -> Standing:
        """The standing of a claim that was just measured; the look is written down unless it is there already."""
        standing: list[Standing] = []

        def line(lines: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
            looks = [one for one in lines if one["claim"] == spec.id]
            standing.append(
                standing_of(
                    spec,
                    self.lock.entries.get(spec.id),
                    seed=seed,
                    committed=self.committed,
                    looks=looks,
                    seen=seen,
                )
            )
            if any((one["spec"], one["seed"]) == (spec.digest, seed) for one in looks):
                return None
            return {
                "kind": "look",
                "claim": spec.id,
                "spec": spec.digest,
                "data": spec.data_digest,
                "seed": seed,
                "status": str(standing[0].status),
                "commit": self.committed.head,
                "lock": self.lock.head,
                "at": now(),
                **told,
            }

        try:
            self.ledger.append(line)
        except OSError as error:
            return Standing(Status.EXPLORATORY, f"the look could not be written down: {error}")
        return standing[0]


def record_of(file: Path, *, top: Path) -> Record | None:
    """The record that a test file belongs to: that of the nearest folder above it with a lock, up to `top`."""
    for folder in file.parents:
        if (folder / lock.NAME).is_file():
            return Record(folder)
        if folder == top:
            break
    return None


def id_in(record_folder: Path, nodeid: str, file: Path) -> str:
    """A test's id within its record: the same wherever pytest is called from."""
    return f"{relative(file, record_folder)}::{nodeid.split('::', 1)[1]}"


@lru_cache(maxsize=64)
def relative(file: Path, folder: Path) -> str:
    """A file as its record names it."""
    return file.relative_to(folder).as_posix()


def now() -> str:
    """UTC, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
