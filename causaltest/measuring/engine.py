"""The engine: one forward, in which rows join at their blocks and patches are written.

The only file that touches hooks. The model's own code does the computing: a row that joins at block l
is put into that block's input; blocks below the first joiner are passed over; the last block computes
its outputs for the positions alone that are read; and so does the head, for the answers' tokens alone
where nobody asks which token is likeliest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import NewGELUActivation

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel, Tap
from causaltest.measuring.attention import in_rows, of_rows, watching
from causaltest.measuring.keys import ForwardKeys, GrowingKeys, chosen, take
from causaltest.measuring.moves import Move, moved
from causaltest.measuring.planner import EMBEDDING, Step

Place = tuple[Component, int]
"""A component and its layer; the embedding is at layer 0."""

LOGITS: Place = ("logits", 0)
INNER: frozenset[Component] = frozenset({"attn_out", "mlp_out", "head", "neuron", "resid_mid", "pattern"})
"""Components that the last block computes for the positions alone that are read when it is trimmed."""

LOGITS_BYTES, LOGITS_BYTES_CPU = 1 << 28, 1 << 24
"""Most that is held of logits. A processor's allocator hands larger pieces back, and every page of the next one
is then faulted in anew: the head takes twice as long."""


PER_HEAD = "alibi"
"""What blocks call a bias of their attention scores that is made for every row and head (arXiv 2108.12409)."""

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Patch:
    """Vectors to put at one component of one layer: entry n goes to (rows[n], positions[n])."""

    component: Component
    layer: int
    part: int | None
    """A head or neuron; None for a component without parts."""
    rows: Tensor
    positions: Tensor
    """Rows and positions are kept where the program runs, so that asking them never waits for a device."""
    values: Tensor
    """[entry, width]"""
    move: Move | None = None
    """What the values add to what is there when the forward passes; None: they take its place."""

    @property
    def place(self) -> Place:
        return (self.component, self.layer)


@dataclass(frozen=True)
class Columns:
    """The logits that are read: token ids, and whether all are computed, which choosing a token needs."""

    ids: Tensor
    all_computed: bool
    total: bool = False
    """Whether the log-sum-exp over all of them is kept, which a probability needs; only where all are computed."""


@dataclass(frozen=True)
class Shortcuts:
    """What was proven to hold for a model, so that it need not be computed."""

    forks: bool = True
    """Rows may begin at a position and a block of the unpatched run."""
    trims: bool = True
    """The last block may compute its outputs for the last position alone."""
    fused: tuple[nn.Module, ...] = ()
    """Activation functions that torch has in one piece, where the model writes out their formula."""
    why: str = ""
    """Why a shortcut does not hold."""


PLAIN = Shortcuts(trims=False)
WHOLE = Shortcuts(forks=False, trims=False)


class Writes(Protocol):
    """What may be put at a place."""

    def write(self, tensor: Tensor, step: Step, mid_of: Tensor | None = None) -> Tensor:
        """The tensor [row, position, width] that goes on from there."""


@dataclass
class Entries:
    """All patches of one place in a wave, in one tensor each."""

    rows: Tensor
    positions: Tensor
    columns: Tensor | None
    """[entry, width]: a part's own columns among those of the component; None where it has no parts."""
    values: Tensor
    move: Move | None = None
    fired: int = 0

    def write(self, tensor: Tensor, step: Step, mid_of: Tensor | None = None) -> Tensor:
        """The tensor [row, position, width] with the entries that this forward computes.

        With `mid_of`, the block's input, what is there, and what is written, is the stream: the tensor added to it.
        """
        begin = step.stop - tensor.shape[1]
        now = (self.positions >= begin) & (self.positions < step.stop)
        now &= (self.rows >= step.first) & (self.rows < step.first + len(tensor))
        mine = now.nonzero().squeeze(1)
        if not len(mine):
            return tensor
        self.fired += len(mine)
        rows, positions = (
            (at[mine] - less).to(tensor.device) for at, less in ((self.rows, step.first), (self.positions, begin))
        )
        mine = mine.to(tensor.device)
        values = self.values[mine]
        at = (rows, positions) if self.columns is None else (rows[:, None], positions[:, None], self.columns[mine])
        tensor = tensor.clone()
        if mid_of is not None:
            before, added = mid_of[rows, positions], tensor[rows, positions]
            values = moved(before + added, values, self.move)
            # Where the stream is already what is wanted, not a bit may move.
            values = torch.where(values == before + added, added, values - before)
        elif self.move is not None:
            values = moved(tensor[at], values, self.move)
        tensor[at] = values
        return tensor


