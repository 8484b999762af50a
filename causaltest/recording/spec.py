"""Spec: everything that a claim says before it is measured, as plain data with a hash.

What it is asked of (`pairs`, `models`) stands apart from what is asked, so that a replication can be told from another
claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.pairs import Pairs
from causaltest.asking.questions import experiments_of
from causaltest.asking.settings import Settings
from causaltest.effect import Question
from causaltest.judging.version import STATISTICS
from causaltest.recording.canonical import digest_of, plain
from causaltest.recording.identity import identity_of
from causaltest.recording.syntax import body_hash

DATA = ("models", "pairs")
"""Fields that say of what a claim is asked."""


@dataclass(frozen=True)
class Spec:
    """A claim as it is registered."""

    id: str
    fields: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest_of(self.fields)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of what it is asked of: pairs and models."""
        return digest_of({name: self.fields[name] for name in DATA})


def spec_of(
    claim: Claim,
    questions: Sequence[Question | None],
    *,
    id: str,
    family: tuple[str, int],
    settings: Settings,
    suite_seed: str,
) -> Spec:
    """The spec of a claim whose body was rehearsed; one question per variant, one where it has none."""
    experiments = [e for question in questions for e in experiments_of(question)]
    pairs = list(dict.fromkeys(e.patching.pairs for e in experiments))
    models = list(dict.fromkeys(e.patching.model for e in experiments))
    names = {p.digest: f"pairs {i}" for i, p in enumerate(pairs, 1)} | {
        m: f"model {i}" for i, m in enumerate(models, 1)
    }
    prediction = claim.prediction
    fields = {
        "accepted": sorted(claim.accept),
        "asked": [None if q is None else asked(q.canonical(), names, suite_seed) for q in questions],
        "body": body_hash(claim.body),
        "family": {"name": family[0], "size": family[1]},
        "models": [identity_of(name) for name in models],
        "pairs": [described(p) for p in pairs],
        "prediction": {"kind": type(prediction).__name__, **asdict(prediction)},
        "sentence": claim.sentence,
        "settings": {"dtype": settings.dtype, "quantize": settings.quantize},
        "sites": [None if q is None else q.summary for q in questions],
        "statistics": STATISTICS,
        "stopping": None if claim.stopping is None else asdict(claim.stopping),
        "variants": None
        if claim.multiverse is None
        else {"share": claim.multiverse.share, "names": [v.name for v in claim.multiverse.variants()]},
    }
    return Spec(id, plain(fields))


def asked(canonical: Any, names: Mapping[str, str], suite_seed: str) -> Any:
    """A question without the names of its data, which stand in fields of their own, and without the suite's seed."""
    if isinstance(canonical, Mapping):
        return {
            key: None if key == "seed" and value == suite_seed else asked(value, names, suite_seed)
            for key, value in canonical.items()
        }
    if isinstance(canonical, list | tuple):
        return [asked(value, names, suite_seed) for value in canonical]
    return names.get(canonical, canonical) if isinstance(canonical, str) else canonical


def described(pairs: Pairs) -> dict[str, Any]:
    clusters = pairs.clusters
    return {
        "hash": pairs.digest,
        "number": len(pairs),
        "clusters": None if clusters is None else len(set(clusters)),
    }


def differences(before: Any, after: Any, *, at: str = "") -> dict[str, tuple[Any, Any]]:
    """The fields in which two specs differ, by their path, each with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        both = sorted({*before, *after})
        return {
            path: change
            for name in both
            for path, change in differences(
                before.get(name), after.get(name), at=f"{at}.{name}" if at else name
            ).items()
        }
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return {
            path: change
            for i, (one, other) in enumerate(zip(before, after, strict=True))
            for path, change in differences(one, other, at=f"{at}[{i}]").items()
        }
    return {} if before == after else {at: (before, after)}
