"""Lab: the front door. Its verbs build experiments; a backend gives the numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from causaltest.asking import interventions
from causaltest.asking.checks import Beside, Checks, checks_of, refuse_unfit, refuse_unknown
from causaltest.asking.costs import Cost
from causaltest.asking.edges import Edge
from causaltest.asking.experiment import PLACEBO_DRAWS, Direction, Experiment, Patching, Quantity
from causaltest.asking.interventions import Intervention
from causaltest.asking.methods import MethodName, method_of
from causaltest.asking.metrics import Metric, accuracy, logit
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.portions import Portioned
from causaltest.asking.settings import Settings, StorePlace
from causaltest.asking.sightings import measured, seen_by, swept_over, told
from causaltest.asking.sites import Site
from causaltest.asking.stopping import Stopping
from causaltest.asking.sweeps import Search, Sweep
from causaltest.asking.telling import on_terminal, warn
from causaltest.effect import Effect, SelfPatch
from causaltest.errors import CausaltestError, ClaimError, ModelError, SiteError
from causaltest.seen import Kind, Seen
from causaltest.sweep import SweepMap

if TYPE_CHECKING:
    from causaltest.clean_runs import CleanRuns
    from causaltest.measuring.model_card import ModelCard
    from causaltest.recording.seen import SeenLog
    from causaltest.store.kept import Kept

IN_A_TEST = "PYTEST_CURRENT_TEST"
"""What pytest sets while a test runs."""

Patchable = Site | Edge | Sequence[Site | Edge]


class Backend(Protocol):
    """What a lab needs from whoever gives the numbers."""

    @property
    def model(self) -> str: ...
    def measure(self, experiment: Experiment) -> Effect: ...
    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap: ...
    def spread(self, site: Site, pairs: Pairs) -> Site: ...
    def moved(self, patching: Patching) -> SelfPatch: ...
    def clean(self, pairs: Pairs, rule: Metric = ..., both_right: bool = ...) -> CleanRuns: ...
    def card(self, text: str | None) -> ModelCard: ...
    def counted(self) -> dict[str, int]: ...
    def expect(self, experiments: Iterable[Experiment]) -> None: ...
    def cost(self) -> Cost: ...
    def patched_runs(self, experiments: Sequence[Experiment]) -> int: ...


class Measuring(Backend, Protocol):
    """What the store needs of the backend that measures."""

    def together(self, experiments: Iterable[Experiment]) -> dict[str, Effect | CausaltestError]:
        """By their digests, what experiments give that are measured in one plan and with no others."""

    def cost_of(self, experiments: Iterable[Experiment]) -> Cost:
        """What measuring them takes; none of them is announced by that."""


class Lab:
    """A model and the experiments that can be asked of it.

    `Lab.load(name)` takes "organism:ducks", a folder, or "org/name@revision"; `Lab(model,
    tokenizer)` takes objects. Nothing is loaded until a number is asked for.
    """

    def __init__(
        self,
        model: Any = None,
        tokenizer: Any = None,
        *,
        name: str | None = None,
        backend: Backend | None = None,
        seed: str = "",
        settings: Settings | None = None,
    ) -> None:
        if backend is None and name is None and (model is None or tokenizer is None):
            raise ClaimError('Lab takes a model and its tokenizer; Lab.load("name or folder") loads both.')
        self._objects = (model, tokenizer)
        self._name = name
        self._backend = backend
        self._of: Lab | None = None
        self._refused: ModelError | None = None
        self._experiments: list[Experiment] = []
        self._expected: dict[str, Experiment] = {}
        """By their digest. A body runs several times, and makes its experiments, and their pairs, anew each time."""
        self._seen: dict[Seen, None] = {}
        self._searched: dict[Seen, None] = {}
        self._looked: list[Seen] = []
        self._told: list[str] = []
        self.seed = seed
        self.settings = settings or Settings()

    @classmethod
    def load(
        cls, name: str, *, seed: str = "", settings: Settings | None = None, store: str | Path | None = None
    ) -> Lab:
        """A lab on "organism:NAME", a checkpoint folder, or "org/name@revision"; opened on first use.

        `store` is a folder in which what is measured is kept, or an address of fsspec: the same as in `settings`.
        """
        if store is not None:
            settings = replace(settings or Settings(), store=StorePlace(str(store)))
        return cls(name=name, seed=seed, settings=settings)

    def __repr__(self) -> str:
        return f"Lab({self.name})"

    @property
    def name(self) -> str:
        """What reports call the model."""
        model, _ = self._objects
        if self._name is not None or model is None:
            return self._name or self.backend.model
        return getattr(model, "name", None) or type(model).__name__

    @property
    def counts(self) -> dict[str, int]:
        """What was computed so far; nothing while no number has been asked for."""
        if self._of is not None:
            return self._of.counts
        return {} if self._backend is None else dict(self._backend.counted())

    @property
    def backend(self) -> Backend:
        """Whoever gives the numbers; the measuring room is opened here, on first use."""
        if self._of is not None:
            return self._of.backend
        if self._backend is None:
            if self._refused is not None:
                raise self._refused
            try:
                self._backend = self._opened()
            except ModelError as error:
                # A model that cannot be loaded is not tried again for every claim.
                self._refused = error
                raise
            self._backend.expect(self._expected.values())
        return self._backend

    def _opened(self) -> Backend:
        """The backend, which asks the store first where there is one and the model has a name."""
        place = self.settings.store
        if place is None or self._name is None or self._objects[0] is not None:
            return self._measuring(None)
        from causaltest.store.folder import Store  # late doors: docs/decisions/0002
        from causaltest.store.place import place_of
        from causaltest.store.stored import Stored

        shared = place_of(place)
        store = Store(place.folder, room=shared.room, hear=self._hear)
        store.notice = on_terminal(self.settings.progress)
        return Stored(self._name, self.settings, store, self._measuring, shared=shared)

    def _hear(self, sentence: str) -> None:
        """Takes what the store has to tell: a damaged entry, or what cannot be kept."""
        self._told.append(sentence)
        if IN_A_TEST not in os.environ:
            warn(self.told())

    def told(self) -> list[str]:
        """What the store had to tell since this was last asked, a sentence each: entries that were damaged and set
        aside, and what could not be kept. A test run prints it in its report; a script is warned."""
        if self._of is not None:
            return self._of.told()
        told, self._told = self._told, []
        return told

    def _measuring(self, kept: Kept | None) -> Measuring:
        """The backend that measures; torch is imported here."""
        if self.settings.cluster is not None:
            from causaltest.measuring.executors.ray import open_spread  # a late door: docs/decisions/0002

            return open_spread(self._name, self._objects[0], self.settings, kept)
        from causaltest.measuring.backend import open_backend  # a late door: docs/decisions/0002

        return open_backend(self._name, *self._objects, self.settings, kept)

    def rehearsal(self, *, expected: bool = True) -> Lab:
        """The same lab without a model: effects that know only their experiment, which this lab comes to expect.

        `expected=False` is for where nothing will be measured.
        """
        backend = Rehearsal(self.name, self.expect) if expected else Rehearsal(self.name)
        return Lab(name=self.name, backend=backend, seed=self.seed, settings=self.settings)

    def in_portion(self, stopping: Stopping, look: int) -> Lab:
        """The same lab, which measures of all pairs only those that are new at a look, counted from 0."""
        backend = Portioned(self, stopping, look)
        return Lab(name=self.name, backend=backend, seed=self.seed, settings=self.settings)

    def with_seed(self, seed: str) -> Lab:
        """The same model, loaded once for both, with another seed of every draw."""
        lab = Lab(*self._objects, name=self._name, backend=self._backend, seed=seed, settings=self.settings)
        lab._of = self.origin
        return lab

    @property
    def origin(self) -> Lab:
        """The lab that loads the model and counts its runs: this one, or the one that `with_seed` was asked of."""
        return self if self._of is None else self._of

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Announces experiments, so that those on the same pairs are planned and measured together.

        They are measured when the first of them is asked for, and give what each gives alone, to rounding.
        """
        if self._of is not None:
            return self._of.expect(experiments)
        new = {e.digest: e for e in experiments if e.digest not in self._expected}
        self._expected |= new
        if new and self._backend is not None:
            self._backend.expect(new.values())

    def cost(self) -> Cost:
        """What measuring everything expected would take, before any of it runs."""
        return self.backend.cost()

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """What was asked of this lab so far, in order."""
        return tuple(self._experiments)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The sweeps and searches of this lab so far, in order: what they looked at is no longer new."""
        return tuple(self._searched)

    @property
    def looked(self) -> Sequence[Seen]:
        """The experiments that this lab has measured so far, in order. It grows with each."""
        return self._looked

    @property
    def named(self) -> bool:
        """Whether its model was named, and is the same one in another run; not so for objects."""
        return self._name is not None

    def clean(self, pairs: Pairs | Pair, *, eligible: Metric = accuracy, both_right: bool = False) -> CleanRuns:
        """The clean and corrupt runs: answers, what was given, which pairs are eligible by that metric."""
        pairs = as_pairs(pairs)
        refuse_unfit(Checks(eligible=eligible, both_right=both_right), logit, pairs)
        return self.backend.clean(pairs, eligible, both_right)

    def card(self, text: str | None = None) -> ModelCard:
        """The model's shape, which of its sites are proven, and a text as its tokens. Print it."""
        return self.backend.card(text)

    def denoise(
        self,
        pairs: Pairs | Pair,
        *,
        at: Patchable,
        method: MethodName = "patched",
        steps: int | None = None,
    ) -> Run:
        """Clean activations into the corrupt run: is this site sufficient?"""
        return self._run("denoise", pairs, at, interventions.replace, method, steps)

    def noise(
        self,
        pairs: Pairs | Pair,
        *,
        at: Patchable,
        method: MethodName = "patched",
        steps: int | None = None,
    ) -> Run:
        """Corrupt activations into the clean run: is this site necessary?"""
        return self._run("noise", pairs, at, interventions.replace, method, steps)

    def ablate(
        self,
        pairs: Pairs | Pair,
        *,
        at: Site | Sequence[Site],
        by: Intervention = interventions.zero,
        method: MethodName = "patched",
        steps: int | None = None,
    ) -> Run:
        """The clean run without what it has at a site: what does the model lose?

        `by` is zero, mean, mean(over=pairs), resample, gaussian(sd=3) or scale(0.5). It has `drop` and `change`.
        """
        return self._run("ablate", pairs, at, by, method, steps)

    def steer(self, pairs: Pairs | Pair, *, at: Site | Sequence[Site], by: Intervention) -> Run:
        """The clean run with a vector on top of what it has at a site: where does that push the answer?

        `by` is add(vector, times=4), or add(4.0) at a direction or feature. It has `change` and `drop`.
        """
        return self._run("steer", pairs, at, by, "patched", None)

    def sweep(
        self,
        pairs: Pairs | Pair,
        *,
        at: Site,
        direction: Direction = "denoise",
        by: Intervention = interventions.replace,
        method: MethodName = "patched",
        steps: int | None = None,
    ) -> Sweep:
        """One patched run per layer, head or neuron, and position of `at`, each alone. Exploratory.

        Where that is too much, a gradient screens all sites at once, and a patched run confirms what it found:

            screened = lab.sweep(pairs, at=head(range(12), range(12), last()), method="attribution")
            site = screened.recovery(logit_diff).best
            effect = lab.denoise(other_pairs, at=site).recovery(logit_diff)

        `method="integrated_gradients"` follows the metric in `steps` steps from one run's inputs to the other's.
        """
        sites, how = as_sites(at), method_of(method, steps)
        return Sweep(self, Patching(self.name, direction, as_pairs(pairs), sites, by, how))

    def search(
        self,
        pairs: Pairs | Pair,
        *,
        at: Site,
        direction: Direction = "denoise",
        by: Intervention = interventions.replace,
        method: MethodName = "patched",
        steps: int | None = None,
    ) -> Search:
        """The site with the largest effect among the layers, heads or neurons, and positions of `at`.

            discovery, confirmation = pairs.split(discovery=0.5, seed=0)
            site = lab.search(discovery, at=resid_post(range(12), every())).recovery(logit_diff)
            effect = lab.denoise(confirmation, at=site).recovery(logit_diff)

        The site remembers the pairs that it was found on: the best of many null sites looks like an effect there, and
        a claim about these pairs is labelled exploratory. Takes what `sweep` takes.
        """
        sites, how = as_sites(at), method_of(method, steps)
        return Search(self, Patching(self.name, direction, as_pairs(pairs), sites, by, how))

    def _run(
        self,
        direction: Direction,
        pairs: Pairs | Pair,
        at: Patchable,
        by: Intervention,
        method: MethodName,
        steps: int | None,
    ) -> Run:
        at = at if isinstance(at, Site | Edge) else tuple(at)
        edges, how = as_edges(at), method_of(method, steps)
        sites = tuple(dict.fromkeys(s for e in edges for s in e.sites)) if edges else as_sites(at)
        return Run(self, Patching(self.name, direction, as_pairs(pairs), sites, by, how, edges))

    def _measure(self, experiment: Experiment) -> Effect:
        experiment = self.origin._expected.get(experiment.digest, experiment)
        self._experiments.append(experiment)
        effect = self.backend.measure(experiment)
        if effect.numbers is None:
            return effect
        look = measured(experiment)
        labels = told(look, [*seen_by(experiment), *self._seen])
        if look not in self._seen:
            self._seen[look] = None
            self._looked.append(look)
            # In a test the suite notes it, which knows what a claim has measured for itself.
            if self.named and IN_A_TEST not in os.environ:
                self._log.add(look)
        # Not the backend's own, which is given again when more was seen.
        return replace(effect, numbers=replace(effect.numbers, seen=labels)) if labels else effect

    def _map(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str], kind: Kind) -> SweepMap:
        made = self.backend.sweep(cells, rows, columns)
        seen = swept_over(cells[0], kind, f"{made.summary} ({len(cells)} sites)")
        if seen not in self._seen:
            self._seen[seen] = self._searched[seen] = None
            self._log.note(self)
        return replace(made, seen=seen)

    @cached_property
    def _log(self) -> SeenLog:
        from causaltest.recording.seen import usual_log  # a late door: docs/decisions/0002

        return usual_log()


