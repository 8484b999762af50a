"""A latent reasoner put together from what its layout found in a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from causaltest.errors import ModelError
from causaltest.measuring.adapters.declared import check_ids
from causaltest.measuring.adapters.decoder import count_heads, resolve_blocks
from causaltest.measuring.adapters.model import LoadedModel, Reasoning
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.adapters.refusals import refuse_kernels
from causaltest.measuring.adapters.routing import ROUTED_ATTENTION, mask_of, routing_config

OWN_KEYS = ("reasoning", "routing")
ADDED = 3
"""Tokens that CODI and Coconut add to their base model's vocabulary."""


@dataclass(frozen=True)
class Found:
    """A folder's decoder with its weights loaded, before anything is known of its thoughts."""

    folder: Path
    name: str
    plain: Mapping[str, Any]
    model: PreTrainedModel
    tokenizer: Any
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many tokens have an embedding."""
        return cast(nn.Embedding, self.model.get_input_embeddings()).num_embeddings


def empty_decoder(
    plain: Mapping[str, Any], name: str, state: Mapping[str, Tensor], *, adds: int = 0
) -> PreTrainedModel:
    """A config's decoder in eval mode and float32, with as many embeddings as the checkpoint has.

    `adds`: how many more they may be than the config says, for a config that is still the base model's.
    """
    refuse_kernels(plain, name)
    given = {key: value for key, value in plain.items() if key not in OWN_KEYS}
    try:
        config = AutoConfig.for_model(**given)
        with torch.device("meta"):
            table = embedding_of(built(config, None))
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise ModelError(
            f"{name}: config.json is not that of a decoder that transformers knows: {str(error).splitlines()[0]}"
        ) from error
    if (found := state.get(table.name)) is not None:
        # Before the model is built: a config of another size could ask for more memory than there is.
        rows, width = table.shape
        if tuple(found.shape) not in ((rows, width), (rows + adds, width)):
            raise ModelError(
                f"{name}: the checkpoint does not fit its config: {table.name} is {list(found.shape)}, and the config "
                f"asks for {[rows, width]} [token, width]. Copy the config of the model that was trained."
            )
        config.vocab_size = len(found)
    # sdpa leaves a soft cap on attention's scores out, and the model would be another than was trained.
    attention = "eager" if getattr(config, "attn_logit_softcapping", None) else None
    model = built(config, ROUTED_ATTENTION if "routing" in plain else attention)
    model.eval()
    return model


@dataclass(frozen=True)
class Table:
    """A model's input embedding: its name in the state, and its rows and width."""

    name: str
    shape: tuple[int, int]


def embedding_of(model: PreTrainedModel) -> Table:
    table = cast(nn.Embedding, model.get_input_embeddings())
    path = next(path for path, module in model.named_modules() if module is table)
    return Table(f"{path}.weight", (table.num_embeddings, table.embedding_dim))


def built(config: Any, attention: str | None) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention, dtype=torch.float32, trust_remote_code=False
    )
    return model


def read_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer. Raises ModelError when there is none, or it gives no character offsets."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no tokenizer that can be read: {str(error).splitlines()[0]} Copy the tokenizer's files of "
            "the base model into it."
        ) from error
    if len(tokenizer) <= len(tokenizer.added_tokens_decoder):
        # transformers makes an empty one for some families, in place of an error.
        raise ModelError(
            f"{folder} holds no tokenizer that knows a word. Copy the tokenizer's files of the base model into it."
        )
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{folder}: {type(tokenizer).__name__} gives no character offsets, which positions need.")
    return tokenizer


def reasoner(found: Found, reasoning: Reasoning, said: str) -> LoadedModel:
    """The reasoner with its sites proven; `said` is kept in its provenance.

    Raises ModelError for tokens without an embedding, and for attention that is routed in another way.
    """
    check_ids((*reasoning.begin, *reasoning.end, *reasoning.never_generated), found.rows, found.name)
    blocks = resolve_blocks(found.model)
    own: dict[str, Any] = {}
    if "routing" in found.plain:
        routing = routing_config(found.plain, found.folder)
        mask = mask_of(routing, found.name, len(blocks), reasoning.thoughts)
        own = {"mask": mask, "probe_tokens": routing.prompt_tokens}
    loaded = LoadedModel(
        name=found.name,
        model=found.model,
        tokenizer=found.tokenizer,
        blocks=blocks,
        heads=count_heads(found.model),
        reasoning=reasoning,
        provenance={**found.provenance, "reasoning": said},
        **own,
    )
    return proven(loaded)
