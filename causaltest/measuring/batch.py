"""A batch: all arms of a set of pairs, planned together and run chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Component
from causaltest.errors import CausaltestError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.arms import Arm
from causaltest.measuring.budget import SECOND_WEIGHTS_CPU
from causaltest.measuring.chunk_runs import SIDES, ChunkRuns, Recorded, Side
from causaltest.measuring.eligibility import turned
from causaltest.measuring.engine import Columns, Patch
from causaltest.measuring.keys import Buffers
from causaltest.measuring.meetings import Meeting
from causaltest.measuring.parts import Parts, Resumed
from causaltest.measuring.patches import Spot, write
from causaltest.measuring.planner import Ints, Rows, Wave, plan
from causaltest.measuring.prompts import Chunk
from causaltest.measuring.readings import Closing, Comparison
from causaltest.measuring.readings import Readings as Readings
from causaltest.measuring.readings import Task as Task
from causaltest.measuring.references import References
from causaltest.measuring.scores import chooses_tokens, reads_total, score
from causaltest.measuring.timeline import Segment, timeline
from causaltest.measuring.trajectory import Run, run_wave
from causaltest.measuring.vectors import Taken, Vectors


@dataclass(frozen=True)
class Planned:
    """The waves of one chunk that run alike: the side they fork off, and the steps they go."""

    chunk: int
    side: Side
    new_tokens: int
    waves: tuple[Wave, ...]


@dataclass(frozen=True)
class Look:
    """A chunk whose unpatched runs are read before anything is patched."""

    chunk: int
    other: int | None = None
    """Of which other pairs, over which a mean is taken; None: of the batch's own."""


TASK_WEIGHTS_CPU, TASK_WEIGHTS = SECOND_WEIGHTS_CPU, 20_000_000_000_000
"""Tokens times the weights that they pass, in a task: about a second's work."""

ReadArms = Callable[["Batch", int, ChunkRuns, Readings, Callable[[int, int], None]], None]
"""Gives the scores of a chunk's arms to its readings."""


