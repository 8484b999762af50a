"""Spaces: directions and features as tensors, checked against the site where they are used."""

from __future__ import annotations

from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from causaltest.asking.arrays import Array
from causaltest.asking.directions import Direction
from causaltest.asking.features import Features
from causaltest.asking.interventions import Intervention, Kind
from causaltest.errors import SiteError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.moves import Added, Aim, AlongFeatures, Codec, Inside, Move, Scaled, Toward
from causaltest.measuring.patches import Spot
from causaltest.measuring.trajectory import vocabulary_of

TORCH_DTYPE = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
DEPENDENT = 1e-6
"""A row of which less than this share is orthogonal to the rows before it spans nothing of its own."""
MOVES: dict[Kind, Move] = {"scale": Scaled(), "gaussian": Added(), "add": Added()}
"""Of a whole component; what is not named takes the place of what is there."""
ADDED, TOWARD = MOVES["add"], Toward()
AIMS: dict[Kind, Aim] = {
    "replace": "vector", "resample": "vector", "zero": "activation", "mean": "activation", "add": "amount",
    "scale": "factor",
}  # fmt: skip


class Spaces:
    """The vectors that a batch's experiments name, read once each."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        dtype, self._device = model.model.dtype, model.model.device
        self._dtype = dtype if dtype == torch.float64 else torch.float32
        """In which projections and activations are computed; what is added is cast to the model's own."""
        self._bases: dict[Direction, Tensor] = {}
        self._codecs: dict[Features, Codec] = {}
        self._moves: dict[object, Move] = {}

    def move(self, spot: Spot, by: Intervention) -> Move | None:
        """What an intervention does at a spot; None where its values take the place of what is there.

        Raises SiteError when a vector does not fit the site.
        """
        if spot.within is None:
            return MOVES.get(by.kind)
        if isinstance(spot.within, Features):
            codec, aim = self.codec(spot, spot.within), AIMS[by.kind]
            return self._moves.setdefault((spot.within, aim), AlongFeatures(codec, aim))
        of = MOVES.get(by.kind, TOWARD)
        return self._moves.setdefault((spot.within, of), Inside(of, self.basis(spot, spot.within)))

    def basis(self, spot: Spot, direction: Direction) -> Tensor:
        """Orthonormal rows that span the directions, the first along the first. [row, width]"""
        if direction not in self._bases:
            basis = orthonormal(tensor_of(direction.array, str(direction)).double(), str(direction))
            self._bases[direction] = basis.to(device=self._device, dtype=self._dtype)
        self._check_width(spot, str(direction), self._bases[direction].shape[1])
        return self._bases[direction]

    def codec(self, spot: Spot, features: Features) -> Codec:
        if features not in self._codecs:
            read = {
                name: tensor_of(array, str(features)).to(device=self._device, dtype=self._dtype)
                for name, array in features.arrays.items()
            }
            if "threshold" in read and bool((read["threshold"] < 0).any()):
                raise SiteError(
                    f"{features.sae.threshold!r} of {features.sae.path} has a threshold below 0, under which no "
                    "activation lies. Some files keep its logarithm: save exp of it under a name of its own."
                )
            if features.sae.feature_rows:
                read["encoder"] = read["encoder"].T
            self._codecs[features] = Codec(**read, top_k=features.sae.top_k, index=features.index)
        self._check_width(spot, str(features), self._codecs[features].decoder.shape[1])
        return self._codecs[features]

    def added(self, spot: Spot, by: Intervention) -> Tensor:
        """What `add` brings to a spot: a vector [width], or for features so much each. [feature]

        Raises SiteError when it does not fit the site.
        """
        amount = float(by.amount or 0.0)
        if isinstance(spot.within, Features):
            return torch.full((len(spot.within.index),), amount, device=self._device, dtype=self._dtype)
        if by.vector is None:
            assert spot.within is not None
            basis = self.basis(spot, spot.within)
            if len(basis) > 1:
                raise SiteError(f"add({amount:g}) goes along one direction, and {spot.within} spans {len(basis)}.")
            return amount * basis[0]
        vector = tensor_of(by.vector.array, str(by.vector))
        if len(vector) > 1:
            raise SiteError(f"add takes one vector, and {by.vector} has {len(vector)} rows.")
        self._check_width(spot, str(by.vector), vector.shape[1])
        return (amount * vector[0].double()).to(device=self._device, dtype=self._dtype)

    @cached_property
    def embedding_sd(self) -> float:
        """The standard deviation of the input embedding's entries: the unit of noise."""
        weight = cast(nn.Embedding, self._model.model.get_input_embeddings()).weight
        return float(weight.detach().float().std())

    def cast(self, named: list[Direction | Features]) -> dict[str, str]:
        """For the provenance: in which types vectors were given, and in which they are used."""
        arrays = [a for one in named for a in ([one.array] if isinstance(one, Direction) else one.arrays.values())]
        given = sorted({str(TORCH_DTYPE[array.dtype]).removeprefix("torch.") for array in arrays})
        used, wide = (str(d).removeprefix("torch.") for d in (self._model.model.dtype, self._dtype))
        if not given or given == [used]:
            return {}
        between = "" if wide == used else f"computed with in {wide}, "
        return {"vectors": f"given in {' and '.join(given)}, {between}added in {used}"}

    def _check_width(self, spot: Spot, name: str, width: int) -> None:
        wide = width_of(self._model, spot)
        if width != wide:
            part = "" if spot.part is None else f" {spot.part}"
            raise SiteError(
                f"{name} has {width} numbers, and {spot.component}{part} of {self._model.name} is {wide} wide in layer "
                f"{spot.layer}. Give vectors of the site's own space."
            )


def width_of(model: LoadedModel, spot: Spot) -> int:
    """How wide the vectors at a spot are."""
    tap = model.blocks[spot.layer].taps.get(spot.component)
    return vocabulary_of(model)[1] if tap is None else len(tap.parts[0])


def tensor_of(array: Array, name: str) -> Tensor:
    """An array as a tensor. Raises SiteError where there is no number, or one is not finite."""
    if not array.data:
        raise SiteError(f"{name} has an array of the shape {list(array.shape)}, which has no numbers.")
    flat = torch.frombuffer(bytearray(array.data), dtype=TORCH_DTYPE[array.dtype])
    if not bool(torch.isfinite(flat).all()):
        raise SiteError(f"{name} has a number that is NaN or infinite; nothing can be measured along it.")
    return flat.view(array.shape)


def orthonormal(rows: Tensor, name: str) -> Tensor:
    """Orthonormal rows with the same span, by QR; each points the way of its own row. [row, width]

    Raises SiteError when the rows span less than there are of them.
    """
    count, width = rows.shape
    lengths = torch.linalg.vector_norm(rows, dim=1)
    if count > width:
        raise SiteError(f"{name} has {count} rows of {width} numbers; a subspace has at most {width}.")
    q, r = torch.linalg.qr(rows.T)
    own = r.diagonal()
    still = (own.abs() <= DEPENDENT * lengths).nonzero().flatten().tolist()
    if still:
        why = "is zero" if not bool(lengths[still[0]]) else "depends on those before it"
        raise SiteError(f"Row {still[0]} of {name} {why}, so it spans nothing. Leave it out.")
    basis: Tensor = (q * own.sign()).T.contiguous()
    return basis
