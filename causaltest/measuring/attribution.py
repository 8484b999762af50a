"""Attribution: what patches would do, estimated from gradients; for screening only.

To first order a patch moves the metric by (other - own) . d metric / d activation, the gradient taken at the site in
the unpatched run (attribution patching; Nanda 2023; Syed et al., arXiv 2310.10348). One forward and one backward pass
give it for every site of a sweep. Integrated gradients average the gradient over runs whose prompt embeddings lie
between those of the two runs (EAP-IG; Hanna et al., arXiv 2403.17806, equation 3); the middles of equal steps are
taken in place of their ends, which is closer for as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.methods import Method
from causaltest.asking.metrics import Metric
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.arms import Arm
from causaltest.measuring.batch import Batch, Readings
from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.engine import PLAIN, Columns, Forward, Place
from causaltest.measuring.keys import GrowingKeys
from causaltest.measuring.patches import Spot, read
from causaltest.measuring.planner import EMBEDDING, Ints, Step
from causaltest.measuring.prompts import Chunk, TokenPair
from causaltest.measuring.proofs import rounding_at_most
from causaltest.measuring.scores import Floats, answer_tokens
from causaltest.measuring.timeline import Segment

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Pass:
    """Arms of a chunk whose estimates are read off the same gradients."""

    side: Side
    metric: Metric
    arms: tuple[int, ...]
    held: tuple[Spot, ...] = ()
    """What one arm patches, where it patches what lies on the way from another of its spots: a patch there undoes
    what the others did to it, so no gradient may go through."""


def estimating(method: Method) -> Callable[[Batch, int, ChunkRuns, Readings, Tick], None]:
    """What reads a chunk's arms off gradients, in place of running them.

    Raises MeasurementError where a gradient is no number, or the run that is differentiated is not the unpatched one.
    """

    def estimate(batch: Batch, number: int, runs: ChunkRuns, readings: Readings, tick: Tick) -> None:
        for one in passes(batch, number):
            if (one.side, one.metric) in readings.refused:
                continue
            own = readings.scores[one.side, one.metric]
            slopes = gradients(batch, number, one, method, own, tick)
            for index in one.arms:
                scores = own + moved(batch.model, batch.arms[index], number, runs, slopes)
                if not np.isfinite(scores).all():
                    raise MeasurementError(
                        f"The gradient of {one.metric} in {batch.model.name} is NaN or infinite. Patched runs need "
                        "none: drop method=."
                    )
                readings.scores[index, one.metric] = scores
                readings.finite[index] = np.ones(len(scores), dtype=bool)

    return estimate


def passes(batch: Batch, number: int) -> list[Pass]:
    """The arms of a chunk by the gradients that they need."""
    together: dict[tuple[Side, Metric], list[int]] = {}
    alone: list[Pass] = []
    stops = np.array([segment.stop for segment in batch.segments(batch.chunks[number], batch.new_tokens)])
    for index, arm in enumerate(batch.arms):
        spots = arm.spots[number]
        for metric in batch.metrics[index]:
            if crosses(spots, stops):
                alone.append(Pass(arm.side, metric, (index,), spots))
            else:
                together.setdefault((arm.side, metric), []).append(index)
    return [*(Pass(*key, tuple(arms)) for key, arms in together.items()), *alone]


def crosses(spots: Sequence[Spot], stops: Ints) -> bool:
    """Whether one spot may lie behind another: at another place, or in another segment, of the run."""
    segments = [np.searchsorted(stops, spot.where.flat, side="right") for spot in spots]
    return len({spot.place for spot in spots}) > 1 or len(np.unique(np.concatenate(segments))) > 1


def moved(model: LoadedModel, arm: Arm, number: int, runs: ChunkRuns, slopes: Mapping[Place, Tensor]) -> Floats:
    """By how much an arm would move the metric, to first order. [pair]"""
    assert arm.values is not None
    spots = arm.spots[number]
    total = torch.zeros(len(spots[0].where.positions), dtype=torch.float64)
    for n, (spot, once) in enumerate(zip(spots, counted_once(spots), strict=True)):
        own = read(model, runs.side(arm.side).activations, spot)
        away = arm.values(number, n, spot.where.everyone, runs) - own
        products = (away.double() * read(model, slopes, spot).double()).sum(-1).cpu()
        total.index_add_(0, torch.from_numpy(spot.where.rows[once]), products[torch.from_numpy(once)])
    moves: Floats = total.numpy()
    return moves


def counted_once(spots: Sequence[Spot]) -> list[Ints]:
    """Per spot, the entries that neither it nor a spot before it names already: what is written twice moves once."""
    seen: dict[tuple[Place, int | None], Ints] = {}
    out = []
    for spot in spots:
        key = (spot.place, spot.part)
        before = seen.get(key, np.zeros(0, dtype=np.int64))
        codes = spot.where.rows * (1 << 32) + spot.where.flat
        first = np.sort(np.unique(codes, return_index=True)[1])
        once = first[~np.isin(codes[first], before)]
        seen[key] = np.concatenate([before, codes[once]])
        out.append(once)
    return out


def gradients(
    batch: Batch, number: int, one: Pass, method: Method, scores: Floats, tick: Tick
) -> Mapping[Place, Tensor]:
    """The metric's gradient at every place that the arms of a pass patch. [pair, position, width]"""
    model, chunk = batch.model, batch.chunks[number]
    segments = batch.segments(chunk, batch.new_tokens)
    if len(segments) > 1 and not batch.references.shortcuts.forks:
        raise MeasurementError(
            f"A gradient goes back through the thoughts of {model.name} by its keys and values, and these cannot be "
            f"kept: {batch.references.shortcuts.why}. Patched runs do without: drop method=."
        )
    places = tuple(dict.fromkeys(spot.place for index in one.arms for spot in batch.arms[index].spots[number]))
    size = batch.references.budget.graphs(model, segments[-1].stop)
    parts = []
    for start in range(0, len(chunk.pairs), size):
        rows = slice(start, min(start + size, len(chunk.pairs)))
        path = Path(model, chunk, rows, one, segments, batch.references.columns(batch.pairs).ids)
        path.check(scores[rows])
        parts.append(path.mean_gradients(places, method))
        tick(0, len(segments) * (1 + (method.steps or 1)))
    return {place: torch.cat([part[place] for part in parts]) for place in places}


