"""Claims as a baseline keeps them, made by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from causaltest.effect import Effect, Waived
from causaltest.recording.saved import SavedClaim
from causaltest.writing.canonical import plain

FLOAT32 = {"dtype": "float32"}
LOCK = {"models": [{"name": "m", "weights": "aa"}], "pairs": [{"hash": "pp"}], "settings": {"dtype": "float32"}}


def saved(effects, prediction, *, id="test_a.py::test_b", verdict="SUPPORTED", margin=None, **spec) -> SavedClaim:
    """One claim as it was measured; `effects` is one, or several by the name of their variant."""
    kind = {"kind": type(prediction).__name__, **dataclasses.asdict(prediction)}
    fields = {"prediction": plain(kind), "family": {"size": 1}, "sentence": "It does.", **LOCK, **spec}
    named = effects if isinstance(effects, dict) else {"": effects}
    return SavedClaim(
        id, fields, "0", {"verdict": verdict}, tuple(named.items()), **({} if margin is None else {"margin": margin})
    )


def effect(values, *, kind="continuous", clusters=None, below=None, rounding=0.0, scores=None, **numbers) -> Effect:
    made = Effect.from_values(
        values, kind=kind, clusters=clusters, iid=clusters is None, denominators=below, placebo=Waived("given")
    )
    given = {"rounding": rounding, "provenance": FLOAT32, "references": scores or {}, **numbers}
    return dataclasses.replace(made, numbers=dataclasses.replace(made.measured, **given))


def noise(n, mean=0.0, sd=0.05, seed=0):
    return np.random.default_rng(seed).normal(mean, sd, n)
