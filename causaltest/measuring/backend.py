"""The front door of the measuring room: experiments in, effects out."""

from __future__ import annotations

import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import transformers
from torch import Tensor

from causaltest.asking.experiment import Experiment, Patching, Quantity
from causaltest.asking.interventions import zero
from causaltest.asking.metrics import Metric, accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import Position
from causaltest.asking.sites import STREAM, Site
from causaltest.effect import Controls, Effect, Exclusion, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.errors import MeasurementError, ModelError, PositionError
from causaltest.measuring import patches
from causaltest.measuring.adapters.load import load_model, wrap
from causaltest.measuring.adapters.model import LoadedModel, refuse_training
from causaltest.measuring.clean_runs import CleanRun, CleanRuns
from causaltest.measuring.eligibility import reasons
from causaltest.measuring.engine import Run, run
from causaltest.measuring.patches import Displacement, Spot, Vectors
from causaltest.measuring.positions import layout, resolve
from causaltest.measuring.prompts import Chunk, TokenPair
from causaltest.measuring.references import Reference, References, Side
from causaltest.measuring.scores import score, text_of, tokens_needed
from causaltest.sweep import SweepMap

POSITIVE_CONTROL_NEEDS = 0.5
EVERYWHERE = Position("everywhere")
SIDES: tuple[Side, Side] = ("clean", "corrupt")
OWN_CONTROL = "the patch is at every position of the stream, so it recovers by construction"
T = TypeVar("T")


def open_backend(name: str | None, model: Any, tokenizer: Any) -> ModelBackend:
    """The backend of a model by name, or of a model and tokenizer given as objects."""
    if model is None:
        return ModelBackend(load_model(str(name)))
    if isinstance(model, LoadedModel):
        return ModelBackend(model)
    return ModelBackend(wrap(model, tokenizer, name or type(model).__name__))


@dataclass
class Counts:
    """What was computed so far."""

    patched_runs: int = 0
    patched_forwards: int = 0


@dataclass(frozen=True)
class Prepared:
    """A patching made ready: its reference runs, its spots in every chunk, and what goes there."""

    patching: Patching
    metric: Metric
    new_tokens: int
    chunks: tuple[Chunk, ...]
    clean: Reference
    corrupt: Reference
    spots: tuple[tuple[Spot, ...], ...]
    values: Vectors
    """What the patch puts in."""
    own: Vectors
    """What the patched run has there by itself."""

    @property
    def side(self) -> Side:
        """The run that is patched."""
        return "corrupt" if self.patching.direction == "denoise" else "clean"

    @property
    def base(self) -> Reference:
        return self.corrupt if self.side == "corrupt" else self.clean

    @property
    def pairs(self) -> tuple[TokenPair, ...]:
        """All pairs in the order of the chunks."""
        return tuple(pair for chunk in self.chunks for pair in chunk.pairs)


