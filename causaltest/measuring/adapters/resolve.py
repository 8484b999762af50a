"""The resolver: which module of a block is which component, worked out from what one run computed.

A block adds two things to the residual stream: what its attention gives, and what its MLP gives. Which
tensors these are differs by family: the module's own output, its last projection's (where the module adds the
stream by itself), that of a norm behind it, or one of these scaled. So the candidates of both sides are taken
from a trace, and the pair is chosen that makes the block's output out of its input. A name decides only which
side a module is on, and which projections are asked for q, k and v; all of it is proven afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from torch import Tensor, nn

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.decoder import declared_classes, decoder_of
from causaltest.measuring.adapters.heads import side_by_side, width_in
from causaltest.measuring.adapters.model import Block, LoadedModel, Tap
from causaltest.measuring.adapters.overrides import Names, names_for
from causaltest.measuring.adapters.projections import attention_taps
from causaltest.measuring.adapters.trace import BlockTrace, Call, last_norm, trace

SUM_TOLERANCE = 1e-3
"""Relative to what is added. Rounding is far less, another tensor far more."""
SUM_ROUNDINGS = 8
"""And how many of the dtype's steps the stream itself may be off by."""
RECURRENT = ("mamba", "mixer", "recurrentblock", "ssm")
"""In the names of modules that stand where attention would."""


@dataclass(frozen=True)
class Candidate:
    """A tensor that may be what a side adds: a module's output, or None for a side that a block does not have."""

    path: str
    call: Call | None


@dataclass(frozen=True)
class Parts:
    """The taps of one side's parts, the modules from them to what the side adds, and where it can be trimmed."""

    taps: Mapping[Component, Tap] = field(default_factory=dict)
    into: Mapping[Component, tuple[nn.Module, ...]] = field(default_factory=dict)
    trimmed: tuple[tuple[nn.Module, nn.Module], ...] = ()


@dataclass(frozen=True)
class Addition:
    """What a block adds, as two tensors of its trace and the factor that both have in common."""

    attention: Candidate
    mlp: Candidate
    scale: float


def resolved(model: LoadedModel, prompt: Tensor) -> LoadedModel:
    """The model with the components of its blocks named, and the reason for each that no module gives. [1, token]"""
    resolver = Resolver(model, names_for(model.model))
    blocks: dict[int, Block] = {}
    trace(model, prompt, lambda layer, seen: blocks.update({layer: resolver.block(layer, seen)}))
    in_order = tuple(blocks[layer] for layer in range(len(model.blocks)))
    norm = last_norm(model, prompt)
    if norm is None:
        resolver.refuse(("final_norm",), "no one module makes the last hidden state of what the last block gives.")
    return replace(model, blocks=in_order, norm=norm, disabled={**resolver.disabled, **model.disabled})


