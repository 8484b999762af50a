"""What is said where a model cannot be loaded: by a hub on this machine that answers as the real one does."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import causaltest
from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.adapters.refusals import causes, first_line

HUB = {
    "gated": (403, "GatedRepo"),
    "asked": (401, "GatedRepo"),
    "absent": (404, "RepoNotFound"),
    "private": (401, "RepoNotFound"),
    "old": (404, "RevisionNotFound"),
    "bare": (404, "EntryNotFound"),
}
"""The status and the X-Error-Code with which the hub answers for org/NAME."""
TRY = """
import json, sys, time
time.sleep = lambda seconds: None  # the hub's client waits between its tries
from causaltest import Lab
from causaltest.errors import ModelError
said = {}
for name in sys.argv[1:]:
    try:
        Lab.load(name).card()
    except ModelError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        name = next(name for name in HUB if f"org/{name}" in self.path)
        status, code = HUB[name]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What is said of each name in a process of its own, whose hub is another."""

    def ask(*names, endpoint, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE_"))}
        own = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path_factory.mktemp("hf")),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(Path(causaltest.__file__).parents[1]),
        }
        ran = subprocess.run(
            [sys.executable, "-c", TRY, *names],
            env=clean | own | environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return ask


@pytest.fixture(scope="module")
def answered(said):
    """What is said of each name that the hub answers for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = [f"org/{name}" for name in HUB if name != "old"]
    try:
        return said(*names, "org/old@v2", endpoint=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["org/gated", "org/asked"])
def test_a_gated_repository_says_how_to_be_let_in(answered, name):
    assert answered[name].endswith(
        f"Accept its terms on https://huggingface.co/{name}, log in with `hf auth login` (or set HF_TOKEN), and run "
        "again."
    )


@pytest.mark.parametrize("name", ["org/absent", "org/private"])
def test_an_absent_repository_may_be_a_private_one(answered, name):
    assert "the hub has no such repository, or does not show it to you" in answered[name]
    assert "letter by letter" in answered[name] and "`hf auth login`" in answered[name]


def test_a_missing_revision_is_named(answered):
    assert answered["org/old@v2"].startswith("No model 'org/old' at revision v2: ")
    assert answered["org/old@v2"].endswith(
        "the repository has no revision 'v2': name a branch, a tag or a commit that it has."
    )


def test_a_repository_without_files_is_not_taken_for_one_that_is_out_of_reach(answered):
    assert "it brings no tokenizer that can be read" in answered["org/bare"]
    assert "run `hf download org/bare`" in answered["org/bare"]


def test_a_hub_out_of_reach_is_told_from_one_that_is_switched_off(said):
    """Nobody listens at port 9 of this machine."""
    nobody = "http://127.0.0.1:9"
    away = said("org/tiny", "org/tiny@v2", endpoint=nobody)
    assert "and the hub cannot be reached. Run `hf download org/tiny` where" in away["org/tiny"]
    assert "Run `hf download org/tiny --revision v2` where" in away["org/tiny@v2"]
    off = said("org/tiny", endpoint=nobody, HF_HUB_OFFLINE="1")["org/tiny"]
    assert "and the hub is switched off (HF_HUB_OFFLINE). Run `hf download org/tiny` where" in off


@pytest.fixture
def broken(tiny_gpt2, tmp_path, monkeypatch):
    """A checkpoint folder in which something is about to be broken, on a machine whose hub is switched off."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    tiny_gpt2.model.save_pretrained(tmp_path)
    tiny_gpt2.tokenizer.save_pretrained(tmp_path)

    def config(**changes):
        file = tmp_path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return tmp_path, config


def told(folder):
    """What is said of a folder; that the hub is away is no reason for anything there."""
    with pytest.raises(ModelError) as error:
        load_model(str(folder))
    assert "HF_HUB_OFFLINE" not in str(error.value) and "hf download" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"n_head": 5}, r"divisible by num_heads"),
        ({"activation_function": "nope"}, r"KeyError: 'nope'"),
        ({"n_layer": "three"}, r"n_layer"),
        ({"model_type": "t5"}, r"T5Config"),
        ({"model_type": "nonesuch"}, r"nonesuch"),
    ],
)
def test_a_config_that_makes_no_decoder_is_told_as_it_is(broken, changes, why):
    folder, config = broken
    config(**changes)
    message = told(folder)
    assert message.startswith(f"No model '{folder}': it is a folder, and transformers could not load it: ")
    assert why in message


def test_what_a_folder_lacks_is_named(broken):
    folder, _ = broken
    (folder / "tokenizer.json").write_text("{}")
    assert "transformers could not load it" in told(folder)
    (folder / "tokenizer.json").unlink()
    assert "it brings no tokenizer that can be read; save one beside it" in told(folder)
    (folder / "config.json").unlink()
    assert "it has no config.json, so it is no checkpoint" in told(folder)


def test_a_name_that_is_no_repository_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "a/b/c" in told("a/b/c")


def test_causes_are_followed_whether_they_were_meant_or_met():
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise OSError("second") from error
    except OSError:
        try:
            raise ValueError("third")
        except ValueError as error:
            assert [type(one) for one in causes(error)] == [ValueError, OSError, KeyError]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("one\ntwo"), "one"),
        (ValueError(""), "ValueError: "),
        (KeyError("gelu"), "KeyError: 'gelu'"),
        (RuntimeError("no memory"), "RuntimeError: no memory"),
    ],
)
def test_the_first_line_is_understood_alone(error, line):
    assert first_line(error) == line
