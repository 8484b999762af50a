"""RFC 3161 time stamps: made by a real authority, of openssl's command line, and judged by what they can show."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest.cli import main
from causaltest.errors import RecordError
from causaltest.recording.authority import read
from causaltest.recording.proofs import stamp_of
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the authority is the openssl command")

NOW = datetime.datetime.now(datetime.UTC)
CONFIG = """
[tsa]
default_tsa = here
[here]
dir = .
serial = ./serial
signer_cert = ./{name}.pem
signer_key = ./{name}.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha1, sha256, sha512
"""


@dataclass(frozen=True)
class Party:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def party(name: str, by: Party | None = None, *, stamps: bool = True, days: tuple[int, int] = (-10, 10)) -> Party:
    """Someone with a certificate, issued by another or by themselves, valid from and to so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=days[0]))
        .not_valid_after(NOW + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(by is None, None), critical=True)
    )
    if stamps:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    return Party(builder.sign(key if by is None else by.key, hashes.SHA256()), key)


ROOT = party("A root", stamps=False)
AUTHORITY = party("An authority", ROOT)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", "ts", *arguments], cwd=folder, check=True, capture_output=True)


def stamped(
    folder: Path, content: bytes, *, by: Party = AUTHORITY, hashed: str = "sha256", carried: bool = True
) -> bytes:
    """The response that the authority gives for a file with this content."""
    name = hashlib.sha256(by.pem).hexdigest()[:8]
    (folder / f"{name}.pem").write_bytes(by.pem)
    (folder / f"{name}.key").write_bytes(
        by.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "config").write_text(CONFIG.format(name=name), encoding="utf-8")
    (folder / "stamped").write_bytes(content)
    openssl(folder, "-query", "-data", "stamped", f"-{hashed}", *(["-cert"] if carried else []), "-out", "request.tsq")
    openssl(folder, "-reply", "-config", "config", "-queryfile", "request.tsq", "-out", "response.tsr")
    return (folder / "response.tsr").read_bytes()