def entries_of(patches: Sequence[Patch]) -> dict[Place, list[Entries]]:
    """The patches by place, those of equal width and move in one."""
    grouped: dict[tuple[Place, bool, Move | None, int], list[Patch]] = {}
    for patch in patches:
        if len(patch.rows):
            key = (patch.place, patch.part is None, patch.move, patch.values.shape[-1])
            grouped.setdefault(key, []).append(patch)
    out: dict[Place, list[Entries]] = {}
    for (place, entire, move, _), group in grouped.items():
        rows, positions = (torch.cat([getattr(p, name).cpu() for p in group]) for name in ("rows", "positions"))
        values = torch.cat([p.values for p in group])
        columns = None
        if not entire:
            wide = (move.width if move is not None else None) or values.shape[-1]
            width = torch.arange(wide, device=values.device)
            parts = torch.cat([torch.full((len(p.rows), 1), p.part or 0, device=values.device) for p in group])
            columns = parts * len(width) + width
        out.setdefault(place, []).append(Entries(rows, positions, columns, values, move))
    return out


@dataclass
class Recorder:
    """Activations as the forwards compute them."""

    components: frozenset[Component]
    latest_only: bool = False
    """Every forward computes all positions so far, so the latest says it all."""
    first_input_only: bool = False
    """Of the blocks' inputs only the first is recorded: each other one is the output of the block before."""
    seen: dict[Place, list[Tensor]] = field(default_factory=dict)
    tupled: set[int] = field(default_factory=set)
    """Blocks that return a tuple."""

    def wants(self, place: Place) -> bool:
        component, layer = place
        return component in self.components and not (self.first_input_only and component == "resid_pre" and layer > 0)

    def keep(self, place: Place, tensor: Tensor) -> None:
        if self.latest_only:
            self.seen.pop(place, None)
        self.seen.setdefault(place, []).append(tensor)

    def joined(self) -> dict[Place, Tensor]:
        # Each place's parts go as soon as they are joined, so that a run is never held twice.
        parts = {place: self.seen.pop(place) for place in list(self.seen)}
        return {place: kept[0] if len(kept) == 1 else torch.cat(kept, dim=1) for place, kept in parts.items()}


@dataclass
class Joining:
    """Where rows that join come from: the unpatched run of their pairs."""

    stream: Mapping[Place, Tensor]
    pairs: Tensor
    """Per slot of the wave, the row of the unpatched run."""
    tupled: Collection[int] = ()

    def onto(self, hidden: Tensor, block: int, step: Step, before: int, count: int) -> Tensor:
        """A block's input of `before` rows with `count` rows more. [row, position, width]"""
        place: Place = ("resid_post", block - 1) if block else ("resid_pre", 0)
        stream = self.stream[place][:, step.start : step.stop]
        mine = self.pairs[step.first + before : step.first + before + count]
        if not before:
            return chosen(stream, mine)
        out = hidden.new_empty(before + count, *hidden.shape[1:])
        out[:before] = hidden
        take(out[before:], stream, mine)
        return out


