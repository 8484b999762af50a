"""Spec: everything that a claim says before it is measured, as plain data with a hash.

What it is asked of (`pairs`, `models`) stands apart from what is asked, so that a replication can be told from another
claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import Metric
from causaltest.asking.orderings import Ordering
from causaltest.asking.pairs import Pairs
from causaltest.asking.predictions import Prediction
from causaltest.asking.questions import experiments_of
from causaltest.asking.settings import Settings
from causaltest.asking.sites import Site
from causaltest.effect import Question
from causaltest.errors import RecordError
from causaltest.identity.models import identity_of
from causaltest.identity.syntax import body_hash
from causaltest.judging.version import STATISTICS
from causaltest.recording.asked import asked, metric_fields, plain_name, site_fields, summary_of
from causaltest.writing.canonical import digest_of, plain, sha256_of, written

DATA = ("models", "pairs")
"""Fields that say of what a claim is asked."""
KNOWN_SPLITS = 32
"""Pairs whose description is remembered: a file's claims share a few."""


@dataclass(frozen=True)
class Spec:
    """A claim as it is registered."""

    id: str
    fields: Mapping[str, Any]
    """Plain data, as `plain` makes them."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return sha256_of(written(self.fields))

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of what it is asked of: prompts and weights.

        Another name of a model, or other ids and clusters of pairs, do not make new data of those that were seen.
        """
        models = [{k: said for k, said in model.items() if k != "name"} or model for model in self.fields["models"]]
        asked_of = {"models": models, "pairs": [pairs.get("prompts", pairs) for pairs in self.fields["pairs"]]}
        return sha256_of(written(asked_of))

    def in_family_of(self, size: int) -> Spec:
        """The same in a family of so many claims."""
        return Spec(self.id, {**self.fields, "family": {**self.fields["family"], "size": size}})


