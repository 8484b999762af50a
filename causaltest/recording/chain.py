"""Chain: OpenTimestamps proofs, which tie a hash to a Bitcoin block. The only file that knows opentimestamps.

A proof is a way from the file's hash to the merkle root of a block, by appending and hashing. That the way leads where
it says is computed here. Which merkle root the block has, and when it was mined, stands in the chain alone.
"""

from __future__ import annotations

import hmac
import warnings
from collections.abc import Mapping
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.stamp import Stamp, shown

MAGIC = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
LARGEST_BYTES = 1 << 16
"""Its whole numbers have no bound of their own, and reading one takes the square of its length."""


def read(data: bytes, *, name: str, merkle_roots: Mapping[int, str]) -> Stamp:
    """What an OpenTimestamps proof shows. Raises RecordError for bytes that are none, and for a wrong merkle root."""
    if len(data) > LARGEST_BYTES:
        raise RecordError(
            f"{name} is larger than {LARGEST_BYTES} bytes, and an OpenTimestamps proof takes some thousand."
        )
    proof = parsed(data, name)
    if proof.file_hash_op.TAG_NAME != "sha256":
        raise RecordError(
            f"{name} is of the file's {proof.file_hash_op.TAG_NAME}, and a lock is known by its SHA-256: stamp it "
            "with `ots stamp claims.lock`."
        )
    attested = list(proof.timestamp.all_attestations())
    blocks = {a.height: message for message, a in attested if type(a).__name__ == "BitcoinBlockHeaderAttestation"}
    pending = sorted({a.uri for _, a in attested if type(a).__name__ == "PendingAttestation"})
    shows, unchecked = [], []
    for height, message in sorted(blocks.items()):
        root = merkle_root(message, height, name)
        looked_up = merkle_roots.get(height)
        if looked_up is None:
            unchecked.append(
                f"It says that Bitcoin block {height} holds this hash. That is so if that block's merkle root is "
                f"{root}: look it up at a node or block explorer that you trust, and give --merkle-root {height}:HEX. "
                "The block's time is then the time of the stamp."
            )
        elif hmac.compare_digest(looked_up.strip().lower().encode(), root.encode()):
            shows.append(f"Bitcoin block {height} holds this hash: the file is at least as old as that block.")
        else:
            raise RecordError(
                f"{name} does not hold: it leads to the merkle root {root}, and that of block {height} was given as "
                f"{shown(looked_up)}."
            )
    if not blocks:
        where = f" It waits at {', '.join(shown(uri) for uri in pending)}." if pending else ""
        unchecked.append(
            f"It is in no Bitcoin block yet, so it shows no time.{where} Some hours after stamping, "
            f"`ots upgrade {name}` puts the block into it."
        )
    # One block that was looked up is enough; the others would only say it again.
    return Stamp("sha256", bytes(proof.file_digest), tuple(shows), () if shows else tuple(unchecked))


def parsed(data: bytes, name: str) -> Any:
    """The proof as the library has it."""
    try:
        from opentimestamps.core.serialize import BytesDeserializationContext
        from opentimestamps.core.timestamp import DetachedTimestampFile
    except ImportError as error:
        raise RecordError(
            f"{name} is an OpenTimestamps proof, which the package opentimestamps reads: pip install "
            f"'causaltest[timestamps]'. ({error})"
        ) from error
    try:
        with warnings.catch_warnings():
            # Of an operation that proofs may have, and that the library would rather be without.
            warnings.simplefilter("ignore")
            return DetachedTimestampFile.deserialize(BytesDeserializationContext(data))
    except Exception as error:  # a stranger's bytes: whatever the library says to them, they are no proof
        raise RecordError(f"{name} is no OpenTimestamps proof that can be read: {shown(str(error))}.") from error


def merkle_root(message: bytes, height: int, name: str) -> str:
    """As block explorers print it: the last byte first."""
    if len(message) != 32:
        raise RecordError(f"{name} leads to {len(message)} bytes at block {height}, and a merkle root has 32.")
    return message[::-1].hex()