class Resolver:
    """Goes through a model's blocks, and remembers what it chose: blocks that are alike are read alike."""

    def __init__(self, model: LoadedModel, names: Names) -> None:
        self.model, self.names = model, names
        self.attention_classes = declared_classes(decoder_of(model.model), "attentions")
        self.disabled: dict[str, str] = {}
        self.chosen: dict[object, tuple[str, str, float]] = {}

    def block(self, layer: int, seen: BlockTrace) -> Block:
        """One block with its taps."""
        stream = (range(seen.read.shape[-1]),)
        taps: dict[Component, Tap] = {
            "resid_pre": Tap(seen.block, "input", stream),
            "resid_post": Tap(seen.block, "output", stream),
        }
        mixer, mlp = self.sides(seen.block)
        found = self.addition(seen, mixer, mlp)
        if found is None:
            why = f"in layer {layer} no two modules of {type(seen.block).__name__} give what it adds to the stream."
            self.refuse(("attn_out", "mlp_out"), why)
            return Block(seen.block, taps)
        if found.attention.call is not None:
            # Tapped also where it is no attention: what the MLP adds is proven beside it.
            taps["attn_out"] = tap_of(found.attention.call, found.scale, stream)
        if found.mlp.call is not None:
            taps["mlp_out"] = tap_of(found.mlp.call, found.scale, stream)
        parts = [self.heads(layer, seen, mixer, found.attention), self.neurons(layer, seen, mlp, found.mlp)]
        return Block(
            seen.block,
            taps={**taps, **parts[0].taps, **parts[1].taps},
            into={**parts[0].into, **parts[1].into},
            trimmed=parts[0].trimmed + parts[1].trimmed if all(part.trimmed for part in parts) else (),
        )

    def heads(self, layer: int, seen: BlockTrace, mixer: Sequence[str], added: Candidate) -> Parts:
        """z, q, k and v, where what reads other positions is attention and ends in a projection."""
        needed = ("head", "q", "k", "v", "pattern")
        if added.call is None or not self.is_attention(seen.block.get_submodule(mixer[0])):
            what = ", ".join(type(seen.block.get_submodule(path)).__name__ for path in mixer) or "nothing"
            self.refuse(("attn_out", *needed), f"in layer {layer} {what} stands where attention would.")
            return Parts()
        path = self.names.head or projection(seen, mixer, added)
        if path is None or path not in seen.calls:
            self.refuse(needed, f"in layer {layer} no one projection gives attention's output.")
            return Parts()
        output = seen.calls[path].module
        taps, why = attention_taps(self.model.heads, seen, mixer[0], path, self.names)
        for component, reason in why.items():
            self.refuse((component,), reason)
        if "head" in taps:
            heads = side_by_side(len(taps["head"].parts), 1)
            taps["pattern"] = Tap(seen.block.get_submodule(mixer[0]), "weights", heads)
        return Parts(taps, {"head": between(output, added)}, ((output, output),))

    def neurons(self, layer: int, seen: BlockTrace, mlp: Sequence[str], added: Candidate) -> Parts:
        """The neurons, where the MLP ends in a projection, and where it can be trimmed."""
        if added.call is None:
            return Parts()
        path = self.names.neuron or projection(seen, mlp, added)
        if path is None or path not in seen.calls:
            self.refuse(("neuron",), f"in layer {layer} no one projection gives all that the MLP adds.")
            return Parts(trimmed=whole_mlp(seen, mlp, None))
        down = seen.calls[path].module
        tap = Tap(down, "input", side_by_side(width_in(down) or 0, 1), flat=seen.calls[path].gave.dim() == 2)
        return Parts({"neuron": tap}, {"neuron": between(down, added)}, whole_mlp(seen, mlp, path))

    def refuse(self, components: Sequence[str], why: str) -> None:
        for component in components:
            self.disabled.setdefault(component, why)

    def sides(self, block: nn.Module) -> tuple[list[str], list[str]]:
        """The block's own modules that read other positions, and those of its MLP."""
        children = {path: child for path, child in block.named_children() if not is_norm(child)}
        mixer = [path for path, child in children.items() if self.is_attention(child)]
        mixer = mixer or [path for path, child in children.items() if is_recurrent(child)]
        if self.names.attention is not None:
            mixer = [self.names.attention]
        mlp = [path for path, child in children.items() if path not in mixer and has_weights(child)]
        return mixer, mlp if self.names.mlp is None else [self.names.mlp]

    def is_attention(self, module: nn.Module) -> bool:
        if self.names.attention is not None:
            return True
        return any(
            isinstance(part, self.attention_classes) or "attention" in type(part).__name__.lower()
            for part in module.modules()
        )

    def addition(self, seen: BlockTrace, mixer: Sequence[str], mlp: Sequence[str]) -> Addition | None:
        """The two tensors that, added to the block's input, give its output."""
        shape = (type(seen.block), tuple(seen.calls))
        ours, theirs = (list(candidates(seen, paths)) for paths in (mixer, mlp))
        ours, theirs = named(ours, self.names.attn_out), named(theirs, self.names.mlp_out)
        ways = [Addition(one, other, scale) for scale, one, other in product(scales(seen.block), ours, theirs)]
        # What an equal block was read as comes first: a block that adds nothing at all would fit any two.
        ways.sort(key=lambda way: (way.attention.path, way.mlp.path, way.scale) != self.chosen.get(shape))
        for way in ways:
            if makes(seen, way):
                self.chosen.setdefault(shape, (way.attention.path, way.mlp.path, way.scale))
                return way
        return None


def candidates(seen: BlockTrace, paths: Sequence[str]) -> Iterator[Candidate]:
    """What a side may add, the outermost first: norms behind its modules, these themselves, and what is in them."""
    wide = {path: call for path, call in seen.calls.items() if as_wide(call.gave, seen.read)}
    inside = {path: call for path, call in wide.items() if within(path, paths)}
    behind = [
        Candidate(path, call)
        for path, call in wide.items()
        if path not in inside and is_norm(call.module) and any(same(call.read, one.gave) for one in inside.values())
    ]
    yield from reversed(behind)
    for path, call in sorted(reversed(inside.items()), key=lambda item: item[0].count(".")):
        yield Candidate(path, call)
    if not inside:
        yield Candidate("", None)


