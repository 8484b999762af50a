"""Experiment: everything that decides a measurement, as data that can be printed and hashed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from causaltest.asking.interventions import Intervention, replace
from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Site
from causaltest.errors import ClaimError

Direction = Literal["denoise", "noise", "ablate"]
Quantity = Literal["recovery", "drop", "change"]

PLACEBO_DRAWS = 8


@dataclass(frozen=True)
class Patching:
    """A patched run for every pair: which run is changed, where, and by what.

    denoise: the corrupt run receives clean activations (sufficiency). noise: the clean run
    receives corrupt ones (necessity). ablate: the clean run receives zeros or means.
    """

    model: str
    direction: Direction
    pairs: Pairs
    sites: tuple[Site, ...]
    intervention: Intervention = replace

    def __post_init__(self) -> None:
        if self.direction not in ("denoise", "noise", "ablate"):
            raise ClaimError(f"direction={self.direction!r} is not known; it is 'denoise', 'noise' or 'ablate'.")
        if self.direction == "ablate" and self.intervention == replace:
            raise ClaimError("ablate takes by=zero or by=mean; lab.noise puts the corrupt run's activation in.")
        if self.direction != "ablate" and self.intervention != replace:
            raise ClaimError(
                f"{self.direction} puts the other run's activation in, and by={self.intervention} was given; "
                f"an ablation does that: direction='ablate'."
            )

    @property
    def site(self) -> str:
        return " + ".join(str(s) for s in self.sites)


@dataclass(frozen=True)
class Experiment:
    """A patching and what is read off it. It answers with an Effect."""

    patching: Patching
    quantity: Quantity
    metric: Metric
    controls: bool = True
    placebo_draws: int = PLACEBO_DRAWS
    seed: str = ""
    """The suite's seed; the draws derive from it and from everything above."""

    def __post_init__(self) -> None:
        allowed = {"denoise": ("recovery", "change"), "noise": ("drop", "change"), "ablate": ("drop", "change")}
        quantities = allowed[self.patching.direction]
        if self.quantity not in quantities:
            raise ClaimError(
                f"{self.patching.direction} has no {self.quantity}; it has {' and '.join(quantities)}"
                " (denoising recovers what the corrupt run lost, noising and ablation drop what the clean run had)."
            )

    @property
    def site(self) -> str:
        return self.patching.site

    @property
    def summary(self) -> str:
        by = "" if self.patching.intervention == replace else f" by {self.patching.intervention}"
        return f"{self.quantity}({self.metric}), {self.patching.direction} {self.site}{by}"

    def canonical(self) -> dict[str, Any]:
        """Plain data that two equal experiments share."""
        patching, metric = self.patching, self.metric
        return {
            "model": patching.model,
            "direction": patching.direction,
            "pairs": patching.pairs.digest,
            "sites": [canonical_site(s) for s in patching.sites],
            "intervention": patching.intervention.kind,
            "quantity": self.quantity,
            "metric": {
                "name": metric.name,
                "range": None if metric.range is None else [repr(float(edge)) for edge in metric.range],
                "first_token": metric.first_token,
                "extract": metric.extract,
                "max_new_tokens": metric.max_new_tokens,
            },
            "controls": self.controls,
            "placebo_draws": self.placebo_draws,
            "seed": self.seed,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        plain = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()


def canonical_site(site: Site) -> dict[str, Any]:
    position, parts = site.position, []
    while position is not None:
        parts.append([position.kind, list(position.numbers), position.text, position.occurrence])
        position = position.of  # type: ignore[assignment]
    return {
        "component": site.component,
        "layers": list(site.layers),
        # The name from when all parts were heads: another would give every experiment another digest.
        "heads": list(site.parts),
        "position": parts,
    }
