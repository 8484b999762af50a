"""LoRA factors merged into plain weights: by hand on single layers, and what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from causaltest.errors import ModelError
from causaltest.measuring.adapters.lora import merged

DOWN, UP = "lora_A.default.weight", "lora_B.default.weight"


def layers(inputs, outputs):
    """Two projections of one name's kind: GPT-2's own stores [in, out], and GPT-BigCode's c_attn [out, in]."""
    return nn.ModuleDict({"c_attn": Conv1D(outputs, inputs), "q_proj": nn.Linear(inputs, outputs)})


def factors(stem, inputs, outputs, rank, *, base, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{stem}.base_layer.weight": base,
        f"{stem}.{DOWN}": torch.randn(rank, inputs, generator=generator),
        f"{stem}.{UP}": torch.randn(outputs, rank, generator=generator),
    }


@given(
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 6),
    rank=st.integers(1, 8),
    alpha=st.floats(0.1, 64),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_what_is_added_is_the_factors_output_times_alpha_over_rank(inputs, outputs, rank, alpha, seed):
    """As peft computes it: x A^T B^T * alpha / r beside the base layer's own output."""
    generator = torch.Generator().manual_seed(seed + 100)
    x = torch.randn(3, inputs, generator=generator, dtype=torch.float64)
    model = layers(inputs, outputs)
    for stem, stored in (("c_attn", (inputs, outputs)), ("q_proj", (outputs, inputs))):
        base = torch.randn(*stored, generator=generator)
        state = factors(stem, inputs, outputs, rank, base=base, seed=seed)
        weight = merged(state, model, alpha, "it")[f"{stem}.weight"].double()
        down, up = state[f"{stem}.{DOWN}"].double(), state[f"{stem}.{UP}"].double()
        wanted = (x @ base.double() if stem == "c_attn" else x @ base.double().T) + (x @ down.T @ up.T) * alpha / rank
        assert torch.allclose(x @ weight if stem == "c_attn" else x @ weight.T, wanted, atol=1e-4 * alpha, rtol=1e-4)


@pytest.mark.parametrize("family", ["Linear", "Conv1D"])
def test_a_square_projection_is_transposed_by_its_module_and_not_by_its_name(family):
    model = nn.ModuleDict({"c_attn": Conv1D(4, 4) if family == "Conv1D" else nn.Linear(4, 4)})
    state = factors("c_attn", 4, 4, 2, base=torch.zeros(4, 4))
    added = 16 * state[f"c_attn.{UP}"] @ state[f"c_attn.{DOWN}"]
    found = merged(state, model, 32, "it")["c_attn.weight"]
    assert torch.allclose(found, added.T if family == "Conv1D" else added)
    assert not torch.allclose(added, added.T)


def test_factors_finer_than_their_base_keep_their_precision():
    """A base in bfloat16 and factors in float32, as published: nothing is rounded to the coarser one."""
    base = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    state = factors("q_proj", 4, 4, 2, base=base)
    weight = merged(state, layers(4, 4), 32, "it")["q_proj.weight"]
    assert weight.dtype == torch.float32
    assert torch.allclose(weight, base.float() + 16 * state[f"q_proj.{UP}"] @ state[f"q_proj.{DOWN}"], atol=1e-6)


def test_weights_without_factors_are_left_as_they_are():
    state = {"q_proj.weight": torch.ones(2, 2), "q_proj.base_layer.bias": torch.ones(2)} | factors(
        "c_attn", 2, 2, 1, base=torch.ones(2, 2)
    )
    state.pop("q_proj.base_layer.bias")
    given = merged(state, layers(2, 2), 32, "it")
    assert set(given) == {"q_proj.weight", "c_attn.weight"}
    assert torch.equal(given["q_proj.weight"], torch.ones(2, 2))


@pytest.mark.parametrize("part", [DOWN, UP, "base_layer.weight"])
def test_a_part_that_stands_without_the_others_is_refused(part):
    state = factors("q_proj", 4, 4, 2, base=torch.zeros(4, 4))
    del state[f"q_proj.{part}"]
    with pytest.raises(ModelError, match=rf"a part of q_proj, and not q_proj\.{part.removeprefix('base_layer.')} that"):
        merged(state, layers(4, 4), 32, "it")


def test_a_base_layer_without_any_factor_is_refused():
    """Read as it is, it would be the model before its training."""
    with pytest.raises(
        ModelError, match=r"a part of q_proj, and not q_proj\.lora_A\.default\.weight and q_proj\.lora_B"
    ):
        merged({"q_proj.base_layer.weight": torch.zeros(4, 4)}, layers(4, 4), 32, "it")


def test_factors_of_different_ranks_are_refused():
    state = factors("q_proj", 4, 4, 2, base=torch.zeros(4, 4)) | {f"q_proj.{UP}": torch.zeros(4, 3)}
    with pytest.raises(ModelError, match=r"q_proj have different ranks: A is \[2, 4\] \[r, in\] and B is \[4, 3\]"):
        merged(state, layers(4, 4), 32, "it")


def test_factors_of_another_width_than_their_base_are_refused():
    state = factors("q_proj", 6, 4, 2, base=torch.zeros(4, 4))
    with pytest.raises(ModelError, match=r"factors of q_proj make \[4, 6\], and its base weight is \[4, 4\]"):
        merged(state, layers(4, 4), 32, "it")


@pytest.mark.parametrize(
    "key", ["lora_magnitude_vector.default.weight", "lora_A.other.weight", "lora_embedding_A.default"]
)
def test_another_kind_of_adapter_is_refused(key):
    state = factors("q_proj", 4, 4, 2, base=torch.zeros(4, 4)) | {f"q_proj.{key}": torch.zeros(4)}
    with pytest.raises(ModelError, match=rf"q_proj\.{key} is no LoRA factor of peft's default adapter"):
        merged(state, layers(4, 4), 32, "it")
