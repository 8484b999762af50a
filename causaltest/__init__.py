"""causaltest: causal claims about transformers as pytest tests, measured and judged.

Names open on first use, so that importing this package loads neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causaltest.asking.claims import claim as claim
    from causaltest.asking.directions import Direction as Direction
    from causaltest.asking.directions import direction as direction
    from causaltest.asking.edges import Edge as Edge
    from causaltest.asking.edges import edge as edge
    from causaltest.asking.experiment import Experiment as Experiment
    from causaltest.asking.features import SAE as SAE
    from causaltest.asking.interventions import add as add
    from causaltest.asking.interventions import gaussian as gaussian
    from causaltest.asking.interventions import mean as mean
    from causaltest.asking.interventions import replace as replace
    from causaltest.asking.interventions import resample as resample
    from causaltest.asking.interventions import scale as scale
    from causaltest.asking.interventions import zero as zero
    from causaltest.asking.lab import Lab as Lab
    from causaltest.asking.metrics import accuracy as accuracy
    from causaltest.asking.metrics import exact_match as exact_match
    from causaltest.asking.metrics import logit as logit
    from causaltest.asking.metrics import logit_diff as logit_diff
    from causaltest.asking.metrics import probability as probability
    from causaltest.asking.orderings import monotone as monotone
    from causaltest.asking.orderings import top as top
    from causaltest.asking.pairs import Pair as Pair
    from causaltest.asking.pairs import Pairs as Pairs
    from causaltest.asking.positions import every as every
    from causaltest.asking.positions import first as first
    from causaltest.asking.positions import index as index
    from causaltest.asking.positions import last as last
    from causaltest.asking.positions import nth as nth
    from causaltest.asking.positions import span as span
    from causaltest.asking.positions import step as step
    from causaltest.asking.positions import thought as thought
    from causaltest.asking.predictions import Prediction as Prediction
    from causaltest.asking.predictions import at_least as at_least
    from causaltest.asking.predictions import at_most as at_most
    from causaltest.asking.predictions import between as between
    from causaltest.asking.predictions import greater_than as greater_than
    from causaltest.asking.predictions import negligible as negligible
    from causaltest.asking.predictions import unchanged as unchanged
    from causaltest.asking.sites import Site as Site
    from causaltest.asking.sites import attn_out as attn_out
    from causaltest.asking.sites import embed as embed
    from causaltest.asking.sites import final_norm as final_norm
    from causaltest.asking.sites import head as head
    from causaltest.asking.sites import k as k
    from causaltest.asking.sites import logits as logits
    from causaltest.asking.sites import mlp_out as mlp_out
    from causaltest.asking.sites import neuron as neuron
    from causaltest.asking.sites import pattern as pattern
    from causaltest.asking.sites import q as q
    from causaltest.asking.sites import resid_mid as resid_mid
    from causaltest.asking.sites import resid_post as resid_post
    from causaltest.asking.sites import resid_pre as resid_pre
    from causaltest.asking.sites import v as v
    from causaltest.effect import Effect as Effect
    from causaltest.effect import Waived as Waived
    from causaltest.effects import Effects as Effects
    from causaltest.errors import CausaltestError as CausaltestError
    from causaltest.judging.judge import judge as judge
    from causaltest.sweep import SweepMap as SweepMap
    from causaltest.verdict import Outcome as Outcome
    from causaltest.verdict import Verdict as Verdict

__version__ = "0.1.0"

_HOMES = {
    "asking.claims": ("claim",),
    "asking.directions": ("Direction", "direction"),
    "asking.edges": ("Edge", "edge"),
    "asking.experiment": ("Experiment",),
    "asking.features": ("SAE",),
    "asking.interventions": ("add", "gaussian", "mean", "replace", "resample", "scale", "zero"),
    "asking.lab": ("Lab",),
    "asking.metrics": ("accuracy", "exact_match", "logit", "logit_diff", "probability"),
    "asking.orderings": ("monotone", "top"),
    "asking.pairs": ("Pair", "Pairs"),
    "asking.positions": ("every", "first", "index", "last", "nth", "span", "step", "thought"),
    "asking.predictions": ("Prediction", "at_least", "at_most", "between", "greater_than", "negligible", "unchanged"),
    "asking.sites": (
        "Site",
        "attn_out",
        "embed",
        "final_norm",
        "head",
        "k",
        "logits",
        "mlp_out",
        "neuron",
        "pattern",
        "q",
        "resid_mid",
        "resid_post",
        "resid_pre",
        "v",
    ),
    "effect": ("Effect", "Waived"),
    "effects": ("Effects",),
    "errors": ("CausaltestError",),
    "judging.judge": ("judge",),
    "sweep": ("SweepMap",),
    "verdict": ("Outcome", "Verdict"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'causaltest' has no attribute {name!r}")
    return getattr(import_module(f"causaltest.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
