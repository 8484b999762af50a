"""Latent reasoners in CODI's layout: against peft itself, and what is refused."""

import hashlib
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
from causaltest.measuring.trajectory import run
from causaltest.organisms import ducks as organism
from causaltest.weights import sha256

WIDTH, THOUGHTS, BEGIN, END = 32, 3, 28, 29
GPT2_TARGETS = ["c_attn", "c_proj", "c_fc"]
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"]


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


def test_what_only_training_used_is_dropped_and_told(published, word_tokenizer, tmp_path):
    """SIM-CoT's checkpoints carry a `decoder.*` that inference does not use."""
    _, _, state, config = published
    extra = {"decoder.a": torch.ones(3), "decoder.b": torch.ones(3), "pj_in.weight": torch.ones(2, 2)}
    loaded = load_model(str(write(tmp_path / "it", state | extra, config, word_tokenizer())))
    without = load_model(str(write(tmp_path / "as", state, config, word_tokenizer())))
    assert loaded.provenance["not used"].startswith("decoder.* (2), pj_in.* (1): tensors of training")
    assert "not used" not in without.provenance
    ids = torch.arange(6)[None]
    assert torch.equal(run(loaded, ids, new_tokens=2).logits, run(without, ids, new_tokens=2).logits)


# The published checkpoints declare nothing


def resized(family, *, rows, folder, tokenizer, config_rows, dtype=torch.float32):
    """As published: three rows added for pad, begin and end, LoRA in float32 beside a base of its own precision."""
    model = adapted(family)
    base = model.base_model.model
    base.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        base.get_input_embeddings().weight[-3:] = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(4))
        for name, parameter in model.named_parameters():
            if "lora_" not in name:
                parameter.copy_(parameter.to(dtype))
    project = projection()
    narrow = {n: t.to(torch.float32 if "lora_" in n else dtype) for n, t in model.state_dict().items()}
    state = {f"codi.{n}": t for n, t in narrow.items()} | {f"prj.{n}": t for n, t in project.state_dict().items()}
    assert "codi.base_model.model.lm_head.weight" in state
    config = base.config.to_diff_dict() | {"vocab_size": config_rows}
    return model, project, write(folder, state, config, tokenizer, "pytorch_model.bin")


@torch.no_grad()
def plain_loop(model, project, ids, *, begin, end, thoughts, steps, never):
    """CODI's inference on a peft model: a cache, one forward per thought, greedy over all but some tokens."""
    table = model.get_input_embeddings()
    out = model(input_ids=torch.tensor([[*ids, *begin]]), use_cache=True, output_hidden_states=True)
    inputs = []
    for _ in range(thoughts):
        inputs.append(project(out.hidden_states[-1][:, -1:]))
        cache = out.past_key_values
        out = model(inputs_embeds=inputs[-1], use_cache=True, output_hidden_states=True, past_key_values=cache)
    following, tokens, logits = torch.tensor([end]), [], []
    for _ in range(steps):
        out = model(inputs_embeds=table(following), use_cache=True, past_key_values=out.past_key_values)
        logits.append(out.logits[0, -1].clone())
        out.logits[0, -1, never] = -torch.inf
        tokens.append(int(out.logits[0, -1].argmax()))
        following = torch.tensor([tokens[-1:]])
    return torch.cat(inputs, dim=1)[0], tokens, torch.stack(logits)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("config_rows", [30, 33], ids=["the base model's config", "the resized config"])
def test_a_published_checkpoint_needs_no_reasoning_block(family, config_rows, word_tokenizer, tmp_path):
    """Begin and end are the last two rows, six thoughts, alpha 32; the base is in bfloat16."""
    model, project, folder = resized(
        family,
        rows=33,
        folder=tmp_path / "it",
        tokenizer=word_tokenizer(),
        config_rows=config_rows,
        dtype=torch.bfloat16,
    )
    loaded = load_model(str(folder))
    assert loaded.reasoning.begin == (31,) and loaded.reasoning.end == (32,)
    ids = [3, 1, 4, 1, 5]
    inputs, tokens, logits = plain_loop(model, project, ids, begin=[31], end=[32], thoughts=6, steps=4, never=[32])
    given = run(loaded, torch.tensor([ids]), new_tokens=4, record=("resid_pre",))
    assert given.tokens[0].tolist() == tokens
    assert torch.allclose(given.logits[0], logits, atol=1e-4, rtol=0)
    said = "codi, by its weights' names and with the published checkpoints' tokens: 6 thoughts, begin (31,), end (32,)"
    assert loaded.provenance["reasoning"] == f"{said}, lora_alpha 32"
    if family == "llama":  # whose stream begins with the input embedding itself
        assert torch.allclose(given.activations["resid_pre", 0][0, 6:12], inputs, atol=1e-5, rtol=0)


def test_published_tokens_that_are_words_of_the_tokenizer_are_refused(word_tokenizer, tmp_path):
    """Thirty tokens and thirty rows: the last two are no marks."""
    tokenizer = word_tokenizer(tuple(f"w{n}" for n in range(28)))
    _, _, folder = resized("gpt2", rows=30, folder=tmp_path / "it", tokenizer=tokenizer, config_rows=30)
    with pytest.raises(
        ModelError, match=r'last two.* Say which they are in config\.json: "reasoning": \{"layout": "codi"'
    ):
        load_model(str(folder))


def test_added_tokens_may_be_the_published_ones(word_tokenizer, tmp_path):
    tokenizer = word_tokenizer(tuple(f"w{n}" for n in range(28)))
    tokenizer.add_tokens(["<pad>", "<bot>", "<eot>"])
    assert len(tokenizer) == 33
    _, _, folder = resized("gpt2", rows=33, folder=tmp_path / "it", tokenizer=tokenizer, config_rows=30)
    assert load_model(str(folder)).reasoning.begin == (31,)


