"""Experiment: everything that decides a measurement, as data that can be printed and hashed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from causaltest.asking.checks import AS_USUAL, Checks, refuse_unfit
from causaltest.asking.edges import Edge
from causaltest.asking.features import Features
from causaltest.asking.interventions import Intervention, Kind, replace
from causaltest.asking.methods import Method, patched_runs
from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Site
from causaltest.errors import ClaimError

Direction = Literal["denoise", "noise", "ablate", "steer"]
Quantity = Literal["recovery", "drop", "change"]

PLACEBO_DRAWS = 8
TAKES: dict[Direction, tuple[Kind, ...]] = {
    "denoise": ("replace",),
    "noise": ("replace",),
    "ablate": ("zero", "mean", "resample", "gaussian", "scale"),
    "steer": ("add",),
}
ESTIMATED = ("replace", "zero", "mean")
"""Kinds of intervention whose vectors do not depend on the patched run, so that a gradient can be asked about them."""


@dataclass(frozen=True)
class Patching:
    """A patched run for every pair: which run is changed, where, and by what.

    denoise: the corrupt run receives clean activations (sufficiency). noise: the clean run
    receives corrupt ones (necessity). ablate: the clean run loses what it has there, by zero, mean,
    resample, gaussian or scale. steer: the clean run receives a vector on top of what it has there.
    denoise has a recovery, the others a drop, and all a change.
    """

    model: str
    direction: Direction
    pairs: Pairs
    sites: tuple[Site, ...]
    intervention: Intervention = replace
    method: Method = patched_runs
    edges: tuple[Edge, ...] = ()
    """What is patched in place of `sites`, which then are the edges' ends."""

    def __post_init__(self) -> None:
        if self.direction not in TAKES:
            raise ClaimError(
                f"direction={self.direction!r} is not known; it is 'denoise', 'noise', 'ablate' or 'steer'."
            )
        if not isinstance(self.intervention, Intervention):
            raise ClaimError(
                f"by= takes an intervention such as zero, mean or gaussian(sd=3), and got {self.intervention!r}."
            )
        if self.intervention.kind not in TAKES[self.direction]:
            raise ClaimError(not_taken(self.direction, self.intervention))
        for site in self.sites:
            refuse_misfit(site, self.intervention)
        if self.method.estimates:
            refuse_unestimated(self)
        if self.edges:
            refuse_along_edges(self)

    @property
    def site(self) -> str:
        return " + ".join(str(s) for s in self.edges or self.sites)


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
    checks: Checks = AS_USUAL
    """Controls asked for or left out by name, and which pairs count."""

    def __post_init__(self) -> None:
        method = self.patching.method
        refuse_unfit(self.checks, self.metric, self.patching.pairs)
        if method.estimates and self.metric.kind == "binary":
            raise ClaimError(
                f"method={method.name!r} follows a metric's slope, and {self.metric} is right or wrong and has none. "
                "Screen with logit_diff or logit, then measure the site found: drop method=."
            )
        if method.estimates and self.metric.name == "probability":
            raise ClaimError(
                f"method={method.name!r} follows a metric that is a sum of logits, and probability is none. Screen "
                "with logit_diff or logit, then measure the site found: drop method=."
            )
        if method.estimates and (self.controls or self.placebo_draws):
            raise ClaimError(
                f"method={method.name!r} gives an estimate, which has no controls: controls=False, placebo_draws=0."
            )
        if not self.controls and (self.checks.waived or self.checks.wrong_places):
            raise ClaimError(
                "An estimate and a sweep have no controls, so none can be left out by name, and wrong_layer and "
                "wrong_position belong to a patched run: drop method=, or the control."
            )
        # All but denoising change the clean run, of which something can be lost and nothing recovered.
        quantities = ("recovery" if self.patching.direction == "denoise" else "drop", "change")
        if self.quantity not in quantities:
            raise ClaimError(
                f"{self.patching.direction} has no {self.quantity}; it has {' and '.join(quantities)} (denoising "
                "recovers what the corrupt run lost; noising, ablation and steering drop what the clean run had)."
            )

    @property
    def site(self) -> str:
        return self.patching.site

    @property
    def summary(self) -> str:
        by = "" if self.patching.intervention == replace else f" by {self.patching.intervention}"
        method = self.patching.method
        how = f", estimated by {method}" if method.estimates else ""
        return f"{self.quantity}({self.metric}), {self.patching.direction} {self.site}{by}{how}"

    def canonical(self) -> dict[str, Any]:
        """Plain data that two equal experiments share."""
        patching = self.patching
        return {
            "model": patching.model,
            "direction": patching.direction,
            "pairs": patching.pairs.digest,
            "sites": [canonical_site(s) for s in patching.sites],
            "intervention": patching.intervention.kind,
            **({"by": by} if (by := patching.intervention.canonical()) else {}),
            "quantity": self.quantity,
            "metric": canonical_metric(self.metric),
            "controls": self.controls,
            "placebo_draws": self.placebo_draws,
            "seed": self.seed,
            **canonical_method(patching.method),
            **canonical_edges(patching.edges),
            **canonical_checks(self.checks),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        plain = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()


def canonical_metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "range": None if metric.range is None else [repr(float(edge)) for edge in metric.range],
        "first_token": metric.first_token,
        "extract": metric.extract,
        "max_new_tokens": metric.max_new_tokens,
    }


