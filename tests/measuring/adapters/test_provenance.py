"""Which weights and whose code were measured: commits of a branch, hashes of files, code of a checkpoint's own."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import causaltest
from causaltest.asking.settings import Settings
from causaltest.errors import ModelError
from causaltest.measuring.adapters.commits import commit_of
from causaltest.measuring.adapters.load import load_model, refuse_random
from causaltest.weights import remembered_sha256, weights_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWN_CODE = """
from transformers import GPT2LMHeadModel

class Mine(GPT2LMHeadModel):
    pass
"""
TELL = """
import json, os, sys
from causaltest import Lab
for name in sys.argv[1:]:
    told = dict(Lab.load(name).backend.loaded.provenance)
    print(json.dumps([told, sorted(os.listdir(os.path.join(os.environ["CAUSALTEST_CACHE_DIR"], "proofs")))]))
"""
SUITE = """
def test_it(lab):
    loaded = lab.backend.loaded
    assert type(loaded.model).__name__ == "Mine"
    assert "Mine was run" in loaded.provenance["remote code"]
"""


@pytest.fixture
def saved(tiny_gpt2, tmp_path):
    """A checkpoint folder."""
    folder = tmp_path / "saved"
    tiny_gpt2.model.save_pretrained(folder)
    tiny_gpt2.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def alone(tmp_path):
    """Runs Python in a process of its own that has no network, with folders of its own."""

    def run(*arguments, folder=tmp_path):
        own = {
            "HF_HOME": str(tmp_path / "hf"),
            "HF_MODULES_CACHE": str(tmp_path / "modules"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "CAUSALTEST_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": str(Path(causaltest.__file__).parents[1]),
        }
        ran = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            ran, env=dict(os.environ) | own, cwd=folder, capture_output=True, text=True, timeout=100, check=False
        )

    return run


def test_a_branch_is_recorded_with_the_commit_that_it_stood_for(saved, alone, tmp_path):
    """And the proof is kept under the commit: the same commit is proven once, whatever it was called."""
    repository = tmp_path / "hf" / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    saved.rename(repository / "snapshots" / COMMIT)
    names = {"org/tiny@main": "main", "org/tiny": None, f"org/tiny@{COMMIT}": COMMIT}
    ran = alone("-c", TELL, *names)
    assert ran.returncode == 0, ran.stderr
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    for revision, (told, _) in zip(names.values(), said, strict=True):
        assert (told.get("revision"), told["commit"]) == (revision, COMMIT)
    proofs = [kept for _, kept in said]
    assert proofs[0] == proofs[1] == proofs[2]
    assert len(proofs[0]) == 1


def test_a_commit_is_read_wherever_a_release_of_transformers_keeps_it():
    class Config:
        _commit_hash = COMMIT

    assert commit_of("main", Config()) == COMMIT
    assert commit_of(COMMIT, object()) == COMMIT
    assert commit_of("v2", object()) is None
    assert commit_of(None, object()) is None


@pytest.fixture
def with_code(saved):
    """The checkpoint with a modeling file beside it; `model_type` is one that transformers knows, or not."""

    def make(**changes):
        (saved / "mine.py").write_text(OWN_CODE)
        config = json.loads((saved / "config.json").read_text())
        config |= {"auto_map": {"AutoModelForCausalLM": "mine.Mine"}, "architectures": ["Mine"]} | changes
        (saved / "config.json").write_text(json.dumps(config))
        return saved

    return make


def test_code_of_a_checkpoint_is_refused_until_it_is_allowed(with_code, alone):
    """By pytest's option, in processes whose folder for such code is theirs alone."""
    folder = with_code()
    (folder / "test_it.py").write_text(SUITE)
    ran = alone(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, f"--causal-model={folder}", "--causal-trust-remote-code"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_must_be_allowed_is_named(with_code, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    auto = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Mine"}
    with pytest.raises(ModelError, match=r"brings its own code.*--causal-trust-remote-code.*recorded beside every"):
        load_model(str(with_code(model_type="mine", auto_map=auto)))


def test_code_that_was_left_aside_is_recorded_too(with_code):
    """transformers knows GPT-2, and takes its own class without a word."""
    told = load_model(str(with_code())).provenance
    assert told["remote code"] == "mine.Mine was not run; transformers' own GPT2LMHeadModel was"


def test_a_model_without_code_says_nothing_of_code(saved):
    assert "remote code" not in load_model(str(saved), Settings(trust_remote_code=True)).provenance


def rewrite(folder, change):
    """The weights of a folder after a change."""
    state = load_file(folder / "model.safetensors")
    save_file(change(state), folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


NAME = "transformer.h.1.mlp.c_fc.weight"


def test_a_checkpoint_that_lacks_weights_is_refused_by_name(saved):
    def drop(state):
        return {name: tensor for name, tensor in state.items() if name != NAME}

    with pytest.raises(ModelError, match=rf"its checkpoint has no tensor for the weight {NAME}, which would be random"):
        load_model(rewrite(saved, drop))


def test_a_checkpoint_whose_tensors_have_another_shape_is_refused_by_name(saved):
    def cut(state):
        return state | {NAME: state[NAME][:, :7].contiguous()}

    with pytest.raises(ModelError, match=rf"a tensor of another shape than config\.json says for the weight {NAME}"):
        load_model(rewrite(saved, cut))


def test_a_config_with_another_width_is_not_filled_up(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"n_inner": 24}))
    with pytest.raises(ModelError, match=r"another shape than config\.json says for 9 weights, such as transformer\.h"):
        load_model(str(saved))


def test_a_tied_head_is_no_lack(saved):
    """A head that is the embedding is saved once."""
    assert "lm_head.weight" not in load_file(saved / "model.safetensors")
    model = load_model(str(saved)).model
    assert model.lm_head.weight is model.transformer.wte.weight


def test_an_untied_head_that_is_not_there_is_a_lack(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(ModelError, match=r"no tensor for the weight lm_head\.weight"):
        load_model(str(saved))


@pytest.mark.parametrize("prefix", ["codi.", "base_causallm."])
def test_weights_of_a_reasoner_give_the_hint(prefix):
    """From the hub no file is looked into before transformers reads it; so the hint comes from what is left over."""
    loading = {
        "missing_keys": ["a.weight", "b.weight"],
        "unexpected_keys": [f"{prefix}a.weight"],
        "mismatched_keys": [],
    }
    with pytest.raises(ModelError) as error:
        refuse_random(loading, "org/it")
    assert str(error.value) == (
        "No model 'org/it': its checkpoint has no tensor for 2 weights, such as a.weight, which would be random. Left "
        f"over are 1, such as {prefix}a.weight. Latent reasoners are read from a folder: run `hf download org/it`, and "
        "give the folder that it prints."
    )


def test_weights_in_shards_are_named_by_all_of_their_hashes(saved, tiny_gpt2):
    whole = load_model(str(saved)).provenance["weights"]
    (saved / "model.safetensors").unlink()
    tiny_gpt2.model.save_pretrained(saved, max_shard_size="10KB")
    shards = sorted(saved.glob("model-*.safetensors"))
    assert len(shards) > 1
    one_by_one = "".join(hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards)
    wanted = hashlib.sha256(one_by_one.encode()).hexdigest()
    assert load_model(str(saved)).provenance["weights"] == wanted != whole
    with shards[-1].open("ab") as file:
        file.write(b" ")
    assert weights_of(saved)["weights"] != wanted


def test_where_two_layouts_lie_side_by_side_the_one_that_is_loaded_is_named(saved):
    """transformers takes safetensors before pickles."""
    other = {name: torch.zeros_like(t) for name, t in load_file(saved / "model.safetensors").items()}
    torch.save(other, saved / "pytorch_model.bin")
    loaded = load_model(str(saved))
    assert loaded.provenance["weights"] == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert float(loaded.model.transformer.wte.weight.detach().abs().max()) > 0
    (saved / "model.safetensors").unlink()
    assert weights_of(saved)["weights"] == hashlib.sha256((saved / "pytorch_model.bin").read_bytes()).hexdigest()


def test_a_folder_without_weights_has_no_hash(tmp_path):
    assert weights_of(tmp_path) == {}


def test_where_the_cache_cannot_be_written_a_file_is_hashed_each_time(tmp_path, monkeypatch):
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path / "occupied"))
    file = tmp_path / "weights"
    for content in (b"abc", b"abcd"):
        file.write_bytes(content)
        assert remembered_sha256(file) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"identity": "another", "sha256": "0"}'])
def test_a_hash_that_was_kept_badly_is_taken_again(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    wanted = remembered_sha256(file)
    (kept,) = (tmp_path / "cache" / "weights").iterdir()
    kept.write_text(damage)
    assert remembered_sha256(file) == wanted == hashlib.sha256(b"abc").hexdigest()
    assert json.loads(kept.read_text())["sha256"] == wanted