def named(found: list[Candidate], path: str | None) -> list[Candidate]:
    """The candidates, or the one that a user names."""
    return found if path is None else [one for one in found if one.path == path]


def makes(seen: BlockTrace, way: Addition) -> bool:
    """Whether the block's input and these two give its output."""
    total = torch.zeros_like(seen.read, dtype=torch.float32)
    for one in (way.attention, way.mlp):
        if one.call is not None:
            total += one.call.gave.float().view_as(total) * way.scale
    off = torch.dist(seen.read.float() + total, seen.gave.float())
    return bool(off <= allowed(total, seen.gave))


def allowed(added: Tensor, stream: Tensor) -> Tensor:
    """How far a sum may be off: a share of what is added, and the rounding of the stream that it is added to."""
    eps = torch.finfo(stream.dtype).eps
    tolerance = max(SUM_TOLERANCE, SUM_ROUNDINGS * eps)
    of_sum, of_stream = (torch.linalg.vector_norm(t.float()) for t in (added, stream))
    off: Tensor = tolerance * of_sum + SUM_ROUNDINGS * eps * of_stream
    return off


def scales(block: nn.Module) -> list[float]:
    """One, and the factors that a block keeps as plain numbers: some families scale what they add."""
    own = (value for name, value in vars(block).items() if isinstance(value, float) and "drop" not in name)
    return [1.0, *(value for value in own if value not in (0.0, 1.0))]


def tap_of(call: Call, scale: float, stream: tuple[range, ...]) -> Tap:
    flat = call.gave.dim() == 2
    return Tap(call.module, "output", stream, scale=scale, overwritten=call.overwritten, flat=flat)


def projection(seen: BlockTrace, paths: Sequence[str], added: Candidate) -> str | None:
    """The last linear map of a side, where its output is what the side adds, or what the norm behind it reads."""
    assert added.call is not None
    raw = added.call.read if is_norm(added.call.module) else added.call.gave
    inside = [path for path in seen.calls if within(path, paths)]
    return next((p for p in reversed(inside) if is_linear(seen, p) and same(seen.calls[p].gave, raw)), None)


def between(output: nn.Module, added: Candidate) -> tuple[nn.Module, ...]:
    """The modules from a side's parts to what it adds."""
    assert added.call is not None
    return (output, added.call.module) if is_norm(added.call.module) else (output,)


def whole_mlp(seen: BlockTrace, paths: Sequence[str], down: str | None) -> tuple[tuple[nn.Module, nn.Module], ...]:
    """Where the MLP begins and ends, for a block that computes it at the last positions alone."""
    call = seen.calls.get(paths[0]) if len(paths) == 1 else None
    if call is not None and call.gave.shape == seen.read.shape and not same(call.gave, seen.gave):
        return ((call.module, call.module),)
    # A module that adds the stream by itself reads it too: what can be left out is inside of it.
    first = next((p for p in seen.calls if within(p, paths) and is_linear(seen, p)), None)
    if first is None or down is None or seen.calls[down].gave.dim() == 2:
        return ()
    return ((seen.calls[first].module, seen.calls[down].module),)


def within(path: str, paths: Sequence[str]) -> bool:
    """Whether a path is one of some modules, or inside of one."""
    return any(path == one or path.startswith(f"{one}.") for one in paths)


def as_wide(gave: Tensor, stream: Tensor) -> bool:
    """Whether a tensor has the stream's numbers, rows and positions apart or in one axis."""
    return gave.numel() == stream.numel() and gave.shape[-1] == stream.shape[-1]


def is_linear(seen: BlockTrace, path: str) -> bool:
    return width_in(seen.calls[path].module) is not None


def is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() and not any(True for _ in module.children())


def is_recurrent(module: nn.Module) -> bool:
    return any(name in type(module).__name__.lower() for name in RECURRENT)


def has_weights(module: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in module.parameters())


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors hold the same numbers; their shapes may differ by axes of length one."""
    if one is None or other is None or one.numel() != other.numel():
        return False
    return bool(torch.equal(one.flatten(), other.flatten()))
