"""Damaged entries: of a real store, in every way that a disk or a person has of damaging a file. None may be believed.

Each entry, of every kind that a run keeps, is damaged and read; then whole stores are damaged and asked again, which
must give what they gave before.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.faults.asked import ask, twins
from benchmarks.faults.result import Result
from causaltest.store.folder import Store
from causaltest.store.kept import Kept
from causaltest.store.layout import DAMAGED, Lying, file_of, lying

TRIALS, ROUNDS = 500, 3
KINDS = ("answers", "effects", "parts", "plans", "runs")


def run() -> Sequence[Result]:
    """500 damaged entries, and stores that are damaged as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        made = damaged_entries(Path(folder), trials=TRIALS)
        again = [damaged_store(Path(folder), seed=seed, layers=range(12), clusters=12) for seed in range(ROUNDS)]
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(made.kinds.items()))
    entries = sum(one.entries for one in again)
    return [
        Result(
            "500 damaged store entries (bit flips, truncation, swapped files): undetected",
            "0",
            "0",
            str(len(made.undetected)),
            held=not made.undetected and sum(made.kinds.values()) == TRIALS and all(one.held for one in again),
            how=f"a store of the ducks, {len(SORTS)} sorts of damage: {kinds}; {ROUNDS} stores with {entries} entries "
            f"damaged and asked again: {sum(one.differ for one in again)} other numbers",
        )
    ]


@dataclass(frozen=True)
class Made:
    """What came of damaging entries one by one."""

    undetected: tuple[str, ...]
    kinds: Counter[str]
    sorts: Counter[str]


