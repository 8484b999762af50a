"""Interventions: what is put at a site.

replace, zero, mean and resample put a value there. scale, gaussian and add change the value that is there when
the patched run computes it: of two layers that are patched together, the upper one changes what the lower one
has already changed. At a site's direction, subspace or features (`Site.along`, `Site.features`) every
intervention acts on that component alone, and on the value that is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from causaltest.asking.directions import Direction, direction
from causaltest.asking.pairs import Pairs
from causaltest.errors import ClaimError

Kind = Literal["replace", "zero", "mean", "resample", "gaussian", "scale", "add"]
DRAWN: frozenset[Kind] = frozenset({"resample", "gaussian"})
"""Those that draw from the experiment's seed."""


@dataclass(frozen=True)
class Intervention:
    """What a patched position holds instead of its own activation."""

    kind: Kind
    amount: float | None = None
    """The noise's standard deviation, the scale's factor, or how many times a vector is added."""
    over: Pairs | None = None
    """Whose clean runs the mean is taken over; None for the pairs that are measured."""
    vector: Direction | None = None

    def __call__(self, *, over: Pairs | None = None) -> Intervention:
        """`mean(over=reference_pairs)`: the mean over the clean runs of other pairs. Raises ClaimError otherwise."""
        if self.kind != "mean" or not isinstance(over, Pairs):
            raise ClaimError(
                f"mean(over=Pairs([...])) takes the mean over other pairs; {self.kind} with {over!r} does not."
            )
        return Intervention("mean", over=over)

    @property
    def draws(self) -> bool:
        """Whether it is drawn from the experiment's seed."""
        return self.kind in DRAWN

    def canonical(self) -> dict[str, Any]:
        """The options that it has, as plain data; none for those that have none."""
        given = {
            "amount": None if self.amount is None else repr(self.amount),
            "over": None if self.over is None else self.over.digest,
            "vector": None if self.vector is None else self.vector.digest,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __str__(self) -> str:
        if self.over is not None:
            return f"mean over {len(self.over)} other pairs"
        if self.kind == "add":
            return f"add({'' if self.vector is None else f'{self.vector}, times='}{self.amount:g})"
        if self.kind == "gaussian":
            return f"gaussian(sd={self.amount:g})"
        return self.kind if self.amount is None else f"{self.kind}({self.amount:g})"


replace = Intervention("replace")
"""The other run's activation: the clean one when denoising, the corrupt one when noising."""
zero = Intervention("zero")
"""The zero vector."""
mean = Intervention("mean")
"""The mean over the clean runs of all pairs, at the same position; `mean(over=pairs)`: of other pairs.

    lab.ablate(pairs, at=head(9, 6), by=mean(over=reference_pairs)).drop(logit_diff)
"""
resample = Intervention("resample")
"""Another pair's clean activation, drawn from the seed; from another cluster where there is one.

    lab.ablate(pairs, at=head(9, 6), by=resample).drop(logit_diff)
"""


def scale(factor: float) -> Intervention:
    """The activation that is there, times a factor; 1 leaves it as it is.

    lab.ablate(pairs, at=mlp_out(3), by=scale(0.5)).drop(logit_diff)
    """
    return Intervention("scale", amount=finite("scale", factor))


def gaussian(*, sd: float) -> Intervention:
    """Gaussian noise added to what is there, drawn per pair from the seed and the pair's id.

    `sd` counts in standard deviations of the entries of the model's input embedding. Noise of 3 at the subject's
    embeddings is how causal tracing corrupts a prompt (Meng et al. 2022, arXiv 2202.05262, section 2.1):

        lab.ablate(pairs, at=embed(span("subject")), by=gaussian(sd=3)).drop(accuracy)

    Its placebo moves as far along another pair's difference: it asks whether noise does more than that. Where
    only the corruption matters, `.drop(accuracy, placebo=Waived("why"))`.
    """
    sd = finite("gaussian", sd)
    if sd <= 0:
        raise ClaimError(f"gaussian(sd={sd:g}): a standard deviation is above 0.")
    return Intervention("gaussian", amount=sd)


def add(vector: Any, *, times: float | None = None) -> Intervention:
    """A vector added to what is there: `lab.steer(pairs, at=resid_post(6), by=add(truth, times=4))`.

    `vector` is a `direction(...)`, or numbers of which one is made; it is added as it is, `times` times (1). At a
    site along directions, its part inside them is. There, along one direction, and at features, a number does as
    well: so far is the activation moved, `by=add(4.0)`.

    Raises ClaimError for what is no number, SiteError for what is no vector.
    """
    if isinstance(vector, Real) and not isinstance(vector, bool):
        if times is not None:
            raise ClaimError(
                f"add({vector}, times={times}): times counts a vector; add({float(vector) * times:g}) adds it."
            )
        return Intervention("add", amount=finite("add", vector))
    return Intervention("add", amount=finite("add", 1.0 if times is None else times), vector=one_row(direction(vector)))


def one_row(vector: Direction) -> Direction:
    if vector.given is not None and vector.given.shape[0] > 1:
        raise ClaimError(f"add takes one vector, and {vector} are {vector.given.shape[0]}.")
    return vector


def finite(name: str, number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
        raise ClaimError(f"{name} takes a finite number, and got {number!r}.")
    return float(number)
