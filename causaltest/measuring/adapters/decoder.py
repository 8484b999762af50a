"""A decoder's blocks, found by what transformers itself declares of a model.

Which modules stand for a component inside a block is not said by any name here: `resolve` works it out from a
run, and `proof` holds it against numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from causaltest.errors import ModelError
from causaltest.measuring.adapters.model import Block
from causaltest.measuring.adapters.overrides import names_for


def resolve_blocks(model: PreTrainedModel) -> tuple[Block, ...]:
    """The blocks of a decoder, in order, their components not yet named.

    Raises ModelError for encoder-decoders, and where no list of blocks, or more than one, could be meant.
    """
    refuse_encoder_decoder(model)
    names = names_for(model)
    if names.blocks is not None:
        given = find(model, names.blocks)
        if not isinstance(given, nn.ModuleList) or not len(given):
            raise ModelError(f"{names.source}: blocks = {names.blocks!r} is no list of modules in {of(model)}.")
        return tuple(map(Block, given))
    tried = []
    for how, found in candidates(model):
        tried.append(f"{how}: {len(found)} lists" if len(found) != 1 else how)
        if len(found) == 1:
            return tuple(map(Block, found[0]))
    raise ModelError(
        f"{of(model)} has a shape that is not known, so none of its sites can be trusted. Looked for its blocks by "
        f"{'; '.join(tried)}. Name them by hand in pyproject.toml:\n"
        f'  [tool.causaltest.models."{of(model)}"]\n  blocks = "model.layers"  # the path of the list of blocks\n'
        "and, where they are not found either, attention, mlp, attn_out, mlp_out, head, q, k, v and neuron, each as "
        "the path of a module inside of a block."
    )


def candidates(model: PreTrainedModel) -> Iterator[tuple[str, list[nn.ModuleList]]]:
    """Ways to find the list of blocks, the surest first, each with the lists that it finds."""
    decoder = decoder_of(model)
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList) and len(module)]
    declared = declared_classes(decoder, "hidden_states")
    if declared:
        yield (
            "the class that records hidden states",
            [blocks for blocks in lists if all(isinstance(block, declared) for block in blocks)],
        )
    unsplit = set(model._no_split_modules or ())
    if unsplit:
        yield (
            "the modules that are not split over devices",
            [blocks for blocks in lists if all(type(block).__name__ in unsplit for block in blocks)],
        )
    count = getattr(text_config(model), "num_hidden_layers", None)
    yield f"a list of num_hidden_layers = {count} modules", [blocks for blocks in lists if len(blocks) == count]


def declared_classes(decoder: nn.Module, what: str) -> tuple[type, ...]:
    """The module classes from which transformers records hidden states or attentions."""
    declared = (getattr(decoder, "_can_record_outputs", None) or {}).get(what, ())
    given = declared if isinstance(declared, list | tuple) else [declared]
    classes = (getattr(one, "target_class", one) for one in given)
    return tuple(one for one in classes if isinstance(one, type))


def refuse_encoder_decoder(model: PreTrainedModel) -> None:
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelError(
            f"{of(model)} is an encoder and a decoder: one stack reads a prompt and another answers, so that a layer "
            "and a token do not name one place. causaltest measures decoders; nothing of this model is offered."
        )


def decoder_of(model: PreTrainedModel) -> nn.Module:
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    return decoder if isinstance(decoder, nn.Module) else model.base_model


def text_config(model: PreTrainedModel) -> Any:
    """The configuration of what reads text, where a model also sees or hears."""
    return model.config.get_text_config(decoder=True)


def count_heads(model: PreTrainedModel) -> int:
    """Query heads per block; 0 for a model that has none."""
    return int(getattr(text_config(model), "num_attention_heads", None) or 0)


def find(module: nn.Module, path: str) -> nn.Module | None:
    """A module by its path; None where there is none."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def of(model: PreTrainedModel) -> str:
    return type(model).__name__
