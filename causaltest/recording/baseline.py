"""Baseline: claims as they were measured once, in a file that a person commits, to compare later runs with.

One safetensors file: what is one number per pair are its arrays, all else is JSON in its metadata. It is read as data,
and nothing in it is executed.

write_baseline -> plain_claim -> lifted -> tensors_to_bytes
read_baseline  -> tensors_from_bytes -> lowered -> claim_of
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from causaltest import __version__
from causaltest.bounded import TooLarge, read_bounded
from causaltest.errors import CausaltestError, RecordError
from causaltest.judging.version import STATISTICS
from causaltest.recording.saved import SavedClaim, claim_of, plain_claim
from causaltest.writing.packed import Arrays, Texts, lifted, lowered
from causaltest.writing.plain_effects import Row, texts
from causaltest.writing.tensors import INSTEAD, Tensors, tensors_from_bytes, tensors_to_bytes
from causaltest.writing.whole_file import write_whole

FOLDER, SUFFIX, USUAL = "baselines", ".safetensors", "baseline"
FORMAT = 1
LARGEST = 1 << 30
"""Bytes of a file that is read."""


@dataclass(frozen=True)
class Baseline:
    """Claims by id, and what wrote them."""

    claims: Mapping[str, SavedClaim]
    versions: Mapping[str, str] = field(default_factory=lambda: {"causaltest": __version__, "statistics": STATISTICS})
    """Of causaltest and of its statistics."""

    def with_claims(self, claims: Iterable[SavedClaim]) -> Baseline:
        """The same with these added, or in place of those of the same id; the others stay."""
        return Baseline({**self.claims, **{claim.id: claim for claim in claims}})


def baseline_file(folder: Path, name: str = USUAL) -> Path:
    """Where the baseline of a record's folder stands."""
    return folder / FOLDER / f"{name}{SUFFIX}"


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises FileNotFoundError where there is none, and RecordError for one that is damaged, foreign, newer than this
    causaltest, or that cannot be read.
    """
    try:
        data = read_bounded(path, LARGEST)
    except FileNotFoundError:
        raise
    except TooLarge as error:
        raise RecordError(f"{path}: {error.strerror}, and a baseline has at most {LARGEST:,}.") from error
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}.") from error
    return baseline_from_bytes(data, str(path))


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes the file whole or not at all. The same claims give the same bytes.

    Raises OSError where it cannot be written, and RecordError for a baseline that could not be read again.
    """
    data = baseline_to_bytes(baseline)
    if len(data) > LARGEST:
        raise RecordError(f"{path} would have {len(data):,} bytes, and a baseline has at most {LARGEST:,}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def baseline_to_bytes(baseline: Baseline) -> bytes:
    """The file's bytes, as `write_baseline` writes them."""
    arrays, words = Arrays(), Texts()
    claims = []
    for id, claim in sorted(baseline.claims.items()):
        plain = plain_claim(claim)
        effects = lifted(plain["effects"], id, arrays, words)
        claims.append({**plain, "effects": effects})
    header = {"format": FORMAT, "versions": dict(baseline.versions), "texts": words.lists, "claims": claims}
    text = json.dumps(header, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return tensors_to_bytes(Tensors(text, arrays.named))


def baseline_from_bytes(data: bytes, what: str = "the baseline") -> Baseline:
    """The inverse of `baseline_to_bytes`; `what` is how messages call the file. Raises RecordError."""
    tensors = tensors_from_bytes(data, what)
    try:
        header = json.loads(tensors.text)
        version = header["format"]
        if type(version) is int and version > FORMAT:
            raise RecordError(
                f"{what} was written by a newer causaltest ({header['versions']['causaltest']}): its format is "
                f"{version}, and this one ({__version__}) reads up to {FORMAT}. Update causaltest."
            )
        arrays = {name: Row(values) for name, values in tensors.arrays.items()}
        words = [texts(one) for one in header["texts"]]
        claims = [
            claim_of({**plain, "effects": lowered(plain["effects"], arrays, words)}) for plain in header["claims"]
        ]
        versions = {str(name): str(value) for name, value in header["versions"].items()}
    except RecordError:
        raise
    except (CausaltestError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RecordError(
            f"{what} holds no claims of causaltest ({type(error).__name__}: {error}). {INSTEAD}"
        ) from None
    by_id = {claim.id: claim for claim in claims}
    if len(by_id) < len(claims):
        raise RecordError(f"{what} holds two claims with one id. {INSTEAD}")
    return Baseline(by_id, versions)
