"""The front door of the measuring room: experiments in, effects out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import transformers

from causaltest.asking.company import company, generates
from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import Metric, accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import Position
from causaltest.asking.settings import Dtype, Settings
from causaltest.asking.sites import Site
from causaltest.clean_runs import CleanRun, CleanRuns
from causaltest.effect import Effect, SelfPatch
from causaltest.errors import CausaltestError, MeasurementError, ModelError
from causaltest.measuring.adapters.load import load_model, wrap
from causaltest.measuring.adapters.model import LoadedModel, refuse_training
from causaltest.measuring.batch import Batch, Readings
from causaltest.measuring.budget import LEAST, Budget
from causaltest.measuring.chunk_runs import SIDES
from causaltest.measuring.costing import cost_of, cost_of_estimates, seconds_per_token_layer
from causaltest.measuring.eligibility import reasons, turned
from causaltest.measuring.engine import Shortcuts
from causaltest.measuring.kept_shortcuts import kept_shortcuts
from causaltest.measuring.model_card import EXAMPLE, ModelCard, model_card
from causaltest.measuring.parts import Parts
from causaltest.measuring.plans import Plan
from causaltest.measuring.progress import Progress
from causaltest.measuring.prompts import notes_on_prompts
from causaltest.measuring.proofs import prove
from causaltest.measuring.references import References
from causaltest.measuring.scores import score, text_of, tokens_needed
from causaltest.measuring.sites import Sites
from causaltest.measuring.study import Study
from causaltest.measuring.together import Together
from causaltest.store.kept import Kept
from causaltest.sweep import PerPair, SweepMap

LOOKED_AT = 32
"""Numbers of each weight that are compared, to see that a model is as it was loaded."""


def open_backend(
    name: str | None, model: Any, tokenizer: Any, settings: Settings | None = None, kept: Kept | None = None
) -> ModelBackend:
    """The backend of a model by name, or of a model and tokenizer given as objects.

    `kept` is where clean runs are kept, and what is measured of a plan that is not at its end.
    """
    settings = settings or Settings()
    if model is None:
        loaded = in_dtype(load_model(str(name), settings), settings.dtype)
        if kept is not None:
            kept.loaded(loaded.provenance)
        return ModelBackend(loaded, settings, kept)
    if isinstance(model, LoadedModel):
        return ModelBackend(model, settings, kept)
    return ModelBackend(wrap(model, tokenizer, name or type(model).__name__), settings, kept)


def in_dtype(model: LoadedModel, dtype: Dtype) -> LoadedModel:
    """The model with its weights in another dtype, where it is one."""
    wanted: torch.dtype = getattr(torch, dtype)
    if model.model.dtype != wanted and not getattr(model.model, "is_quantized", False):
        for module in (model.model, *([model.reasoning.project] if model.reasoning is not None else [])):
            module.to(wanted)
    return model


@dataclass
class Counts:
    """What was computed so far."""

    patched_runs: int = 0
    patched_forwards: int = 0


class ModelBackend(Together):
    """Measures experiments on one loaded model; keeps its reference runs and its effects."""

    def __init__(self, model: LoadedModel, settings: Settings | None = None, kept: Kept | None = None) -> None:
        super().__init__()
        self.loaded = model
        self.settings = settings or Settings()
        self.kept = kept
        self.references = References(model, Budget(self.settings.memory), kept)
        self.counts = Counts()
        self._as_loaded = fingerprint(model)
        self._proven = False

    @property
    def model(self) -> str:
        return self.loaded.name

    def _map(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        plan = Plan(tuple(cells), roughly=True)
        return self.mapped(plan, rows, columns, *self._run(plan))

    def mapped(
        self, plan: Plan, rows: Sequence[str], columns: Sequence[str], studies: Sequence[Study], readings: Readings
    ) -> SweepMap:
        """The map that the cells of a plan make."""
        cells, component = plan.experiments, plan.experiments[0].patching.sites[0].component
        values, estimates = None, []
        for cell, study in enumerate(studies):
            effect = study.effect(readings, {})
            if values is None:
                first, values = effect.measured, np.empty((len(cells), effect.n))
            values[cell] = effect.measured.values
            estimates.append(effect.estimate)
        assert values is not None  # a site has a cell
        measured = first.estimated_by is None
        rounding = studies[0].roughly(readings) if measured and cells[0].metric.kind == "continuous" else 0.0
        return SweepMap(
            summary=f"{cells[0].quantity}({cells[0].metric}), {cells[0].patching.direction} {component}",
            estimated_by=first.estimated_by,
            per_pair=PerPair(values, first.pair_ids, first.clusters, first.denominators, rounding)
            if measured
            else None,
            rows=tuple(rows),
            columns=tuple(
                self._labelled(cell, label) for cell, label in zip(cells[: len(columns)], columns, strict=True)
            ),
            estimates=tuple(estimates),
            distances=tuple(study.mean_distance(readings) for study in studies),
            n=len(first.values),
            pairs_total=len(cells[0].patching.pairs),
            sites=tuple(cell.patching.sites[0] for cell in cells),
        )

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
        self._refuse_changed()
        experiment = Experiment(patching, "change", accuracy, controls=False)
        (study,), readings = self._run(Plan((experiment,), neutral=True))
        return study.neutral(readings, study.patched.arm)

    def clean(self, pairs: Pairs, rule: Metric = accuracy, both_right: bool = False) -> CleanRuns:
        """Both unpatched runs of every pair, and which count by a right-or-wrong metric's rule."""
        self._refuse_changed()
        self.prove(pairs)
        out: list[CleanRun] = []
        chunks, ids = self.references.chunks(pairs), self.references.columns(pairs).ids
        new_tokens = tokens_needed(rule, [p for c in chunks for p in c.pairs], both=both_right)
        for number, chunk in enumerate(chunks):
            runs = self.references.get(pairs, number, new_tokens)
            sides = [runs.side(side) for side in SIDES]
            scores = [score(rule, self.loaded, ran, ids, chunk.pairs).tolist() for ran in sides]
            own = score(rule, self.loaded, runs.corrupt, ids, turned(chunk.pairs)).tolist() if both_right else None
            tokens = [[text_of(self.loaded.tokenizer, row[:new_tokens]) for row in r.tokens.tolist()] for r in sides]
            why = reasons(rule, chunk.pairs, scores[0], scores[1], own)
            out += [
                CleanRun(
                    pair_id=str(t.pair.id),
                    clean=t.pair.clean,
                    corrupt=t.pair.corrupt,
                    answer=t.pair.answer,
                    clean_gave=clean,
                    corrupt_gave=corrupt,
                    tokens=tuple(self.loaded.tokenizer.convert_ids_to_tokens(list(t.clean.ids))),
                    excluded=excluded,
                    notes=t.notes,
                )
                for t, clean, corrupt, excluded in zip(chunk.pairs, *tokens, why, strict=True)
            ]
        return CleanRuns(self.model, tuple(out), f"{rule}, both runs right" if both_right else str(rule))

    def card(self, text: str | None) -> ModelCard:
        """The model as a page to look at."""
        return model_card(self.loaded, EXAMPLE if text is None else text)

    def batch(self, experiments: Iterable[Experiment]) -> tuple[Batch, list[Study]]:
        """The batch of experiments on one set of pairs, planned and not run."""
        experiments = list(experiments)
        known = not any(map(generates, experiments))
        batch = Batch(self.loaded, self.references, experiments[0].patching.pairs, answers_known=known)
        sites = Sites(batch)
        return batch, [Study(experiment, batch, sites) for experiment in experiments]

    def cost_of(self, experiments: Iterable[Experiment]) -> Cost:
        """What measuring them takes, by the plans that they would be measured by; none is announced by that."""
        groups: dict[object, dict[str, Experiment]] = {}
        for experiment in experiments:
            groups.setdefault(company(experiment), {})[experiment.digest] = experiment
        rate, total = seconds_per_token_layer(self.loaded), Cost()
        for group in groups.values():
            together = [group[digest] for digest in sorted(group)]
            self.prove(together[0].patching.pairs)
            batch, method = self.batch(together)[0], together[0].patching.method
            if method.estimates:
                total += cost_of_estimates(batch, method, len(together), rate)
            else:
                total += cost_of(batch, len(together), rate)
        return total

    def patched_runs(self, experiments: Sequence[Experiment]) -> int:
        """How many patched runs experiments on one set of pairs take in one plan; nothing is run."""
        return self.batch(sorted(experiments, key=lambda e: e.digest))[0].patched_runs

    def counted(self) -> dict[str, int]:
        """What was computed so far, in runs of one pair and in forwards of many."""
        return {
            "patched_runs": self.counts.patched_runs,
            "forwards": self.counts.patched_forwards + self.references.forwards,
            "reference_runs": self.references.runs,
            "reused_runs": self.references.reused,
        }

    def _effects_of(self, plan: Plan) -> list[Effect | CausaltestError]:
        return self.effects(plan, *self._run(plan))

    def effects(self, plan: Plan, studies: Sequence[Study], readings: Readings) -> list[Effect | CausaltestError]:
        """Per experiment of a plan, what was measured, or why nothing was."""
        out: list[Effect | CausaltestError] = []
        for experiment, study in zip(plan.experiments, studies, strict=True):
            try:
                out.append(study.effect(readings, self._provenance(experiment)))
            except CausaltestError as error:
                out.append(error)
        return out

    def opened(self, plan: Plan) -> tuple[Batch, list[Study]]:
        """A plan's batch, which has not run, with all that is read of it."""
        batch, studies = self.batch(plan.experiments)
        self.prove(batch.pairs)
        for study in studies if plan.neutral else ():
            study.compare(study.patched.arm)
        if plan.roughly and not plan.estimates:
            studies[0].compare_roughly()
        return batch, studies

    def _run(self, plan: Plan) -> tuple[list[Study], Readings]:
        """Runs one plan; out of memory, it goes on with half the budget."""
        while True:
            try:
                batch, studies = self.opened(plan)
                with Progress(plan.what, batch.patched_runs, self.settings) as progress:
                    try:
                        readings = batch.run(self.counting(progress.tick), plan.arms, self._parts(plan))
                    finally:
                        batch.let_go()
                return studies, readings
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or self.references.budget.bytes // 2 < LEAST:
                    raise
            # Outside of the handler, whose traceback holds what filled the memory.
            self.within(self.references.budget.halved())

    def within(self, budget: Budget) -> None:
        """From here, measures within another budget."""
        counted = self.references
        self.references = References(self.loaded, budget, self.kept)
        self.references.shortcuts = counted.shortcuts
        for name in ("forwards", "runs", "reused"):
            setattr(self.references, name, getattr(counted, name))

    def _parts(self, plan: Plan) -> Parts | None:
        """Where the parts of a plan are kept until it is at its end."""
        if self.kept is None:
            return None
        members, flags, how = plan.parts_key(self.references.shortcuts, self.references.budget.bytes)
        return Parts(self.kept, members, flags, how)

    def counting(self, tick: Callable[[int], None]) -> Callable[[int, int], None]:
        def count(patched_runs: int, forwards: int) -> None:
            self.counts.patched_runs += patched_runs
            self.counts.patched_forwards += forwards
            tick(patched_runs)

        return count

    def prove(self, pairs: Pairs) -> None:
        """Finds out, once, which shortcuts hold for this model."""
        if not self._proven:
            first = self.references.chunks(pairs)[0].clean[:1]
            self.references.shortcuts = kept_shortcuts(self.kept, self.loaded, lambda: prove(self.loaded, first))
            self._proven = True

    def proven(self, shortcuts: Shortcuts) -> None:
        """From here, these hold, which somebody else has proven."""
        if self.references.shortcuts != shortcuts:
            self.within(self.references.budget)  # without what was run by others
            self.references.shortcuts = shortcuts
        self._proven = True

    def _refuse_changed(self) -> None:
        """Raises ModelError when the model is not as it was loaded: its kept runs would be another model's."""
        refuse_training(self.loaded.model, self.loaded.name)
        if fingerprint(self.loaded) != self._as_loaded:
            raise ModelError(
                f"The weights of {self.loaded.name} changed since it was loaded, and its clean runs were kept from "
                "before. Make a new Lab of the changed model."
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

    def _provenance(self, experiment: Experiment) -> dict[str, str]:
        model, budget = self.loaded.model, self.references.budget.bytes
        notes = notes_on_prompts(self.references.chunks(experiment.patching.pairs))
        if budget != self.settings.memory:
            notes["memory"] = (
                f"out of memory: measured within {budget} bytes in place of {self.settings.memory}, and equal only to "
                "rounding to a run within those"
            )
        if not self.references.shortcuts.forks:
            notes["whole runs"] = self.references.shortcuts.why
        return {
            "model": self.loaded.name,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": devices_of(self.loaded),
            "threads": str(torch.get_num_threads()),
            "layers": str(len(self.loaded.blocks)),
            "attention": str(getattr(model.config, "_attn_implementation", None)),
            "patched": experiment.site,
            "by": str(experiment.patching.intervention),
            "effect": "along the named edges alone" if experiment.patching.edges else "total, by all paths",
            "seed": experiment.seed,
            "experiment": experiment.digest,
            "causaltest": version("causaltest"),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            **notes,
            **self.loaded.provenance,
        }


def devices_of(model: LoadedModel) -> str:
    """The device of a model, or all that its weights are spread over."""
    spread = getattr(model.model, "hf_device_map", None) or {}
    return ", ".join(sorted({str(device) for device in spread.values()})) or str(model.device)


def fingerprint(model: LoadedModel) -> tuple[tuple[int, int, bytes], ...]:
    """Where each weight lies, how often it was written to in place, and some of its numbers: cheap, and changed by
    any training.

    What is written through `weight.data` is not counted by torch, so some numbers are looked at too; a change of few
    others is not seen. Weights that are offloaded are fetched for each forward; of those there is nothing to tell.
    """
    weights = [weight for weight in model.model.parameters() if weight.device.type != "meta"]
    # An odd step, so that a matrix is not looked at in a few of its columns alone.
    seen = [weight.detach().flatten()[:: weight.numel() // LOOKED_AT | 1].cpu().contiguous() for weight in weights]
    numbers = (some.view(torch.uint8).numpy().tobytes() for some in seen)
    return tuple(
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version, some)
        for weight, some in zip(weights, numbers, strict=True)
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; on a processor torch has no class of its own for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
