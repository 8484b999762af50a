"""A tap that is deliberately put in the wrong place is found at load: it is disabled, and never offered.

In one layer alone, and in all of them, as a resolver would get it wrong that takes one family for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
from families.catalogue import make

from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.model import Tap
from causaltest.measuring.adapters.proof import proven

FAMILIES = (
    "gpt2",
    "gpt_neox",
    "gpt_neox (sequential)",
    "llama",
    "gemma2",
    "olmo2",
    "glm4",
    "falcon",
    "granite",
    "bloom",
)


@dataclass(frozen=True)
class Mistake:
    """What a layer's taps become, and which components that makes wrong."""

    taps: Callable[..., dict]
    """Of the taps of this layer, those of the next one, and this layer's block."""
    wrong: frozenset[str]
    families: tuple[str, ...] = FAMILIES


def mistake(wrong: str, taps: Callable[..., dict], families: Iterable[str] = FAMILIES) -> Mistake:
    return Mistake(taps, frozenset(wrong.split()), tuple(families))


def next_one(*components: str) -> Mistake:
    return mistake(" ".join(components), lambda taps, after, block: {c: after[c] for c in components})


def at(component: str, module: str) -> Callable[..., dict]:
    """The output of a module, as it is, for what it is not."""
    return lambda taps, after, block: {
        component: Tap(block.get_submodule(module), "output", (range(taps["resid_pre"].parts[0].stop),))
    }


def rotated(tap: Tap) -> Tap:
    return replace(tap, parts=(*tap.parts[1:], tap.parts[0]))