@dataclass
class Forward:
    """One forward of a wave."""

    model: LoadedModel
    step: Step
    keys: ForwardKeys | GrowingKeys | None
    entries: Mapping[Place, Sequence[Writes]]
    shortcuts: Shortcuts
    joining: Joining | None = None
    recorder: Recorder | None = None
    mask: Tensor | None = None
    keeps: int = 1
    """How many last positions are read of the last block."""
    total: int = 0
    """How many positions the run has when it ends: the keys that a recorded pattern has room for."""
    inputs: dict[int, Tensor] = field(default_factory=dict)
    """Block inputs, kept where the stream inside the block is patched or recorded."""

    def hidden(self, embeddings: Tensor | None) -> Tensor:
        """The last hidden state of every row. [row, width]"""
        with hooked(self):
            output = self.model.model.base_model(**self.arguments(embeddings))
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden

    def logits(self, embeddings: Tensor | None, columns: Columns) -> Iterator[tuple[slice, Tensor]]:
        """Logits at the positions that are read, for slots of the wave, as many as may be held at once.

        [row, position, vocabulary], or [row, position, column] where not all are computed.
        """
        model, rows, keeps = self.model.model, self.step.rows, self.keeps
        if self.watched(LOGITS):
            yield slice(self.step.first, self.step.last), self.all_logits(embeddings, columns)
            return
        parts = parts_of(rows, keeps, columns, model)
        with narrowed(model, columns):
            if parts == 1:
                with hooked(self):
                    output = model(**self.arguments(embeddings), logits_to_keep=keeps)
                yield slice(self.step.first, self.step.last), read_columns(output.logits[:, -keeps:], columns)
                return
            with hooked(self):
                output = model.base_model(**self.arguments(embeddings))
            hidden = output.last_hidden_state[:, -keeps:]
            for part in range(parts):
                start, stop = part * rows // parts, (part + 1) * rows // parts
                some = type(output)(last_hidden_state=hidden[start:stop])
                # The trunk gives a part of what it gave, and the model computes its head on that.
                with acting(model.base_model, lambda *_, some=some, **__: some):
                    logits = model(inputs_embeds=some.last_hidden_state, logits_to_keep=keeps).logits
                yield slice(self.step.first + start, self.step.first + stop), read_columns(logits, columns)

    def all_logits(self, embeddings: Tensor | None, columns: Columns) -> Tensor:
        """The same with every position's logits computed, because they are patched or recorded."""
        model, change = self.model.model, partial(self.at, LOGITS)
        handle = on_output(model.get_output_embeddings(), change)
        try:
            with hooked(self):
                # Zero keeps all of them.
                output = model(**self.arguments(embeddings), logits_to_keep=0)
        finally:
            handle.remove()
        return read_columns(output.logits[:, -self.keeps :], columns)

    def arguments(self, embeddings: Tensor | None) -> dict[str, Any]:
        if embeddings is None:
            # Nobody reads it: the first rows that join take its place.
            assert self.joining is not None
            stream = self.joining.stream["resid_pre", 0]
            embeddings = stream.new_zeros(1, self.step.stop - self.step.start, stream.shape[-1])
        else:
            embeddings = self.at(("embed", 0), embeddings)
        given: dict[str, Any] = {"inputs_embeds": embeddings, "use_cache": self.keys is not None}
        if self.keys is not None:
            given["past_key_values"] = self.keys.cache(len(self.model.blocks))
        if self.mask is not None:
            seen = self.mask[:, :, self.step.start : self.step.stop, : self.step.stop]
            given["attention_mask"] = seen.expand(len(embeddings), -1, -1, -1)
        return given

    @cached_property
    def joins(self) -> dict[int, tuple[int, int]]:
        """For each block, how many rows are there before it, and how many join."""
        before, out = 0, {}
        for block, count in self.step.joins:
            if block != EMBEDDING:
                out[block] = (before, count)
            before += count
        return out

    def joined(self, block: int, hidden: Tensor) -> Tensor:
        """A block's input with the rows that join there."""
        before, count = self.joins.get(block, (0, 0))
        if not count or self.joining is None:
            return hidden
        return self.joining.onto(hidden, block, self.step, before, count)

    def at(self, place: Place, tensor: Tensor) -> Tensor:
        """A place's activations, patched where a patch says so, then recorded."""
        for entries in self.entries.get(place, ()):
            tensor = entries.write(tensor, self.step)
        if self.recorder is not None and self.recorder.wants(place):
            self.recorder.keep(place, tensor)
        return tensor

    def attended(self, layer: int, weights: Tensor) -> Tensor:
        """A layer's attention weights [row, head, query, key], patched, then recorded."""
        place: Place = ("pattern", layer)
        heads, keys = weights.shape[1], weights.shape[-1]
        for entries in self.entries.get(place, ()):
            wide = max(self.total, keys)
            if isinstance(entries, Entries):
                wide = entries.values.shape[-1] // (heads if entries.columns is None else 1)
            rows = in_rows(weights, wide)
            written = entries.write(rows, self.step)
            weights = weights if written is rows else of_rows(written, heads, keys)
        if self.recorder is not None and self.recorder.wants(place):
            self.recorder.keep(place, in_rows(weights, max(self.total, keys)))
        return weights

    def added_by_attention(self, layer: int, tensor: Tensor) -> Tensor:
        """What attention adds, patched so that the stream between attention and MLP is as asked."""
        tensor = self.at(("attn_out", layer), tensor)
        if layer not in self.inputs:
            return tensor
        place: Place = ("resid_mid", layer)
        before = self.inputs[layer]
        for entries in self.entries.get(place, ()):
            tensor = entries.write(tensor, self.step, mid_of=before)
        if self.recorder is not None and self.recorder.wants(place):
            self.recorder.keep(place, before + tensor)
        return tensor

    def read_of(self, tensor: Tensor) -> Tensor:
        """The positions that are read."""
        return tensor[:, -self.keeps :].contiguous()

    def padded(self, tensor: Tensor) -> Tensor:
        """As wide as the stream that it is added to; what is put before the positions that are read is not read."""
        missing = self.positions - tensor.shape[1]
        return tensor if tensor.shape[1] == 1 else F.pad(tensor, (0, 0, missing, 0))

    @property
    def positions(self) -> int:
        """How many positions of each row this forward computes."""
        return self.step.stop - self.step.start

    def watched(self, place: Place) -> bool:
        return place in self.entries or (self.recorder is not None and self.recorder.wants(place))

    @property
    def uneven(self) -> bool:
        """Whether rows join a batch that entered at the embedding with several: its masks are for those alone."""
        block, count = self.step.joins[0]
        return block == EMBEDDING and count > 1 and len(self.step.joins) > 1

    @property
    def trimmed(self) -> bool:
        """Whether the last block's outputs are computed for the positions alone that are read."""
        last = len(self.model.blocks) - 1
        return (
            self.shortcuts.trims
            and bool(self.model.blocks[last].trimmed)
            and self.recorder is None
            and self.positions > self.keeps
            and not any((component, last) in self.entries for component in INNER)
        )


