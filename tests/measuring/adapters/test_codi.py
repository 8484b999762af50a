"""Latent reasoners in CODI's layout: against peft itself, and what is refused."""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from causaltest import Lab, Pair, Pairs, embed, logit_diff, resid_post, thought
from causaltest.errors import ModelError
from causaltest.measuring.adapters.codi import load_codi
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.adapters.weights import sha256
from causaltest.measuring.trajectory import run
from causaltest.organisms import ducks as organism

WIDTH, THOUGHTS, BEGIN, END = 32, 3, 28, 29
GPT2_TARGETS, LLAMA_TARGETS = ["c_attn", "c_proj", "c_fc"], ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]


def base_model(family):
    torch.manual_seed(9)
    special = {"bos_token_id": None, "eos_token_id": None}
    if family == "gpt2":
        config = GPT2Config(vocab_size=30, n_positions=32, n_embd=WIDTH, n_layer=2, n_head=4, **special)
        return GPT2LMHeadModel(config)
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        **special,
    )
    return LlamaForCausalLM(config)


def adapted(family):
    """peft's own LoRA on the base model, both factors random."""
    targets = GPT2_TARGETS if family == "gpt2" else LLAMA_TARGETS
    config = LoraConfig(r=8, lora_alpha=32, target_modules=targets, fan_in_fan_out=family == "gpt2", lora_dropout=0.1)
    with warnings.catch_warnings():
        # peft asks transformers for an attribute by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(base_model(family), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def projection():
    torch.manual_seed(10)
    project = nn.Sequential(nn.Dropout(0.0), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    project.add_module("ln", nn.LayerNorm(WIDTH))
    return project.eval()


def write(folder, state, config, tokenizer, kind="model.safetensors"):
    folder.mkdir(exist_ok=True)
    if kind == "model.safetensors":
        save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, folder / kind)
    else:
        torch.save(state, folder / kind)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(folder)
    return folder


def config_of(model, **block):
    said = {"layout": "codi", "thoughts": THOUGHTS, "begin": [BEGIN], "end": [END]} | block
    return model.config.to_diff_dict() | {"reasoning": said}


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def published(request):
    """A peft model, its state under CODI's names, and its config."""
    model, project = adapted(request.param), projection()
    state = {f"codi.{name}": tensor for name, tensor in model.state_dict().items()}
    state |= {f"prj.{name}": tensor for name, tensor in project.state_dict().items()}
    return model, project, state, config_of(model.base_model.model)


@pytest.fixture(scope="module")
def gpt2_state():
    model, project = base_model("gpt2"), projection()
    state = {f"codi.base_model.model.{n}": t for n, t in model.state_dict().items() if n != "lm_head.weight"}
    return model, state | {f"prj.{n}": t for n, t in project.state_dict().items()}


@pytest.fixture
def checkpoint(gpt2_state, word_tokenizer, tmp_path):
    """Writes a small checkpoint, with the state or the "reasoning" block changed."""

    def make(change=lambda state: state, *, kind="model.safetensors", **block):
        model, state = gpt2_state
        return write(tmp_path / "it", change(dict(state)), config_of(model, **block), word_tokenizer(), kind)

    return make


# Against peft