def halved(tap: Tap) -> Tap:
    """Twice as many heads, half as wide."""
    halves = ((part.start, part.start + len(part) // 2, part.stop) for part in tap.parts)
    return replace(tap, parts=tuple(r for a, b, c in halves for r in (range(a, b), range(b, c))))


def doubled(tap: Tap) -> Tap:
    """Half as many heads, twice as wide, where they lie side by side."""
    return replace(
        tap, parts=tuple(range(a.start, b.stop) for a, b in zip(tap.parts[::2], tap.parts[1::2], strict=True))
    )


MISTAKES = {
    "attention and MLP swapped": mistake(
        "attn_out mlp_out", lambda taps, *_: {"attn_out": taps["mlp_out"], "mlp_out": taps["attn_out"]}
    ),
    "attention for the MLP": mistake("mlp_out", lambda taps, *_: {"mlp_out": taps["attn_out"]}),
    "the MLP for attention": mistake("attn_out", lambda taps, *_: {"attn_out": taps["mlp_out"]}),
    "attn_out of the next layer": next_one("attn_out"),
    "mlp_out of the next layer": next_one("mlp_out"),
    "both of the next layer": next_one("attn_out", "mlp_out"),
    "head of the next layer": next_one("head"),
    "neuron of the next layer": next_one("neuron"),
    "q of the next layer": next_one("q"),
    "k of the next layer": next_one("k"),
    "v of the next layer": next_one("v"),
    "attention with its heads of the next layer": next_one("attn_out", "head"),
    "the MLP with its neurons of the next layer": next_one("mlp_out", "neuron"),
    "heads one further": mistake("head", lambda taps, *_: {"head": rotated(taps["head"])}),
    "neurons one further": mistake("neuron", lambda taps, *_: {"neuron": rotated(taps["neuron"])}),
    "q one head further": mistake("q", lambda taps, *_: {"q": rotated(taps["q"])}),
    "k one head further": mistake("k", lambda taps, *_: {"k": rotated(taps["k"])}),
    "v one head further": mistake("v", lambda taps, *_: {"v": rotated(taps["v"])}),
    "all heads one further": mistake("head", lambda taps, *_: {c: rotated(taps[c]) for c in ("head", "q", "k", "v")}),
    "heads half as wide": mistake("head", lambda taps, *_: {"head": halved(taps["head"])}),
    "all heads half as wide": mistake("head q", lambda taps, *_: {c: halved(taps[c]) for c in ("head", "q", "k", "v")}),
    "heads twice as wide": mistake("head", lambda taps, *_: {"head": doubled(taps["head"])}),
    "all heads twice as wide": mistake(
        "head q",
        lambda taps, *_: {c: doubled(taps[c]) for c in ("head", "q", "k", "v")},
        # Elsewhere two heads do not lie side by side.
        ("gpt2", "llama", "gemma2", "glm4", "granite"),
    ),
    "k and v swapped": mistake("k v", lambda taps, *_: {"k": taps["v"], "v": taps["k"]}),
    "q and k swapped": mistake("q k", lambda taps, *_: {"q": taps["k"], "k": taps["q"]}),
    "q and v swapped": mistake("q v", lambda taps, *_: {"q": taps["v"], "v": taps["q"]}),
    "heads for v": mistake("v", lambda taps, *_: {"v": taps["head"]}, ("gpt2", "gpt_neox", "bloom")),
    "attention before its norm": mistake("attn_out", at("attn_out", "self_attn"), ("gemma2", "olmo2", "glm4")),
    "the MLP before its norm": mistake("mlp_out", at("mlp_out", "mlp"), ("gemma2", "olmo2", "glm4")),
    "both before their norms": mistake(
        "attn_out mlp_out",
        lambda *given: at("attn_out", "self_attn")(*given) | at("mlp_out", "mlp")(*given),
        ("gemma2", "olmo2", "glm4"),
    ),
    "attention without its multiplier": mistake("attn_out", at("attn_out", "self_attn"), ("granite",)),
    "the MLP without its multiplier": mistake("mlp_out", at("mlp_out", "mlp"), ("granite",)),
    "attention with the stream": mistake("attn_out", at("attn_out", "self_attention"), ("bloom",)),
    "the MLP with the stream": mistake("mlp_out", at("mlp_out", "mlp"), ("bloom",)),
    "the attention's input for what it adds": mistake(
        "attn_out", at("attn_out", "input_layernorm"), ("llama", "gemma2", "glm4", "gpt_neox", "bloom")
    ),
    "neurons before they are gated": mistake(
        "neuron",
        lambda taps, _, block: {"neuron": Tap(block.mlp.up_proj, "output", taps["neuron"].parts)},
        ("llama", "gemma2", "olmo2", "granite"),
    ),
    "the gate for the neurons": mistake(
        "neuron",
        lambda taps, _, block: {"neuron": Tap(block.mlp.gate_proj, "output", taps["neuron"].parts)},
        ("llama", "gemma2", "olmo2", "granite"),
    ),
}
LAYERS = {"in one layer": (1,), "in every layer": (0, 1)}
"""The last one has no next one, and stays as it is."""


@pytest.fixture(scope="module")
def loaded_of(word_tokenizer):
    """A family's model as it is loaded, or why it is not."""
    loaded = {}

    def load(name):
        if name not in loaded:
            try:
                loaded[name] = wrap(make(name), word_tokenizer(), name)
            except ModelError as error:
                loaded[name] = error
        if isinstance(loaded[name], ModelError):
            pytest.skip(f"{name} is refused")
        return loaded[name]

    return load


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(("name", "wrong"), [(name, m) for m in MISTAKES for name in MISTAKES[m].families])
def test_what_is_mislabelled_is_not_offered(loaded_of, name, wrong, layers):
    loaded, made = loaded_of(name), MISTAKES[wrong]
    blocks = list(loaded.blocks)
    if any(c not in block.taps for block in blocks for c in ("attn_out", "mlp_out", "head", "q", "k", "v", "neuron")):
        pytest.skip(f"{name} has not all of its components")
    for layer in LAYERS[layers]:
        taps, after = loaded.blocks[layer].taps, loaded.blocks[layer + 1].taps
        blocks[layer] = replace(blocks[layer], taps={**taps, **made.taps(taps, after, loaded.blocks[layer].block)})
    disabled = proven(replace(loaded, blocks=tuple(blocks), disabled={})).disabled
    assert made.wrong <= set(disabled)
    assert all(len(why.split()) > 3 for why in disabled.values())


ORDERS = {"two swapped": (0, 2, 1), "the first twice": (0, 0, 2), "turned": (2, 1, 0)}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_that_do_not_follow_one_another_have_no_stream(loaded_of, name, order):
    loaded = loaded_of(name)
    blocks = tuple(loaded.blocks[n] for n in ORDERS[order])
    assert {"resid_pre", "resid_post"} <= set(proven(replace(loaded, blocks=blocks, disabled={})).disabled)


def test_the_same_taps_as_they_are_stay_offered(loaded_of):
    """What finds every mistake would be no proof if it found one everywhere."""
    for name in ("gpt2", "gpt_neox (sequential)", "llama", "gemma2"):
        loaded = loaded_of(name)
        assert dict(proven(replace(loaded, disabled={})).disabled) == {}