@dataclass
class Path:
    """Runs of some pairs of a chunk, on the way from their own prompts to those of the other side."""

    model: LoadedModel
    chunk: Chunk
    rows: slice
    of: Pass
    segments: Sequence[Segment]
    columns: Tensor
    """Token ids of the logits, ascending."""

    def check(self, scores: Floats) -> None:
        """Raises MeasurementError unless the run that is differentiated gives the unpatched run's scores."""
        with torch.no_grad():
            found, largest = self.score(0.0, {})
        off = float((found.double().cpu() - torch.from_numpy(scores)).abs().max())
        if not off <= 2 * rounding_at_most(self.model.model.dtype) * largest:
            raise MeasurementError(
                f"{self.model.name} gives {self.of.metric} off by {off:.2g} when it is run for a gradient, so the "
                "gradient would be another run's. Patched runs need none: drop method=."
            )

    def mean_gradients(self, places: Iterable[Place], method: Method) -> dict[Place, Tensor]:
        """Per place, the gradient, averaged over the method's steps. [row, position, width]"""
        steps = method.steps or 1
        way = [0.0] if method.steps is None else [(step + 0.5) / steps for step in range(steps)]
        total: dict[Place, Tensor] = {}
        for share in way:
            # A gradient is asked for here, whatever the caller has switched off.
            with torch.inference_mode(False), torch.enable_grad():
                nudges = {place: Nudges(self.held(place)) for place in places}
                scores, _ = self.score(share, nudges)
                leaves = [nudge for one in nudges.values() for nudge in one.added]
                found = iter(torch.autograd.grad(scores.sum(), leaves, materialize_grads=True))
            for place, one in nudges.items():
                mine = torch.cat([next(found) for _ in one.added], dim=1) / steps
                total[place] = total[place] + mine if place in total else mine
        return total

    def held(self, place: Place) -> tuple[Held, ...]:
        """What is patched at a place, where no gradient may go through."""
        out = []
        for spot in self.of.held:
            if spot.place == place:
                inside = (spot.where.rows >= self.rows.start) & (spot.where.rows < self.rows.stop)
                count = 1 if spot.part is None else len(self.model.blocks[spot.layer].taps[spot.component].parts)
                rows, positions = spot.where.rows[inside] - self.rows.start, spot.where.flat[inside]
                out.append(Held(rows, positions, spot.part or 0, count))
        return tuple(out)

    def score(self, share: float, nudges: Mapping[Place, Nudges]) -> tuple[Tensor, float]:
        """The metric of each row, that far from its own prompt to the other's; and the largest logit."""
        logits = self.logits(share, {place: (one,) for place, one in nudges.items()})
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = signs(self.of.metric, self.chunk.pairs[self.rows], self.columns).to(logits)
        return (logits * weights).sum(-1), float(logits.detach().abs().max())

    def logits(self, share: float, nudges: Mapping[Place, tuple[Nudges, ...]]) -> Tensor:
        """[row, column], where the answer is predicted."""
        model, reasoning, columns = self.model, self.model.reasoning, Columns(self.columns, all_computed=False)
        mask = None
        if model.mask is not None:
            mask = model.mask(self.chunk.prompt_tokens, self.segments[-1].stop).to(self.columns.device)
        embeddings = self.prompts(share)
        rows, hidden = len(embeddings), embeddings[:, -1]
        keys = GrowingKeys() if len(self.segments) > 1 else None
        for number, segment in enumerate(self.segments):
            if segment.kind == "thought":
                assert reasoning is not None
                embeddings = reasoning.project(hidden[:, None])
            elif segment.kind == "end":
                assert reasoning is not None
                embeddings = self.embedded(reasoning.end).expand(rows, -1, -1)
            step = Step(number, segment.start, segment.stop, 0, ((EMBEDDING, rows),))
            if keys is not None:
                keys.start = segment.start
            forward = Forward(model, step, keys, nudges, PLAIN, mask=mask)
            if not segment.answers:
                hidden = forward.hidden(embeddings)
        return torch.cat([logits[:, -1] for _, logits in forward.logits(embeddings, columns)])

    def prompts(self, share: float) -> Tensor:
        """The prompts' embeddings, that far on the way to the other side's. [row, position, width]"""
        embed = self.model.model.get_input_embeddings()
        sides = (self.chunk.clean, self.chunk.corrupt)
        own, other = sides if self.of.side == "clean" else sides[::-1]
        with torch.no_grad():
            here: Tensor = embed(own[self.rows])
            if share:
                here = here + share * (embed(other[self.rows]) - here)
            if self.model.reasoning is not None:
                here = torch.cat([here, self.embedded(self.model.reasoning.begin).expand(len(here), -1, -1)], dim=1)
        return here

    def embedded(self, ids: tuple[int, ...]) -> Tensor:
        """Tokens that every run reads. [1, token, width]"""
        with torch.no_grad():
            given: Tensor = self.model.model.get_input_embeddings()(torch.tensor([ids], device=self.columns.device))
        return given