@dataclass(frozen=True)
class Run:
    """A patched run per pair, waiting to be read by a metric."""

    lab: Lab
    patching: Patching

    def recovery(self, metric: Metric, **beside: Unpack[Beside]) -> Effect:
        """What denoising gives back. Binary: the share of eligible pairs that give the clean
        answer again. Otherwise: sum(patched - corrupt) / sum(clean - corrupt)."""
        return self._read("recovery", metric, beside)

    def drop(self, metric: Metric, **beside: Unpack[Beside]) -> Effect:
        """What noising, ablation or steering takes away. Binary: the share of eligible pairs that no longer
        give the clean answer. Otherwise: sum(clean - patched) / sum(clean - corrupt)."""
        return self._read("drop", metric, beside)

    def change(self, metric: Metric, **beside: Unpack[Beside]) -> Effect:
        """Per pair, the metric in the patched run minus that in the same run unpatched."""
        return self._read("change", metric, beside)

    @property
    def is_neutral(self) -> bool:
        """True when the patch changes no logit of the answer beyond the measured rounding."""
        if self.patching.method.estimates:
            raise ClaimError("is_neutral asks what a patched run does, and an estimate makes none: drop method=.")
        return self.lab.backend.moved(self.patching).neutral

    def _read(self, quantity: Quantity, metric: Metric, beside: Beside) -> Effect:
        if not isinstance(metric, Metric):
            raise ClaimError(
                f"{quantity} takes a metric such as accuracy or logit_diff, without quotes, and got {metric!r}."
            )
        refuse_unknown(quantity, beside, Beside.__optional_keys__)
        patching = self.patching
        measured = not patching.method.estimates
        draws = PLACEBO_DRAWS if beside.get("placebo", True) is True and measured else 0
        checks = checks_of(patching.sites, patching.edges, metric, **beside)
        experiment = Experiment(patching, quantity, metric, measured, draws, self.lab.seed, checks)
        return self.lab._measure(experiment)


