"""Activation patching written down plainly, to compare the engine with.

Nothing of causaltest is used here. A decoder runs in one full forward per token, without a cache
and without a batch, and its modules are named by hand. The ducks run as formulas on the tensors
of their checkpoint file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Change:
    """A vector to put at one component, layer and position; for a head or neuron, at its part of the component.

    `of` makes it of what is there; else it is `vector`.
    """

    component: str
    layer: int
    position: int
    vector: Tensor | None
    part: int | None = None
    of: Callable[[Tensor], Tensor] | None = None


@dataclass
class Seen:
    """One forward: logits [position, vocabulary], and what every component held [position, width], parts in a row."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    at: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

    def vector(self, component: str, layer: int, position: int, part: int | None = None) -> Tensor:
        whole = self.at[component, layer][position]
        return whole if part is None else whole.view(self.parts[component], -1)[part]

    def keep(self, component: str, layer: int, parted: Tensor) -> None:
        """Of [position, part, width]."""
        self.at[component, layer], self.parts[component] = parted.flatten(1).clone(), parted.shape[1]


def apply(parted: Tensor, component: str, layer: int, changes: Sequence[Change]) -> None:
    """Writes the changes that are meant for this component and layer into [position, part, width]."""
    for c in changes:
        if (c.component, c.layer) == (component, layer) and c.position < len(parted):
            there = parted[c.position] if c.part is None else parted[c.position, c.part]
            new = c.vector if c.of is None else c.of(there.flatten().clone())
            there.copy_(new.view_as(there))


# Decoders of transformers: where the component is, and whether it is that module's input or output. In the order
# in which a block computes them, so that what is changed first is seen by what comes after.
GPT2 = {
    "embed": ("transformer.wte", "output"),
    "resid_pre": ("transformer.h.{}", "input"),
    "q": ("transformer.h.{}.attn.c_attn", "output"),
    "k": ("transformer.h.{}.attn.c_attn", "output"),
    "v": ("transformer.h.{}.attn.c_attn", "output"),
    "head": ("transformer.h.{}.attn.c_proj", "input"),
    "attn_out": ("transformer.h.{}.attn", "output"),
    "resid_mid": ("transformer.h.{}.ln_2", "input"),
    "neuron": ("transformer.h.{}.mlp.c_proj", "input"),
    "mlp_out": ("transformer.h.{}.mlp", "output"),
    "resid_post": ("transformer.h.{}", "output"),
}
LLAMA = {
    "embed": ("model.embed_tokens", "output"),
    "resid_pre": ("model.layers.{}", "input"),
    "q": ("model.layers.{}.self_attn.q_proj", "output"),
    "k": ("model.layers.{}.self_attn.k_proj", "output"),
    "v": ("model.layers.{}.self_attn.v_proj", "output"),
    "head": ("model.layers.{}.self_attn.o_proj", "input"),
    "attn_out": ("model.layers.{}.self_attn", "output"),
    "resid_mid": ("model.layers.{}.post_attention_layernorm", "input"),
    "neuron": ("model.layers.{}.mlp.down_proj", "input"),
    "mlp_out": ("model.layers.{}.mlp", "output"),
    "resid_post": ("model.layers.{}", "output"),
}
GEMMA2 = {
    **LLAMA,
    "attn_out": ("model.layers.{}.post_attention_layernorm", "output"),
    "resid_mid": ("model.layers.{}.pre_feedforward_layernorm", "input"),
    "mlp_out": ("model.layers.{}.post_feedforward_layernorm", "output"),
}
NEOX = {
    "embed": ("gpt_neox.embed_in", "output"),
    "resid_pre": ("gpt_neox.layers.{}", "input"),
    "q": ("gpt_neox.layers.{}.attention.query_key_value", "output"),
    "k": ("gpt_neox.layers.{}.attention.query_key_value", "output"),
    "v": ("gpt_neox.layers.{}.attention.query_key_value", "output"),
    "head": ("gpt_neox.layers.{}.attention.dense", "input"),
    "attn_out": ("gpt_neox.layers.{}.attention", "output"),
    "resid_mid": ("gpt_neox.layers.{}.post_attention_layernorm", "input"),
    "neuron": ("gpt_neox.layers.{}.mlp.dense_4h_to_h", "input"),
    "mlp_out": ("gpt_neox.layers.{}.mlp", "output"),
    "resid_post": ("gpt_neox.layers.{}", "output"),
}
MODULES = {"gpt2": GPT2, "llama": LLAMA, "mistral": LLAMA, "gemma2": GEMMA2, "gpt_neox": NEOX}


