"""Edges measured: what receivers become when a sender's other value reaches them along the residual stream alone.

A first forward gives the receivers: one block over the unpatched run's stream, to which what the sender adds
otherwise was added, with all blocks below and above passed over. A patched run then holds what came out (path
patching; Wang et al., arXiv 2211.00593; Goldowsky-Dill et al., arXiv 2304.05969).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.edges import Edge, comes_before, not_before
from causaltest.asking.sites import Component, Site
from causaltest.errors import MeasurementError, PositionError, SiteError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.engine import (
    WHOLE,
    Forward,
    Joining,
    Patch,
    Place,
    Recorder,
    Shortcuts,
    acting,
    entries_of,
    passing,
)
from causaltest.measuring.patches import Spot, Where, read, spots, write
from causaltest.measuring.planner import Ints, Step
from causaltest.measuring.proofs import rounding_at_most
from causaltest.measuring.trajectory import Run

Wheres = Mapping[Site, Where]
NEEDED: tuple[Component, ...] = ("resid_pre", "attn_out", "mlp_out")


@dataclass(frozen=True)
class Route:
    """One receiver, and all that arrives at it, in a chunk."""

    receiver: Spot
    senders: tuple[Spot, ...]
    direct: bool = False
    """Whether the receiver is the logits: the stream itself, and no block is between."""


def routes(model: LoadedModel, edges: Sequence[Edge], where: Wheres, *, answer: int) -> tuple[Route, ...]:
    """The receivers of some edges in a chunk; `where` are the positions of every sender and receiver, and from
    `answer` on the logits are read.

    Raises SiteError where the receiver does not read what the sender adds, PositionError where it does so at other
    positions alone or is named at overlapping ones.
    """
    refuse_without_stream(model)
    arriving: dict[Spot, dict[Spot, None]] = {}
    for edge in edges:
        senders = spots(edge.sender, where[edge.sender])
        if isinstance(edge.receiver, str):
            refuse_unread(edge, where[edge.sender], answer)
            continue
        if not comes_before(edge.sender, edge.receiver, parallel=parallel(model)):
            raise SiteError(not_before(edge))
        refuse_unreached(edge, where[edge.sender], where[edge.receiver])
        for receiver in spots(edge.receiver, where[edge.receiver]):
            arriving.setdefault(receiver, {}).update(dict.fromkeys(senders))
    refuse_overlaps(list(arriving))
    out = [Route(receiver, tuple(senders)) for receiver, senders in arriving.items()]
    last = dict.fromkeys(s for e in edges if e.receiver == "logits" for s in spots(e.sender, where[e.sender]))
    if last:
        together = zip(*(spot.where.positions for spot in last), strict=True)
        named = [sorted({p for some in positions for p in some}) for positions in together]
        # Before the answer no logits are read; there a latent reasoner would hear of it in its next thought.
        at = Where(tuple(tuple(p for p in some if p >= answer) or tuple(some) for some in named))
        out.append(Route(Spot("resid_post", len(model.blocks) - 1, None, at), tuple(last), direct=True))
    return tuple(out)


@dataclass
class Arrivals:
    """What receivers become, chunk by chunk."""

    model: LoadedModel
    side: Side
    """The run that is changed."""
    routes: tuple[tuple[Route, ...], ...]
    """Per chunk."""
    prompt_tokens: tuple[int, ...]
    """Per chunk."""
    shortcuts: Callable[[], Shortcuts]
    _latest: tuple[int, list[Tensor]] = field(default=(-1, []))

    @property
    def components(self) -> frozenset[Component]:
        """What must be recorded of the unpatched runs."""
        every = [route for some in self.routes for route in some]
        out: set[Component] = {spot.component for route in every for spot in (*route.senders, route.receiver)}
        out |= {reads(self.model, route.receiver) for route in every if not route.direct}
        return frozenset(out)

    @torch.inference_mode()
    def values(self, chunk: int, spot: int, pairs: Ints | None, runs: ChunkRuns) -> Tensor:
        """What a receiver becomes. [entry, width]"""
        if self._latest[0] != chunk:
            self._latest = (chunk, self._computed(chunk, runs))
        values, where = self._latest[1][spot], self.routes[chunk][spot].receiver.where
        return values if pairs is None else values[torch.from_numpy(where.entries(pairs)).to(values.device)]

    def _computed(self, chunk: int, runs: ChunkRuns) -> list[Tensor]:
        if not self.shortcuts().forks:
            raise MeasurementError(
                f"An edge needs one block of {self.model.name} computed by itself, and {self.shortcuts().why}. Patch "
                "the sender or the receiver."
            )
        sides = (runs.clean, runs.corrupt) if self.side == "clean" else (runs.corrupt, runs.clean)
        frozen, other = Frozen(self.model, sides[0], self.prompt_tokens[chunk]), sides[1]
        arriving: dict[tuple[Spot, ...], Tensor] = {}
        given: dict[tuple[tuple[Spot, ...], Place], Mapping[Component, Tensor]] = {}
        out = []
        for route in self.routes[chunk]:
            receiver, senders = route.receiver, route.senders
            if senders not in arriving:
                arriving[senders] = frozen.difference(senders, other)
            away, own = arriving[senders], read(self.model, sides[0].activations, receiver)
            rows, flat = (torch.from_numpy(at).to(away.device) for at in (receiver.where.rows, receiver.where.flat))
            if route.direct:
                out.append(own + away[rows, flat])
                continue
            place: Place = (reads(self.model, receiver), receiver.layer)
            if (senders, place) not in given:
                alike = [r.receiver for r in self.routes[chunk] if r.senders == senders and not r.direct]
                wanted = {s.component for s in alike if (reads(self.model, s), s.layer) == place}
                given[senders, place] = frozen.reread(place, away, wanted)
            new = read(self.model, {receiver.place: given[senders, place][receiver.component]}, receiver)
            # Where nothing arrives not a bit may move, whatever rounding makes of it.
            arrives = away.flatten(1).any(dim=1)[rows]
            out.append(torch.where(arrives[:, None], new, own))
        return out


@dataclass(frozen=True)
class Frozen:
    """An unpatched run, of which single blocks are computed once more."""

    model: LoadedModel
    run: Run
    prompt_tokens: int

    def difference(self, senders: Sequence[Spot], other: Run) -> Tensor:
        """What senders add to the stream in the other run, less what they add in this one. [pair, position, width]"""
        total = torch.zeros_like(self.stream)
        for component, layer in dict.fromkeys((spot.component, spot.layer) for spot in senders):
            mine = [spot for spot in senders if (spot.component, spot.layer) == (component, layer)]
            there = torch.zeros(total.shape[:2], dtype=torch.bool)
            for spot in mine:
                there[torch.from_numpy(spot.where.rows), torch.from_numpy(spot.where.flat)] = True
            if component == "head":
                away = self.of_heads(layer, mine, other)
            else:
                # The positions are alike in both runs, so all that differs there is the embedding.
                place: Place = ("resid_pre", 0) if component == "embed" else (component, layer)
                away = other.activations[place] - self.run.activations[place]
            total += torch.where(there[..., None].to(total.device), away, torch.zeros_like(away))
        return total

    def of_heads(self, layer: int, heads: Sequence[Spot], other: Run) -> Tensor:
        """Attention's output with some heads of the other run, less that without: a norm may stand behind them."""
        layers, everyone = len(self.model.blocks), np.arange(len(self.stream))
        patches = [
            write(spot, spot.where.rows, spot.where.flat, read(self.model, other.activations, spot), layers)
            for spot in heads
        ]
        after, before = (self.through(layer, everyone, some, ["attn_out"])["attn_out"] for some in (patches, []))
        return after - before

    def reread(self, place: Place, away: Tensor, wanted: Collection[Component]) -> Mapping[Component, Tensor]:
        """What a block gives from the stream at a place and a difference added to it. [pair, position, width] each

        Raises MeasurementError when without the difference it does not give what it gave.
        """
        (component, layer), first = place, np.zeros(1, dtype=np.int64)
        recorded: Place = ("resid_post", layer - 1) if component == "resid_pre" and layer else place
        stream = self.run.activations[recorded]
        pairs, positions = away.cpu().any(dim=-1).nonzero(as_tuple=True)
        values = (stream + away)[pairs.to(stream.device), positions.to(stream.device)]
        alone = positions[pairs == 0]
        itself = Patch(component, layer, None, torch.zeros_like(alone), alone, stream[0, alone.to(stream.device)])
        for name, again in self.through(layer, first, [itself], wanted).items():
            before = self.run.activations[name, layer][:1]
            off, largest = float((again - before).abs().max()), float(before.abs().max())
            if not off <= 2 * rounding_at_most(self.model.model.dtype) * largest:
                raise MeasurementError(
                    f"{name} of layer {layer}, computed once more from its own stream, is off by {off:.2g}, so an edge "
                    f"into it cannot be measured. Please report it with the name of {self.model.name}."
                )
        if component == "resid_pre" and "mlp_out" in wanted:
            self.refuse_hearing(layer)
        patch = Patch(component, layer, None, pairs, positions, values)
        return self.through(layer, np.arange(len(away)), [patch], wanted)

    def refuse_hearing(self, layer: int) -> None:
        """Raises MeasurementError where an MLP that should read the block's input hears the block's attention."""
        first, positions = np.zeros(1, dtype=np.int64), torch.arange(self.stream.shape[1])
        moved = Patch("attn_out", layer, None, torch.zeros_like(positions), positions, 1 + self.stream[0])
        heard, own = self.through(layer, first, [moved], ["mlp_out"])["mlp_out"], self.run.activations["mlp_out", layer]
        off, largest = float((heard - own[:1]).abs().max()), float(own[:1].abs().max())
        if not off <= 2 * rounding_at_most(self.model.model.dtype) * largest:
            raise MeasurementError(
                f"What the MLP of layer {layer} of {self.model.name} reads is not known: it hears the attention of its "
                f"block, and resid_mid is not offered: {self.model.disabled['resid_mid']}"
            )

    def through(
        self, layer: int, pairs: Ints, patches: Sequence[Patch], wanted: Collection[Component]
    ) -> Mapping[Component, Tensor]:
        """One block over the run's stream at all positions, patched. [pair, position, width] each"""
        model, length, entries = self.model, self.stream.shape[1], entries_of(patches)
        recorder, device = Recorder(frozenset(wanted)), self.stream.device
        joining = Joining(self.run.activations, torch.from_numpy(pairs).to(device), self.run.tupled)
        mask = None if model.mask is None else model.mask(self.prompt_tokens, length).to(device)
        step = Step(0, 0, length, 0, ((layer, len(pairs)),))
        with ExitStack() as stack:
            for above in range(layer + 1, len(model.blocks)):
                stack.enter_context(acting(model.blocks[above].block, passing(above in self.run.tupled)))
            Forward(model, step, None, entries, WHOLE, joining, recorder, mask).hidden(None)
        for one in (one for group in entries.values() for one in group):
            if one.fired != len(one.rows):
                raise MeasurementError(
                    f"A patch at layer {layer} fired {one.fired} times where {len(one.rows)} were asked, so what goes "
                    "along an edge is not known. Please report it with the model's name."
                )
        return {component: recorder.seen[component, layer][0] for component in wanted}

    @property
    def stream(self) -> Tensor:
        """[pair, position, width]"""
        return self.run.activations["resid_pre", 0]


