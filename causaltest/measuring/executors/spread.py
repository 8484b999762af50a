"""Spread: a backend that has no model, and spreads its plans over workers who have.

plan -> every worker opens it -> the unpatched runs are seen -> tasks -> one worker makes the effects of all readings

Tasks, and the chunks that are seen before, are dealt out as workers come free; what they give is put together in the
order of the plan, so that the effects are to the last bit those of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import Metric, accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.settings import Settings
from causaltest.asking.sites import Site
from causaltest.clean_runs import CleanRuns
from causaltest.effect import Effect, SelfPatch
from causaltest.errors import CausaltestError, WorkersError
from causaltest.measuring.batch import Look, Task
from causaltest.measuring.budget import LEAST, Budget
from causaltest.measuring.executors.crew import Crew, Each, Job, OutOfMemory, Step
from causaltest.measuring.executors.packed import packed_readings, unpacked_readings
from causaltest.measuring.executors.shares import Looks, Shares
from causaltest.measuring.executors.worker import Here, Outline
from causaltest.measuring.kept_shortcuts import kept_proof
from causaltest.measuring.parts import Parts, Resumed
from causaltest.measuring.plans import Plan
from causaltest.measuring.progress import Progress
from causaltest.measuring.together import Together
from causaltest.store.kept import Kept
from causaltest.sweep import SweepMap

COUNTED = ("patched_runs", "forwards", "reference_runs", "reused_runs")


class Spread(Together):
    """Measures experiments on one model, by workers."""

    def __init__(self, name: str, settings: Settings, kept: Kept | None, crew: Crew) -> None:
        """`kept` is where what tasks have read is kept until their plan is at its end."""
        super().__init__()
        self.settings, self.kept, self.crew = settings, kept, crew
        self._name = name
        self._budget = Budget(settings.memory)
        # The workers know nothing of the store, and have no terminal.
        theirs = replace(settings, store=None, cluster=None, progress=False)
        self._called = repr((name, theirs))
        self._load = Step("load", (self._called, name, theirs, Here.of(name, theirs)), f"loading {name}")
        self._within = Step("within", (self._budget,))
        self._proven: Step | None = None

    @property
    def model(self) -> str:
        return self._name

    def spread(self, site: Site, pairs: Pairs) -> Site:
        """A sweep's site with `every()` spelled out as indices of the prompts' common length."""
        out: Site = self._ask("spread", site, pairs)
        return out

    def moved(self, patching: Patching) -> SelfPatch:
        """How far a patch moves any answer logit, against the same run unpatched."""
        plan = Plan((Experiment(patching, "change", accuracy, controls=False),), neutral=True)
        out: SelfPatch = self._run(plan, "neutral")
        return out

    def clean(self, pairs: Pairs, rule: Metric = accuracy, both_right: bool = False) -> CleanRuns:
        """Both unpatched runs of every pair, and which count by a right-or-wrong metric's rule."""
        out: CleanRuns = self._ask("clean", pairs, rule, both_right, proven_on=pairs)
        return out

    def card(self, text: str | None) -> Any:
        """The model as a page to look at."""
        return self._ask("card", text)

    def cost_of(self, experiments: Iterable[Experiment]) -> Cost:
        """What measuring them takes, by the plans that they would be measured by; none is announced by that."""
        asked = list(experiments)
        if not asked:
            return Cost()
        out: Cost = self._ask("cost_of", asked, proven_on=asked[0].patching.pairs)
        return out

    def patched_runs(self, experiments: Sequence[Experiment]) -> int:
        """How many patched runs experiments on one set of pairs take in one plan; nothing is run."""
        out: int = self._ask("patched_runs", list(experiments))
        return out

    def counted(self) -> dict[str, int]:
        """What all workers have computed so far, those lost too."""
        out = dict.fromkeys(COUNTED, 0)
        for (_, model), counts in self.crew.counts.items():
            for name in COUNTED if model == self._called else ():
                out[name] += counts.get(name, 0)
        return out

    @property
    def lent_bytes(self) -> int:
        """What went of unpatched runs from one worker to others."""
        return sum(counts["lent_bytes"] for (_, model), counts in self.crew.counts.items() if model == self._called)

    def _effects_of(self, plan: Plan) -> list[Effect | CausaltestError]:
        out: list[Effect | CausaltestError] = self._run(plan, "effects")
        return out

    def _map(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        out: SweepMap = self._run(Plan(tuple(cells), roughly=True), "mapped", tuple(rows), tuple(columns))
        return out

    def _ask(self, method: str, *arguments: Any, proven_on: Pairs | None = None) -> Any:
        """What any one worker answers."""
        try:
            self._tell(proven_on)
            return self._one(Job("ask", (method, arguments), method))
        except OutOfMemory:
            raise self._full() from None

    def _one(self, job: Job) -> Any:
        each = Each([job])
        self.crew.run(each)
        return each.results[job]

    def _tell(self, proven_on: Pairs | None, *steps: Step) -> int:
        """Has all workers told what comes before any plan, and then these steps; gives how many come before."""
        if self._proven is None and proven_on is not None:
            # Once for all plans, as in one process, and for workers that come later too.
            self._tell(None)
            self.crew.run(Told(self._load))  # before anybody waits for the proof
            self._proven = Step("proven", (kept_proof(self.kept, lambda: self._one(Job("prove", (proven_on,)))),))
        before = [step for step in (self.crew.up, self._load, self._within, self._proven) if step is not None]
        same = next((n for n, (a, b) in enumerate(zip(self.crew.steps, before, strict=False)) if a is not b), None)
        known = min(len(self.crew.steps), len(before)) if same is None else same
        self.crew.tell([*before[known:], *steps], after=known)
        return len(before)

    def _run(self, plan: Plan, read: str, *arguments: Any) -> Any:
        """Has a plan run, and what it gives read by one worker; out of memory, it goes on with half the budget."""
        while True:
            try:
                return self._run_within(plan, read, arguments)
            except OutOfMemory:
                if self._budget.bytes // 2 < LEAST:
                    raise self._full() from None
                self._budget = self._budget.halved()
                self._within = Step("within", (self._budget,))

    def _full(self) -> WorkersError:
        return WorkersError(
            f"The workers have no memory left for {self._name}: not even for {self._budget.bytes} bytes beside the "
            "model. Give each more room."
        )

    def _run_within(self, plan: Plan, read: str, arguments: Sequence[Any]) -> Any:
        begin = Step("begin", (plan,), f"planning {plan.what}")
        before = self._tell(plan.experiments[0].patching.pairs, begin)
        outline = self._outline(begin)
        parts = None if self.kept is None else Parts(self.kept, *outline.parts_key)
        put, seen = self._looked(outline.looks)
        self.crew.tell([put], after=before + 1)
        resumed = Resumed(outline.closing, outline.tasks, parts)
        with Progress(plan.what, outline.patched_runs, self.settings) as progress, resumed:

            def heard(task: Task, given: Any) -> None:
                readings = unpacked_readings(given)
                progress.tick(readings.patched_runs)
                resumed.ran(task, readings)

            progress.tick(resumed.known_runs)
            self.crew.run(Shares(resumed.missing, self.crew.count, seen, heard))
        together = self.crew.pool.share(packed_readings(resumed.together()))
        out = self._one(Job(read, (*arguments, together), f"reading {plan.what}"))
        if parts is not None:
            parts.done()
        # What all have put is needed by nobody who comes later.
        self.crew.tell([], after=before)
        return out

    def _looked(self, looks: Sequence[Look]) -> tuple[Step, Mapping[int, Any]]:
        """What all are told of the unpatched runs, and who has seen which chunk. Once it is shared, this process holds
        no vectors of all pairs."""
        done = Looks(looks)
        self.crew.run(done)
        return Step("put", (self.crew.pool.share(done.results),), "what was read of the unpatched runs"), done.seen

    def _outline(self, begin: Step) -> Outline:
        """What the first worker that has opened a plan has found it to be."""
        self.crew.run(Told(begin))
        out: Outline = begin.answers[0]
        return out


class Told:
    """No job: only that a step was taken by some worker."""

    def __init__(self, step: Step) -> None:
        self._step = step

    @property
    def finished(self) -> bool:
        return bool(self._step.answers)

    def choose(self, worker: Any) -> None:
        return None

    def done(self, worker: Any, job: Job, result: Any) -> None:
        return None

    def lost(self, worker: Any, job: Job | None) -> None:
        return None