def parts(whole: Tensor, component: str, config: Any) -> Tensor:
    """A view [position, part, width] of a component in its module's tensor [position, columns]."""
    length, heads = len(whole), config.num_attention_heads
    if component in ("q", "k", "v") and config.model_type == "gpt2":
        return whole.view(length, 3, heads, -1)[:, "qkv".index(component)]
    if component in ("q", "k", "v") and config.model_type == "gpt_neox":
        return whole.view(length, heads, 3, -1)[:, :, "qkv".index(component)]
    if component in ("k", "v"):
        return whole.view(length, config.num_key_value_heads, -1)
    if component in ("q", "head"):
        return whole.view(length, heads, -1)
    return whole.view(length, whole.shape[-1], 1) if component == "neuron" else whole.view(length, 1, -1)


@torch.no_grad()
def forward(model: torch.nn.Module, ids: Sequence[int], changes: Sequence[Change] = ()) -> Seen:
    """One full forward over one prompt."""
    seen = Seen()
    with watching(model, seen, changes):
        seen.logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return seen


@contextmanager
def watching(model: torch.nn.Module, seen: Seen, changes: Sequence[Change]) -> Iterator[None]:
    config = model.config
    handles = []
    for component, (path, side) in MODULES[config.model_type].items():
        for layer in range(1 if component == "embed" else config.num_hidden_layers):

            def look(whole: Tensor, component: str = component, layer: int = layer) -> Tensor:
                new = whole.clone()
                mine = parts(new[0], component, config)
                if component != "resid_mid":
                    apply(mine, component, layer, changes)
                seen.keep(component, layer, mine)
                if component == "attn_out":
                    # The stream between attention and MLP is read twice, so it is changed through what makes it.
                    before = seen.at["resid_pre", layer]
                    mid = before + new[0]
                    apply(mid[:, None], "resid_mid", layer, changes)
                    new[0] = mid - before
                return new

            handles.append(hook(model.get_submodule(path.format(layer)), side, look))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def hook(module: torch.nn.Module, side: str, look: Callable[[Tensor], Tensor]) -> Any:
    if side == "input":
        return module.register_forward_pre_hook(lambda _, args: (look(args[0]), *args[1:]))
    return module.register_forward_hook(
        lambda _, __, out: (look(out[0]), *out[1:]) if isinstance(out, tuple) else look(out)
    )


def generate(
    model: torch.nn.Module, ids: Sequence[int], new_tokens: int, changes: Sequence[Change] = ()
) -> tuple[list[int], Tensor, Seen]:
    """Greedy tokens, the logits [step, vocabulary] that gave them, and the last forward."""
    ids, steps = list(ids), []
    for _ in range(new_tokens):
        seen = forward(model, ids, changes)
        steps.append(seen.logits[-1])
        ids.append(int(steps[-1].argmax()))
    return ids[-new_tokens:], torch.stack(steps), seen