class ModelBackend:
    """Measures experiments on one loaded model; keeps its reference runs."""

    def __init__(self, model: LoadedModel) -> None:
        self.loaded = model
        self.references = References(model)
        self.counts = Counts()
        self._measured: dict[str, Effect] = {}
        self._as_loaded = fingerprint(model)

    @property
    def model(self) -> str:
        return self.loaded.name

    def measure(self, experiment: Experiment) -> Effect:
        """The effect of an experiment, with its controls. The same experiment is measured once.

        Raises MeasurementError when no pair is eligible, a patch did not fire, or a run gave NaN.
        """
        self._refuse_changed()
        if experiment.digest not in self._measured:
            self._measured[experiment.digest] = self._measure(experiment)
        return self._measured[experiment.digest]

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        """One estimate per cell, without controls."""
        component = cells[0].patching.sites[0].component
        effects, distances = [], []
        for cell in cells:
            ready = self._prepare(cell.patching, cell.metric)
            arms = self._arms(ready, self._patched(ready, ready.values))
            effects.append(self._numbers(cell, ready, arms, Controls()))
            far = displacement(ready).distances()
            distances.append(sum(far) / len(far))
        return SweepMap(
            summary=f"{cells[0].quantity}({cells[0].metric}), {cells[0].patching.direction} {component}",
            rows=tuple(rows),
            columns=tuple(
                self._labelled(cell, label) for cell, label in zip(cells[: len(columns)], columns, strict=True)
            ),
            estimates=tuple(Effect(cell, n).estimate for cell, n in zip(cells, effects, strict=True)),
            distances=tuple(distances),
            n=len(effects[0].values),
            pairs_total=len(cells[0].patching.pairs),
            sites=tuple(cell.patching.sites[0] for cell in cells),
        )

    def _labelled(self, cell: Experiment, label: str) -> str:
        """A column's label, with the token that stands there where all clean prompts agree on it."""
        position = cell.patching.sites[0].position
        if position.kind != "index":
            return label
        chunks = self.references.chunks(cell.patching.pairs)
        ids = {
            p.clean.ids[position.numbers[0]] for c in chunks for p in c.pairs if position.numbers[0] < c.prompt_tokens
        }
        token = self.loaded.tokenizer.convert_ids_to_tokens(ids.pop()) if len(ids) == 1 else ""
        return f"{label} {token}".strip()

    def spread(self, site: Site, pairs: Pairs) -> Site:
        """A sweep's site with `every()` spelled out as indices of the prompts' common length."""
        self.loaded.check(site)
        if site.position.kind != "every":
            return site
        lengths = {chunk.prompt_tokens for chunk in self.references.chunks(pairs)}
        if len(lengths) > 1:
            raise MeasurementError(
                f"The prompts have {sorted(lengths)} tokens, so a position means something else in each. Sweep "
                "pairs of one length, or name positions by text or span."
            )
        return replace(site, position=Position("index", tuple(range(lengths.pop()))))

    def moved(self, patching: Patching) -> SelfPatch:
        """How far a patch moves any answer logit, against the same run unpatched."""
        ready = self._prepare(patching, accuracy)
        return SelfPatch(furthest(self._patched(ready, ready.values), ready.base.runs), 0.0)

    def clean(self, pairs: Pairs) -> CleanRuns:
        """Both unpatched runs of every pair."""
        chunks = self.references.chunks(pairs)
        tokens = [pair for chunk in chunks for pair in chunk.pairs]
        new_tokens = tokens_needed(accuracy, tokens)
        sides = [self.references.get(pairs, side, new_tokens) for side in SIDES]
        scores = [self._scores(accuracy, side.runs, chunks) for side in sides]
        gave = [[text_of(self.loaded.tokenizer, row) for r in side.runs for row in r.tokens.tolist()] for side in sides]
        why = reasons(accuracy, tokens, *scores)
        return CleanRuns(
            self.model,
            tuple(
                CleanRun(
                    pair_id=str(t.pair.id),
                    clean=t.pair.clean,
                    corrupt=t.pair.corrupt,
                    answer=t.pair.answer,
                    clean_gave=clean,
                    corrupt_gave=corrupt,
                    tokens=tuple(self.loaded.tokenizer.convert_ids_to_tokens(list(t.clean.ids))),
                    excluded=excluded,
                )
                for t, clean, corrupt, excluded in zip(tokens, *gave, why, strict=True)
            ),
        )

    def counted(self) -> dict[str, int]:
        """What was computed so far, in runs of one pair and in forwards of many."""
        return {
            "patched_runs": self.counts.patched_runs,
            "forwards": self.counts.patched_forwards + self.references.forwards,
            "reference_runs": self.references.runs,
            "reused_runs": self.references.reused,
        }

    def _refuse_changed(self) -> None:
        """Raises ModelError when the model is not as it was loaded: its kept runs would be another model's."""
        refuse_training(self.loaded.model, self.loaded.name)
        if fingerprint(self.loaded) != self._as_loaded:
            raise ModelError(
                f"The weights of {self.loaded.name} changed since it was loaded, and its clean runs were kept from "
                "before. Make a new Lab of the changed model."
            )

    def _measure(self, experiment: Experiment) -> Effect:
        ready = self._prepare(experiment.patching, experiment.metric)
        arms = self._arms(ready, self._patched(ready, ready.values))
        controls = self._controls(experiment, ready, arms) if experiment.controls else Controls()
        return Effect(experiment, self._numbers(experiment, ready, arms, controls))

    def _prepare(self, patching: Patching, metric: Metric) -> Prepared:
        self._refuse_changed()
        for site in patching.sites:
            self.loaded.check(site)
        pairs = patching.pairs
        chunks = self.references.chunks(pairs)
        new_tokens = tokens_needed(metric, [p for c in chunks for p in c.pairs])
        late = [k for s in patching.sites if s.position.kind == "step" for k in s.position.numbers if k >= new_tokens]
        if late:
            raise PositionError(
                f"step({late[0]}) comes after the last token that {metric} reads here (it reads {new_tokens}), so a "
                f"patch there cannot matter. The steps are 0 to {new_tokens - 1}."
            )
        components = {site.component for site in patching.sites}
        clean = self.references.get(pairs, "clean", new_tokens, components)
        corrupt = self.references.get(pairs, "corrupt", new_tokens, components)
        spots = tuple(self._spots(patching, chunk, new_tokens) for chunk in chunks)
        own = self._read(corrupt if patching.direction == "denoise" else clean, spots)
        source = self._read(clean if patching.direction == "denoise" else corrupt, spots)
        if patching.intervention.kind == "zero":
            source = tuple(tuple(torch.zeros_like(v) for v in chunk) for chunk in own)
        elif patching.intervention.kind == "mean":
            source = patches.means(self._read(clean, spots), spots)
        return Prepared(patching, metric, new_tokens, chunks, clean, corrupt, spots, source, own)

    def _spots(self, patching: Patching, chunk: Chunk, new_tokens: int) -> tuple[Spot, ...]:
        where = layout(self.loaded, chunk.prompt_tokens, new_tokens)
        return tuple(
            spot
            for site in patching.sites
            for spot in patches.spots(site, [resolve(site.position, pair, where) for pair in chunk.pairs])
        )

    def _read(self, reference: Reference, spots: Sequence[Sequence[Spot]]) -> Vectors:
        return tuple(
            tuple(patches.read(self.loaded, r.activations, spot) for spot in chunk)
            for r, chunk in zip(reference.runs, spots, strict=True)
        )

    def _patched(self, ready: Prepared, values: Vectors) -> list[Run]:
        """A patched run of every pair, in the batch shapes of the reference runs."""
        runs = [
            run(
                self.loaded,
                getattr(chunk, ready.side),
                new_tokens=ready.new_tokens,
                patches=[patches.write(spot, v) for spot, v in zip(spots, vectors, strict=True)],
                resume=base,
            )
            for chunk, spots, vectors, base in zip(ready.chunks, ready.spots, values, ready.base.runs, strict=True)
        ]
        self.counts.patched_runs += len(ready.pairs)
        self.counts.patched_forwards += sum(r.forwards for r in runs)
        return runs

    def _scores(self, metric: Metric, runs: Sequence[Run], chunks: Sequence[Chunk]) -> list[float]:
        return [s for r, c in zip(runs, chunks, strict=True) for s in score(metric, self.loaded, r, c.pairs)]

    def _arms(self, ready: Prepared, patched: Sequence[Run]) -> Arms:
        clean, corrupt, changed = (
            self._scores(ready.metric, runs, ready.chunks) for runs in (ready.clean.runs, ready.corrupt.runs, patched)
        )
        return Arms(
            clean,
            corrupt,
            changed,
            reasons(ready.metric, ready.pairs, clean, corrupt),
            self._clipped(ready, patched) if ready.metric.range is not None else [False] * len(clean),
        )

    def _clipped(self, ready: Prepared, patched: Sequence[Run]) -> list[bool]:
        """Per pair, whether any of its three values lay outside the metric's range."""
        low, high = ready.metric.range or (0.0, 0.0)
        free = replace(ready.metric, range=None)
        runs = (ready.clean.runs, ready.corrupt.runs, patched)
        columns = [self._scores(free, side, ready.chunks) for side in runs]
        return [any(not low <= value <= high for value in values) for values in zip(*columns, strict=True)]

    def _controls(self, experiment: Experiment, ready: Prepared, arms: Arms) -> Controls:
        moves = displacement(ready)
        return Controls(
            self_patch=SelfPatch(furthest(self._patched(ready, ready.own), ready.base.runs), 0.0),
            placebo=self._placebo(experiment, ready, arms, moves),
            positive=self._positive(experiment) if not whole_stream(ready, self.loaded) else Waived(OWN_CONTROL),
            distance=tuple(arms.eligible(moves.distances())),
        )

    def _placebo(
        self, experiment: Experiment, ready: Prepared, arms: Arms, moves: Displacement
    ) -> tuple[float, ...] | Waived | None:
        """Per pair, the effect of other pairs' differences put at the same site, averaged over draws."""
        if not experiment.placebo_draws:
            return Waived("placebo=False")
        clusters = [p.pair.cluster or str(p.pair.id) for p in ready.pairs]
        sizes = [len(v) for v in moves.base]
        usable = [bool(torch.linalg.vector_norm(v) > 0) for v in moves.natural]
        partner, distances = patches.partners(clusters, sizes, usable, random.Random(0)), moves.distances()
        if any(partner[i] is None and distances[i] > 0 for i in arms.keep):
            # A pair left as it is would let the effect beat its placebo for free.
            return None
        total = [0.0] * len(arms.keep)
        for draw in range(experiment.placebo_draws):
            rng = random.Random(f"{experiment.digest} placebo {draw}")
            moved = patches.placebo(moves, patches.partners(clusters, sizes, usable, rng))
            values = patches.by_chunk(moved, ready.own, ready.spots)
            patched = self._scores(ready.metric, self._patched(ready, values), ready.chunks)
            effect = quantities(experiment, replace(arms, patched=patched))
            total = [t + e for t, e in zip(total, effect, strict=True)]
        return tuple(t / experiment.placebo_draws for t in total)

    def _positive(self, experiment: Experiment) -> PositiveControl | None:
        """The same patch at every position; components of a block at every layer too."""
        sites = tuple(dict.fromkeys(self._everywhere(site) for site in experiment.patching.sites))
        patching = replace(experiment.patching, sites=sites)
        if patching.direction == "ablate":
            # Prompts of several lengths have no mean at every position; zeros ask the same of the hook.
            patching = replace(patching, intervention=zero)
        ready = self._prepare(patching, experiment.metric)
        arms = self._arms(ready, self._patched(ready, ready.values))
        what = " + ".join(map(str, sites))
        if patching.direction == "ablate" and experiment.metric.kind == "continuous":
            # Zeros everywhere bring a logit to about zero and no further: ask how far of the way it went.
            went = sum(abs(arms.clean[i] - arms.patched[i]) for i in arms.keep)
            return PositiveControl(
                went / (sum(abs(arms.clean[i]) for i in arms.keep) or 1.0), POSITIVE_CONTROL_NEEDS, what
            )
        quantity: Quantity = "recovery" if experiment.patching.direction == "denoise" else "drop"
        whole = replace(experiment, quantity=quantity)
        estimate = Effect(whole, self._numbers(whole, ready, arms, Controls())).estimate
        return PositiveControl(estimate, POSITIVE_CONTROL_NEEDS, what)

    def _everywhere(self, site: Site) -> Site:
        if site.component in STREAM:
            return replace(site, position=EVERYWHERE)
        layers, heads = range(len(self.loaded.blocks)), range(self.loaded.heads) if site.heads else ()
        return replace(site, position=EVERYWHERE, layers=tuple(layers), heads=tuple(heads))

    def _numbers(self, experiment: Experiment, ready: Prepared, arms: Arms, controls: Controls) -> Numbers:
        if not arms.keep:
            counts = {why: arms.excluded.count(why) for why in dict.fromkeys(arms.excluded) if why}
            told = "; ".join(f"{count} because {why}" for why, count in counts.items())
            raise MeasurementError(
                f"None of the {len(ready.pairs)} pairs is eligible: {told}. lab.clean(pairs) shows what each run gave."
            )
        ids = [str(p.pair.id) for p in ready.pairs]
        clusters = (
            None
            if ready.patching.pairs.iid
            else tuple(arms.eligible([p.pair.cluster or str(p.pair.id) for p in ready.pairs]))
        )
        ratio = ready.metric.kind == "continuous" and experiment.quantity != "change"
        baseline = arms.corrupt if ready.side == "corrupt" else arms.clean
        return Numbers(
            values=tuple(quantities(experiment, arms)),
            pair_ids=tuple(arms.eligible(ids)),
            clusters=clusters,
            kind="ratio" if ratio else effect_kind(experiment),
            range=effect_range(experiment),
            denominators=tuple(arms.clean[i] - arms.corrupt[i] for i in arms.keep) if ratio else None,
            controls=controls,
            clipped=sum(arms.clipped[i] for i in arms.keep) / len(arms.keep),
            pairs_total=len(ready.pairs),
            excluded=tuple(Exclusion(i, why) for i, why in zip(ids, arms.excluded, strict=True) if why),
            references={
                "clean": tuple(arms.eligible(arms.clean)),
                "corrupt": tuple(arms.eligible(arms.corrupt)),
                "patched": tuple(arms.eligible(arms.patched)),
                "baseline": tuple(arms.eligible(baseline)),
            },
            provenance=self._provenance(experiment),
        )

    def _provenance(self, experiment: Experiment) -> dict[str, str]:
        model = self.loaded.model
        return {
            "model": self.loaded.name,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": str(model.device),
            "seed": experiment.seed,
            "experiment": experiment.digest,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            **self.loaded.provenance,
        }


