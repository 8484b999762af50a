"""Models by name: folders, organisms, and what is said when there is none."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, ByT5Tokenizer, GPT2Config, GPT2LMHeadModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from causaltest import Lab, index, logit_diff, resid_post
from causaltest.asking.settings import Settings
from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import load_model, wrap
from causaltest.measuring.backend import open_backend
from causaltest.store.folder import Store
from causaltest.store.kept import Kept
from causaltest.store.surroundings import Surroundings, surroundings_of
from causaltest.weights import check_sha256, sha256

ALL = ["tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox"]


@pytest.fixture
def offline(monkeypatch):
    """The hub out of reach."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def folder_of(tmp_path, request):
    def save(family):
        tiny = request.getfixturevalue(family)
        tiny.model.save_pretrained(tmp_path / family)
        tiny.tokenizer.save_pretrained(tmp_path / family)
        return tmp_path / family

    return save


@pytest.mark.parametrize("family", ALL)
def test_a_checkpoint_folder_measures_like_the_objects_that_were_saved(folder_of, request, family):
    tiny = request.getfixturevalue(family)
    effect = Lab.load(str(folder_of(family))).denoise(tiny.pairs, at=resid_post(1, index(3))).recovery(logit_diff)
    objects = Lab(tiny.model, tiny.tokenizer).denoise(tiny.pairs, at=resid_post(1, index(3))).recovery(logit_diff)
    assert effect.measured.values == objects.measured.values
    assert effect.measured.provenance["model"].endswith(family)


@pytest.mark.parametrize("family", ALL)
def test_a_loaded_decoder_is_in_eval_mode_and_knows_its_shape(folder_of, family):
    loaded = load_model(str(folder_of(family)))
    assert not any(module.training for module in loaded.model.modules())
    assert (len(loaded.blocks), loaded.heads) == (3, 4)
    assert loaded.reasoning is None and loaded.mask is None
    assert loaded.model.dtype == torch.float32


def test_half_precision_weights_are_read_as_float32(tiny_gpt2, new_gpt2, tmp_path):
    new_gpt2().to(torch.bfloat16).save_pretrained(tmp_path)
    tiny_gpt2.tokenizer.save_pretrained(tmp_path)
    assert load_model(str(tmp_path)).model.dtype == torch.float32


def test_attention_that_leaves_the_soft_cap_out_is_refused(new_gemma2, word_tokenizer):
    """transformers 5.0 takes sdpa for Gemma 2 and drops the cap; later ones refuse it themselves."""
    model = new_gemma2()
    model.config._attn_implementation = "sdpa"
    with pytest.raises(ModelError, match=r"mine caps its attention scores.* attn_implementation=\"eager\"\."):
        wrap(model, word_tokenizer(), "mine")
    model.config._attn_implementation = "eager"
    wrap(model, word_tokenizer(), "mine")


def test_a_model_by_name_keeps_its_soft_cap(folder_of, tiny_gemma2):
    loaded = load_model(str(folder_of("tiny_gemma2")))
    ids = torch.arange(7)[None]
    with torch.no_grad():
        assert torch.allclose(loaded.model(ids).logits, tiny_gemma2.model(ids).logits, atol=1e-6)


def test_the_weights_of_a_folder_are_named_by_their_hash(folder_of):
    folder = folder_of("tiny_gpt2")
    assert load_model(str(folder)).provenance["weights"] == sha256(folder / "model.safetensors")


def test_a_model_of_a_class_that_the_process_registered_says_so(folder_of):
    """No file of it names the class, so its weights do not tell what is computed with them."""
    assert "own class" not in load_model(str(folder_of("tiny_gpt2"))).provenance

    class Mine(GPT2LMHeadModel):
        config_class = GPT2Config

    AutoModelForCausalLM.register(GPT2Config, Mine, exist_ok=True)
    try:
        assert load_model(str(folder_of("tiny_gpt2"))).provenance["own class"].endswith("Mine")
    finally:
        MODEL_FOR_CAUSAL_LM_MAPPING._extra_content.clear()


def test_a_config_of_a_class_that_the_process_registered_says_so(folder_of):
    class Mine(GPT2Config):
        pass

    # transformers takes a config for a model's own by its name alone.
    Mine.__name__ = GPT2Config.__name__
    try:
        AutoConfig.register("gpt2", Mine, exist_ok=True)
        AutoModelForCausalLM.register(Mine, GPT2LMHeadModel, exist_ok=True)
        assert load_model(str(folder_of("tiny_gpt2"))).provenance["own class"].endswith("Mine")
    finally:
        CONFIG_MAPPING._extra_content.clear()
        MODEL_FOR_CAUSAL_LM_MAPPING._extra_content.clear()


@pytest.mark.parametrize(("name", "told"), [("sdpa", True), ("another", False)])
@pytest.mark.parametrize("functions", [ALL_ATTENTION_FUNCTIONS, ALL_MASK_ATTENTION_FUNCTIONS])
def test_a_model_that_attends_by_a_function_of_the_processes_own_says_so(folder_of, functions, name, told):
    own = functions["sdpa"]

    def mine(*given, **more):
        return own(*given, **more)

    functions[name] = mine
    try:
        assert ("mine" in load_model(str(folder_of("tiny_gpt2"))).provenance.get("own class", "")) is told
    finally:
        del functions[name]