@contextmanager
def hooked(forward: Forward) -> Iterator[None]:
    """Hooks on the blocks and places that this forward needs, gone when it ends."""
    blocks, joins = forward.model.blocks, forward.joins
    begins = 0 if forward.step.joins[0][0] == EMBEDDING else min(joins)
    with ExitStack() as stack:
        for layer, block in enumerate(blocks):
            if layer < begins:
                tupled = forward.joining is not None and layer in forward.joining.tupled
                stack.enter_context(acting(block.block, passing(tupled)))
            for handle in block_hooks(forward, layer, entered=layer >= begins):
                stack.callback(handle.remove)  # one by one: an error leaves none of them attached
            if layer >= begins and "pattern" in block.taps and forward.watched(("pattern", layer)):
                stack.enter_context(watching(block.taps["pattern"].module, partial(forward.attended, layer)))
        norm = forward.model.norm
        if norm is not None and forward.watched(("final_norm", 0)):
            stack.callback(on_output(norm, partial(forward.at, ("final_norm", 0))).remove)
        if forward.trimmed and begins < len(blocks):
            for begin, end in blocks[-1].trimmed:
                stack.callback(on_input(begin, forward.read_of).remove)
                stack.callback(on_output(end, forward.padded).remove)
        yield


def passing(tupled: bool) -> Any:
    """In place of a block below every row: what comes in goes out."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return (hidden_states, None) if tupled else hidden_states

    return forward


def block_hooks(forward: Forward, layer: int, *, entered: bool) -> Iterator[Any]:
    """Attaches the hooks of one block; of one that no row enters only those behind it."""
    block, last = forward.model.blocks[layer], len(forward.model.blocks) - 1

    def leave(hidden: Tensor) -> Tensor:
        return forward.at(("resid_post", layer), forward.joined(last + 1, hidden) if layer == last else hidden)

    if entered:
        mid = forward.watched(("resid_mid", layer))

        def enter(hidden: Tensor) -> Tensor:
            hidden = forward.at(("resid_pre", layer), forward.joined(layer, hidden))
            if mid:
                forward.inputs[layer] = hidden
            return hidden

        biased = PER_HEAD in signature(type(block.block).forward).parameters
        if layer in forward.joins or mid or biased or forward.uneven or forward.watched(("resid_pre", layer)):
            yield on_block_input(block.block, enter, forward.model.heads)
        for component, tap in block.taps.items():
            place: Place = (component, layer)
            if component == "attn_out" and (mid or forward.watched(place)):
                yield on_tap(tap, lambda t: forward.added_by_attention(layer, t), forward.positions)
            elif component not in ("resid_pre", "resid_post", "attn_out", "pattern") and forward.watched(place):
                yield on_tap(tap, partial(forward.at, place), forward.positions)
    if forward.watched(("resid_post", layer)) or (layer == last and last + 1 in forward.joins):
        yield on_output(block.block, leave, None if forward.recorder is None else (forward.recorder, layer))


def on_tap(tap: Tap, change: Change, positions: int) -> Any:
    """A hook that hands a component's own columns to `change` and puts back what it returns.

    `positions` are those of a row in this forward.
    """
    columns = tap.columns()
    if tap.flat:
        change = unflattened(change, positions)
    if tap.scale != 1:
        change = scaled(change, tap.scale)
    if tap.overwritten:
        change = copied(change)

    def at_columns(tensor: Tensor) -> Tensor:
        mine = tensor[..., columns]
        new = change(mine)
        if new is mine:
            return tensor
        if isinstance(columns, slice) and new.shape == tensor.shape:
            return new
        tensor = tensor.clone()
        tensor[..., columns] = new
        return tensor

    return on_input(tap.module, at_columns) if tap.side == "input" else on_output(tap.module, at_columns)


def unflattened(change: Change, positions: int) -> Change:
    """A change of rows and positions that a module has in one axis."""

    def of_rows(tensor: Tensor) -> Tensor:
        rows = tensor.view(-1, positions, tensor.shape[-1])
        new = change(rows)
        return tensor if new is rows else new.flatten(0, 1)

    return of_rows


def scaled(change: Change, scale: float) -> Change:
    """A change of what a module gives, where the component is a multiple of it."""

    def of_multiple(tensor: Tensor) -> Tensor:
        product = tensor * scale
        new = change(product)
        if new.requires_grad:
            # A gradient is asked for at values that stay as they are, and a choice between two would cut it off.
            return tensor + (new - product) / scale
        # What is not changed keeps its bits: a product divided again may be off by one.
        return tensor if new is product else torch.where(new == product, tensor, new / scale)

    return of_multiple


def copied(change: Change) -> Change:
    """A change whose tensors the model may write over, and whoever keeps them does not notice."""

    def of_copy(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        new = change(copy)
        return tensor if new is copy else new.clone()

    return of_copy


def on_input(module: nn.Module, change: Change) -> Any:
    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return of_input(change, args, kwargs)

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def of_input(change: Change, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A module's arguments with its input changed, which is the first of them however it is given."""
    if args:
        return (change(args[0]), *args[1:]), kwargs
    name = input_of(kwargs)
    return args, {**kwargs, name: change(kwargs[name])}