@dataclass(frozen=True)
class Arms:
    """The metric of every pair in the three runs, and why a pair does not count."""

    clean: list[float]
    corrupt: list[float]
    patched: list[float]
    excluded: list[str | None]
    clipped: list[bool]

    @property
    def keep(self) -> list[int]:
        return [i for i, why in enumerate(self.excluded) if why is None]

    def eligible(self, column: Sequence[T]) -> list[T]:
        return [column[i] for i in self.keep]


def quantities(experiment: Experiment, arms: Arms) -> list[float]:
    """The values per eligible pair of an effect; a ratio's numerators.

    recovery: binary, 1 where the patched run gives the clean answer; else patched - corrupt.
    drop: binary, 1 where it no longer does; else clean - patched. change: patched - unpatched.
    """
    keep, binary = arms.keep, experiment.metric.kind == "binary"
    base = arms.corrupt if experiment.patching.direction == "denoise" else arms.clean
    if experiment.quantity == "change":
        return [arms.patched[i] - base[i] for i in keep]
    if experiment.quantity == "recovery":
        return [arms.patched[i] - (0.0 if binary else arms.corrupt[i]) for i in keep]
    return [(1.0 if binary else arms.clean[i]) - arms.patched[i] for i in keep]


def effect_kind(experiment: Experiment) -> Any:
    binary = experiment.metric.kind == "binary" and experiment.quantity != "change"
    return "binary" if binary else "continuous"