def reads(model: LoadedModel, receiver: Spot) -> Component:
    """The stream that a receiver is computed from."""
    return "resid_mid" if receiver.component == "mlp_out" and not parallel(model) else "resid_pre"


def parallel(model: LoadedModel) -> bool:
    """Whether a block's attention and MLP read the same stream, as the proof at load found."""
    return "resid_mid" in model.disabled


def received(edges: Sequence[Edge], model: LoadedModel) -> tuple[Site, ...]:
    """The sites that edges patch."""
    last = Site("resid_post", (len(model.blocks) - 1,), (), edges[0].sender.position)
    return tuple(dict.fromkeys(last if isinstance(e.receiver, str) else e.receiver for e in edges))


def refuse_without_stream(model: LoadedModel) -> None:
    """Raises SiteError where attention and MLPs do not simply add to one stream."""
    for component in NEEDED:
        if component in model.disabled:
            raise SiteError(
                f"An edge goes along a stream that attention and the MLP add to, and {component} is not offered for "
                f"{model.name}: {model.disabled[component]}"
            )


def refuse_unreached(edge: Edge, sender: Where, receiver: Where) -> None:
    """Raises PositionError where in no pair anything can arrive."""
    component = edge.receiver.component if isinstance(edge.receiver, Site) else None
    if component in ("head", "attn_out"):
        arrives = any(min(a) <= max(b) for a, b in zip(sender.positions, receiver.positions, strict=True))
        how = f"{component} reads its own position and those before it"
    else:
        arrives = any(set(a) & set(b) for a, b in zip(sender.positions, receiver.positions, strict=True))
        how = f"{component} reads its own position alone"
    if not arrives:
        raise PositionError(f"{edge}: nothing arrives, for {how}. Give both ends a position that they share.")


def refuse_unread(edge: Edge, sender: Where, answer: int) -> None:
    """Raises PositionError where the logits of no position are read that the sender adds to."""
    if all(max(at) < answer for at in sender.positions):
        raise PositionError(
            f"{edge}: nothing arrives, for the answer's logits are read where the prompt has ended, and the sender "
            "adds to the stream before. Name it at last(), or at a step(k) of the answer."
        )


def refuse_overlaps(receivers: Sequence[Spot]) -> None:
    """Raises PositionError where one vector would become two things."""
    seen: dict[tuple[Component, int, int | None], list[Spot]] = {}
    for spot in receivers:
        for other in seen.setdefault((spot.component, spot.layer, spot.part), []):
            if any(set(a) & set(b) for a, b in zip(spot.where.positions, other.where.positions, strict=True)):
                raise PositionError(
                    f"Two edges end at {spot.component} of layer {spot.layer} at positions that overlap and are not "
                    "the same. Name the receiver by one position in both, and what arrives is added up."
                )
        seen[spot.component, spot.layer, spot.part].append(spot)