def input_of(kwargs: dict[str, Any]) -> str:
    return "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))


def on_block_input(module: nn.Module, change: Change, heads: int) -> Any:
    """As `on_input`, and masks that were made for the rows at the embedding serve all rows, being alike."""

    def alike(value: Any, rows: int) -> Any:
        fits = not isinstance(value, Tensor) or value.dim() != 4 or len(value) in (1, rows)
        return value if fits else value[:1]

    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = of_input(change, args, kwargs)
        rows = len(args[0] if args else kwargs[input_of(kwargs)])
        kwargs = {name: alike(value, rows) for name, value in kwargs.items()}
        bias = kwargs.get(PER_HEAD)
        if isinstance(bias, Tensor) and bias.dim() == 3:
            # [row * head, 1, key]: not to be stretched over more rows, as a mask is.
            kwargs[PER_HEAD] = bias[:heads].repeat(rows, 1, 1)
        return tuple(alike(value, rows) for value in args), kwargs

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def on_output(module: nn.Module, change: Change, tuples: tuple[Recorder, int] | None = None) -> Any:
    def hook(_: Any, __: Any, output: Any) -> Any:
        # Some blocks and all attentions return tuples, and a few lists, decided per call.
        if isinstance(output, tuple | list):
            if tuples is not None:
                tuples[0].tupled.add(tuples[1])
            return type(output)((change(output[0]), *output[1:]))
        return change(output)

    return module.register_forward_hook(hook)


