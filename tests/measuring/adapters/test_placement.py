"""Bigger models: weights spread over devices, offloaded, in half precision or in few bits, through the same sites."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from causaltest import Lab, attn_out, embed, head, index, logit_diff, mlp_out, neuron, resid_mid, resid_post
from causaltest.asking.settings import Settings
from causaltest.errors import ModelError
from causaltest.measuring.adapters import placement

SITES = [
    embed(index(1)),
    resid_post(1, index(2)),
    resid_mid(1, index(3)),
    attn_out(1, index(2)),
    mlp_out(2, index(-1)),
    head(2, 1, index(-1)),
    neuron(0, 5, index(1)),
]
ALL_IN_MEMORY = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
OFFLOADED = {
    "some on disk": ALL_IN_MEMORY | {"model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "disk"},
    "the head and the embedding too": {
        **dict.fromkeys(("model.embed_tokens", "model.layers.0", "model.layers.1", "lm_head"), "disk"),
        **dict.fromkeys(("model.layers.2", "model.rotary_emb", "model.norm"), "cpu"),
    },
}


@pytest.fixture
def folder(tmp_path, word_tokenizer):
    """A Llama that is wide enough for blocks of 64 weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=23,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    word_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def values(lab, pairs, site):
    """In the order of the pairs."""
    found = lab.denoise(pairs, at=site).change(logit_diff, placebo=False).measured
    by_id = dict(zip(found.pair_ids, found.values, strict=True))
    return [by_id[pair.id] for pair in pairs]


@pytest.mark.parametrize("where", OFFLOADED)
def test_offloaded_weights_give_what_all_weights_in_memory_give(folder, where, random_pairs, word_tokenizer, tmp_path):
    """accelerate fetches a module's weights for its forward and lets them go after it."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, device_map=OFFLOADED[where], offload_folder=tmp_path / "offload", dtype=torch.float32
    )
    assert any(weight.device.type == "meta" for weight in model.parameters())
    spread, whole = Lab(model.eval(), word_tokenizer(), name="spread"), Lab.load(str(folder))
    for site in SITES:
        assert values(spread, random_pairs(), site) == pytest.approx(values(whole, random_pairs(), site), abs=1e-5)
    assert spread.backend.loaded.disabled == {}
    told = spread.denoise(random_pairs(), at=SITES[0]).change(logit_diff).measured.provenance
    assert told["device"] == "cpu, disk"


def test_a_device_map_by_name_is_asked_of_transformers(folder, random_pairs, tmp_path):
    """So little memory that the blocks go to the disk."""
    settings = Settings(device_map="auto", max_memory=(("cpu", "200KB"),), offload_folder=str(tmp_path / "offload"))
    lab = Lab.load(str(folder), settings=settings)
    assert any(weight.device.type == "meta" for weight in lab.backend.loaded.model.parameters())
    wanted = values(Lab.load(str(folder)), random_pairs(), SITES[1])
    assert values(lab, random_pairs(), SITES[1]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_quantized_weights_are_read_and_written_like_others(folder, quantize, random_pairs, plain):
    """Against one hook in full forwards of the same quantized model."""
    pytest.importorskip("bitsandbytes")
    lab = Lab.load(str(folder), settings=Settings(quantize=quantize))
    loaded = lab.backend.loaded
    assert loaded.disabled == {}
    assert type(loaded.model.model.layers[0].mlp.up_proj) is not torch.nn.Linear
    for site in SITES:
        layer, part = (site.layers or (0,))[0], (site.parts or (None,))[0]
        found = values(lab, random_pairs(), site)
        for value, pair in zip(found, random_pairs(), strict=True):
            clean, corrupt = (loaded.tokenizer(text)["input_ids"] for text in (pair.clean, pair.corrupt))
            right, wrong = (loaded.tokenizer(text)["input_ids"][0] for text in (pair.answer, pair.corrupt_answer))
            position = site.position.numbers[0] % len(clean)
            vector = plain.forward(loaded.model, clean).vector(site.component, layer, position, part)
            change = plain.Change(site.component, layer, position, vector, part)
            patched, before = (plain.forward(loaded.model, corrupt, c).logits[-1] for c in ([change], []))
            wanted = (patched[right] - patched[wrong]) - (before[right] - before[wrong])
            # Rounding may tip one of the 254 steps of a row, and few rows are multiplied in another way than many.
            assert value == pytest.approx(float(wanted), abs=0.02 * float(before.abs().max()))
        assert max(map(abs, found)) > 0.1
    told = lab.denoise(random_pairs(), at=SITES[0]).change(logit_diff).measured.provenance
    assert told["quantized"].startswith(f"{quantize} by bitsandbytes")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_loaded_as_such_and_offers_every_site(folder, dtype, random_pairs):
    lab = Lab.load(str(folder), settings=Settings(dtype=dtype))
    assert lab.backend.loaded.model.dtype == getattr(torch, dtype)
    assert lab.backend.loaded.disabled == {}
    for site in SITES:
        effect = lab.denoise(random_pairs(), at=site).change(logit_diff, placebo=False)
        assert effect.measured.controls.self_patch.neutral


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(placement, "find_spec", lambda _: None)
    for settings, package in ((Settings(device_map="auto"), "accelerate"), (Settings(quantize="nf4"), "bitsandbytes")):
        with pytest.raises(
            ModelError, match=rf'needs {package}, which is not installed: pip install "causaltest\[big\]"'
        ):
            placement.placement(settings)