@dataclass(frozen=True)
class Held:
    """Entries of one spot whose vectors a patch fixes."""

    rows: Ints
    positions: Ints
    part: int
    parts: int
    """How many parts the component has."""


@dataclass
class Nudges:
    """Zeros that are added at a place: the gradient with respect to them is the gradient at the place."""

    held: tuple[Held, ...] = ()
    added: list[Tensor] = field(default_factory=list)
    """One per forward, in the order of their positions. [row, position, width]"""

    def write(self, tensor: Tensor, step: Step, mid_of: Tensor | None = None) -> Tensor:
        """The tensor as it was. With `mid_of`, the block's input, what is held is the stream that they make."""
        if self.held:
            # Fixed is the stream after the attention, so attention makes up for what the block's input does.
            still = tensor.detach() if mid_of is None else (mid_of + tensor).detach() - mid_of
            tensor = torch.where(self.holds(tensor, step), still, tensor)
        nudge = torch.zeros_like(tensor, requires_grad=True)
        self.added.append(nudge)
        return tensor + nudge

    def holds(self, tensor: Tensor, step: Step) -> Tensor:
        """Which numbers of this forward's tensor a patch fixes. [row, position, width]"""
        out = torch.zeros(tensor.shape, dtype=torch.bool)
        begin = step.stop - tensor.shape[1]
        for held in self.held:
            now = (held.positions >= begin) & (held.positions < step.stop)
            rows, positions = (torch.from_numpy(at[now]) for at in (held.rows, held.positions - begin))
            width = tensor.shape[-1] // held.parts
            out[rows, positions, held.part * width : (held.part + 1) * width] = True
        return out.to(tensor.device)


def signs(metric: Metric, pairs: Sequence[TokenPair], columns: Tensor) -> Tensor:
    """The weights of the logits in the metric, without its range. [row, column]"""
    out = torch.zeros(len(pairs), len(columns))
    at = columns.cpu().numpy()
    for sign, tokens in answer_tokens(metric, pairs):
        index = torch.from_numpy(np.searchsorted(at, np.array(tokens, dtype=np.int64)))
        out[torch.arange(len(pairs)), index] += sign
    return out
