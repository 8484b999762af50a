"""The command line: what it prints, and what it says of what it is not given rightly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

import causaltest
from causaltest.cli import main


@pytest.fixture(autouse=True)
def without_bars():
    """transformers shows on stderr how far its loading is; click's runner mixes that into what is printed."""
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small decoder in a folder."""
    folder = tmp_path_factory.mktemp("checkpoint")
    size = {"vocab_size": 30, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 4}
    GPT2LMHeadModel(GPT2Config(**size, bos_token_id=None, eos_token_id=None)).save_pretrained(folder)
    raw = Tokenizer(models.WordLevel({"the": 0, "cat": 1, "[UNK]": 2}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]").save_pretrained(folder)
    return folder


def test_a_model_is_shown(checkpoint):
    ran = run("model", checkpoint, "--text", "the cat")
    assert ran.exit_code == 0, ran.output
    for said in (
        "  family       GPT2LMHeadModel (gpt2)",
        "  shape        2 layers, 4 heads, a stream of 16",
        " in float32, ",
        "  padding      left: the same answer; right: the same answer.",
        "  resid_post  output of the block",
        "proven: continues, carries, own",
        "  'the cat' is 2 tokens:\n  0:'the' (0)  1:'cat' (1)\n",
    ):
        assert said in ran.output


def test_a_model_is_shown_in_the_dtype_that_is_asked_for(checkpoint):
    assert " in bfloat16, " in run("model", checkpoint, "--dtype", "bfloat16").output
    refused = run("model", checkpoint, "--dtype", "int3")
    assert refused.exit_code == 2 and "'int3' is not one of" in refused.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("organism:geese", "There is no organism 'geese'"),
        ("./not/here", "There is no folder ./not/here"),
        ("a/b/c", "No model 'a/b/c'"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(name, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ran = run("model", name)
    assert ran.exit_code == 1
    assert isinstance(ran.exception, SystemExit)
    assert ran.output.startswith(f"Error: {said}")
    assert len(ran.output.splitlines()) == 1


def test_a_text_of_nothing_is_one_line(checkpoint):
    ran = run("model", checkpoint, "--text", "")
    assert (ran.exit_code, ran.output) == (1, "Error: The tokenizer makes no token of the prompt ''.\n")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('nonesuch = "mlp"', "has no key 'nonesuch'; it has blocks, attention"),
        ("head = 3", "head = 3 must be the path of a module"),
        ('blocks = "model.layers"', "blocks = 'model.layers' is no list of modules in GPT2LMHeadModel"),
    ],
)
def test_names_that_are_not_understood_are_one_line(checkpoint, tmp_path, monkeypatch, table, said):
    (tmp_path / "pyproject.toml").write_text(f'[tool.causaltest.models."GPT2LMHeadModel"]\n{table}\n')
    monkeypatch.chdir(tmp_path)
    ran = run("model", checkpoint)
    assert ran.exit_code == 1
    assert ran.output.startswith("Error: ") and said in ran.output
    assert len(ran.output.splitlines()) == 1


def test_a_name_that_is_wrong_takes_the_site_away_and_is_shown(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.causaltest.models."GPT2LMHeadModel"]\nhead = "mlp.c_proj"\n')
    monkeypatch.chdir(tmp_path)
    ran = run("model", checkpoint)
    assert ran.exit_code == 0, ran.output
    (line,) = (line for line in ran.output.splitlines() if line.startswith("  head "))
    assert line.endswith("not offered")


def test_the_command_runs_in_a_process_of_its_own(checkpoint):
    """Its errors are no tracebacks there either."""
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(causaltest.__file__).parents[1]), "HF_HUB_OFFLINE": "1"}

    def alone(*arguments):
        ran = [sys.executable, "-m", "causaltest.cli", *arguments]
        return subprocess.run(ran, env=environment, capture_output=True, text=True, timeout=100, check=False)

    shown = alone("model", str(checkpoint), "--text", "the cat")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == run("model", checkpoint, "--text", "the cat").output
    refused = alone("model", "organism:geese")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: There is no organism 'geese'") and "Traceback" not in refused.stderr


def test_init_writes_a_claim_and_overwrites_nothing(tmp_path):
    ran = run("init", tmp_path / "claims")
    assert ran.exit_code == 0
    written = {path.name: path.read_text() for path in (tmp_path / "claims").iterdir()}
    assert set(written) == {"conftest.py", "test_first_claim.py"}
    again = run("init", tmp_path / "claims")
    assert again.exit_code == 1 and "exists already" in again.output
    assert {path.name: path.read_text() for path in (tmp_path / "claims").iterdir()} == written


def test_code_of_a_checkpoint_is_refused_with_the_option_that_allows_it(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')\n")
    ran = run("model", tmp_path)
    assert ran.exit_code == 1
    assert "to `causaltest model` --trust-remote-code" in ran.output and "it ran" not in ran.output