def effect_range(experiment: Experiment) -> tuple[float, float] | None:
    """The range of a per-pair value: a difference of two values of the metric."""
    if experiment.metric.kind == "binary":
        return (-1.0, 1.0) if experiment.quantity == "change" else (0.0, 1.0)
    if experiment.metric.range is None:
        return None
    low, high = experiment.metric.range
    return (low - high, high - low)


def displacement(ready: Prepared) -> Displacement:
    """What the patch does to each pair, and what nature does there."""
    base, patched = patches.by_pair(ready.own, ready.spots), patches.by_pair(ready.values, ready.spots)
    if ready.patching.intervention.kind == "replace":
        natural = [p - b for p, b in zip(patched, base, strict=True)]
    else:
        # An ablation has no other run: nature's difference is that between two pairs' clean runs.
        clusters = [p.pair.cluster for p in ready.pairs]
        natural = [between(base, clusters, i) for i in range(len(base))]
    return Displacement(base, patched, natural)


def between(vectors: Sequence[Tensor], clusters: Sequence[str | None], i: int) -> Tensor:
    """The difference to another pair of the same shape, from another cluster where one differs; else zero."""
    others = [j for j in (*range(i + 1, len(vectors)), *range(i)) if vectors[j].shape == vectors[i].shape]
    others.sort(key=lambda j: clusters[j] == clusters[i])
    differences = (vectors[j] - vectors[i] for j in others)
    return next((d for d in differences if bool(d.any())), torch.zeros_like(vectors[i]))


def whole_stream(ready: Prepared, model: LoadedModel) -> bool:
    """Whether the patch covers every position of a residual stream or embedding: its own positive control."""
    for chunk, spots in zip(ready.chunks, ready.spots, strict=True):
        total = layout(model, chunk.prompt_tokens, ready.new_tokens).total
        for spot in spots:
            if spot.component not in STREAM or any(len(set(at)) < total for at in spot.positions):
                return False
    return True


def fingerprint(model: LoadedModel) -> tuple[tuple[int, int], ...]:
    """Where each weight lies and how often it was written to in place: cheap, and changed by any training."""
    return tuple((p.data_ptr(), p._version) for p in model.model.parameters())


def furthest(runs: Sequence[Run], references: Sequence[Run]) -> float:
    """The largest change of any answer logit."""
    return max(float((a.logits - b.logits).abs().max()) for a, b in zip(runs, references, strict=True))
