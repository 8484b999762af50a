"""Baseline: claims as they were measured once, in a file that a person commits, to compare later runs with.

One safetensors file: what is one number per pair are its arrays, all else is JSON in its metadata. It is read as data,
and nothing in it is executed.

write_baseline -> plain_claim -> lifted -> tensors_to_bytes
read_baseline  -> tensors_from_bytes -> lowered -> claim_of
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from causaltest import __version__
from causaltest.errors import CausaltestError, RecordError
from causaltest.judging.version import STATISTICS
from causaltest.recording.saved import Row, SavedClaim, claim_of, plain_claim, texts
from causaltest.recording.tensors import INSTEAD, Tensors, bytes_of, numbers_of, tensors_from_bytes, tensors_to_bytes
from causaltest.recording.whole_file import write_whole

FOLDER, SUFFIX, USUAL = "baselines", ".safetensors", "baseline"
FORMAT = 1
LARGEST = 1 << 30
"""Bytes of a file that is read."""
ARRAY, TEXTS, FLOAT, MAP = "$array", "$texts", "$float", "$map"
"""What stands in the JSON for an array, for a list of texts, for a number that JSON has not, and for a mapping with
such a key of its own."""


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
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}.") from error
    if size > LARGEST:
        raise RecordError(f"{path} has {size:,} bytes, and a baseline has at most {LARGEST:,}.")
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


class Arrays:
    """Arrays under the name of where they were first met; the same numbers are kept once."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[float, ...]] = {}
        self._names: dict[bytes, str] = {}

    def name_of(self, values: list[float], at: str) -> str:
        # By their bits: 0.0 and -0.0 are equal, and NaN is not.
        name = self._names.setdefault(bytes_of(values), at)
        if name == at:
            self.named[name] = tuple(values)
        return name


class Texts:
    """Lists of texts, such as the ids of pairs that many claims share, each kept once."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self._numbers: dict[tuple[str, ...], int] = {}

    def number_of(self, texts: list[str]) -> int:
        number = self._numbers.setdefault(tuple(texts), len(self.lists))
        if number == len(self.lists):
            self.lists.append(texts)
        return number


def lifted(data: Any, at: str, arrays: Arrays, texts: Texts) -> Any:
    """Plain data without its long lists, which go to `arrays` and `texts`."""
    if isinstance(data, float) and not math.isfinite(data):
        return {FLOAT: bytes_of([data]).hex()}
    if isinstance(data, list) and data and all(type(item) is float for item in data):
        return {ARRAY: arrays.name_of(data, at)}
    if isinstance(data, list) and data and all(type(item) is str for item in data):
        return {TEXTS: texts.number_of(data)}
    if isinstance(data, list):
        return [lifted(item, f"{at}/{i}", arrays, texts) for i, item in enumerate(data)]
    if isinstance(data, Mapping):
        inner = {name: lifted(value, f"{at}/{name}", arrays, texts) for name, value in sorted(data.items())}
        return {MAP: inner} if any(name.startswith("$") for name in data) else inner
    return data


def lowered(data: Any, arrays: Mapping[str, Row], words: Sequence[tuple[str, ...]]) -> Any:
    """The inverse of `lifted`, in which what is shared stays shared.

    Raises KeyError, IndexError, TypeError or ValueError for what `lifted` has not made.
    """
    if isinstance(data, list):
        return [lowered(item, arrays, words) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) == 1:
        ((mark, value),) = data.items()
        if mark == ARRAY:
            return arrays[value]
        if mark == TEXTS:
            return words[value]
        if mark == FLOAT:
            (number,) = numbers_of(bytes.fromhex(value))
            return number
        if mark == MAP:
            return {name: lowered(inner, arrays, words) for name, inner in value.items()}
    return {name: lowered(value, arrays, words) for name, value in data.items()}
