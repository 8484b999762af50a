"""Trajectories: runs from prompt to answer, many at once. One decode path serves clean, corrupt and patched runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from causaltest.asking.sites import Component
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import (
    PLAIN,
    Columns,
    Entries,
    Forward,
    Joining,
    Patch,
    Place,
    Recorder,
    Shortcuts,
    entries_of,
    fused,
)
from causaltest.measuring.keys import Buffers, ForwardKeys, Kept, LayerKeys
from causaltest.measuring.planner import EMBEDDING, Rows, Step, Wave, from_start, whole_wave
from causaltest.measuring.timeline import Segment, check_length, timeline

ROW_BY_ROW = torch.contiguous_format


@dataclass(frozen=True)
class Run:
    """What the runs of a wave gave, a row each.

    tokens: [row, step], the likeliest at each step, after those before it or after the answer's own where it is
    forced; of no meaning where not all logits were computed. logits: [row, step, column], where each token was
    predicted. activations: [row, position, width] per recorded place, a
    component's parts side by side.
    """

    tokens: Tensor
    logits: Tensor
    finite: Tensor
    """[row]: whether every logit that was computed is a number."""
    activations: Mapping[Place, Tensor] = field(default_factory=dict)
    keys: tuple[LayerKeys, ...] = ()
    tupled: frozenset[int] = frozenset()
    """Blocks that return a tuple."""
    forwards: int = 0
    total: Tensor | None = None
    """[row]: the log-sum-exp over all tokens where the first of the answer is predicted; None where nobody asked."""

    def part(self, rows: slice) -> Run:
        """Some rows with all that was recorded, without a copy."""
        return replace(
            self,
            tokens=self.tokens[rows],
            logits=self.logits[rows],
            finite=self.finite[rows],
            total=None if self.total is None else self.total[rows],
            activations={place: tensor[rows] for place, tensor in self.activations.items()},
            keys=tuple((keys[rows], values[rows]) for keys, values in self.keys),
        )

    def in_one_piece(self) -> Run:
        """The same with every tensor row by row from the beginning of its memory, as it is when it is read again."""
        return replace(
            self,
            logits=in_one_piece(self.logits),
            activations={place: in_one_piece(tensor) for place, tensor in self.activations.items()},
            keys=tuple((in_one_piece(keys), in_one_piece(values)) for keys, values in self.keys),
        )

    def at(self, rows: Tensor) -> Run:
        """Some rows' tokens and logits."""
        total = None if self.total is None else self.total[rows]
        return Run(self.tokens[rows], self.logits[rows], self.finite[rows], total=total)