def test_the_keys_of_a_store_are_compared_with_what_was_loaded(folder_of, tmp_path):
    """And in another dtype the model is the same one."""
    folder = str(folder_of("tiny_gpt2"))
    settings = Settings(dtype="bfloat16")
    known = surroundings_of(folder, settings)
    right, wrong = Kept(Store(tmp_path), known), Kept(Store(tmp_path), Surroundings({"model": {"weights": "a" * 64}}))
    open_backend(folder, None, None, settings, right)
    open_backend(folder, None, None, settings, wrong)
    assert right.sure and not wrong.sure


def test_an_unknown_model_says_what_was_tried(offline):
    with pytest.raises(ModelError) as told:
        load_model("nobody/no-such-model@v2")
    message = str(told.value)
    assert "No model 'nobody/no-such-model' at revision v2" in message
    assert "no organism" in message and "no folder" in message and "transformers could not load it" in message


@pytest.mark.parametrize("name", ["./not/here", "/not/here", "~/not/here"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(name):
    with pytest.raises(ModelError, match="There is no folder"):
        load_model(name)


def test_a_folder_without_a_config_says_so(tmp_path, offline):
    with pytest.raises(ModelError, match="transformers could not load it"):
        load_model(str(tmp_path))


def test_a_config_that_is_no_json_is_a_model_error(tmp_path):
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(str(tmp_path))


def test_weights_of_other_shapes_than_the_config_says_are_a_model_error(folder_of):
    folder = folder_of("tiny_llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_key_value_heads": 4}))
    with pytest.raises(ModelError, match=r"its checkpoint has a tensor of another shape than config\.json says"):
        load_model(str(folder))


def test_layers_that_the_config_leaves_out_are_recorded(folder_of):
    folder = folder_of("tiny_gpt2")
    assert "not loaded" not in load_model(str(folder)).provenance
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 2}))
    told = load_model(str(folder)).provenance["not loaded"]
    assert told == "11 arrays of the checkpoint, such as transformer.h.2.mlp.c_proj.weight"


@pytest.mark.parametrize("given", [{"quantize": "int3"}, {"dtype": "float8"}, {"dtype": "int8"}], ids=str)
def test_a_setting_of_no_kind_is_refused_and_not_taken_for_another(folder_of, given):
    with pytest.raises(ModelError, match=r"is not known; it is"):
        load_model(str(folder_of("tiny_gpt2")), Settings(**given))


def test_an_unknown_organism_lists_those_that_are_there():
    with pytest.raises(ModelError, match=r"There is no organism 'geese'; there are \[.*'bypass'.*'ducks'.*'planted'"):
        load_model("organism:geese")


def test_nothing_is_loaded_before_a_number_is_asked_for():
    lab = Lab.load("organism:geese")
    lab.denoise.__self__.rehearsal()
    assert lab.name == "organism:geese"


def test_a_tokenizer_without_offsets_is_refused(new_gpt2):
    with pytest.raises(ModelError, match=r"ByT5Tokenizer gives no character offsets.*fast tokenizer"):
        wrap(new_gpt2(), ByT5Tokenizer(), "slow")


def test_a_checkpoint_that_would_run_code_is_refused(folder_of, tmp_path):
    """The same for ordinary decoders as for reasoners: tensors only."""
    folder = folder_of("tiny_gpt2")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "touched"), protocol=2))
    with pytest.raises(ModelError):
        load_model(str(folder))
    assert not (tmp_path / "touched").exists()


def test_a_model_that_brings_its_own_code_is_refused(folder_of, tmp_path, offline):
    folder = folder_of("tiny_gpt2")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\n")
    with pytest.raises(ModelError):
        load_model(str(folder))
    assert not (tmp_path / "touched").exists()


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_hash_is_that_of_the_whole_file(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert check_sha256(file, known) == known
    with pytest.raises(ModelError, match=r"weights has SHA-256 ba7816bf8f01cfea\.\.\., and 0000000000000000\.\.\."):
        check_sha256(file, "0" * 64)


@pytest.mark.parametrize(
    "entry",
    [
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel@main:run"},
        {"attn_implementation": {"": "somebody/kernel"}},
        {"text_config": {"experts_implementation": "somebody/kernel"}},
    ],
    ids=str,
)
def test_a_config_that_names_compiled_kernels_of_another_repository_is_refused(folder_of, offline, entry):
    folder = folder_of("tiny_gpt2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entry))
    with pytest.raises(ModelError, match=r"names 'somebody/kernel.*code of another repository"):
        load_model(str(folder))


def test_a_config_that_names_an_implementation_of_transformers_own_is_loaded(folder_of):
    folder = folder_of("tiny_gpt2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attn_implementation": "eager"}))
    assert load_model(str(folder)).model.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        b"\x80\x02.",
        b"\x80\x02]q\x00(K\x01e",
        b"\x80\x02c__builtin__\neval\n.",
        b"\x80\x02" + b"(" * 9000,
    ],
    ids=["empty", "cut archive", "nothing", "cut list", "a name", "many marks"],
)
def test_a_bin_that_is_damaged_in_any_way_is_a_model_error(folder_of, data):
    folder = folder_of("tiny_gpt2")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(data)
    with pytest.raises(ModelError):
        load_model(str(folder))


@pytest.mark.parametrize("text", ['{"a": ' * 3000, '{"reasoning": {"layout": []}}', '{"reasoning": {"layout": {}}}'])
def test_a_config_that_bites_is_a_model_error(folder_of, text):
    folder = folder_of("tiny_gpt2")
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(str(folder))
