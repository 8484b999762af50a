"""Bundle: a record in one file for a reviewer: lock, ledger, the effects of its looks, and a page to read.

    manifest.json        what each file hashes to, the versions, and the commit that the lock stands in
    claims.lock          as it stands in the record's folder: the specs, and the hashes of the pairs
    claims.ledger        as it stands there
    effects.safetensors  per pair what was measured, with the controls, of each look that has been saved
    page.html            the same to be read in a browser

No prompt is in it. The same record makes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from causaltest import __version__
from causaltest.bounded import read_bounded
from causaltest.errors import RecordError, Tampered
from causaltest.judging.version import STATISTICS
from causaltest.recording import ledger, lock, lock_text
from causaltest.recording.baseline import (
    USUAL,
    Baseline,
    baseline_file,
    baseline_from_bytes,
    baseline_to_bytes,
    read_baseline,
)
from causaltest.recording.fingerprint import is_of
from causaltest.recording.git import Committed
from causaltest.recording.ledger import parse_ledger
from causaltest.recording.lock import Lock, parse_lock
from causaltest.recording.record import Record
from causaltest.recording.zipped import LARGEST, unzipped, zipped
from causaltest.writing.exact import data_of

FORMAT, VERSION = "causaltest bundle", 1
MANIFEST, EFFECTS, PAGE = "manifest.json", "effects.safetensors", "page.html"
FOR_THE_REST = 1 << 20
"""Bytes that the manifest, and the ZIP itself, may take."""
PARTS = (lock.NAME, ledger.NAME, EFFECTS, PAGE)
Lines = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds."""

    lock_text: bytes
    ledger_text: bytes
    effects: Baseline
    committed: Committed
    """Where the lock stood in git when the bundle was made."""
    page: bytes = b""
    version: str = __version__
    """Of the causaltest that made it."""

    @property
    def lock(self) -> Lock:
        """Raises RecordError for what is no lock."""
        return parse_lock(self.lock_text, named=lock.NAME)

    @property
    def lines(self) -> Lines:
        """The ledger's. Raises RecordError for what is no ledger."""
        return list(parse_ledger(self.ledger_text.decode(errors="surrogateescape"), named=ledger.NAME))


def bundle_of(folder: Path, *, baseline: str) -> Bundle:
    """What a folder's record is as a bundle, with the effects that a baseline has of its looks, and no page yet.

    Raises RecordError where there is no lock, or what is there cannot be read.
    """
    record = Record(folder)
    try:
        locked = read_bounded(record.lock_file, lock_text.LARGEST)
    except OSError as error:
        raise RecordError(
            f"{record.lock_file} cannot be read ({error.strerror}), and a bundle begins with a lock: `causaltest "
            f"register {folder}` makes one."
        ) from error
    try:
        ledger_text = read_bounded(folder / ledger.NAME, ledger.LARGEST)
    except FileNotFoundError:
        ledger_text = b""
    except OSError as error:
        raise RecordError(f"{folder / ledger.NAME} cannot be read: {error.strerror or error}.") from error
    file = baseline_file(folder, baseline)
    try:
        saved = read_baseline(file)
    except FileNotFoundError:
        if baseline != USUAL:
            there = ", ".join(sorted(other.stem for other in file.parent.glob(f"*{file.suffix}"))) or "none"
            raise RecordError(f"There is no {file}; saved are: {there}.") from None
        saved = Baseline({})
    lines = record.ledger.lines
    of_looks = {id: claim for id, claim in saved.claims.items() if any(is_of(claim, line) for line in lines)}
    return Bundle(locked, ledger_text, replace(saved, claims=of_looks), record.committed)


def packed(bundle: Bundle) -> bytes:
    """The bytes of the file. Raises RecordError for one that is too large to be read again."""
    parts = {
        lock.NAME: bundle.lock_text,
        ledger.NAME: bundle.ledger_text,
        EFFECTS: baseline_to_bytes(bundle.effects),
        PAGE: bundle.page,
    }
    if sum(map(len, parts.values())) > LARGEST - FOR_THE_REST:
        raise RecordError(f"The bundle would have more than {LARGEST >> 20} MB, and nobody would unpack it.")
    at = bundle.committed
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "versions": {"causaltest": bundle.version, "statistics": STATISTICS},
        "commit": {"lock": at.commit, "head": at.head, "why_not": at.why_not},
        "files": {name: sha256(part).hexdigest() for name, part in parts.items()},
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True)
    return zipped({MANIFEST: f"{text}\n".encode(), **parts})


def read_bundle(file: Path) -> Bundle:
    """The bundle in a file.

    Raises RecordError for what is none, is damaged or newer than this causaltest, and Tampered where a part is not
    the one that the manifest names.
    """
    files = unzipped(file, (MANIFEST, *PARTS))
    manifest = manifest_of(file, files.pop(MANIFEST, None))
    try:
        named = dict(manifest["files"])
        commit = manifest["commit"]
        committed = Committed(str(commit["lock"]), str(commit["head"]), str(commit["why_not"]))
        version = str(manifest["versions"]["causaltest"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{file}: its {MANIFEST} lacks {error}.") from error
    for name in sorted({*named, *files, *PARTS}):
        if name not in files:
            raise Tampered(f"{file}: {name} was taken out of it.")
        if named.get(name) != sha256(files[name]).hexdigest():
            raise Tampered(f"{file}: {name} is not the one that {MANIFEST} names: it was changed after it was packed.")
    return Bundle(
        lock_text=files[lock.NAME],
        ledger_text=files[ledger.NAME],
        effects=baseline_from_bytes(files[EFFECTS], f"{file}: {EFFECTS}"),
        committed=committed,
        page=files[PAGE],
        version=version,
    )


def manifest_of(file: Path, text: bytes | None) -> Mapping[str, Any]:
    """The manifest's data. Raises RecordError for what is none, or a newer one."""
    if text is None:
        raise RecordError(f"{file} is no bundle: it has no {MANIFEST}. `causaltest bundle claims/` makes one.")
    data = data_of(text.decode(errors="surrogateescape"), of=f"{file}: {MANIFEST}")
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise RecordError(f'{file} is no bundle: its {MANIFEST} does not say "format": "{FORMAT}".')
    version = data.get("version")
    if type(version) is not int or version != VERSION:
        raise RecordError(
            f"{file} has version {version!r} of a bundle's format, and this causaltest ({__version__}) reads "
            f"{VERSION}. Update causaltest."
        )
    return data