def test_the_layout_is_the_published_one(published):
    names = set(published[2])
    if "codi.base_model.model.transformer.wte.weight" in names:
        stem = "codi.base_model.model.transformer.h.1.attn.c_attn"
        assert {f"{stem}.base_layer.weight", f"{stem}.base_layer.bias"} <= names
    else:
        stem = "codi.base_model.model.model.layers.1.self_attn.q_proj"
        assert f"{stem}.base_layer.weight" in names
    assert {f"{stem}.lora_A.default.weight", f"{stem}.lora_B.default.weight", "prj.1.weight", "prj.ln.bias"} <= names


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_merged_weights_give_pefts_own_logits(published, word_tokenizer, tmp_path, kind):
    model, _, state, config = published
    loaded = load_model(str(write(tmp_path / "it", state, config, word_tokenizer(), kind)))
    ids = torch.randint(0, 28, (3, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs, ours = model(input_ids=ids).logits, loaded.model(input_ids=ids).logits
        with model.disable_adapter():
            without = model(input_ids=ids).logits
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, without, atol=1e-2)


def test_thoughts_equal_a_loop_over_the_unmerged_peft_model(published, word_tokenizer, tmp_path):
    """The whole sequence again at every step, no cache, LoRA left unmerged."""
    model, project, state, config = published
    loaded = load_model(str(write(tmp_path / "it", state, config, word_tokenizer())))
    ids = torch.randint(0, 28, (2, 6), generator=torch.Generator().manual_seed(3))
    given = run(loaded, ids, new_tokens=3)
    table = model.get_input_embeddings()
    with torch.no_grad():
        for row in range(2):
            sequence = table(torch.cat([ids[row], torch.tensor([BEGIN])]))[None]
            for _ in range(THOUGHTS):
                hidden = model(inputs_embeds=sequence, output_hidden_states=True).hidden_states[-1]
                sequence = torch.cat([sequence, project(hidden[:, -1:])], dim=1)
            sequence = torch.cat([sequence, table(torch.tensor([[END]]))], dim=1)
            for step in range(3):
                logits = model(inputs_embeds=sequence).logits[0, -1]
                assert torch.allclose(given.logits[row, step], logits, atol=1e-4, rtol=0)
                logits[END] = -torch.inf
                assert int(given.tokens[row, step]) == int(logits.argmax())
                sequence = torch.cat([sequence, table(logits.argmax().view(1, 1))], dim=1)


def test_the_scale_is_alpha_over_rank(published, word_tokenizer, tmp_path):
    """Half the alpha is half of what LoRA adds."""
    _, _, state, config = published
    config = config | {"reasoning": config["reasoning"] | {"lora_alpha": 16}}
    loaded = load_codi(write(tmp_path / "it", state, config, word_tokenizer()), "half")
    stem = next(name.removesuffix(".lora_A.default.weight") for name in state if name.endswith("lora_A.default.weight"))
    base = state[f"{stem}.base_layer.weight"]
    added = 2 * state[f"{stem}.lora_B.default.weight"] @ state[f"{stem}.lora_A.default.weight"]
    ours = loaded.model.state_dict()[f"{stem.removeprefix('codi.base_model.model.')}.weight"]
    assert torch.allclose(ours - base, added.T if "c_attn" in stem else added, atol=1e-6)


def test_a_measured_reasoner_has_thoughts_that_matter(published, word_tokenizer, tmp_path):
    _, _, state, config = published
    folder = write(tmp_path / "it", state, config, word_tokenizer())
    pairs = Pairs([Pair(clean="the cat sat", corrupt="a dog ran", answer="one", corrupt_answer="two")], iid=True)
    lab = Lab.load(str(folder))
    for site in (embed(thought(1)), resid_post(0, thought(2))):
        numbers = lab.denoise(pairs, at=site).change(logit_diff).measured
        assert numbers.values[0] != 0
        assert numbers.controls.self_patch.neutral


def test_what_a_checkpoint_holds_beside_model_and_projection_is_left_alone(published, word_tokenizer, tmp_path):
    """SIM-CoT's checkpoints carry a `decoder.*` that inference does not use."""
    _, _, state, config = published
    folder = write(tmp_path / "it", state | {"decoder.weight": torch.zeros(3)}, config, word_tokenizer())
    assert load_model(str(folder)).reasoning.thoughts == THOUGHTS


def test_the_weights_are_named_by_their_hash_in_either_format(checkpoint):
    for kind in ("model.safetensors", "pytorch_model.bin"):
        folder = checkpoint(kind=kind)
        assert load_model(str(folder)).provenance["weights"] == sha256(folder / kind)
        (folder / kind).unlink()


# What is refused


def test_a_bin_that_would_run_code_is_refused(checkpoint, tmp_path):
    folder = checkpoint()
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "touched"), protocol=2))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin .*tensors"):
        load_model(str(folder))
    assert not (tmp_path / "touched").exists()


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_folder_without_weights_says_which_files_it_could_hold(checkpoint):
    folder = checkpoint()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        load_model(str(folder))


def test_missing_weights_are_named(checkpoint):
    def without(state):
        return {k: v for k, v in state.items() if "h.1.mlp.c_fc" not in k}

    with pytest.raises(ModelError, match=r"does not fit its config\. Missing \['transformer\.h\.1\.mlp\.c_fc\.weight'"):
        load_model(str(checkpoint(without)))


