"""ModelCard: what a model is, which of its sites are proven, and how it reads a text; as a page to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from torch import nn

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.decoder import text_config
from causaltest.measuring.adapters.model import LoadedModel, Tap
from causaltest.measuring.adapters.padding import padded_equals_unpadded
from causaltest.measuring.prompts import tokenise_prompt
from causaltest.measuring.proofs import prove

EXAMPLE = "The capital of France is Paris."
CHECKS: dict[Component, tuple[str, ...]] = {
    "embed": ("carries", "own"),
    "resid_pre": ("continues", "carries", "own"),
    "resid_mid": ("heard", "own"),
    "resid_post": ("continues", "carries", "own"),
    "attn_out": ("sum", "arrives", "apart", "own"),
    "mlp_out": ("sum", "arrives", "apart", "own"),
    "head": ("projected", "arrives", "own"),
    "neuron": ("projected", "arrives", "own"),
    "q": ("moves", "own"),
    "k": ("moves", "own"),
    "v": ("moves", "own"),
    "pattern": ("weighs", "own"),
    "final_norm": ("carries", "own"),
    "logits": ("carries", "own"),
}
"""What was asked of a component in every layer; it is offered only where all of it holds."""
MEANING = {
    "sum": "stream + attn_out + mlp_out is the stream behind the block",
    "continues": "each block starts where the one before it ended",
    "carries": "written whole into another prompt's run, it gives this prompt's answer",
    "projected": "through the output projection, and a norm where there is one, it is what the block adds",
    "arrives": "noise written there is found behind the block",
    "apart": "the MLP reads its own position only; attention is the other one",
    "moves": "it moves its own heads, where and when it should, and no others",
    "weighs": "times v it is what its head gives; written, it makes this head's output at its position alone",
    "heard": "what attention adds there is read by the MLP of the same block",
    "own": "a run with its own values written back answers the same, bit for bit",
}


@dataclass(frozen=True)
class SiteRow:
    """One component: where it is read and written in the first block, and why it is not offered, or None."""

    component: str
    where: str
    checks: tuple[str, ...]
    refused: str | None


@dataclass(frozen=True)
class ModelCard:
    """A model's shape, sites and tokenisation, as text and numbers."""

    name: str
    facts: tuple[str, ...]
    sites: tuple[SiteRow, ...]
    text: str
    tokens: tuple[tuple[int, int, str], ...]
    """(position, id, token) of the example, special tokens included."""

    def __str__(self) -> str:
        return "\n".join(lines(self))


def model_card(model: LoadedModel, text: str = EXAMPLE) -> ModelCard:
    """What `causaltest model` shows."""
    prompt = tokenise_prompt(model.tokenizer, text)
    words = model.tokenizer.convert_ids_to_tokens(list(prompt.ids))
    return ModelCard(
        name=model.name,
        facts=tuple(facts(model)),
        sites=tuple(site_row(model, component) for component in get_args(Component) if component in CHECKS),
        text=text,
        tokens=tuple((n, i, word) for n, (i, word) in enumerate(zip(prompt.ids, words, strict=True))),
    )


def facts(model: LoadedModel) -> Iterator[str]:
    """The model's shape, memory, identity, and what holds for its runs."""
    config, weights = text_config(model.model), list(model.model.parameters())
    taps = model.blocks[0].taps
    heads = f"{model.heads} heads"
    if "v" in taps and len(taps["v"].parts) < model.heads:
        heads += f", which share {len(taps['v'].parts)} keys and values"
    yield f"family       {type(model.model).__name__} ({config.model_type})"
    yield f"shape        {len(model.blocks)} layers, {heads}, a stream of {config.hidden_size}"
    count, size = sum(w.numel() for w in weights), sum(w.numel() * w.element_size() for w in weights)
    # A weight that is offloaded is on no device between its forwards; the map says where it waits.
    spread = getattr(model.model, "hf_device_map", None) or {}
    devices = sorted(set(map(str, spread.values())) or {str(w.device) for w in weights})
    dtype = str(model.model.dtype).removeprefix("torch.")
    yield f"numbers      {count:,} in {dtype}, {told_bytes(size)} on {', '.join(devices)}"
    if model.reasoning is not None:
        yield f"reasoning    {model.reasoning.thoughts} latent thoughts between prompt and answer"
    for key, value in model.provenance.items():
        yield f"{key:<12} {value}"
    prompt = model.probe_prompt
    shortcuts = prove(model, prompt)
    yield f"forks        {'yes: patched runs begin at their patch' if shortcuts.forks else f'no: {shortcuts.why}'}"
    yield f"padding      {padded_equals_unpadded(model, prompt)}"


def site_row(model: LoadedModel, component: Component) -> SiteRow:
    tap = model.blocks[0].taps.get(component)
    where = {"embed": "the input embeddings", "resid_mid": "block's input + attn_out"}.get(component, "")
    if component == "logits":
        where = "output of the head"
    if component == "final_norm":
        where = next((f"output of {path}" for path, part in model.model.named_modules() if part is model.norm), "")
    if tap is not None:
        where = told_tap(model.blocks[0].block, tap)
    return SiteRow(component, where, CHECKS[component], model.disabled.get(component))


def told_tap(block: nn.Module, tap: Tap) -> str:
    path = next((path for path, module in block.named_modules() if module is tap.module), "?") or "the block"
    if tap.side == "weights":
        return f"weights of {path}, {len(tap.parts)} heads"
    count, wide = len(tap.parts), len(tap.parts[0])
    parts = "" if count == 1 else f", {count} of them" if wide == 1 else f", {count} heads of {wide}"
    return f"{tap.side} of {path}{parts}{'' if tap.scale == 1 else f', times {tap.scale:g}'}"


def told_bytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def lines(card: ModelCard) -> Iterator[str]:
    yield card.name
    yield from (f"  {fact}" for fact in card.facts)
    yield ""
    width = max(len(row.where) for row in card.sites)
    for row in card.sites:
        result = f"proven: {', '.join(row.checks)}" if row.refused is None else "not offered"
        yield f"  {row.component:<10}  {row.where:<{width}}  {result}"
    refused: dict[str, list[str]] = {}
    for row in card.sites:
        if row.refused is not None:
            refused.setdefault(row.refused, []).append(row.component)
    if refused:
        yield ""
        yield from (f"  not offered: {', '.join(components)}: {why}" for why, components in refused.items())
    yield ""
    used = {check for row in card.sites if row.refused is None for check in row.checks}
    yield from (f"  {check:<10}  {meaning}" for check, meaning in MEANING.items() if check in used)
    yield ""
    yield f"  {card.text!r} is {len(card.tokens)} tokens:"
    yield "  " + "  ".join(f"{n}:{token!r} ({i})" for n, i, token in card.tokens)