def test_a_published_checkpoint_without_its_base_models_config_says_what_to_copy(word_tokenizer, tmp_path):
    _, _, folder = resized("gpt2", rows=33, folder=tmp_path / "it", tokenizer=word_tokenizer(), config_rows=30)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json\. Copy the config and the tokenizer of the model"):
        load_model(str(folder))


def test_the_end_of_text_behind_the_end_of_thoughts_can_be_an_answer(published, word_tokenizer, tmp_path):
    """Trained without --remove_eos, the marks are [eos, begin] and [end, eos]: only the end of thoughts is barred."""
    model, project, state, config = published
    config = config | {"reasoning": config["reasoning"] | {"begin": [25, BEGIN], "end": [END, 25]}}
    loaded = load_model(str(write(tmp_path / "it", state, config, word_tokenizer())))
    assert loaded.reasoning.never_generated == (END,)
    ids = [7, 2, 9]
    _, tokens, logits = plain_loop(
        model, project, ids, begin=[25, BEGIN], end=[END, 25], thoughts=THOUGHTS, steps=3, never=[END]
    )
    given = run(loaded, torch.tensor([ids]), new_tokens=3)
    assert given.tokens[0].tolist() == tokens
    assert torch.allclose(given.logits[0], logits, atol=1e-4, rtol=0)


def test_a_wider_projection_is_read_as_wide_as_it_is(published, word_tokenizer, tmp_path):
    model, _, state, config = published
    torch.manual_seed(12)
    wide = nn.Sequential(nn.Dropout(0.0), nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH))
    wide.add_module("ln", nn.LayerNorm(WIDTH))
    state = state | {f"prj.{n}": t for n, t in wide.state_dict().items()}
    loaded = load_model(str(write(tmp_path / "it", state, config, word_tokenizer())))
    _, _, logits = plain_loop(model, wide, [5, 6], begin=[BEGIN], end=[END], thoughts=THOUGHTS, steps=1, never=[END])
    assert torch.allclose(run(loaded, torch.tensor([[5, 6]]), new_tokens=1).logits[0], logits, atol=1e-4, rtol=0)


def test_the_weights_are_named_by_their_hash_in_either_format(checkpoint):
    for kind in ("model.safetensors", "pytorch_model.bin"):
        folder = checkpoint(kind=kind)
        assert load_model(str(folder)).provenance["weights"] == sha256(folder / kind)
        (folder / kind).unlink()


def test_a_reasoner_in_shards_is_the_one_in_one_file(checkpoint):
    folder = checkpoint()
    whole, state = load_model(str(folder)), load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    placed = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(state)}
    for file in set(placed.values()):
        save_file({name: tensor for name, tensor in state.items() if placed[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    sharded = load_model(str(folder))
    ids = torch.arange(6)[None]
    assert torch.equal(run(sharded, ids, new_tokens=2).logits, run(whole, ids, new_tokens=2).logits)
    # Named by the hashes of all shards: another tensor in any of them is another name.
    hashes = "".join(sha256(folder / file) for file in sorted(set(placed.values())))
    assert sharded.provenance["weights"] == hashlib.sha256(hashes.encode()).hexdigest()


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


@pytest.mark.parametrize("key", ["codi.transformer.wte.weight", "prj_out.weight", "step_decoder.x"])
def test_weights_that_no_layout_knows_are_refused(checkpoint, key):
    with pytest.raises(
        ModelError, match=rf"left over {key} \(1\)\. Its layout has tensors under codi\.base_model\.model"
    ):
        load_model(str(checkpoint(lambda state: state | {key: torch.zeros(2)})))


def test_tokens_beyond_the_embeddings_are_refused(checkpoint):
    with pytest.raises(ModelError, match=r"embeddings of 30 tokens, and its reasoning names token 30"):
        load_model(str(checkpoint(begin=[30])))


def test_a_checkpoint_of_another_width_than_its_config_is_refused(checkpoint):
    folder = changed_config(checkpoint(), n_embd=64)
    with pytest.raises(
        ModelError,
        match=r"does not fit its config: transformer\.wte\.weight is \[30, 32\], and .* for \[30, 64\] \[token",
    ):
        load_model(str(folder))


@pytest.mark.parametrize("vocabulary", [29, 31, 27_000, 10**12])
def test_a_checkpoint_of_another_vocabulary_than_its_config_is_refused(checkpoint, vocabulary):
    folder = changed_config(checkpoint(), vocab_size=vocabulary)
    with pytest.raises(ModelError, match=rf"wte\.weight is \[30, 32\], and the config asks for \[{vocabulary}, 32\]"):
        load_model(str(folder))


@pytest.mark.parametrize(
    "wrong", [{"model_type": "mine"}, {"model_type": "vit"}, {"n_embd": "x"}, {"n_head": 3}], ids=str
)
def test_a_config_that_no_decoder_has_is_refused(checkpoint, wrong):
    with pytest.raises(ModelError, match=r"config\.json is not that of a decoder"):
        load_model(str(changed_config(checkpoint(), **wrong)))


def test_a_folder_without_a_tokenizer_is_refused(checkpoint):
    folder = checkpoint()
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=r"no tokenizer that knows a word\. Copy the tokenizer's files"):
        load_model(str(folder))


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
        GOOD | {"lora_alpha": 0},
        GOOD | {"lora_alpha": "32"},
        GOOD | {"thoughts": 0},
        GOOD | {"begin": []},
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
