"""A trace: what every module inside of a model's blocks read and gave in one forward, in the order of its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import WHOLE, Forward
from causaltest.measuring.planner import EMBEDDING, Step
from causaltest.measuring.timeline import timeline


@dataclass(frozen=True)
class Call:
    """One call of one module. Tensors are copies: what a model does to them later is not seen here."""

    module: nn.Module
    read: Tensor | None
    gave: Tensor
    overwritten: bool
    """Whether the model later wrote over the tensor that this call gave."""


@dataclass(frozen=True)
class BlockTrace:
    """One block: what it read and gave, and its modules' calls by path, in order. A module called twice is left out."""

    block: nn.Module
    read: Tensor
    gave: Tensor
    calls: Mapping[str, Call]


@dataclass(frozen=True)
class Noted:
    """A call while its forward is still going on."""

    path: str
    module: nn.Module
    read: Tensor | None
    gave: Tensor
    kept: Tensor
    """What the call gave, as it gave it; `gave` may be written over."""


Visit = Callable[[int, BlockTrace], None]


@torch.inference_mode()
def trace(model: LoadedModel, prompt: Tensor, visit: Visit) -> None:
    """One forward over a prompt [1, token], without keys of earlier ones; each block is handed to `visit` as it ends.

    Only one block's tensors are held at a time.
    """
    with noting(model, visit):
        once(model, prompt)


def last_norm(model: LoadedModel, prompt: Tensor) -> nn.Module | None:
    """The module outside of the blocks that makes the last hidden state of the last block's output. [1, token]"""
    inside = {part for block in model.blocks for part in block.block.modules()}
    outside = [(path, part) for path, part in model.model.base_model.named_modules() if part not in inside]
    noted: list[Noted] = []
    trunk: list[Tensor] = []
    handles = [model.model.base_model.register_forward_hook(lambda _, __, out: trunk.append(out.last_hidden_state))]
    for path, part in [*((p, m) for p, m in outside if not any(m.children())), ("", model.blocks[-1].block)]:
        before: list[Tensor | None] = []
        handles.append(part.register_forward_pre_hook(partial(look, before), with_kwargs=True))
        handles.append(part.register_forward_hook(partial(note, noted, path, before)))
    try:
        with torch.inference_mode():
            once(model, prompt)
    finally:
        for handle in handles:
            handle.remove()
    stream = next(call.kept for call in noted if call.path == "")
    found = [
        call.module
        for call in noted
        if call.path and call.read is not None and same(call.read, stream) and same(call.kept, trunk[0])
    ]
    return found[0] if len(found) == 1 else None


def same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other.to(one.device)))


def once(model: LoadedModel, prompt: Tensor) -> None:
    """A prompt's first forward, in which all of it is computed. [1, token]"""
    length, segments = prompt.shape[1], timeline(model, prompt.shape[1], 1)
    if model.reasoning is not None:
        begin = torch.tensor(model.reasoning.begin, dtype=torch.long, device=prompt.device)[None]
        prompt = torch.cat([prompt, begin], dim=1)
    mask = None if model.mask is None else model.mask(length, segments[-1].stop).to(prompt.device)
    step = Step(0, 0, segments[0].stop, 0, ((EMBEDDING, 1),))
    embeddings = model.model.get_input_embeddings()(prompt)
    Forward(model, step, None, {}, WHOLE, mask=mask).hidden(embeddings)


def traced(block: nn.Module, noted: list[Noted]) -> BlockTrace:
    own = next(note for note in noted if note.module is block)
    counts = [note.path for note in noted]
    calls = {
        note.path: Call(note.module, note.read, note.kept, not torch.equal(note.gave, note.kept))
        for note in noted
        if note.module is not block and counts.count(note.path) == 1
    }
    assert own.read is not None
    return BlockTrace(block, own.read, own.kept, calls)


@contextmanager
def noting(model: LoadedModel, visit: Visit) -> Iterator[None]:
    handles = []
    for layer, block in enumerate(model.blocks):
        noted: list[Noted] = []
        for path, module in block.block.named_modules():
            before: list[Tensor | None] = []
            handles.append(module.register_forward_pre_hook(partial(look, before), with_kwargs=True))
            handles.append(module.register_forward_hook(partial(note, noted, path, before)))
        handles.append(block.block.register_forward_hook(partial(leave, layer, noted, visit)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def leave(layer: int, noted: list[Noted], visit: Visit, block: nn.Module, *_: Any) -> None:
    visit(layer, traced(block, noted))
    noted.clear()


def look(before: list[Tensor | None], _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Copies what a module reads, before it can write over it."""
    given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    before.append(None if given is None else given.clone())


def note(notes: list[Noted], path: str, before: list[Tensor | None], module: nn.Module, _: Any, output: Any) -> None:
    gave = output[0] if isinstance(output, tuple | list) and output else output
    read = before.pop()
    if isinstance(gave, Tensor):
        notes.append(Noted(path, module, read, gave, gave.clone()))