class Rehearsal:
    """A backend that measures nothing: its effects know only their experiment."""

    def __init__(self, model: str, announce: Callable[[Iterable[Experiment]], None] = lambda _: None) -> None:
        self._model = model
        self._announce = announce

    @property
    def model(self) -> str:
        return self._model

    def measure(self, experiment: Experiment) -> Effect:
        self._announce([experiment])
        return Effect(experiment, None)

    def expect(self, experiments: Iterable[Experiment]) -> None:
        self._announce(experiments)

    def cost(self) -> Cost:
        return Effect(None, None).measured  # type: ignore[return-value]

    def patched_runs(self, experiments: Sequence[Experiment]) -> int:
        return Effect(None, None).measured  # type: ignore[return-value]

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        return Effect(cells[0], None).measured  # type: ignore[return-value]

    def spread(self, site: Site, pairs: Pairs) -> Site:
        return site

    def moved(self, patching: Patching) -> SelfPatch:
        return Effect(None, None).measured  # type: ignore[return-value]

    def clean(self, pairs: Pairs, rule: Metric = accuracy, both_right: bool = False) -> CleanRuns:
        return Effect(None, None).measured  # type: ignore[return-value]

    def card(self, text: str | None) -> ModelCard:
        return Effect(None, None).measured  # type: ignore[return-value]

    def counted(self) -> dict[str, int]:
        return {}


