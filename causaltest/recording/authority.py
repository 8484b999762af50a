"""Authority: RFC 3161 time stamps, which an authority signs. The only file that knows rfc3161_client and cryptography.

The signature is checked against the authority's own certificates and theirs against the roots that are given, all as of
the time of the stamp. Whether a certificate was revoked is not looked up.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.stamp import Stamp, shown

HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
"""Those that nobody can find two files for, by the identifier in the stamp."""
GRANTED = b"\x30\x03\x02\x01\x00"
"""The status that a response has before its token: SEQUENCE { INTEGER 0 }."""

PANIC = "PanicException"
"""What Rust code raises that gives up; it is no Exception, and can be imported from nowhere."""


def read(data: bytes, *, name: str, roots: bytes | None) -> Stamp:
    """What an RFC 3161 response, or the token out of one, shows.

    Raises RecordError for bytes that are neither, and for a signature that does not hold under `roots` (PEM).
    """
    library = libraries(name)
    try:
        with warnings.catch_warnings():
            # Of odd certificates, which are refused where it matters.
            warnings.simplefilter("ignore")
            return stamp_of(library, data, name=name, roots=roots)
    except RecordError:
        raise
    except BaseException as error:  # a stranger's bytes: whatever the library says to them, they are no proof
        if type(error).__name__ == PANIC:
            raise RecordError(
                f"{name} cannot be checked: a certificate in it, or among the roots given, is one that OpenSSL does "
                "not read."
            ) from error
        if not isinstance(error, Exception):
            raise
        raise RecordError(
            f"{name} is no RFC 3161 time stamp that can be read: {shown(str(error))}. A request (.tsq) is none; the "
            "authority's answer to it is."
        ) from error


@dataclass(frozen=True)
class Libraries:
    """What is imported late."""

    rfc3161: ModuleType
    x509: ModuleType


def libraries(name: str) -> Libraries:
    try:
        import rfc3161_client
        from cryptography import x509
    except ImportError as error:
        raise RecordError(
            f"{name} is an RFC 3161 time stamp, which the package rfc3161-client reads: pip install "
            f"'causaltest[timestamps]'. ({error})"
        ) from error
    return Libraries(rfc3161_client, x509)


def stamp_of(library: Libraries, data: bytes, *, name: str, roots: bytes | None) -> Stamp:
    response = decoded(library, data, name)
    info = response.tst_info
    algorithm = HASHES.get(info.message_imprint.hash_algorithm.dotted_string)
    if algorithm is None:
        raise RecordError(
            f"{name} is of a hash that this does not read ({info.message_imprint.hash_algorithm.dotted_string}): ask "
            "for a stamp of the SHA-256."
        )
    at = info.gen_time.strftime("%Y-%m-%d %H:%M:%S UTC")
    trusted = None if roots is None else certificates(library, roots)
    signer, carried = signer_of(library, response, trusted or [], name)
    who = shown(signer.subject.rfc4514_string())
    digest = bytes(info.message_imprint.message)
    if trusted is None:
        return Stamp(
            algorithm,
            digest,
            (),
            (
                f"It says that {who} stamped it on {at}. Anybody can make such a file: give --roots PEM, the root "
                "certificate that the authority publishes, to check who did.",
            ),
        )
    # The library trusts the signer's certificate that it is told, so one out of a stranger's file must not be told.
    builder = library.rfc3161.VerifierBuilder(roots=trusted, tsa_certificate=None if carried else signer)
    try:
        builder.build().verify(response, digest)
    except library.rfc3161.VerificationError as error:
        raise RecordError(
            f"{name} does not hold under the roots given: {reason_of(error)}. Either they are of another authority, "
            "or the file was changed, or a certificate was out of date when it was signed or is not meant for stamping."
        ) from error
    return Stamp(
        algorithm,
        digest,
        (f"{who} stamped it on {at}. Its certificate was valid then; whether it was revoked is not looked up.",),
    )


def decoded(library: Libraries, data: bytes, name: str) -> Any:
    """The response; a bare token is put into one that grants it."""
    body = content_of(data)
    # A response begins with its status, which is a SEQUENCE, and a token with what it is, which is an identifier.
    whole = data if body[:1] == b"\x30" else sequence(GRANTED + data)
    response = library.rfc3161.decode_timestamp_response(whole)
    if response.status != 0:
        said = "".join(f": {one}" for one in response.status_string)
        raise RecordError(
            f"{name} holds no time stamp that was granted as asked: its status is {response.status}{shown(said)}. Ask "
            "the authority again."
        )
    return response


def signer_of(library: Libraries, response: Any, trusted: list[Any], name: str) -> tuple[Any, bool]:
    """The certificate of the one that signed, and whether the stamp carries it; else it is among those trusted."""
    (signed,) = response.signed_data.signer_infos
    carried = [library.x509.load_der_x509_certificate(one) for one in response.signed_data.certificates]
    matching = [c for c in carried or trusted if (c.issuer, c.serial_number) == (signed.issuer, signed.serial_number)]
    if len(matching) != 1:
        raise RecordError(
            f"{name} holds {len(matching) or 'no'} certificates of its signer, and one is needed: ask the authority "
            "for a stamp with its certificate (openssl ts -query -cert), or add that certificate to --roots."
        )
    return matching[0], bool(carried)


def certificates(library: Libraries, pem: bytes) -> list[Any]:
    try:
        return list(library.x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise RecordError(
            f"--roots takes a PEM file with one certificate or more, and this is none: {shown(str(error))}."
        ) from error


def reason_of(error: Exception) -> str:
    """The sentence in what OpenSSL says, which is the last of its data."""
    text = str(error)
    told = text.rpartition('data: "')[2].partition('"')[0] if 'data: "' in text else text
    return shown(told.removeprefix("Verify error: "))


def content_of(data: bytes) -> bytes:
    """The content of a DER value: what follows its tag and length. Empty where there is none."""
    if len(data) < 2:
        return b""
    return data[2:] if data[1] < 0x80 else data[2 + (data[1] & 0x7F) :]


def sequence(content: bytes) -> bytes:
    """A DER SEQUENCE of this content."""
    if len(content) < 0x80:
        return b"\x30" + bytes([len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return b"\x30" + bytes([0x80 | len(length)]) + length + content