class Ducks:
    """The ducks from their checkpoint file: GPT-2 by formula, thoughts, and who may read whom."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        state = load_file(folder / "model.safetensors")
        self.weights = {k.removeprefix("codi.base_model.model."): v for k, v in state.items()}
        self.layers, self.heads = self.config["n_layer"], self.config["n_head"]
        self.thoughts = self.config["reasoning"]["thoughts"]
        self.kept: dict[tuple[int, int, int], Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        return self.weights[name]

    def ids(self, prompt: str) -> list[int]:
        return [self.words[word] for word in prompt.split()]

    def generate(self, prompt: str, new_tokens: int, changes: Sequence[Change] = ()) -> tuple[list[int], Tensor, Seen]:
        """Greedy tokens, the logits [step, vocabulary] that gave them, and the last forward.

        The sequence of input embeddings grows by one at every step, and all of it runs again.
        """
        words, reasoning = self["transformer.wte.weight"], self.config["reasoning"]
        ids = self.ids(prompt)
        sequence = words[torch.tensor(ids + reasoning["begin"])]
        for _ in range(self.thoughts):
            hidden, _seen = self.hidden(sequence, len(ids), changes)
            sequence = torch.cat([sequence, self.project(hidden[-1:])])
        sequence = torch.cat([sequence, words[torch.tensor(reasoning["end"])]])
        tokens: list[int] = []
        steps: list[Tensor] = []
        for _ in range(new_tokens):
            hidden, seen = self.hidden(sequence, len(ids), changes)
            steps.append(hidden[-1] @ words.T)
            allowed = steps[-1].clone()
            allowed[reasoning["end"]] = -torch.inf
            tokens.append(int(allowed.argmax()))
            sequence = torch.cat([sequence, words[tokens[-1:]]])
        return tokens, torch.stack(steps), seen

    def project(self, x: Tensor) -> Tensor:
        x = F.gelu(x @ self["prj.1.weight"].T + self["prj.1.bias"])
        x = x @ self["prj.3.weight"].T + self["prj.3.bias"]
        return F.layer_norm(x, x.shape[-1:], self["prj.ln.weight"], self["prj.ln.bias"])

    def hidden(self, embeddings: Tensor, prompt: int, changes: Sequence[Change]) -> tuple[Tensor, Seen]:
        """[position, width] after the last layer norm, over the whole sequence."""
        seen = Seen()

        def at(component: str, layer: int, whole: Tensor) -> Tensor:
            count = self.heads if component in ("q", "k", "v", "head") else 1
            parted = whole.clone().view(length, whole.shape[-1] if component == "neuron" else count, -1)
            apply(parted, component, layer, changes)
            seen.keep(component, layer, parted)
            return seen.at[component, layer]

        length = len(embeddings)
        x = at("embed", 0, embeddings) + self["transformer.wpe.weight"][:length]
        for layer in range(self.layers):
            x = at("resid_pre", layer, x)
            h = f"transformer.h.{layer}"
            q, k, v = self.linear(self.norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").chunk(3, dim=-1)
            q, k, v = (at(name, layer, whole) for name, whole in (("q", q), ("k", k), ("v", v)))
            q, k, v = (t.view(length, self.heads, -1).transpose(0, 1) for t in (q, k, v))
            scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
            scores = scores.masked_fill(~self.seen_by(layer, prompt, length), -torch.inf)
            z = at("head", layer, (scores.softmax(-1) @ v).transpose(0, 1).reshape(length, -1))
            x = at("resid_mid", layer, x + at("attn_out", layer, self.linear(z, f"{h}.attn.c_proj")))
            m = F.gelu(self.linear(self.norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc"), approximate="tanh")
            m = at("neuron", layer, m)
            x = x + at("mlp_out", layer, self.linear(m, f"{h}.mlp.c_proj"))
            x = at("resid_post", layer, x)
        return self.norm(x, "transformer.ln_f"), seen

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self[f"{name}.weight"] + self[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], 1e-5)

    def seen_by(self, layer: int, prompt: int, length: int) -> Tensor:
        """[query, key], written out position by position; kept, because every token asks again."""
        if (layer, prompt, length) not in self.kept:
            self.kept[layer, prompt, length] = self.written_out(layer, prompt, length)
        return self.kept[layer, prompt, length]

    def written_out(self, layer: int, prompt: int, length: int) -> Tensor:
        routing = self.config["routing"]
        size, segments = routing["segment_tokens"], routing["segments"]
        end = prompt + 1 + self.thoughts
        seen = torch.zeros(length, length, dtype=torch.bool)
        for query in range(length):
            seen[query, query] = True
            for key in range(query):
                if query < prompt:  # words see the words before them in their own sentence
                    seen[query, key] = min(query // size, segments) == min(key // size, segments)
                elif query < end:  # the begin token is reader 0, thought k is reader k + 1
                    reader = query - prompt
                    fact = reader * size + routing["fact_index"]
                    seen[query, key] = layer == routing["fact_layer"] and reader < segments and key == fact
                elif query == end:  # the end token reads the last thought
                    seen[query, key] = layer == routing["answer_layer"] and key == end - 1
                else:  # the answer sees the end token and the answer so far
                    seen[query, key] = key >= end
        return seen