def in_one_piece(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() and tensor.storage_offset() == 0 else tensor.clone(memory_format=ROW_BY_ROW)


@torch.inference_mode()
def run_wave(
    model: LoadedModel,
    prompts: Tensor,
    wave: Wave,
    segments: Sequence[Segment],
    *,
    columns: Columns,
    base: Run | None = None,
    patches: Sequence[Patch] = (),
    record: Collection[Component] = (),
    keep_keys: bool = False,
    forced: Tensor | None = None,
    buffers: Buffers | None = None,
    shortcuts: Shortcuts = PLAIN,
) -> Run:
    """Run a wave to its end.

    `prompts` [pair, token] are those of the chunk, `base` its unpatched run, which recorded the
    stream and kept its keys. Patches name slots of the wave and absolute positions. `forced`
    [pair, token] are answer tokens that are given, where the segments have them forced. `buffers` are
    those of the wave before, where its keys are no longer wanted.

    Raises MeasurementError when a patch did not fire exactly once per entry.
    """
    state = State(model, prompts, wave, segments, columns, base, entries_of(patches), forced)
    if record:
        state.recorder = Recorder(frozenset(record), latest_only=wave.whole, first_input_only=keep_keys)
    if (keep_keys or wave.steps[-1].segment > wave.steps[0].segment) and not wave.whole:
        state.kept = Kept.empty(len(wave.rows), segments[-1].stop, len(model.blocks), buffers)
    with fused(shortcuts):
        for step in wave.steps:
            state.advance(step, shortcuts)
    check_fired(state.entries, wave)
    recorder = state.recorder
    return Run(
        torch.stack(state.tokens, dim=1),
        torch.stack(state.logits, dim=1),
        state.finite,
        recorder.joined() if recorder else {},
        state.kept.full() if keep_keys and state.kept is not None else (),
        frozenset(recorder.tupled) if recorder else frozenset(),
        len(wave.steps),
        state.total,
    )


class State:
    """A wave on its way: what each row's last forward gave."""

    def __init__(
        self,
        model: LoadedModel,
        prompts: Tensor,
        wave: Wave,
        segments: Sequence[Segment],
        columns: Columns,
        base: Run | None,
        entries: Mapping[Place, list[Entries]],
        forced: Tensor | None,
    ) -> None:
        self.model, self.segments, self.columns, self.entries, self.wave = model, segments, columns, entries, wave
        self.device = prompts.device
        self.pairs = torch.from_numpy(wave.rows.pair).to(self.device)
        self.base = base
        self.joining = None if base is None else Joining(base.activations, self.pairs, base.tupled)
        self.mask = None
        if model.mask is not None:
            self.mask = model.mask(prompts.shape[1], segments[-1].stop).to(self.device)
        reasoning = model.reasoning
        self.never = list(reasoning.never_generated) if reasoning else []
        if reasoning is not None:
            begin = torch.tensor(reasoning.begin, dtype=torch.long, device=self.device).expand(len(prompts), -1)
            prompts = torch.cat([prompts, begin], dim=1)
        elif forced is not None:
            prompts = torch.cat([prompts, forced], dim=1)
        self.prompts, self.forced = prompts, forced
        self.recorder: Recorder | None = None
        self.kept: Kept | None = None
        rows, answers = len(wave.rows), sum(segment.answers for segment in segments)
        width = vocabulary_of(model)[1]
        self.hidden = torch.zeros(rows, width, dtype=model.model.dtype, device=self.device)
        self.finite = torch.ones(rows, dtype=torch.bool, device=self.device)
        if base is None:
            self.tokens = list(torch.zeros(answers, rows, dtype=torch.long, device=self.device))
            self.logits = list(torch.zeros(answers, rows, len(columns.ids), device=self.device))
        else:
            # Until a row begins, it is the unpatched run.
            self.tokens = list(base.tokens[self.pairs, :answers].T.clone())
            self.logits = list(base.logits[self.pairs, :answers].transpose(0, 1).clone())
        self.total: Tensor | None = None
        if columns.total:
            known = None if base is None else base.total
            self.total = torch.zeros(rows, device=self.device) if known is None else known[self.pairs].clone()
        self.so_far: list[Tensor] = []

    def advance(self, step: Step, shortcuts: Shortcuts) -> None:
        """One forward, and what it gives to its rows."""
        segment, slots = self.segments[step.segment], slice(step.first, step.last)
        # A run that begins behind the first answer token's position has the unpatched run's logits there.
        count = min(segment.answers, step.stop - step.start)
        forward = Forward(
            self.model,
            step,
            None if self.wave.whole else self.keys(step),
            self.entries,
            shortcuts,
            self.joining,
            self.recorder,
            self.mask,
            keeps=max(count, 1),
            total=self.segments[-1].stop,
        )
        embeddings = self.embeddings(step, segment)
        if segment.answers:
            for rows, logits in forward.logits(embeddings, self.columns):
                for n in range(count):
                    self.answer(logits[:, n], self.answered(step) + segment.answers - count + n, rows)
        else:
            self.hidden[slots] = forward.hidden(embeddings)

    def keys(self, step: Step) -> ForwardKeys:
        base = () if self.base is None else self.base.keys
        if self.kept is not None:
            # Rows that begin here have the unpatched run's keys before them, and below them.
            fresh = fresh_slots(step, self.wave.rows, self.segments)
            if base and fresh.start < fresh.stop:
                self.kept.prefill(fresh, base, self.pairs[fresh], step.stop)
        return ForwardKeys(step.start, step.stop, step.first, self.pairs[step.first : step.last], base, self.kept)

    def embeddings(self, step: Step, segment: Segment) -> Tensor | None:
        """The inputs of the rows that enter at the embedding. [row, position, width]"""
        block, count = step.joins[0]
        if block != EMBEDDING:
            return None
        new = self.entering(step, segment, slice(step.first, step.first + count))
        if not self.wave.whole:
            return new
        self.so_far.append(new)
        return torch.cat(self.so_far, dim=1)

    def entering(self, step: Step, segment: Segment, slots: slice) -> Tensor:
        """The embeddings of this segment's positions."""
        embed, reasoning = self.model.model.get_input_embeddings(), self.model.reasoning
        rows = slots.stop - slots.start
        if segment.kind == "prompt":
            given: Tensor = embed(self.prompts[self.pairs[slots], step.start :])
            return given
        if segment.kind == "thought":
            assert reasoning is not None
            # A projection may hand on what it was given, and the next forward writes over it.
            given = reasoning.project(self.hidden[slots, None].clone())
            if self.forced is not None and segment.answers:
                given = torch.cat([given, embed(self.forced[self.pairs[slots]])], dim=1)
        elif segment.kind == "end":
            assert reasoning is not None
            ids = torch.tensor(reasoning.end, device=self.device).expand(rows, -1)
            given = embed(ids if self.forced is None else torch.cat([ids, self.forced[self.pairs[slots]]], dim=1))
        else:
            given = embed(self.tokens[self.answered(step) - 1][slots, None])
        forks = np.flatnonzero(self.wave.rows.start[slots] >= segment.start)
        if len(forks) and self.base is not None and not self.wave.whole:
            # Rows that fork at this embedding take the unpatched run's, and are patched there.
            theirs = self.base.activations["embed", 0][:, segment.start : segment.stop]
            at = torch.from_numpy(forks).to(self.device)
            given[at] = theirs[self.pairs[slots][at]]
        return given

    def answered(self, step: Step) -> int:
        """How many answer tokens were predicted before this forward."""
        return sum(segment.answers for segment in self.segments[: step.segment])

    def answer(self, logits: Tensor, number: int, slots: slice) -> None:
        """Reads the logits of one answer step of some rows, and chooses its token."""
        # One that is no number makes the sum none; a sum in float32 is far from its own limit.
        self.finite[slots] &= torch.isfinite(logits.sum(-1, dtype=torch.float32))
        if not self.columns.all_computed:
            self.logits[number][slots] = logits
            return
        self.logits[number][slots] = logits[:, self.columns.ids]
        if self.total is not None and number == 0:
            self.total[slots] = logits.float().logsumexp(-1)
        if self.never:
            logits = logits.clone()
            logits[:, self.never] = -torch.inf
        self.tokens[number][slots] = logits.argmax(-1)


def run(
    model: LoadedModel,
    prompts: Tensor,
    *,
    new_tokens: int,
    patches: Sequence[Patch] = (),
    record: Collection[Component] = (),
    columns: Columns | None = None,
    keep_keys: bool = False,
    forced: Tensor | None = None,
    shortcuts: Shortcuts = PLAIN,
) -> Run:
    """Prompts of equal length [row, token], each from its first token through every block. Row n is slot n.

    `forced` [row, token] are the answer's tokens but the last: given, in place of generated.

    Raises MeasurementError when the run is longer than the model has positions, a patch did not
    fire exactly once per entry, or a logit is NaN or infinite.
    """
    check_length(model, prompts.shape[1], new_tokens)
    segments = timeline(model, prompts.shape[1], new_tokens, forced=forced is not None)
    zero = np.zeros(len(prompts), dtype=np.int64)
    rows = Rows(zero, np.arange(len(prompts)), zero, zero + EMBEDDING)
    vocabulary, _ = vocabulary_of(model)
    ran = run_wave(
        model,
        prompts,
        from_start(rows, segments) if shortcuts.forks else whole_wave(rows, segments),
        segments,
        columns=columns or Columns(torch.arange(vocabulary, device=prompts.device), all_computed=True),
        patches=patches,
        record=record,
        keep_keys=keep_keys,
        forced=forced,
        shortcuts=shortcuts,
    )
    if not bool(ran.finite.all()):
        row = int((~ran.finite).nonzero()[0])
        raise MeasurementError(not_finite(model, row, len(prompts), patched=bool(patches)))
    return ran


def vocabulary_of(model: LoadedModel) -> tuple[int, int]:
    """How many tokens there are, and how wide the residual stream is."""
    embedding = cast(nn.Embedding, model.model.get_input_embeddings())
    return embedding.num_embeddings, int(model.model.config.get_text_config(decoder=True).hidden_size)


def not_finite(model: LoadedModel, row: int, rows: int, *, patched: bool) -> str:
    return (
        f"{model.name} gave a logit that is NaN or infinite (first in row {row} of {rows}"
        f"{', patched' if patched else ''}). Check the weights and the dtype; nothing can be concluded from it."
    )


def check_fired(entries: Mapping[Place, list[Entries]], wave: Wave) -> None:
    """Raises MeasurementError when a patch fired less often, or more often, than it was asked to."""
    for (component, layer), group in entries.items():
        for one in group:
            wanted = len(one.rows)
            if one.fired < wanted if wave.whole else one.fired != wanted:
                raise MeasurementError(
                    f"A patch of {component} at layer {layer} fired {one.fired} times where {wanted} were asked: its "
                    "positions were not all computed once. Ask for positions inside the run."
                )


def fresh_slots(step: Step, rows: Rows, segments: Sequence[Segment]) -> slice:
    """The slots of a forward whose rows begin in it; they stand behind those that go on."""
    if step.segment == 0:
        return slice(step.first, step.last)
    going_on = int((rows.start[step.first : step.last] < segments[step.segment].start).sum())
    return slice(step.first + going_on, step.last)