def canonical_checks(checks: Checks) -> dict[str, Any]:
    # Each only where it was asked for, as with methods.
    return {
        **({"waived": [list(one) for one in checks.waived]} if checks.waived else {}),
        **(
            {"wrong": [[canonical_site(s) for s in p.sites] for p in checks.wrong_places]}
            if checks.wrong_places
            else {}
        ),
        **({"eligible": canonical_metric(checks.eligible)} if checks.eligible is not None else {}),
        **({"both_right": True} if checks.both_right else {}),
    }


def canonical_method(method: Method) -> dict[str, Any]:
    # Only where it is not the usual one: what was measured before there were others keeps its digest.
    return {"method": [method.name, method.steps]} if method.estimates else {}


def canonical_edges(edges: tuple[Edge, ...]) -> dict[str, Any]:
    ends = [(e.sender, e.receiver) for e in edges]
    return {"edges": [[e if isinstance(e, str) else canonical_site(e) for e in both] for both in ends]} if ends else {}


def refuse_along_edges(patching: Patching) -> None:
    """Raises ClaimError for what edges do not take."""
    if patching.direction not in ("denoise", "noise"):
        raise ClaimError("An edge carries what its sender adds in the other run; use lab.denoise or lab.noise.")
    if patching.method.estimates:
        raise ClaimError(f"method={patching.method.name!r} estimates sites, and edges were given: drop method=.")
    ends = {edge.receiver == "logits" for edge in patching.edges}
    if len(ends) > 1:
        raise ClaimError(
            "'logits' hears all that the other receivers change, so an edge into it is measured by itself: ask for the "
            "edges into 'logits' and for the others in two experiments."
        )


def refuse_unestimated(patching: Patching) -> None:
    """Raises ClaimError for what a gradient says nothing about."""
    direction, intervention, method = patching.direction, patching.intervention, patching.method
    if any(site.component == "pattern" for site in patching.sites):
        raise ClaimError(
            f"method={method.name!r} takes no patterns: drop method=, or screen head(...), which a pattern makes."
        )
    if any(site.component == "logits" for site in patching.sites):
        raise ClaimError(
            f"method={method.name!r} estimates what moves the logits, and these are the logits themselves: drop "
            "method=."
        )
    part = next((site for site in patching.sites if site.within is not None), None)
    if part is not None:
        raise ClaimError(
            f"method={method.name!r} estimates whole components, and {part} is a part of one: drop method=, or screen "
            "the site's whole()."
        )
    if intervention.kind not in ESTIMATED or intervention.over is not None:
        raise ClaimError(
            f"method={method.name!r} estimates what vectors known beforehand do ({', '.join(ESTIMATED)}), and "
            f"{intervention} is not one of these: drop method=."
        )
    if direction == "ablate" and method.name == "integrated_gradients":
        raise ClaimError(
            "method='integrated_gradients' goes from the inputs of one run to those of the other, and an ablation has "
            "no other run: use method='attribution'."
        )


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
        # Named only where there is one, so that the digests of whole components stay what they were.
        **({} if site.within is None else {"within": [type(site.within).__name__, site.within.digest]}),
    }


def not_taken(direction: Direction, by: Intervention) -> str:
    """Why a direction does not take an intervention, and what would."""
    if direction == "ablate":
        advice = "lab.steer adds a vector" if by.kind == "add" else "lab.noise puts the corrupt run's activation in"
        return f"ablate takes by=zero, mean, mean(over=...), resample, gaussian(sd=...) or scale(...); {advice}."
    if direction == "steer":
        return f"steer takes by=add(vector, times=...), and by={by} was given; lab.ablate(by={by}) does that."
    verb = "steering" if by.kind == "add" else "an ablation"
    name = "steer" if by.kind == "add" else "ablate"
    return (
        f"{direction} puts the other run's activation in, and by={by} was given; {verb} does that: direction='{name}'."
    )


def refuse_misfit(site: Site, by: Intervention) -> None:
    """Raises ClaimError for an intervention that has no meaning at a site."""
    if site.component == "pattern" and by.kind in ("gaussian", "add"):
        raise ClaimError(
            f"{by} would let a query attend to keys that come after it, or to less than nothing. Patterns are patched "
            "by another run's (lab.denoise, lab.noise), or ablated by zero, mean, resample or scale."
        )
    features = isinstance(site.within, Features)
    if features and by.kind == "gaussian":
        raise ClaimError(
            "gaussian(sd=...) counts in the input embedding's own units, and an activation of a feature has others: "
            "add noise to the whole component, or ablate the feature by zero, mean, resample or scale."
        )
    if by.kind != "add":
        return
    if features and by.vector is not None:
        raise ClaimError(f"A feature is steered by a number, add(4.0), and {by} was given.")
    if site.within is None and by.vector is None:
        raise ClaimError(
            f"{by} adds a number, and {site} has no direction to add it along: write add(direction(...)), or "
            "at=site.along(direction(...))."
        )