def written_out(model: LoadedModel) -> tuple[nn.Module, ...]:
    """The activation functions of a model that torch has in one piece."""
    return tuple(module for module in model.model.modules() if type(module) is NewGELUActivation)


@contextmanager
def fused(shortcuts: Shortcuts) -> Iterator[None]:
    """GELU by its tanh formula (Hendrycks and Gimpel, arXiv 1606.08415) in one pass over memory in place of eight."""
    mine = [module for module in shortcuts.fused if "forward" not in vars(module)]
    with ExitStack() as stack:
        for module in mine:
            stack.enter_context(acting(module, partial(F.gelu, approximate="tanh")))
        yield


def parts_of(rows: int, count: int, columns: Columns, model: Any) -> int:
    """In how many parts the head computes its rows."""
    width = int(model.get_input_embeddings().num_embeddings) if columns.all_computed else len(columns.ids)
    most = LOGITS_BYTES_CPU if model.device.type == "cpu" else LOGITS_BYTES
    wanted = -(-rows * count * width * int(model.dtype.itemsize) // most)
    return min(rows, wanted)


def read_columns(logits: Tensor, columns: Columns) -> Tensor:
    """The logits that are read. [row, position, column]"""
    narrow = columns.all_computed or logits.shape[-1] == len(columns.ids)
    return logits if narrow else logits[..., columns.ids]


@contextmanager
def acting(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """A module computes something else, and then what it did before."""
    before = vars(module).get("forward")
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        del vars(module)["forward"]
        if before is not None:
            vars(module)["forward"] = before


@contextmanager
def narrowed(model: Any, columns: Columns) -> Iterator[None]:
    """The head computes the read columns alone, where no token is chosen; what follows it is per logit."""
    head = model.get_output_embeddings()
    if columns.all_computed or type(head) is not nn.Linear or "forward" in head.__dict__:
        yield
        return
    weight = head.weight[columns.ids]
    bias = None if head.bias is None else head.bias[columns.ids]
    with acting(head, lambda hidden: F.linear(hidden, weight, bias)):
        yield