class Batch:
    """Arms over all pairs of one set. Add what is wanted, then run."""

    def __init__(
        self, model: LoadedModel, references: References, pairs: Pairs, *, answers_known: bool = False
    ) -> None:
        """`answers_known`: nothing is read or patched that depends on other generated tokens than the answers'."""
        self.model, self.references, self.pairs, self.answers_known = model, references, pairs, answers_known
        self.chunks: tuple[Chunk, ...] = references.chunks(pairs)
        self.arms: list[Arm] = []
        self.metrics: dict[int | Side, dict[Metric, None]] = {side: {} for side in SIDES}
        self.owned: dict[Metric, None] = {}
        """Metrics that say whether the corrupt run gives its own answer."""
        self._vectors: dict[object, Vectors] = {}
        self.measured: list[Vectors] = []
        """Those whose distances are asked for."""
        self.comparisons: list[Comparison] = []
        self.meetings: list[Meeting] = []
        self.recorded: set[Component] = set()
        """Components that are read of the unpatched runs and not patched."""
        self.new_tokens = self.least_tokens = 1
        """Answer tokens that the patched runs go to, and that are read of the unpatched ones."""
        self._index: dict[object, int] = {}
        self._met: dict[object, int] = {}

    def arm(self, key: object, make: Callable[[], Arm], metrics: Iterable[Metric] = ()) -> int:
        """The arm of a key, made once; with what is read off it."""
        if key not in self._index:
            arm = make()
            self._index[key] = len(self.arms)
            self.metrics[len(self.arms)] = {}
            self.arms.append(arm)
            self.new_tokens = max(self.new_tokens, arm.new_tokens)
        index = self._index[key]
        self.metrics[index].update(dict.fromkeys(metrics))
        return index

    def unpatched(self, side: Side, spots: tuple[tuple[Spot, ...], ...], new_tokens: int) -> int:
        """An arm that begins where one of these spots would, and is not patched.

        It serves all that begin there, whichever block they join at, and joins with the lowest.
        """
        begins = self._begins(spots, new_tokens)
        key = ("unpatched", side, new_tokens, *(start.tobytes() for start, _ in begins))
        index = self.arm(key, lambda: Arm(side, spots, None, new_tokens))
        kept = self.arms[index]
        before = self._begins(kept.spots, new_tokens)
        if any((join < other).any() for (_, join), (_, other) in zip(begins, before, strict=True)):
            self.arms[index] = replace(kept, spots=spots)
        return index

    def vectors_of(self, key: object, make: Callable[[], Vectors], *, keeps: bool) -> Vectors:
        """The vectors of a key, made once. `keeps`: a placebo needs those of all pairs."""
        if key not in self._vectors:
            self._vectors[key] = make()
        vectors = self._vectors[key]
        vectors.keeps |= keeps
        return vectors

    def measure(self, vectors: Vectors) -> int:
        """Asks for the distances of some vectors, once."""
        known = next((n for n, other in enumerate(self.measured) if other is vectors), None)
        if known is None:
            known = len(self.measured)
            self.measured.append(vectors)
        return known

    def compare(self, comparison: Comparison) -> int:
        """Asks for a comparison, once."""
        if comparison not in self.comparisons:
            self.comparisons.append(comparison)
        return self.comparisons.index(comparison)

    @property
    def compared(self) -> set[int | Side]:
        """Arms whose logits are kept until their chunk is done."""
        return {arm for c in self.comparisons for arm in (c.own, c.unpatched, c.side)}

    @property
    def vectors(self) -> list[Vectors]:
        """Those that must see the unpatched runs of all pairs before the first is patched."""
        return [vectors for vectors in self._vectors.values() if vectors.first_pass]

    def meet(self, key: object, make: Callable[[], Meeting]) -> int:
        """The meeting of a key, made once."""
        if key not in self._met:
            self._met[key] = len(self.meetings)
            self.meetings.append(make())
        return self._met[key]

    def _begins(self, spots: tuple[tuple[Spot, ...], ...], new_tokens: int) -> list[tuple[Ints, Ints]]:
        """Per chunk, where runs that are patched at these spots begin and join."""
        return [
            begin_of(mine, np.array([s.stop for s in self.segments(chunk, new_tokens)]), len(self.model.blocks))
            for chunk, mine in zip(self.chunks, spots, strict=True)
        ]

    def segments(self, chunk: Chunk, new_tokens: int) -> tuple[Segment, ...]:
        return timeline(self.model, chunk.prompt_tokens, new_tokens, forced=self.forced)

    @property
    def reference_tokens(self) -> int:
        """How many answer tokens the unpatched runs go to: who counts may be read from more of them."""
        return max(self.new_tokens, self.least_tokens)

    @property
    def chooses(self) -> bool:
        """Whether any metric reads a patched run's tokens, or all logits; else the answers' alone are computed."""
        read = (metric for arm in range(len(self.arms)) for metric in self.metrics[arm])
        return self.new_tokens > 1 or any(chooses_tokens(metric) or reads_total(metric) for metric in read)

    @property
    def reads_total(self) -> bool:
        """Whether any metric reads a patched run's probabilities."""
        return any(map(reads_total, (metric for arm in range(len(self.arms)) for metric in self.metrics[arm])))

    @property
    def patched_runs(self) -> int:
        return sum(len(arm.pairs(chunk)) for arm in self.arms for chunk in range(len(self.chunks)))

    @property
    def forced(self) -> bool:
        """Whether answers are given and checked, in place of generated. No token may change what came before it."""
        return self.answers_known and self.references.shortcuts.forks

    def plan(self) -> list[Planned]:
        """The waves of every chunk: decided by the arms and the budget, before anything runs."""
        return [planned for number in range(len(self.chunks)) for planned in self._plan_chunk(number)]

    def _plan_chunk(self, number: int) -> list[Planned]:
        chunk, layers = self.chunks[number], len(self.model.blocks)
        budget, out = self.references.budget.beside(len(self.pairs)), []
        kinds = sorted({(arm.side, arm.new_tokens) for arm in self.arms})
        for side, new_tokens in kinds:
            segments = self.segments(chunk, new_tokens)
            limits = budget.limits(self.model, segments[-1].stop)
            mine = [n for n, arm in enumerate(self.arms) if (arm.side, arm.new_tokens) == (side, new_tokens)]
            rows = rows_of(mine, [self.arms[n] for n in mine], number, [s.stop for s in segments], layers)
            waves = plan(rows, segments, layers, limits, whole=not self.references.shortcuts.forks)
            out.append(Planned(number, side, new_tokens, tuple(waves)))
        return out

    def run(
        self, tick: Callable[[int, int], None], arms: ReadArms | None = None, parts: Parts | None = None
    ) -> Readings:
        """Runs every arm, or reads it off the unpatched runs by `arms`. `tick` hears of patched runs and forwards.

        `parts` is where what was run is kept until all of it was.
        """
        self.prepare()
        with Resumed(self.closing, self.tasks(whole_chunks=arms is not None), parts) as resumed:
            for task in resumed.missing:
                resumed.ran(task, self.run_task(task, tick, arms))
        if parts is not None:
            parts.done()
        return resumed.together()

    def let_go(self) -> None:
        """Forgets the vectors of all pairs, once everything was run."""
        for vectors in self.vectors:
            vectors.let_go()

    def prepare(self) -> None:
        """Reads off the unpatched runs of all pairs what must be known before the first is patched."""
        for look in self.looks():
            self.put(look, self.taken(look))
        self.settle()

    def looks(self) -> tuple[Look, ...]:
        """The chunks that must be seen before anything is patched, in the order in which what they give is kept."""
        others = [
            Look(chunk, other) for other, pairs in enumerate(self.elsewhere) for chunk in range(self.chunks_of(pairs))
        ]
        return (*others, *(Look(number) for number in range(len(self.chunks) if self.vectors else 0)))

    def taken(self, look: Look) -> list[Taken]:
        """What all vectors need of a chunk."""
        if look.other is None:
            runs = self._references(look.chunk, self.components)
            return [vectors.taken(look.chunk, runs) for vectors in self.vectors]
        pairs, group = list(self.elsewhere.items())[look.other]
        runs = self.references.get(pairs, look.chunk, self.reference_tokens, self.components, forced=self.forced)
        return [vectors.taken_elsewhere(look.chunk, runs) for vectors in group]

    def put(self, look: Look, taken: Sequence[Taken]) -> None:
        """Keeps what was taken of a chunk, here or by another batch that is made alike."""
        own = [vectors for vectors in self.vectors]
        group = own if look.other is None else list(self.elsewhere.values())[look.other]
        for vectors, some in zip(group, taken, strict=True):
            vectors.put(some)

    def settle(self) -> None:
        """After the last look: what can only be said of all pairs together."""
        for vectors in self.vectors:
            vectors.settle()

    def chunks_of(self, pairs: Pairs) -> int:
        return len(self.references.chunks(pairs))

    @property
    def components(self) -> set[Component]:
        """What is recorded of the unpatched runs."""
        return {spot.component for arm in self.arms for spots in arm.spots for spot in spots} | self.recorded

    def tasks(self, *, whole_chunks: bool = False) -> tuple[Task, ...]:
        """The work in pieces of about a second: waves of one chunk that follow each other. How it is cut changes no
        bit, as no wave knows of another."""
        out: list[Task] = []
        layers, on_cpu = len(self.model.blocks), self.model.device.type == "cpu"
        each = sum(p.numel() for p in self.model.blocks[0].block.parameters())
        most = (TASK_WEIGHTS_CPU if on_cpu else TASK_WEIGHTS) // max(each, 1)
        for number in range(len(self.chunks)):
            waves = [] if whole_chunks else [wave for planned in self._plan_chunk(number) for wave in planned.waves]
            begin, work = 0, 0
            for n, wave in enumerate(waves):
                work += sum(step.token_layers(layers) for step in wave.steps)
                if work >= most and n + 1 < len(waves):
                    out.append(Task(number, begin, n + 1))
                    begin, work = n + 1, 0
            out.append(Task(number, begin, len(waves)))
        return tuple(out)

    def run_task(self, task: Task, tick: Callable[[int, int], None], arms: ReadArms | None = None) -> Readings:
        """Runs the waves of a task; the first of a chunk reads the unpatched runs too."""
        runs, readings = self._references(task.chunk, self.components), Readings()
        if task.first == 0:
            readings = self._read_unpatched(task.chunk, runs, self.references.columns(self.pairs))
        if arms is not None:
            arms(self, task.chunk, runs, readings, tick)
        else:
            self.run_arms(task, runs, readings, tick)
        return readings

    @property
    def closing(self) -> Closing:
        """What is compared of each chunk's logits before they are let go."""
        few = frozenset(arm for arm in self.compared if isinstance(arm, int) and self.arms[arm].few)
        return Closing(tuple(len(chunk.pairs) for chunk in self.chunks), tuple(self.comparisons), few)

    @property
    def elsewhere(self) -> dict[Pairs, list[Vectors]]:
        """Other pairs that are run too, and whose means are taken over them."""
        out: dict[Pairs, list[Vectors]] = {}
        for vectors in self.vectors:
            if vectors.elsewhere is not None:
                out.setdefault(vectors.elsewhere.pairs, []).append(vectors)
        return out

    def _references(self, number: int, components: Collection[Component]) -> ChunkRuns:
        return self.references.get(self.pairs, number, self.reference_tokens, components, forced=self.forced)

    def lend(self, number: int) -> Recorded:
        """A chunk's unpatched runs, for a batch that is made alike in another process."""
        tokens, parts = self.reference_tokens, self.components
        return self.references.lend(self.pairs, number, tokens, parts, forced=self.forced)

    def borrow(self, number: int, recorded: Recorded) -> None:
        """Takes a chunk's unpatched runs from there."""
        self.references.borrow(self.pairs, number, recorded, forced=self.forced)

    def _read_unpatched(self, number: int, runs: ChunkRuns, columns: Columns) -> Readings:
        """What is read off the unpatched runs of a chunk."""
        chunk, readings = self.chunks[number], Readings()
        everyone = np.arange(len(chunk.pairs))
        for side in SIDES:
            self._read(side, runs.side(side), columns, chunk, everyone, readings)
        for metric in self.owned:
            try:
                readings.owned[metric] = score(metric, self.model, runs.corrupt, columns.ids, turned(chunk.pairs))
            except CausaltestError as error:
                readings.refused.setdefault(("corrupt", metric), error)
        for index, vectors in enumerate(self.measured):
            readings.distances[index] = vectors.distances(number, runs).numpy()
        for index, meeting in enumerate(self.meetings):
            stop = self.segments(chunk, meeting.new_tokens)[-1].stop
            readings.missed[index] = meeting.missed_by(number, runs, stop)
        return readings

    def run_arms(self, task: Task, runs: ChunkRuns, readings: Readings, tick: Callable[[int, int], None]) -> None:
        """Runs the arms of a chunk, wave after wave."""
        number = task.chunk
        chunk = self.chunks[number]
        columns = Columns(self.references.columns(self.pairs).ids, all_computed=self.chooses, total=self.reads_total)
        buffers, before = Buffers(), 0
        for planned in self._plan_chunk(number):
            count = planned.new_tokens
            segments = self.segments(chunk, count)
            given = chunk.answers(count - 1) if self.forced else None
            mine_here = planned.waves[max(task.first - before, 0) : max(task.last - before, 0)]
            before += len(planned.waves)
            for wave in mine_here:
                ran = run_wave(
                    self.model,
                    getattr(chunk, planned.side),
                    wave,
                    segments,
                    columns=columns,
                    base=runs.side(planned.side),
                    patches=self._patches(wave, number, runs),
                    forced=given,
                    buffers=buffers,
                    shortcuts=self.references.shortcuts,
                )
                for arm in np.unique(wave.rows.arm).tolist():
                    slots = np.flatnonzero(wave.rows.arm == arm)
                    mine = ran.at(torch.from_numpy(slots).to(ran.logits.device))
                    self._read(arm, mine, columns, chunk, wave.rows.pair[slots], readings)
                tick(len(wave.rows), len(wave.steps))

    def _patches(self, wave: Wave, number: int, runs: ChunkRuns) -> list[Patch]:
        patches, layers = [], len(self.model.blocks)
        for index in np.unique(wave.rows.arm).tolist():
            arm = self.arms[index]
            slots = np.flatnonzero(wave.rows.arm == index)
            pairs = wave.rows.pair[slots]
            for n, spot in enumerate(arm.spots[number] if arm.values is not None else ()):
                assert arm.values is not None
                where = spot.where
                at = where.flat[where.entries(pairs)]
                values = arm.values(number, n, pairs, runs)
                patches.append(write(spot, np.repeat(slots, where.counts[pairs]), at, values, layers, arm.move(n)))
        return patches

    def _read(self, arm: int | Side, run: Run, columns: Columns, chunk: Chunk, pairs: Ints, readings: Readings) -> None:
        """Scores some pairs of a chunk."""
        tokens = [chunk.pairs[pair] for pair in pairs.tolist()]
        count = len(chunk.pairs)
        if isinstance(arm, int):
            readings.ran.setdefault(arm, []).append(pairs)
        for metric in self.metrics[arm]:
            try:
                values = score(metric, self.model, run, columns.ids, tokens)
            except CausaltestError as error:
                readings.refused.setdefault((arm, metric), error)
                continue
            readings.scores.setdefault((arm, metric), np.full(count, np.nan))[pairs] = values
        if arm in self.compared:
            kept = readings.logits.setdefault(arm, torch.full((count, *run.logits.shape[1:]), torch.nan))
            kept[torch.from_numpy(pairs)] = run.logits.float().cpu()
        if isinstance(arm, int):
            readings.finite.setdefault(arm, np.ones(count, dtype=bool))[pairs] = run.finite.cpu().numpy()


def rows_of(index: Sequence[int], arms: Sequence[Arm], chunk: int, stops: Sequence[int], layers: int) -> Rows:
    """A row per arm and pair: where it begins, and where it joins."""
    parts = []
    for number, arm in zip(index, arms, strict=True):
        start, join = begin_of(arm.spots[chunk], np.array(stops), layers)
        pairs = arm.pairs(chunk)
        parts.append((np.full(len(pairs), number), pairs, start[pairs], join[pairs]))
    empty = np.zeros(0, dtype=np.int64)
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else [empty] * 4
    return Rows(*columns)


def begin_of(spots: Sequence[Spot], stops: Ints, layers: int) -> tuple[Ints, Ints]:
    """Per pair, the first patched position, and the lowest block that is patched in that segment."""
    firsts = [spot.where.first for spot in spots]
    if len(spots) == 1:
        return firsts[0], np.full(len(firsts[0]), spots[0].join(layers))
    start = np.minimum.reduce(firsts)
    stop = stops[np.searchsorted(stops, start, side="right")]
    never = np.int64(layers)
    joins = [np.where(f < stop, s.join(layers), never) for f, s in zip(firsts, spots, strict=True)]
    return start, np.minimum.reduce(joins)
