"""The files that fuzzing begins with: `python -m benchmarks.faults.seeds` writes them anew, of a small suite.

They are committed, so that the short form begins with what the long form began with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from benchmarks.faults.good_files import LAYERS, inner

FOLDER = Path(__file__).with_name("seeds")
ROOT = Path(__file__).parents[2]
SUITE = """
import pytest
from causaltest import accuracy, at_least, claim, last, logit_diff, monotone, negligible, resid_post
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@pytest.fixture(scope="module")
def pairs():
    return planted.pairs(per_cluster=1)

def there(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last()))

@claim("The last token carries the answer.", at_least(0.30, expecting=0.60))
@pytest.mark.parametrize("layer", [1, 2])
def test_last(lab, pairs, layer):
    return there(lab, pairs, layer).recovery(accuracy)

@claim.multiverse(metric=[accuracy, logit_diff(range=(-20, 20))])
@claim("Nothing else does.", negligible(within=0.05))
def test_nothing(lab, pairs, metric):
    return there(lab, pairs, 0).recovery(metric)

@claim("It rises.", monotone([0, 1, 2]))
def test_rises(lab, pairs):
    return {layer: there(lab, pairs, layer).recovery(logit_diff(range=(-20, 20))) for layer in (0, 1, 2)}
"""

LOOKS = f"""
from causaltest import Lab, accuracy, last, logit_diff, resid_post
from causaltest.organisms import planted

lab, pairs = Lab.load("organism:planted", store="store"), planted.pairs(per_cluster=1)
print(lab.clean(pairs, eligible=accuracy))
print(lab.sweep(pairs, at=resid_post({LAYERS}, last())).recovery(logit_diff(range=(-20, 20))))
"""

AUTHORITY = """
[tsa]
default_tsa = here
[here]
serial = ./serial
signer_cert = ./authority.pem
signer_key = ./authority.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "claims").mkdir()
        (folder / "claims" / "test_planted.py").write_text(SUITE)
        run(folder, sys.executable, "-m", "causaltest.cli", "register", "claims")
        run(folder, "git", "init", "-q", ".")
        run(folder, "git", "add", "-A")
        run(folder, "git", "-c", "user.name=seeds", "-c", "user.email=seeds@example.org", "commit", "-qm", "registered")
        store = f"--causal-cache-dir={folder / 'store'}"
        run(folder, sys.executable, "-m", "pytest", "-q", "claims", "--causal-save", store)
        run(folder, sys.executable, "-m", "causaltest.cli", "bundle", "claims")
        run(folder, sys.executable, "-c", LOOKS)
        FOLDER.mkdir(exist_ok=True)
        made = {
            "claims.lock": folder / "claims" / "claims.lock",
            "claims.ledger": folder / "claims" / "claims.ledger",
            "baseline.safetensors": folder / "claims" / "baselines" / "baseline.safetensors",
            "claims.zip": folder / "claims.zip",
            "effect.safetensors": entry(folder / "store", "effects", "numbers"),
            "clean.safetensors": entry(folder / "store", "answers", "runs"),
            "map.safetensors": entry(folder / "store", "answers", "estimates"),
            "seen.jsonl": folder / "cache" / "seen.jsonl",
        }
        made |= stamps(folder, made["claims.lock"])
        for name, file in made.items():
            shutil.copy(file, FOLDER / name)
            print(f"{name}: {file.stat().st_size:,} bytes")
    return 0


def stamps(folder: Path, file: Path) -> dict[str, Path]:
    """A file's time stamp by an authority of its own, with its root; and one in a block, as if one had it."""
    from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
    from opentimestamps.core.op import OpAppend, OpSHA256
    from opentimestamps.core.serialize import BytesSerializationContext
    from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

    new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (folder / "config").write_text(AUTHORITY)
    (folder / "use").write_text("extendedKeyUsage=critical,timeStamping\n")
    run(folder, *new, "-x509", "-days", "3650", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=A root")
    run(folder, *new, "-keyout", "authority.key", "-out", "asked", "-subj", "/CN=An authority")
    by_root = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "3650", "-extfile", "use")
    run(folder, "openssl", "x509", "-req", "-in", "asked", *by_root, "-out", "authority.pem")
    run(folder, "openssl", "ts", "-query", "-data", str(file), "-sha256", "-cert", "-out", "query")
    run(folder, "openssl", "ts", "-reply", "-config", "config", "-queryfile", "query", "-out", "stamp.tsr")
    start = Timestamp(sha256(file.read_bytes()).digest())
    end = start.ops.add(OpAppend(b"after")).ops.add(OpSHA256())
    end.attestations.update(
        (BitcoinBlockHeaderAttestation(800_000), PendingAttestation("https://calendar.example.org"))
    )
    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), start).serialize(context)
    (folder / "stamp.ots").write_bytes(context.getbytes())
    return {"stamp.tsr": folder / "stamp.tsr", "stamp.pem": folder / "root.pem", "stamp.ots": folder / "stamp.ots"}


def entry(store: Path, kind: str, holds: str) -> Path:
    """The largest entry of a kind whose answer holds something of that name: it has the most to be read."""
    there = sorted((store / kind).rglob("*.safetensors"), key=lambda file: (-file.stat().st_size, file))
    return next(file for file in there if holds in json.loads(inner(file.read_bytes()))["said"]["plain"])


def run(folder: Path, *words: str) -> None:
    own = {"PYTHONPATH": str(ROOT), "CAUSALTEST_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    print(done.stdout[-2000:], done.stderr[-2000:])
    # 1 is of a run in which a claim was judged, and not supported.
    if done.returncode not in (0, 1):
        raise SystemExit(f"{words} ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
