"""Moves: what is added to the value that is there, where a patch does not simply take its place.

A patched run computes its own values: where two layers are patched together, the upper one meets what the lower
one has done. So a move is a function of the value that is there (`current`) and of what the patch brings
(`values`), and gives what is added. Where both agree it gives zero, and adding zero changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Aim = Literal["vector", "activation", "amount", "factor"]
"""What a patch brings to features: a vector that has the activations, the activations, a sum or a factor."""


class Move:
    """Called with `current` [entry, width] and `values`; gives what is added, in the type of `current`."""

    width: int | None = None
    """The width of what is moved; None where it is that of the values."""

    def __call__(self, current: Tensor, values: Tensor) -> Tensor:
        # Half precision is too coarse for a difference of two large numbers; the model sees only the result.
        there = wide(current)
        return self.step(there, values.to(there.dtype)).to(current.dtype)

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Toward(Move):
    """All the way to the values."""

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        return values - current


@dataclass(frozen=True, eq=False)
class Added(Move):
    """The values on top of what is there."""

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        return values


@dataclass(frozen=True, eq=False)
class Scaled(Move):
    """What is there, times the values."""

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        return (values - 1) * current


@dataclass(frozen=True, eq=False)
class Inside(Move):
    """Of another move, the part inside a subspace: P m, with P = BᵀB."""

    of: Move
    basis: Tensor
    """B: orthonormal rows. [row, width]"""

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.basis.shape[-1]

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        basis = self.basis.to(current.dtype)
        return (self.of.step(current, values) @ basis.T) @ basis


@dataclass(frozen=True, eq=False)
class AlongFeatures(Move):
    """Along the features' decoder rows, by the activations that they should have minus those that they have."""

    codec: Codec
    aim: Aim

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.codec.decoder.shape[-1]

    def step(self, current: Tensor, values: Tensor) -> Tensor:
        read = self.codec.activations
        decoder = self.codec.decoder.to(current.dtype)
        if self.aim == "amount":
            return values @ decoder
        if self.aim == "factor":
            return ((values - 1) * read(current)) @ decoder
        # Both in products of one shape, so that equal vectors have equal activations to the last bit.
        wanted = read(values) if self.aim == "vector" else values
        return (wanted - read(current)) @ decoder


@dataclass(frozen=True, eq=False)
class Codec:
    """Features of a sparse autoencoder: how they are read, and along which vectors they write."""

    encoder: Tensor
    """[width, feature]: those that are asked for; with top_k all that there are."""
    decoder: Tensor
    """[feature, width], of those that are asked for."""
    encoder_bias: Tensor | None = None
    decoder_bias: Tensor | None = None
    threshold: Tensor | None = None
    top_k: int | None = None
    index: tuple[int, ...] = ()
    """With top_k, which of all are asked for."""

    def activations(self, x: Tensor) -> Tensor:
        """relu((x - decoder_bias) W + encoder_bias), by the threshold or the top k where there are such.

        [entry, width] -> [entry, feature]
        """
        before = x if self.decoder_bias is None else x - self.decoder_bias.to(x.dtype)
        before = before @ self.encoder.to(x.dtype)
        if self.encoder_bias is not None:
            before = before + self.encoder_bias.to(x.dtype)
        if self.threshold is not None:
            out = torch.where(before > self.threshold.to(x.dtype), before, 0)
        else:
            out = before.relu()
        if self.top_k is not None:
            out = torch.where(before >= before.topk(self.top_k, dim=-1).values[:, -1:], out, 0)
            out = out[:, list(self.index)]
        return out


def wide(tensor: Tensor) -> Tensor:
    """In single precision at least."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def moved(current: Tensor, values: Tensor, move: Callable[[Tensor, Tensor], Tensor] | None) -> Tensor:
    """What is there after a patch."""
    return values if move is None else current + move(current, values)