def test_a_missing_projection_is_named(checkpoint):
    with pytest.raises(ModelError, match=r"it's prj: .* Missing \['1\.weight', '1\.bias', '3\.weight'\] \(6\)"):
        load_codi(checkpoint(lambda s: {k: v for k, v in s.items() if not k.startswith("prj.")}), "it")


def test_left_over_weights_are_named(checkpoint):
    extra = {"codi.base_model.model.transformer.h.2.ln_1.weight": torch.zeros(WIDTH)}
    with pytest.raises(ModelError, match=r"left over \['transformer\.h\.2\.ln_1\.weight'\] \(1\)"):
        load_model(str(checkpoint(lambda state: state | extra)))


def test_a_weight_of_another_shape_is_named(checkpoint):
    changed = {"prj.ln.weight": torch.zeros(WIDTH + 1)}
    with pytest.raises(ModelError, match=r"(?s)does not fit its config.*ln\.weight"):
        load_model(str(checkpoint(lambda state: state | changed)))


def test_half_a_lora_factor_is_named(checkpoint):
    half = {"codi.base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight": torch.zeros(8, WIDTH)}
    with pytest.raises(ModelError, match=r"h\.0\.attn\.c_attn\.lora_B\.default\.weight"):
        load_model(str(checkpoint(lambda state: state | half)))


def changed_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


GOOD = {"layout": "codi", "thoughts": 3, "begin": [28], "end": [29]}


@pytest.mark.parametrize(
    "block",
    [
        {"layout": "codi"},
        {k: v for k, v in GOOD.items() if k != "end"},
        GOOD | {"layout": "coconut"},
        GOOD | {"steps": 6},
        GOOD | {"thoughts": "six"},
        GOOD | {"thoughts": -1},
        GOOD | {"begin": 28},
        GOOD | {"end": ["[END]"]},
        "six thoughts",
        6,
        ["codi"],
        None,
    ],
    ids=str,
)
def test_a_malformed_reasoning_block_says_what_it_needs(checkpoint, block):
    folder = changed_config(checkpoint(), reasoning=block)
    with pytest.raises(ModelError) as told:
        load_model(str(folder))
    message = str(told.value)
    assert 'the "reasoning" block is not understood' in message
    for needed in ('"layout": "codi"', '"thoughts"', '"begin"', '"end"', "lora_alpha"):
        assert needed in message


@pytest.mark.parametrize("block", [{"segments": 7}, "by sentence", {"hops": 2}], ids=str)
def test_a_malformed_routing_block_is_a_model_error(checkpoint, block):
    with pytest.raises(ModelError, match='"routing" block is not understood'):
        load_model(str(changed_config(checkpoint(), routing=block)))


# The ducks' own checkpoint


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(organism.CHECKPOINT, tmp_path / "ducks")


def test_a_flipped_bit_in_the_ducks_weights_is_refused(copied):
    weights = copied / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors has SHA-256 .* is recorded for it: the file was changed"):
        organism.load(copied)


def test_the_ducks_load_from_any_folder(copied):
    assert organism.load(copied).name == "organism:ducks"
    assert load_model(str(copied)).provenance["weights"] == sha256(organism.CHECKPOINT / "model.safetensors")


def test_a_reasoner_keeps_its_thoughts_unmerged_and_merged_alike(copied):
    """LoRA factors beside the ducks' weights, with the base moved back by what they add, give the same model."""
    state = load_file(copied / "model.safetensors")
    stem = "codi.base_model.model.transformer.h.3.mlp.c_fc"
    torch.manual_seed(0)
    down, up = 0.01 * torch.randn(8, 64), 0.01 * torch.randn(256, 8)
    state[f"{stem}.base_layer.weight"] = state.pop(f"{stem}.weight") - 4 * (up @ down).T
    state[f"{stem}.base_layer.bias"] = state.pop(f"{stem}.bias")
    state |= {f"{stem}.lora_A.default.weight": down, f"{stem}.lora_B.default.weight": up}
    save_file(state, copied / "model.safetensors")
    ours, theirs = load_model(str(copied)), organism.load()
    for (name, a), b in zip(ours.model.state_dict().items(), theirs.model.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name
