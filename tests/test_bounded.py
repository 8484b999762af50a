"""Files read within a bound: neither a pipe nor a device is waited for, and no more is read than is accepted."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from causaltest.asking.pairs import Pairs
from causaltest.bounded import TooLarge, open_plain, read_bounded
from causaltest.errors import PairsError, RecordError
from causaltest.identity.model_files import described
from causaltest.identity.pyproject import said_of_models
from causaltest.recording.baseline import read_baseline
from causaltest.recording.ledger import Ledger
from causaltest.recording.lock import read_lock
from causaltest.recording.proofs import limited
from causaltest.recording.seen import SeenLog


def test_a_file_of_the_bound_is_read_and_one_more_byte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bounded(file, 5) == b"12345"
    with pytest.raises(TooLarge, match="has 5 bytes, and more than 4 are not read"):
        read_bounded(file, 4)
    (tmp_path / "link").symlink_to(file)
    assert read_bounded(tmp_path / "link", 5) == b"12345"


def test_a_file_takes_the_room_that_it_has_and_not_that_of_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    tracemalloc.start()
    assert read_bounded(file, 1 << 40) == b"12345"
    with pytest.raises(RecordError):
        read_lock(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_is_not_there_or_is_a_folder_is_told_as_python_tells_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)


@pytest.fixture(params=["pipe", "device"])
def endless(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file that never ends, as a repository's link or an unpacked archive can hold."""
    file = tmp_path / "endless"
    if request.param == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    return file


def test_what_has_no_end_is_not_waited_for(endless: Path) -> None:
    with pytest.raises(OSError, match="no plain file"):
        open_plain(endless)
    with pytest.raises(PairsError, match="no plain file"):
        Pairs.from_jsonl(endless)
    for read in (read_lock, read_baseline, limited, lambda file: Ledger(file).lines):
        with pytest.raises(RecordError, match="no plain file"):
            read(endless)
    assert SeenLog(endless).looks() == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_config_that_has_no_end_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(RecordError, match="no plain file"):
        described(tmp_path)


@pytest.mark.parametrize("text", [b"a = " + b"[" * 100_000, b"\xff", b"tool = 3", b"x" * (2 << 20)])
def test_a_pyproject_that_cannot_be_read_names_no_modules(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text)
    # A number in the place of a table is refused by whoever reads the table.
    assert said_of_models(tmp_path) == (tmp_path / "pyproject.toml", 3 if text == b"tool = 3" else {})
