"""Proofs of a lock: which state of it was stamped, and files that are no proof at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation
from opentimestamps.core.op import OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp
from records import git

from causaltest.cli import main
from causaltest.errors import RecordError
from causaltest.recording.committed_versions import ALWAYS_READ
from causaltest.recording.proofs import LARGEST_BYTES, stamp_of
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec


def proof_of(content: bytes, folder: Path, *, block: int = 800_000) -> Path:
    start = Timestamp(hashlib.sha256(content).digest())
    start.ops.add(OpSHA256()).attestations.add(BitcoinBlockHeaderAttestation(block))
    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), start).serialize(context)
    file = folder / "lock.ots"
    file.write_bytes(context.getbytes())
    return file


def root_of(content: bytes) -> str:
    return hashlib.sha256(hashlib.sha256(content).digest()).digest()[::-1].hex()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    register(
        Record(tmp_path), [Candidate(Spec("test_a.py::test_one", {"sentence": "It does.", "family": {"size": 1}}))]
    )
    return tmp_path / "claims.lock"


def test_a_proof_of_the_lock_as_it_is(lock):
    state, stamp = stamp_of(
        proof_of(lock.read_bytes(), lock.parent), lock, merkle_roots={800_000: root_of(lock.read_bytes())}
    )
    assert state == "It is of claims.lock as it is."
    assert stamp.unchecked == ()


def test_a_proof_outlives_what_is_registered_later(lock):
    """A stamp of the first registration stays worth something when a second one is added."""
    proof = proof_of(lock.read_bytes(), lock.parent)
    git(lock.parent, "init", "-q")
    git(lock.parent, "add", "claims.lock")
    git(lock.parent, "commit", "-qm", "first")
    first = git(lock.parent, "rev-parse", "HEAD")
    for text in (b"second\r\n", b"third"):
        lock.write_bytes(text)
        git(lock.parent, "commit", "-qam", "more")
    state, _ = stamp_of(proof, lock)
    assert state == f"It is of claims.lock as committed in {first[:8]}, and not of what was added to it since."


def test_a_proof_of_what_was_never_committed_is_refused(lock):
    proof = proof_of(b"something else", lock.parent)
    git(lock.parent, "init", "-q")
    git(lock.parent, "add", "claims.lock")
    git(lock.parent, "commit", "-qm", "first")
    with pytest.raises(RecordError, match="is no proof of") as refused:
        stamp_of(proof, lock)
    assert hashlib.sha256(b"something else").hexdigest() in str(refused.value)
    assert hashlib.sha256(lock.read_bytes()).hexdigest() in str(refused.value)


def test_a_version_far_larger_than_the_lock_is_not_read(lock):
    proof = proof_of(bytes(2 * ALWAYS_READ), lock.parent)
    git(lock.parent, "init", "-q")
    right = lock.read_bytes()
    for content in (bytes(2 * ALWAYS_READ), right):
        lock.write_bytes(content)
        git(lock.parent, "add", "claims.lock")
        git(lock.parent, "commit", "-qm", "one")
    with pytest.raises(RecordError, match="is no proof of"):
        stamp_of(proof, lock)


def test_a_commit_of_another_file_does_not_count(lock):
    """Only what stood in the lock's own place was registered."""
    proof = proof_of(b"something else", lock.parent)
    git(lock.parent, "init", "-q")
    lock.with_name("notes.txt").write_bytes(b"something else")
    git(lock.parent, "add", "claims.lock", "notes.txt")
    git(lock.parent, "commit", "-qm", "first")
    with pytest.raises(RecordError, match="is no proof of"):
        stamp_of(proof, lock)


def test_a_strangers_repository_runs_no_program(lock):
    """Whoever reviews a record runs git in a folder whose settings somebody else has written."""
    folder, ran = lock.parent, lock.with_name("ran")
    program = lock.with_name("program")
    program.write_text(f"#!/bin/sh\necho >> '{ran}'\n", encoding="utf-8")
    program.chmod(0o755)
    git(folder, "init", "-q")
    git(folder, "add", "claims.lock")
    git(folder, "commit", "-qm", "first")
    body = git(folder, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n -----END PGP SIGNATURE-----\n\n", 1
    )
    signed = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"],
        cwd=folder,
        input=f"{body}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    git(folder, "reset", "-q", "--soft", signed.stdout.strip())
    for setting in ("core.fsmonitor", "gpg.program", "core.pager", "diff.external"):
        git(folder, "config", setting, str(program))
    git(folder, "config", "log.showSignature", "true")
    subprocess.run(["git", "log", "-1"], cwd=folder, check=True, capture_output=True)
    assert ran.exists(), "git by itself runs what the repository names"
    ran.unlink()
    proof = proof_of(b"something else", folder)
    ended = CliRunner().invoke(main, ["verify", str(folder), "--proof", str(proof)])
    assert ended.exit_code == 1
    assert not ran.exists()


def test_what_is_no_proof_is_told(lock):
    for content in (b"", b"a letter", b"PK\x03\x04", lock.read_bytes(), "é".encode("utf-16")):
        file = lock.with_name("lock.tsr")
        file.write_bytes(content)
        with pytest.raises(RecordError, match=r"neither an RFC 3161 response .* nor an OpenTimestamps proof"):
            stamp_of(file, lock)


def test_a_file_that_is_too_large_is_not_read(lock):
    file = lock.with_name("lock.tsr")
    with file.open("wb") as opened:
        opened.write(b"\x30")
        opened.truncate(100 * LARGEST_BYTES)
    with pytest.raises(RecordError, match="is larger than"):
        stamp_of(file, lock)


def test_verify_says_what_is_left_to_check(lock):
    proof = proof_of(lock.read_bytes(), lock.parent)
    unchecked = CliRunner().invoke(main, ["verify", str(lock.parent), "--proof", str(proof)])
    assert unchecked.exit_code == 1
    assert f"proof {proof}: NOT CHECKED" in unchecked.output
    assert "It says that Bitcoin block 800000 holds this hash." in " ".join(unchecked.output.split())
    looked_up = ["--merkle-root", f"800000:{root_of(lock.read_bytes())}"]
    holds = CliRunner().invoke(main, ["verify", str(lock.parent), "--proof", str(proof), *looked_up])
    assert (holds.exit_code, f"proof {proof}: HOLDS" in holds.output) == (0, True)
    wrong = ["--merkle-root", "800000:00"]
    fails = CliRunner().invoke(main, ["verify", str(lock.parent), "--proof", str(proof), *wrong])
    assert (fails.exit_code, f"proof {proof}: DOES NOT HOLD" in fails.output) == (1, True)


@pytest.mark.parametrize("given", ["800000", ":00", "block:00", "-1:00", "99999999999:00"])
def test_a_merkle_root_without_its_block_is_a_mistake_of_usage(lock, given):
    ran = CliRunner().invoke(main, ["verify", str(lock.parent), "--merkle-root", given])
    assert ran.exit_code == 2
    assert "--merkle-root takes BLOCK:HEX" in ran.output


def test_verify_reads_no_package_of_the_extra_unless_a_proof_is_given(lock):
    code = (
        "import atexit, sys; from causaltest.cli import main;"
        "atexit.register(lambda: print([name for name in sys.modules if name.split('.')[0] in "
        "('rfc3161_client', 'opentimestamps', 'cryptography', 'torch', 'numpy', 'scipy')]));"
        "main(['verify', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(lock.parent)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
