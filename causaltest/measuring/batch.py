"""A batch: all arms of a set of pairs, planned together and run chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Component
from causaltest.errors import CausaltestError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.arms import Arm, Taken, Vectors
from causaltest.measuring.chunk_runs import SIDES, ChunkRuns, Recorded, Side
from causaltest.measuring.eligibility import turned
from causaltest.measuring.engine import Columns, Patch
from causaltest.measuring.keys import Buffers
from causaltest.measuring.meetings import Meeting
from causaltest.measuring.patches import Spot, write
from causaltest.measuring.planner import Ints, Rows, Wave, plan
from causaltest.measuring.prompts import Chunk
from causaltest.measuring.references import References
from causaltest.measuring.scores import Floats, chooses_tokens, reads_total, score
from causaltest.measuring.timeline import Segment, timeline
from causaltest.measuring.trajectory import Run, run_wave

if TYPE_CHECKING:
    from causaltest.measuring.parts import Parts


@dataclass
class Readings:
    """What the arms of a batch gave, pairs of all chunks in one order."""

    scores: dict[tuple[int | Side, Metric], Floats] = field(default_factory=dict)
    """Per arm, or unpatched run, and metric: [pair], without the metric's range."""
    finite: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    logits: dict[int | Side, Tensor] = field(default_factory=dict)
    """[pair, step, column], of the arms whose logits are compared; NaN for a pair that was not run."""
    distances: dict[int, Floats] = field(default_factory=dict)
    """Per Vectors whose distances were asked for: [pair]"""
    missed: dict[int, Floats] = field(default_factory=dict)
    """Per Meeting: [pair]"""
    owned: dict[Metric, Floats] = field(default_factory=dict)
    """Per metric, whether the corrupt run gives its own answer: [pair]"""
    refused: dict[tuple[int | Side, Metric], CausaltestError] = field(default_factory=dict)
    """Metrics that could not be read."""
    ran: dict[int, list[Ints]] = field(default_factory=dict)
    """Per arm, the pairs of its chunk that were run, wave by wave."""


@dataclass(frozen=True)
class Planned:
    """The waves of one chunk that run alike: the side they fork off, and the steps they go."""

    chunk: int
    side: Side
    new_tokens: int
    waves: tuple[Wave, ...]


@dataclass(frozen=True, order=True)
class Task:
    """Waves of one chunk, counted through all sides and steps of it, that are run one after the other."""

    chunk: int
    first: int
    last: int
    """The first that is not its."""


@dataclass(frozen=True)
class Look:
    """A chunk whose unpatched runs are read before anything is patched."""

    chunk: int
    other: int | None = None
    """Of which other pairs, over which a mean is taken; None: of the batch's own."""


TASK_WEIGHTS_CPU, TASK_WEIGHTS = 20_000_000_000, 20_000_000_000_000
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
        self.vectors: list[Vectors] = []
        self.measured: list[Vectors] = []
        """Those whose distances are asked for."""
        self.compared: set[int | Side] = set()
        """Arms whose logits are kept."""
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

    def ran(self, arm: int | Side) -> Ints:
        """The pairs that a run was made for, counted through all chunks."""
        sizes = [len(chunk.pairs) for chunk in self.chunks]
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        if not isinstance(arm, int):
            return np.arange(sum(sizes))
        return np.concatenate([begin + self.arms[arm].pairs(n) for n, begin in enumerate(begins)])

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
        out = []
        kinds = sorted({(arm.side, arm.new_tokens) for arm in self.arms})
        for side, new_tokens in kinds:
            segments = self.segments(chunk, new_tokens)
            limits = self.references.budget.limits(self.model, segments[-1].stop)
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
        tasks = self.tasks(whole_chunks=arms is not None)
        known = {} if parts is None else parts.read(tasks)
        for task in tasks:
            if task not in known:
                known[task] = self.run_task(task, tick, arms)
                if parts is not None:
                    parts.ran(task, known[task])
        if parts is not None:
            parts.done()
        return together(known, len(self.chunks))

    def prepare(self) -> None:
        """Reads off the unpatched runs of all pairs what must be known before the first is patched."""
        for look in self.looks():
            self.put(look, self.taken(look))

    def looks(self) -> tuple[Look, ...]:
        """The chunks that must be seen before anything is patched, in the order in which what they give is kept."""
        others = [
            Look(chunk, other) for other, pairs in enumerate(self.elsewhere) for chunk in range(self.chunks_of(pairs))
        ]
        first = any(v.first_pass for v in self.vectors)
        return (*others, *(Look(number) for number in range(len(self.chunks) if first else 0)))

    def taken(self, look: Look) -> list[Taken]:
        """What all vectors need of a chunk."""
        if look.other is None:
            runs = self._references(look.chunk, self.components)
            return [vectors.taken(look.chunk, runs) for vectors in self.vectors if vectors.first_pass]
        pairs, group = list(self.elsewhere.items())[look.other]
        runs = self.references.get(pairs, look.chunk, self.reference_tokens, self.components, forced=self.forced)
        return [vectors.taken_elsewhere(look.chunk, runs) for vectors in group]

    def put(self, look: Look, taken: Sequence[Taken]) -> None:
        """Keeps what was taken of a chunk, here or by another batch that is made alike."""
        own = [vectors for vectors in self.vectors if vectors.first_pass]
        group = own if look.other is None else list(self.elsewhere.values())[look.other]
        for vectors, some in zip(group, taken, strict=True):
            vectors.put(some)

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


def together(known: Mapping[Task, Readings], chunks: int) -> Readings:
    """What all tasks have read, pairs of all chunks in one order."""
    by_chunk = [[known[t] for t in sorted(known) if t.chunk == number] for number in range(chunks)]
    return joined([merged(parts) for parts in by_chunk])


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


def merged(parts: Sequence[Readings]) -> Readings:
    """The readings of one chunk's tasks, of which each has some pairs of some arms."""
    out = parts[0]
    for part in parts[1:]:
        for arm, waves in part.ran.items():
            pairs = np.concatenate(waves)
            out.ran.setdefault(arm, []).extend(waves)
            for key in [key for key in part.scores if key[0] == arm]:
                put(out.scores, key, part.scores[key], pairs)
            if arm in part.finite:
                put(out.finite, arm, part.finite[arm], pairs)
            if arm in part.logits:
                put(out.logits, arm, part.logits[arm], torch.from_numpy(pairs))
        for key, error in part.refused.items():
            out.refused.setdefault(key, error)
    return out


def put(into: dict[Any, Any], key: object, values: Any, pairs: Any) -> None:
    """Some pairs' values in place of those that are there, or all where there are none."""
    if key in into:
        into[key][pairs] = values[pairs]
    else:
        into[key] = values


def joined(parts: Sequence[Readings]) -> Readings:
    """The chunks' readings, one behind the other."""
    out = Readings()
    for part in parts:
        out.refused.update(part.refused)
    first = parts[0]
    for key in first.scores:
        if key not in out.refused:
            out.scores[key] = np.concatenate([p.scores[key] for p in parts])
    out.owned = {
        m: np.concatenate([p.owned[m] for p in parts]) for m in first.owned if ("corrupt", m) not in out.refused
    }
    out.finite = {arm: np.concatenate([p.finite[arm] for p in parts]) for arm in first.finite}
    out.logits = {arm: torch.cat([p.logits[arm] for p in parts]) for arm in first.logits}
    out.distances = {n: np.concatenate([p.distances[n] for p in parts]) for n in first.distances}
    out.missed = {n: np.concatenate([p.missed[n] for p in parts]) for n in first.missed}
    return out