@dataclass(frozen=True)
class Sources:
    """What was read of files: once for all claims of a registration, which are about the files of one moment."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[Callable[..., Any], str] = field(default_factory=dict)

    def model(self, name: str) -> dict[str, Any]:
        if name not in self.models:
            self.models[name] = plain(identity_of(name))
        return self.models[name]

    def body(self, function: Callable[..., Any]) -> str:
        # A method is another object for each test, of the same function.
        function = getattr(function, "__func__", function)
        if function not in self.bodies:
            self.bodies[function] = body_hash(function)
        return self.bodies[function]


def spec_of(
    claim: Claim,
    questions: Sequence[Question | None],
    *,
    id: str,
    family: tuple[str, int],
    settings: Settings,
    suite_seed: str,
    labs: Iterable[Lab] = (),
    parameters: Mapping[str, Any] | None = None,
    sources: Sources | None = None,
) -> Spec:
    """The spec of a claim whose body was rehearsed; one question per variant, one where it has none.

    `settings` are the suite's, and those of a model whose lab is among `labs` are its own. `parameters` are those that
    pytest gave the test. The suite's seed is no part of it: another seed is another look at the same claim.

    Raises RecordError for a model that cannot be identified: an object, a name of the hub without a commit, or a folder
    without weights; for a body without a source, and for what has no plain form.
    """
    experiments = [e for question in questions for e in experiments_of(question)]
    pairs = list({e.patching.pairs.digest: e.patching.pairs for e in experiments}.values())
    models = list(dict.fromkeys(e.patching.model for e in experiments))
    names = {p.digest: f"pairs {i}" for i, p in enumerate(pairs, 1)} | {
        model: f"model {i}" for i, model in enumerate(models, 1)
    }
    made_with = {lab.name: lab for lab in labs}
    refuse_objects(models, made_with)
    sources = sources or Sources()
    given = {
        "accepted": sorted(claim.accept),
        "asked": asked_of(claim, questions, names, suite_seed),
        "body": sources.body(claim.body),
        "family": {"name": family[0], "size": family[1]},
        "models": [sources.model(model) for model in models],
        "pairs": [{**described(p), "split": None if p.half is None else p.half.as_dict()} for p in pairs],
        "parameters": {name: parameter(value) for name, value in (parameters or {}).items()},
        "prediction": prediction_fields(claim.prediction),
        "sentence": claim.sentence,
        "settings": settings_fields(
            {names[m]: made_with[m].settings if m in made_with else settings for m in models}, settings
        ),
        "statistics": STATISTICS,
        "stopping": None if claim.stopping is None else {"rule": claim.stopping.rule, "looks": claim.stopping.looks},
        "units": ["independent pairs" if p.iid else "clusters" for p in pairs],
        "variants": None
        if claim.multiverse is None
        else {"share": claim.multiverse.share, "names": [v.name for v in claim.multiverse.variants()]},
    }
    return Spec(id, plain(given))


def summaries(fields: Mapping[str, Any]) -> list[str]:
    """What a spec asks, as lines to read: one, or one for each of its variants."""
    question = fields["asked"]
    if isinstance(question, Mapping) and "variants" in question:
        return [f"{name}: {summary_of(one)}" for name, one in question["variants"].items()]
    return [summary_of(question)]


def asked_of(claim: Claim, questions: Sequence[Question | None], names: Mapping[str, str], seed: str) -> Any:
    if claim.multiverse is None:
        (question,) = questions
        return asked(question, names, seed=seed)
    variants = claim.multiverse.variants()
    return {
        "variants": {
            variant.name: asked(question, names, seed=None if "seed" in variant.choices else seed)
            for variant, question in zip(variants, questions, strict=True)
        }
    }


def refuse_objects(models: Iterable[str], labs: Mapping[str, Lab]) -> None:
    """Raises RecordError for a model that was given as an object, which nobody can find again by its name."""
    for model in models:
        if model in labs and not labs[model].named:
            raise RecordError(
                f"{model} was given as an object, Lab(model, tokenizer), and nothing says which weights it has. Save "
                'it to a folder with save_pretrained, and name that: Lab.load("folder").'
            )


def prediction_fields(prediction: Prediction | Ordering) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": type(prediction).__name__}
    for one in fields(prediction):
        value = getattr(prediction, one.name)
        if one.name in ("order", "names"):
            given[one.name] = [plain_name(name) for name in value]
        elif one.name in ("relation", "k") or value is None:
            given[one.name] = value
        else:  # 1 and 1.0 are one threshold
            given[one.name] = float(value)
    return given


def settings_fields(by_model: Mapping[str, Settings], suite: Settings) -> dict[str, Any]:
    """What changes the numbers of a model: once, or by model where they are loaded in different ways."""
    each = {model: loading_fields(settings) for model, settings in by_model.items()}
    first = next(iter(each.values()), loading_fields(suite))
    return first if all(one == first for one in each.values()) else dict(each)


def loading_fields(settings: Settings) -> dict[str, Any]:
    return {
        "dtype": settings.dtype,
        "quantize": settings.quantize,
        "remote_code": settings.trust_remote_code,
    }


@lru_cache(maxsize=KNOWN_SPLITS)
def described(pairs: Pairs) -> dict[str, Any]:
    """What is hashed of pairs: all of them; only the prompts, in any order and under any name; and the clusters."""
    clusters = pairs.clusters
    return {
        "hash": pairs.digest,
        "prompts": sha256_of("".join(sorted(pairs.each))),
        "number": len(pairs),
        "clusters": None if clusters is None else {"number": len(set(clusters)), "hash": digest_of(list(clusters))},
    }


def parameter(value: Any) -> Any:
    """A test's parameter as plain data; of an object that is none only its kind, for the experiment shows it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [parameter(one) for one in value]
    if isinstance(value, Metric):
        return metric_fields(value)
    if isinstance(value, Site):
        return site_fields(value)
    return {"kind": type(value).__name__}
