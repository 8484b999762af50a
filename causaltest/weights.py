"""Weights known by their hash; a file that has not changed is hashed once."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from causaltest.bounded import read_bounded
from causaltest.errors import ModelError
from causaltest.kept import cache_folder, keep

PATTERNS = ("model*.safetensors", "pytorch_model*.bin")
"""Weights in the layouts of transformers, whole or in shards; the first pattern that is found is what is loaded."""
TICK_S = 0.02
"""Within one tick of a file system's clock two changes have one time; common ones take up to 10 milliseconds."""

LARGEST_NOTE = 1 << 16
"""Bytes of what is remembered of one file."""


def weights_of(folder: Path) -> dict[str, str]:
    """The provenance of a checkpoint folder: its weights by their hash, those of shards in one."""
    for pattern in PATTERNS:
        files = sorted(folder.glob(pattern))
        if len(files) == 1:
            return {"weights": remembered_sha256(files[0])}
        if files:
            hashes = "".join(map(remembered_sha256, files))
            return {"weights": hashlib.sha256(hashes.encode()).hexdigest()}
    return {}


def remembered_sha256(file: Path) -> str:
    """The SHA-256 of a file, kept under its path, size and times of change.

    The time of its contents can be set to what it was (cp -p, rsync, a build); that of its status cannot.
    """
    known = file.resolve()
    status = known.stat()
    identity = f"{known}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ctime_ns}\n{status.st_ino}"
    kept = cache_folder() / "weights" / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"
    try:
        said = json.loads(read_bounded(kept, LARGEST_NOTE).decode())
        if said["identity"] == identity:
            return str(said["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    if abs(time.time() - status.st_ctime) < TICK_S:
        # It may be written once more under the same time, which would not show.
        time.sleep(TICK_S)
    found = sha256(known)
    keep(kept, {"identity": identity, "sha256": found})
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, wanted: str) -> str:
    """The file's hash. Raises ModelError when it is not the one that is recorded for it."""
    found = sha256(path)
    if found != wanted:
        raise ModelError(
            f"{path.name} has SHA-256 {found[:16]}..., and {wanted[:16]}... is recorded for it: the file was "
            "changed or damaged. Install causaltest again, or check out the file from version control."
        )
    return found