def as_pairs(pairs: Pairs | Pair) -> Pairs:
    if isinstance(pairs, Pair):
        return Pairs([pairs], iid=pairs.cluster is None)
    if not isinstance(pairs, Pairs):
        raise ClaimError(f"The lab measures Pairs or one Pair, and got {type(pairs).__name__}: write Pairs([...]).")
    return pairs


def as_edges(at: Patchable) -> tuple[Edge, ...]:
    """The edges, each once; none where sites are given."""
    given = (at,) if isinstance(at, Site | Edge) else tuple(at)
    edges = tuple(dict.fromkeys(e for e in given if isinstance(e, Edge)))
    if edges and not all(isinstance(e, Edge) for e in given):
        told = ", ".join(map(str, given))
        raise SiteError(f"at= takes sites or edges, and got both in {told}: ask for them in two experiments.")
    return edges


def as_sites(at: Patchable) -> tuple[Site, ...]:
    given = (at,) if isinstance(at, Site | Edge) else tuple(at)
    sites = tuple(s for s in given if isinstance(s, Site))
    if any(isinstance(s, Edge) for s in given):
        raise SiteError("An edge is given to lab.denoise or lab.noise; sweeps and ablations take sites.")
    if not sites or len(sites) < len(given):
        raise SiteError(f"at= takes a site such as resid_post(6, thought(0)), or several, and got {at!r}.")
    return sites
