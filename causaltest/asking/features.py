"""Features of a sparse autoencoder (SAE): what a direction is read by, and what it writes along."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from causaltest.asking.arrays import Array, read_array
from causaltest.errors import SiteError


@dataclass(frozen=True)
class SAE:
    """A sparse autoencoder in a safetensors file, with the conventions that its authors used.

    The activation of feature i is `relu(encoder_i . (x - decoder_bias) + encoder_bias_i)`. With a threshold it is
    that pre-activation where it lies above the feature's threshold, and 0 elsewhere (JumpReLU: Rajamanoharan et
    al. 2024, arXiv 2407.14435). With `top_k` it is 0 for all but the k largest of a position (Gao et al. 2024,
    arXiv 2406.04093).
    """

    path: str
    encoder: str
    decoder: str
    encoder_bias: str | None
    decoder_bias: str | None
    """Subtracted from x before the encoder reads it; None where it is not."""
    threshold: str | None = None
    top_k: int | None = None
    feature_rows: bool = False
    """Whether the encoder is [feature, width] and not [width, feature]."""

    @classmethod
    def from_safetensors(
        cls,
        path: str | Path,
        *,
        subtract_decoder_bias: bool,
        encoder: str = "W_enc",
        decoder: str = "W_dec",
        encoder_bias: str | None = "b_enc",
        decoder_bias: str = "b_dec",
        threshold: str | None = None,
        top_k: int | None = None,
        feature_rows: bool = False,
    ) -> SAE:
        """An SAE by the names of its arrays. They are read when a claim is first hashed or measured.

        `encoder` is [width, feature], or [feature, width] with `feature_rows=True`; `decoder` is [feature, width].
        Whether the decoder's bias is subtracted before encoding differs from one SAE to the next (SAELens:
        `apply_b_dec_to_input`), and a wrong guess gives other features, so it has to be said.

            sae = SAE.from_safetensors("layer6.safetensors", subtract_decoder_bias=True)
            lab.denoise(pairs, at=resid_post(6, last()).features(sae, 1234)).recovery(logit_diff)
        """
        if top_k is not None and (type(top_k) is not int or top_k < 1):
            raise SiteError(f"top_k={top_k!r} must be a whole number from 1.")
        bias = decoder_bias if subtract_decoder_bias else None
        return cls(str(path), encoder, decoder, encoder_bias, bias, threshold, top_k, feature_rows)


@dataclass(frozen=True, eq=False)
class Features:
    """Some features of an SAE. Equal where their numbers and conventions are."""

    sae: SAE
    index: tuple[int, ...]

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """What the features need: encoder [feature, width] or its transpose, decoder [feature, width], biases.

        With `top_k` the encoder is whole, for every feature may push another one out.

        Raises SiteError when an array is missing or the shapes do not belong together.
        """
        sae, read = self.sae, {}
        axis, mine = int(not sae.feature_rows), self.index
        whole = sae.top_k is not None
        read["encoder"] = read_array(sae.path, sae.encoder, select=None if whole else (axis, mine))
        read["decoder"] = read_array(sae.path, sae.decoder, select=(0, mine))
        for name, key in (("encoder_bias", sae.encoder_bias), ("threshold", sae.threshold)):
            if key is not None:
                read[name] = read_array(sae.path, key, select=None if whole else (0, mine))
        if sae.decoder_bias is not None:
            read["decoder_bias"] = read_array(sae.path, sae.decoder_bias)
        self._check(read)
        return read

    def _check(self, read: Mapping[str, Array]) -> None:
        shapes, sae = {name: list(array.shape) for name, array in read.items()}, self.sae
        if len(shapes["decoder"]) != 2:
            raise SiteError(
                f"{sae.decoder!r} of {sae.path} has the shape {shapes['decoder']}, and not [feature, width]."
            )
        width = shapes["decoder"][1]
        count = len(self.index)
        if sae.top_k is not None and len(shapes["encoder"]) == 2:
            count = shapes["encoder"][int(not sae.feature_rows)]
            if max(self.index) >= count or sae.top_k > count:
                raise SiteError(
                    f"{sae.path} has {count} features, and {list(self.index)} of top {sae.top_k} are asked."
                )
        wanted = {
            "encoder": [count, width] if sae.feature_rows else [width, count],
            "encoder_bias": [count],
            "threshold": [count],
            "decoder_bias": [width],
        }
        for name, shape in wanted.items():
            if name in shapes and shapes[name] != shape:
                raise SiteError(
                    f"{getattr(sae, name)!r} of {sae.path} gives {shapes[name]} where its decoder {sae.decoder!r} asks "
                    f"for {shape}. An encoder that is [feature, width] needs feature_rows=True."
                )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the numbers that are used and of the conventions, and not of the file's name."""
        sae = asdict(self.sae)
        del sae["path"]
        plain = {
            "index": self.index,
            # By name in the file an equal autoencoder would be another.
            "has": {name: value is not None for name, value in sae.items()},
            "top_k": self.sae.top_k,
            "feature_rows": self.sae.feature_rows,
            **{name: array.digest for name, array in self.arrays.items()},
        }
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Features) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        what = "feature" if len(self.index) == 1 else "features"
        return f"{what} {', '.join(map(str, self.index))} of {Path(self.sae.path).name}"

    __repr__ = __str__


def features_of(sae: SAE, index: int | Iterable[int]) -> Features:
    """Features of an SAE by their numbers, from 0."""
    given = tuple(index) if isinstance(index, Iterable) else (index,)
    if not isinstance(sae, SAE):
        raise SiteError(f"features(...) takes an SAE, from SAE.from_safetensors(path, ...), and got {sae!r}.")
    if not given or len(set(given)) != len(given) or any(type(n) is not int or n < 0 for n in given):
        raise SiteError(f"A feature is a whole number from 0, or several different ones, and {index!r} was given.")
    return Features(sae, given)