def damaged_entries(folder: Path, *, trials: int, layers: Sequence[int] = (6, 7), clusters: int = 6) -> Made:
    """Damages entries of a real store, reads each, and mends it."""
    place = folder / "entries"
    with nothing_let_go():
        ask(place, twins(clusters), layers)
    by_kind = {kind: [one for one in sorted(lying(place), key=str) if one.kind == kind] for kind in KINDS}
    if not all(by_kind.values()):
        raise AssertionError(f"the store has no {[kind for kind, ones in by_kind.items() if not ones]}")
    random_ = random.Random(11)
    undetected, kinds, sorts = [], Counter[str](), Counter[str]()
    for trial in range(trials):
        kind, sort = KINDS[trial % len(KINDS)], list(SORTS)[trial // len(KINDS) % len(SORTS)]
        one = random_.choice(by_kind[kind])
        with mended(place):
            SORTS[sort](place, one, random_)
            store = Store(place)
            if store.get(one.kind, one.key) is not None or len(store.damaged) != 1:
                undetected.append(f"{sort} of {one.path}")
        kinds[kind] += 1
        sorts[sort] += 1
    return Made(tuple(undetected), kinds, sorts)


@dataclass(frozen=True)
class Again:
    """What came of asking a damaged store."""

    entries: int
    """Those that were damaged."""
    told: int
    """Those that were told of."""
    differ: int
    """Answers that are others than before."""
    verdicts: int
    """Verdicts that are others than before."""
    computed: int
    """Patched runs that were made the first time."""
    anew: int
    """Those that were made again: all, where nothing damaged was believed."""

    @property
    def held(self) -> bool:
        same = not self.differ and not self.verdicts
        return same and self.entries == self.told and self.anew == self.computed > 0


def damaged_store(folder: Path, *, seed: int, layers: Sequence[int], clusters: int) -> Again:
    """Damages every entry of a store, asks again, and compares with what came of it the first time."""
    place, random_ = folder / f"store-{seed}", random.Random(seed)
    first = ask(place, twins(clusters), layers)
    there = [one for one in lying(place) if one.kind != DAMAGED]
    for one in there:
        sort = random_.choice([sort for sort in SORTS if not sort.startswith("swapped")])
        SORTS[sort](place, one, random_)
    again = ask(place, twins(clusters), layers)
    return Again(
        entries=len(there),
        told=len(again.told),
        differ=differing(first.numbers, again.numbers),
        verdicts=differing(first.verdicts, again.verdicts),
        computed=first.anew,
        anew=again.anew,
    )


def differing(first: Sequence[str], again: Sequence[str]) -> int:
    return sum(one != other for one, other in zip(first, again, strict=True))


@contextmanager
def nothing_let_go() -> Iterator[None]:
    """Parts and journals stay, as a run that was killed would leave them; and each task's part is kept."""
    from causaltest.measuring import parts

    with (
        mock.patch.object(parts, "EVERY_S", 0.0),
        mock.patch.object(Kept, "drop", lambda *_: None),
    ):
        yield


@contextmanager
def mended(place: Path) -> Iterator[None]:
    """Puts all entries of a store back as they were; damage may have moved two."""
    there = [Path(other.path) for other in lying(place) if other.kind != DAMAGED]
    before = {file: file.read_bytes() for file in there}
    try:
        yield
    finally:
        shutil.rmtree(place / DAMAGED, ignore_errors=True)
        for file, data in before.items():
            if file.is_symlink() or not file.is_file() or file.read_bytes() != data:
                remove(file)
                file.write_bytes(data)


def remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


# The sorts of damage


def flipped(place: Path, one: Lying, random_: random.Random, bits: int = 1) -> None:
    data = bytearray(Path(one.path).read_bytes())
    # As often in what is short, the header, as in the numbers: a bit anywhere is nearly always in the numbers.
    end = len(data) if random_.random() < 0.5 else 8 + int.from_bytes(data[:8], "little")
    for at in random_.sample(range(end), bits):
        data[at] ^= 1 << random_.randrange(8)
    Path(one.path).write_bytes(data)


def cut(place: Path, one: Lying, random_: random.Random) -> None:
    os.truncate(one.path, random_.randrange(1, one.nbytes))


def cut_by_a_byte(place: Path, one: Lying, random_: random.Random) -> None:
    os.truncate(one.path, one.nbytes - 1)


def emptied(place: Path, one: Lying, random_: random.Random) -> None:
    os.truncate(one.path, 0)


def longer(place: Path, one: Lying, random_: random.Random) -> None:
    with open(one.path, "ab") as stream:
        stream.write(random_.choice([b"\0", b" ", b"}", random_.randbytes(random_.randrange(1, 5000))]))


def twice(place: Path, one: Lying, random_: random.Random) -> None:
    file = Path(one.path)
    file.write_bytes(file.read_bytes() * 2)


def zeros(place: Path, one: Lying, random_: random.Random) -> None:
    """A stretch of zeros, as a power cut leaves where a file was lengthened and not written."""
    data = bytearray(Path(one.path).read_bytes())
    start = random_.randrange(len(data))
    stop = min(len(data), start + random_.choice([1, 512, 4096]))
    # Numbers may be zeros already.
    data[start:stop] = bytes(stop - start) if any(data[start:stop]) else b"\xff" * (stop - start)
    Path(one.path).write_bytes(data)


def noise(place: Path, one: Lying, random_: random.Random) -> None:
    Path(one.path).write_bytes(random_.randbytes(one.nbytes))


def a_folder(place: Path, one: Lying, random_: random.Random) -> None:
    os.unlink(one.path)
    os.mkdir(one.path)


def a_link(place: Path, one: Lying, random_: random.Random) -> None:
    """To a whole copy: what a link leads to is not the store's."""
    copy = place / "copy"
    shutil.copy(one.path, copy)
    os.unlink(one.path)
    os.symlink(copy, one.path)


def swapped(place: Path, one: Lying, random_: random.Random) -> None:
    """With another of its kind, or where there is none with one of another key that is a copy of it."""
    others = [other for other in sorted(lying(place), key=str) if other.kind == one.kind and other.key != one.key]
    if others:
        swap(one.path, random_.choice(others).path)
    else:
        file_of(place, one.kind, one.key).write_bytes(Path(one.path).read_bytes().replace(one.key.encode(), b"0" * 64))


def swapped_across_kinds(place: Path, one: Lying, random_: random.Random) -> None:
    others = [other for other in sorted(lying(place), key=str) if other.kind not in (one.kind, DAMAGED)]
    small = [other for other in others if other.nbytes < 1 << 20]
    swap(one.path, random_.choice(small).path)


def swap(one: str, other: str) -> None:
    os.rename(one, f"{one}.moved")
    os.rename(other, one)
    os.rename(f"{one}.moved", other)


SORTS: dict[str, Callable[[Path, Lying, random.Random], None]] = {
    "a bit": flipped,
    "three bits": lambda place, one, random_: flipped(place, one, random_, 3),
    "cut": cut,
    "cut by a byte": cut_by_a_byte,
    "emptied": emptied,
    "longer": longer,
    "twice": twice,
    "zeros": zeros,
    "noise": noise,
    "a folder": a_folder,
    "a link": a_link,
    "swapped": swapped,
    "swapped with another kind": swapped_across_kinds,
}
