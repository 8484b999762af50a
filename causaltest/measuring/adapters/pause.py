"""Pause tokens (Goyal et al., arXiv 2310.02226): positions to compute in, without feedback.

Behind the prompt stand k copies of one learned token. `thought(k)` is the position of the k-th, and its input
embedding is that token's own, whatever the position before it gave; so `embed(thought(k))` is the same in
the clean and the corrupt run, and it is the stream above it that can be patched. Weights lie as transformers
saves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from causaltest.errors import ModelError
from causaltest.measuring.adapters.assembly import Found, empty_decoder, read_tokenizer, reasoner
from causaltest.measuring.adapters.checkpoint import load_into, read_config, read_weights
from causaltest.measuring.adapters.declared import check_ids, declared
from causaltest.measuring.adapters.model import LoadedModel, Reasoning


class Repeated(nn.Module):
    """One token's embedding, in place of what a hidden state [row, 1, width] would be projected to."""

    def __init__(self, embedding: nn.Module, token: int) -> None:
        super().__init__()
        self.embedding, self.token = embedding, token

    def forward(self, hidden: Tensor) -> Tensor:
        ids = torch.full(hidden.shape[:-1], self.token, device=hidden.device)
        given: Tensor = self.embedding(ids)
        return given


def load_pause(folder: Path, name: str, provenance: Mapping[str, str] | None = None) -> LoadedModel:
    """The decoder of a checkpoint folder with its pause tokens, in eval mode and float32.

    Raises ModelError when a weight is missing or left over, or the config's block is not understood.
    """
    plain = read_config(folder)
    said = declared(plain, folder)
    if said is None or said.token is None:
        raise ModelError(f'{folder / "config.json"} declares no pause token in its "reasoning" block.')
    weights = {key: tensor.float() for key, tensor in read_weights(folder).items()}
    model = empty_decoder(plain, name, weights)
    load_into(model, weights, name)
    found = Found(folder, name, plain, model, read_tokenizer(folder), provenance or {})
    check_ids((said.token,), found.rows, name)
    begin, end = said.begin or (), said.end or ()
    project = Repeated(model.get_input_embeddings(), said.token).eval()
    reasoning = Reasoning(said.thoughts, begin, end, project)
    return reasoner(found, reasoning, f"pause: token {said.token} {said.thoughts} times, begin {begin}, end {end}")
