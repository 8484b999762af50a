"""OpenTimestamps proofs: pending ones, ones in a block, and files that only look like one."""

from __future__ import annotations

import hashlib
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentimestamps.core.notary import (
    BitcoinBlockHeaderAttestation,
    LitecoinBlockHeaderAttestation,
    PendingAttestation,
    TimeAttestation,
)
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA1, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

from causaltest.errors import RecordError
from causaltest.recording.chain import LARGEST_BYTES, MAGIC, read

LOCK = b"a lock"
CALENDAR = PendingAttestation("https://calendar.example.org")


def proof(*attestations: TimeAttestation, of: bytes = LOCK, first=OpSHA256) -> bytes:
    """A proof with all attestations at the end of one way: append, hash, prepend, hash."""
    start = Timestamp(hashlib.new(first.HASHLIB_NAME, of).digest())
    end = start.ops.add(OpAppend(b"before")).ops.add(OpSHA256()).ops.add(OpPrepend(b"after")).ops.add(OpSHA256())
    end.attestations.update(attestations)
    context = BytesSerializationContext()
    DetachedTimestampFile(first(), start).serialize(context)
    return context.getbytes()


def root(of: bytes = LOCK) -> str:
    """The merkle root that `proof` leads to, by hand."""
    inner = hashlib.sha256(hashlib.sha256(of).digest() + b"before").digest()
    return hashlib.sha256(b"after" + inner).digest()[::-1].hex()


def test_a_pending_proof_shows_no_time():
    stamp = read(proof(CALENDAR), name="lock.ots", merkle_roots={})
    assert stamp.digest == hashlib.sha256(LOCK).digest()
    assert stamp.shows == ()
    (left,) = stamp.unchecked
    assert "no Bitcoin block yet" in left
    assert "https://calendar.example.org" in left
    assert "`ots upgrade lock.ots`" in left


def test_a_block_is_named_and_left_to_check():
    stamp = read(proof(CALENDAR, BitcoinBlockHeaderAttestation(800_000)), name="lock.ots", merkle_roots={})
    assert stamp.shows == ()
    (left,) = stamp.unchecked
    assert f"Bitcoin block 800000 holds this hash. That is so if that block's merkle root is {root()}" in left


def test_a_block_that_was_looked_up_holds():
    made = proof(BitcoinBlockHeaderAttestation(800_000), BitcoinBlockHeaderAttestation(800_001))
    stamp = read(made, name="lock.ots", merkle_roots={800_000: root().upper()})
    assert stamp.unchecked == ()
    assert stamp.shows == ("Bitcoin block 800000 holds this hash: the file is at least as old as that block.",)


@pytest.mark.parametrize("given_root", ["", "00", root(b"another lock"), root()[:-1], "\x1b[2J"])
def test_a_block_with_another_root_does_not_hold(given_root):
    with pytest.raises(RecordError, match="does not hold") as refused:
        read(proof(BitcoinBlockHeaderAttestation(800_000)), name="lock.ots", merkle_roots={800_000: given_root})
    assert str(refused.value).isprintable()


def test_another_blocks_root_says_nothing():
    made = proof(BitcoinBlockHeaderAttestation(800_000))
    assert read(made, name="lock.ots", merkle_roots={800_001: root()}).shows == ()


def test_other_chains_show_nothing():
    (left,) = read(proof(LitecoinBlockHeaderAttestation(5)), name="lock.ots", merkle_roots={5: root()}).unchecked
    assert "no Bitcoin block yet" in left


def test_a_way_that_ends_in_no_root_is_refused():
    start = Timestamp(hashlib.sha256(LOCK).digest())
    start.ops.add(OpAppend(b"!")).attestations.add(BitcoinBlockHeaderAttestation(7))
    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), start).serialize(context)
    with pytest.raises(RecordError, match="leads to 33 bytes at block 7"):
        read(context.getbytes(), name="lock.ots", merkle_roots={})


def test_a_proof_of_a_sha1_is_refused():
    with pytest.raises(RecordError, match="is of the file's sha1"):
        read(proof(CALENDAR, first=OpSHA1), name="lock.ots", merkle_roots={})


def test_what_is_too_large_or_too_deep_is_refused():
    with pytest.raises(RecordError, match="is larger than"):
        read(MAGIC + bytes(LARGEST_BYTES), name="lock.ots", merkle_roots={})
    deep = MAGIC + b"\x01\x08" + bytes(32) + b"\x08" * 10_000
    with pytest.raises(RecordError, match="can be read"):
        read(deep, name="lock.ots", merkle_roots={})
    endless_number = MAGIC + b"\xff" * (LARGEST_BYTES - len(MAGIC))
    with pytest.raises(RecordError, match="can be read"):
        read(endless_number, name="lock.ots", merkle_roots={})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_changed_byte_never_shows_the_same_block(data):
    """It is refused, or is of another file, or leads elsewhere, or says what it said."""
    made = proof(BitcoinBlockHeaderAttestation(800_000))
    at = data.draw(st.integers(0, len(made) - 1))
    changed = bytearray(made)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        stamp = read(bytes(changed), name="lock.ots", merkle_roots={800_000: root()})
    except RecordError:
        return
    assert stamp.shows == ()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_proof_are_refused(noise):
    with pytest.raises(RecordError):
        read(MAGIC + b"\x01\x08" + noise, name="lock.ots", merkle_roots={})


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimestamps.core.serialize", None)
    with pytest.raises(RecordError, match=r"pip install 'causaltest\[timestamps\]'"):
        read(proof(CALENDAR), name="lock.ots", merkle_roots={})
