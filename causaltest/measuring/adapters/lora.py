"""LoRA factors beside their base layers, as peft saves them, merged into plain weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from causaltest.errors import ModelError

DOWN, UP, BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer."


def merged(state: Mapping[str, Tensor], model: nn.Module, alpha: float, name: str) -> dict[str, Tensor]:
    """The weights in float32 with their LoRA factors added: W + alpha / r * B A (Hu et al., arXiv 2106.09685).

    B is [out, r] and A is [r, in]. GPT-2's projections store [in, out], so the product is transposed there.
    The factors are often saved in another precision than the base, so both are widened before they meet.

    Raises ModelError when a factor or a base layer stands alone, ranks or shapes differ, or the adapter is of
    another kind.
    """
    plain = {key.replace(BASE, "."): tensor.float() for key, tensor in state.items() if ".lora_" not in key}
    adapted = {key[: key.index(BASE)] for key in state if BASE in key}
    stems = {key[: key.index(".lora_")] for key in state if ".lora_" in key}
    strange = [key for key in state if ".lora_" in key and not key.endswith((DOWN, UP))]
    if strange:
        raise ModelError(
            f"{name}: {strange[0]} is no LoRA factor of peft's default adapter ({DOWN[1:]} and {UP[1:]}). Merge the "
            "adapter with peft (merge_and_unload) and save the plain weights."
        )
    for stem in sorted(adapted | stems):
        needed = {stem + DOWN, stem + UP}
        if absent := sorted(needed - set(state)) or sorted({f"{stem}.weight"} - set(plain)):
            raise ModelError(
                f"{name}: the checkpoint holds a part of {stem}, and not {' and '.join(absent)} that belong to it. "
                "It was saved in part; download or save it whole."
            )
        down, up, weight = state[stem + DOWN].float(), state[stem + UP].float(), plain[f"{stem}.weight"]
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
            raise ModelError(
                f"{name}: the LoRA factors of {stem} have different ranks: A is {list(down.shape)} [r, in] and B is "
                f"{list(up.shape)} [out, r]."
            )
        added = (alpha / down.shape[0]) * (up @ down)
        if stores_in_by_out(model, stem):
            added = added.T
        if added.shape != weight.shape:
            raise ModelError(
                f"{name}: the LoRA factors of {stem} make {list(added.shape)}, and its base weight is "
                f"{list(weight.shape)}. They belong to different models."
            )
        plain[f"{stem}.weight"] = weight + added
    return plain


def stores_in_by_out(model: nn.Module, path: str) -> bool:
    """Whether a projection stores [in, out]; a name does not say it, for c_attn is a Linear in some families."""
    try:
        return isinstance(model.get_submodule(path), Conv1D)
    except AttributeError:
        return False  # no module of the model: it is named when the weights are loaded
