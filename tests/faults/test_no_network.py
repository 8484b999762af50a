"""Nothing asks the network: not the import, not the collection, not the commands, not a run on a model of this
machine. Whoever loads a model of the hub by its name asks for it, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WATCH = """
import os, socket, traceback

def refuse(*args, **more):
    with open(os.environ["ASKED"], "a") as file:
        file.write("".join(traceback.format_stack(limit=12)))
    raise OSError("no network in this test")

class Socket(socket.socket):
    def connect(self, address):
        return refuse() if self.family != getattr(socket, "AF_UNIX", None) else super().connect(address)
    connect_ex = connect
    def sendto(self, *args):
        return refuse()

socket.socket = Socket
socket.getaddrinfo = socket.gethostbyname = socket.gethostbyname_ex = socket.create_connection = refuse
"""
CLAIMS = """
import pytest
from causaltest import accuracy, at_least, claim, last, resid_post
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@claim("The last token carries the answer.", at_least(0.30, expecting=0.60))
def test_last(lab):
    return lab.denoise(planted.pairs(per_cluster=1), at=resid_post(1, last())).recovery(accuracy)
"""
EVERY_NAME = """
import importlib, pkgutil, causaltest
for name in causaltest.__all__:
    getattr(causaltest, name)
for found in pkgutil.walk_packages(causaltest.__path__, "causaltest."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""
A_FOLDER = """
import sys
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
from causaltest import Lab
from causaltest.organisms import ducks
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(ducks.CHECKPOINT)
tokenizer.save_pretrained(folder)
GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2)).save_pretrained(folder)
print(Lab.load(folder).card(None))
"""
REGISTER = ("-m", "causaltest.cli", "register", "claims")
MEASURE = ("-m", "pytest", "-q", "claims", "--causal-save", "--causal-cache-dir=store")
COMMANDS = {
    "help": ("-m", "causaltest.cli", "--help"),
    "collection": ("-m", "pytest", "-q", "--collect-only", "claims"),
    "import, and a folder": ("-c", EVERY_NAME + A_FOLDER, "folder"),
}
READING = """
verify
verify --json
ledger
ledger test_planted.py::test_last
export --format markdown claims
bundle claims -o claims.zip
verify claims.zip
compare claims claims
cache --dir store
cache --dir store verify
cache --dir store prune --all
"""
"""The commands that read what a run has written; in one process, for each would take its own to start."""
ONE_BY_ONE = """
import sys
from causaltest.cli import main
for line in sys.argv[1].strip().splitlines():
    try:
        status = main(line.split(), standalone_mode=False)
    except SystemExit as end:
        status = end.code
    assert not status, (line, status)
print("all of them")
"""


def asked(folder: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    """What a command ends with, prints, and asks of the network."""
    watch = folder / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    quiet = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    own = {name: value for name, value in os.environ.items() if name not in quiet}
    own |= {
        "PYTHONPATH": f"{watch}{os.pathsep}{ROOT}",
        "ASKED": str(folder / "asked"),
        "CAUSALTEST_CACHE_DIR": str(folder / "cache"),
        "HF_HOME": str(folder / "hub"),
    }
    ran = subprocess.run(
        [sys.executable, *words], cwd=folder, env=own, capture_output=True, text=True, timeout=300, check=False
    )
    told = folder / "asked"
    return ran.returncode, ran.stdout + ran.stderr, told.read_text() if told.exists() else ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "test_planted.py").write_text(CLAIMS)
    return tmp_path


@pytest.mark.parametrize("what", COMMANDS)
def test_nothing_is_asked_of_the_network(folder: Path, what: str) -> None:
    status, told, network = asked(folder, COMMANDS[what])
    assert (status, network) == (0, ""), told


def test_neither_a_run_nor_what_reads_it_asks_the_network(folder: Path) -> None:
    for words in (REGISTER, MEASURE, ("-c", ONE_BY_ONE, READING)):
        status, told, network = asked(folder, words)
        assert (status, network) == (0, ""), told
    assert "all of them\n" in told


def test_whoever_asks_the_network_is_seen(tmp_path: Path) -> None:
    for words in ("urllib.request.urlopen('http://example.org')", "socket.socket().connect(('127.0.0.1', 9))"):
        status, _, network = asked(tmp_path, ("-c", f"import socket, urllib.request\n{words}"))
        assert status and network
        (tmp_path / "asked").unlink()