@pytest.fixture(scope="module")
def response(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return stamped(tmp_path_factory.mktemp("authority"), b"a lock")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A file `claims.lock`, with the bytes that were stamped."""
    file = tmp_path / "claims.lock"
    file.write_bytes(b"a lock")
    return file


def written(lock: Path, name: str, content: bytes) -> Path:
    file = lock.with_name(name)
    file.write_bytes(content)
    return file


def test_a_stamp_says_when_and_by_whom(lock, response):
    roots = written(lock, "roots.pem", ROOT.pem)
    state, stamp = stamp_of(written(lock, "lock.tsr", response), lock, roots=roots)
    assert state == "It is of claims.lock as it is."
    assert stamp.unchecked == ()
    (said,) = stamp.shows
    when = datetime.datetime.strptime(said.split(" stamped it on ")[1][:23], "%Y-%m-%d %H:%M:%S UTC")
    assert abs(when.replace(tzinfo=datetime.UTC) - NOW) < datetime.timedelta(hours=2)
    assert said.startswith("CN=An authority stamped it on ")


def test_without_roots_nothing_is_shown(lock, response):
    _, stamp = stamp_of(written(lock, "lock.tsr", response), lock)
    assert stamp.shows == ()
    assert "Anybody can make such a file: give --roots PEM" in stamp.unchecked[0]


def test_a_bare_token_is_as_good_as_its_response(lock, response):
    tmp = lock.parent
    (tmp / "response.tsr").write_bytes(response)
    openssl(tmp, "-reply", "-in", "response.tsr", "-token_out", "-out", "token")
    token = (tmp / "token").read_bytes()
    assert token != response
    assert read(token, name="token", roots=ROOT.pem) == read(response, name="token", roots=ROOT.pem)


def test_a_stamp_of_the_sha512_is_one_too(lock):
    made = stamped(lock.parent, b"a lock", hashed="sha512")
    stamp = read(made, name="lock.tsr", roots=ROOT.pem)
    assert (stamp.algorithm, stamp.digest) == ("sha512", hashlib.sha512(b"a lock").digest())
    with pytest.raises(RecordError, match="ask for a stamp of the SHA-256"):
        read(stamped(lock.parent, b"a lock", hashed="sha1"), name="lock.tsr", roots=ROOT.pem)


def test_an_answer_that_refuses_is_no_stamp(tmp_path):
    # the authority takes no SHA-384
    with pytest.raises(RecordError, match=r"its status is 2: .* Ask the authority again"):
        read(stamped(tmp_path, b"a lock", hashed="sha384"), name="lock.tsr", roots=ROOT.pem)


def test_a_stamp_of_another_file_is_refused(lock, response):
    lock.write_bytes(b"a lock, changed")
    with pytest.raises(RecordError) as refused:
        stamp_of(written(lock, "lock.tsr", response), lock, roots=written(lock, "roots.pem", ROOT.pem))
    assert hashlib.sha256(b"a lock").hexdigest() in str(refused.value)
    assert hashlib.sha256(b"a lock, changed").hexdigest() in str(refused.value)


def test_an_authority_that_is_not_trusted_is_refused(response):
    # of the same name, as an impostor's would be
    with pytest.raises(RecordError, match="does not hold under the roots given"):
        read(response, name="lock.tsr", roots=party("A root", stamps=False).pem)


def test_who_signs_their_own_certificate_is_not_trusted_for_it(tmp_path):
    forged = stamped(tmp_path, b"a lock", by=party("An authority"))
    with pytest.raises(RecordError, match="does not hold under the roots given"):
        read(forged, name="lock.tsr", roots=ROOT.pem)


def test_a_certificate_that_is_not_for_stamping_is_refused(tmp_path):
    # openssl stamps with no such certificate, so its twin signs: the same name, number and key
    signer = party("A shop", ROOT)
    twin = (
        x509.CertificateBuilder()
        .subject_name(signer.certificate.subject)
        .issuer_name(signer.certificate.issuer)
        .public_key(signer.key.public_key())
        .serial_number(signer.certificate.serial_number)
        .not_valid_before(signer.certificate.not_valid_before_utc)
        .not_valid_after(signer.certificate.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
        .sign(ROOT.key, hashes.SHA256())
    )
    made = stamped(tmp_path, b"a lock", by=signer, carried=False)
    assert read(made, name="lock.tsr", roots=ROOT.pem + signer.pem).unchecked == ()
    with pytest.raises(RecordError, match="unsuitable certificate purpose"):
        read(made, name="lock.tsr", roots=ROOT.pem + Party(twin, signer.key).pem)


def test_the_certificate_counts_as_of_the_stamp(tmp_path):
    out_of_date = stamped(tmp_path, b"a lock", by=party("An authority", ROOT, days=(-10, -5)))
    with pytest.raises(RecordError, match="certificate has expired"):
        read(out_of_date, name="lock.tsr", roots=ROOT.pem)
    too_early = stamped(tmp_path, b"a lock", by=party("An authority", ROOT, days=(5, 10)))
    with pytest.raises(RecordError, match="certificate is not yet valid"):
        read(too_early, name="lock.tsr", roots=ROOT.pem)


def test_a_stamp_without_certificates_needs_the_authoritys(tmp_path):
    made = stamped(tmp_path, b"a lock", carried=False)
    with pytest.raises(RecordError, match="holds no certificates of its signer"):
        read(made, name="lock.tsr", roots=ROOT.pem)
    assert read(made, name="lock.tsr", roots=ROOT.pem + AUTHORITY.pem).unchecked == ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_a_changed_stamp_says_is_never_believed(response, data):
    """One byte changed anywhere: it is refused, or says the same as before."""
    at = data.draw(st.integers(0, len(response) - 1))
    changed = bytearray(response)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        stamp = read(bytes(changed), name="lock.tsr", roots=ROOT.pem)
    except RecordError:
        return
    assert stamp == read(response, name="lock.tsr", roots=ROOT.pem)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_stamp_are_refused(noise):
    with pytest.raises(RecordError):
        read(b"\x30" + noise, name="lock.tsr", roots=ROOT.pem)


def test_a_request_is_no_stamp(lock, tmp_path):
    stamped(tmp_path, b"a lock")
    with pytest.raises(RecordError, match=r"A request \(\.tsq\) is none"):
        stamp_of(tmp_path / "request.tsq", lock)


def test_roots_that_are_no_certificates_are_told(response):
    with pytest.raises(RecordError, match="--roots takes a PEM file"):
        read(response, name="lock.tsr", roots=b"no certificate")


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"A root", b"\xff root"), (b"\x0c\x06A root", b"\x8c\x06A root")],
    ids=["a name that is no UTF-8", "a name of no kind"],
)
def test_roots_that_openssl_gives_up_on_are_told(response, old, new):
    """The library unwraps what OpenSSL says to them, which panics."""
    der = ROOT.certificate.public_bytes(serialization.Encoding.DER)
    pem = ssl.DER_cert_to_PEM_cert(der.replace(old, new)).encode()
    with pytest.raises(RecordError, match="a certificate in it, or among the roots given, is one that OpenSSL does"):
        read(response, name="lock.tsr", roots=pem)


def test_who_stops_the_reading_stops_it(response, monkeypatch):
    monkeypatch.setattr("causaltest.recording.authority.stamp_of", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        read(response, name="lock.tsr", roots=None)


def test_without_the_package_the_extra_is_named(response, monkeypatch):
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(RecordError, match=r"pip install 'causaltest\[timestamps\]'"):
        read(response, name="lock.tsr", roots=ROOT.pem)


def test_verify_prints_the_stamp_and_ends_with_its_status(tmp_path):
    lock = tmp_path / "claims.lock"
    register(
        Record(tmp_path), [Candidate(Spec("test_a.py::test_one", {"sentence": "It does.", "family": {"size": 1}}))]
    )
    proof = written(lock, "lock.tsr", stamped(tmp_path, lock.read_bytes()))
    roots = written(lock, "roots.pem", ROOT.pem)
    holds = CliRunner().invoke(main, ["verify", str(tmp_path), "--proof", str(proof), "--roots", str(roots)])
    assert f"proof {proof}: HOLDS\n  It is of claims.lock as it is.\n  CN=An authority stamped it" in holds.output
    assert holds.exit_code == 0
    unchecked = CliRunner().invoke(main, ["verify", str(tmp_path), "--proof", str(proof)])
    assert f"proof {proof}: NOT CHECKED" in unchecked.output
    assert unchecked.exit_code == 1
    other = written(lock, "other.tsr", stamped(tmp_path, b"another file"))
    both = ["--proof", str(other), "--proof", str(proof), "--roots", str(roots)]
    one_fails = CliRunner().invoke(main, ["verify", str(tmp_path), *both])
    assert f"proof {proof}: HOLDS" in one_fails.output
    assert f"proof {other}: DOES NOT HOLD" in one_fails.output
    assert one_fails.exit_code == 1
    as_json = json.loads(CliRunner().invoke(main, ["verify", str(tmp_path), "--json", *both]).output)
    assert [(p["file"], p["word"], p["holds"]) for p in as_json["proofs"]] == [
        (str(other), "DOES NOT HOLD", False),
        (str(proof), "HOLDS", True),
    ]
    nothing = CliRunner().invoke(main, ["verify", str(tmp_path), "--roots", str(roots)])
    assert nothing.exit_code == 2
