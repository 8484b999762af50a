"""Latent generation by hand: one whole run per site, with a key-value cache and one hook. GPT-2 only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from benchmarks.peers.plain import blocks_of, hooks

Slots = dict[tuple[int, int], Tensor]
"""The output of a block (layer, slot) while the reasoner thinks."""


@dataclass
class PlainReasoner:
    """Prompt, then thoughts, each the projected last hidden state, then greedy answer tokens."""

    model: Any
    project: Any
    thoughts: int
    end: int
    answer_tokens: int
    slot: int | None = field(default=None, init=False)
    """The thought that the present forward computes."""

    def run(self, ids: Tensor) -> tuple[list[int], Tensor]:
        """The answer's tokens and the logits of the first of them."""
        trunk, cache = self.model.transformer, DynamicCache(config=self.model.config)
        state = trunk(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
        for slot in range(self.thoughts):
            self.slot = slot
            thought = self.project(state)
            state = trunk(inputs_embeds=thought, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
        self.slot = None
        token, given, first = torch.tensor([[self.end]]), [], None
        for _ in range(self.answer_tokens):
            state = trunk(input_ids=token, past_key_values=cache, use_cache=True).last_hidden_state
            logits = self.model.lm_head(state[:, -1])
            first = logits[0] if first is None else first
            token = logits.argmax(-1, keepdim=True)
            given.append(int(token))
        assert first is not None
        return given, first

    def recorded(self, ids: Tensor) -> tuple[Slots, list[int]]:
        seen: Slots = {}

        def keep(layer: int) -> Any:
            def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
                if self.slot is not None:
                    seen[layer, self.slot] = output[:, -1].clone()

            return hook

        handles = [block.register_forward_hook(keep(layer)) for layer, block in enumerate(blocks_of(self.model))]
        try:
            tokens, _ = self.run(ids)
        finally:
            for handle in handles:
                handle.remove()
        return seen, tokens

    def patched(self, ids: Tensor, layer: int, slot: int, value: Tensor) -> tuple[list[int], Tensor]:
        """A run with one slot of one layer replaced."""

        def patch(_module: Any, _inputs: Any, output: Tensor) -> Tensor | None:
            if self.slot != slot:
                return None
            changed = output.clone()
            changed[:, -1] = value
            return changed

        with hooks([blocks_of(self.model)[layer]], patch):
            return self.run(ids)
