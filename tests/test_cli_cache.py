"""`causaltest cache`: what it shows, what it removes, what it finds, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from causaltest.cli import main
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.layout import lying
from causaltest.writing.raw_tensors import Raw
from causaltest.writing.sizes import bytes_of_size, shown_bytes

DAY = 86400


def key(n: int) -> str:
    return f"{n:064x}"[::-1]


def keep(
    folder: Path, kind: str, n: int, *, days: float = 0, nbytes: int = 1000, about: str = "organism:ducks"
) -> Path:
    store = Store(folder)
    assert store.put(kind, key(n), Entry({}, {"a": Raw("U8", (nbytes,), bytes(nbytes))}, about))
    file = store.file(kind, key(n))
    at = time.mktime((2026, 3, 10, 12, 0, 0, 0, 0, -1)) - days * DAY
    os.utime(file, (at, at))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    for n in range(3):
        keep(store, "effects", n, days=n)
    keep(store, "effects", 3, about="org/name@main")
    keep(store, "runs", 4, nbytes=2_000_000)
    return store


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["cache", *map(str, arguments)])


def left(folder: Path) -> list[tuple[str, int]]:
    return sorted((one.kind, int(one.key[::-1], 16)) for one in lying(folder) if one.key)


@pytest.mark.parametrize("words", [["--dir", "X"], ["show", "--dir", "X"], ["--dir", "X", "show"]])
def test_what_is_there_is_shown_by_kind_and_model(folder, words):
    shown = run(*[folder if word == "X" else word for word in words])
    assert shown.exit_code == 0
    assert [line.replace(str(folder), "STORE") for line in shown.output.splitlines()] == [
        "STORE: 5 entries, 1.91 MB",
        "",
        "kind     model           entries     size  first used        last used",
        "effects  org/name@main         1   1.3 KB  2026-03-10 12:00  2026-03-10 12:00",
        "effects  organism:ducks        3  3.91 KB  2026-03-08 12:00  2026-03-10 12:00",
        "runs     organism:ducks        1  1.91 MB  2026-03-10 12:00  2026-03-10 12:00",
    ]


def test_showing_marks_nothing_as_used_and_sets_nothing_aside(folder):
    Store(folder).file("effects", key(0)).write_bytes(b"damaged")
    before = {one.path: one.used for one in lying(folder)}
    assert "effects  -  " in run("--dir", folder).output
    assert {one.path: one.used for one in lying(folder)} == before


def test_a_models_name_cannot_steer_the_terminal(folder):
    keep(folder, "answers", 7, about="\x1b[2J evil")
    assert "\x1b" not in run("--dir", folder).output and "?[2J evil" in run("--dir", folder).output


def test_the_usual_place_is_that_of_a_run(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path))
    assert run().output.startswith(f"{tmp_path / 'store'}: 5 entries")
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path / "none"))
    assert run().output == f"{tmp_path / 'none' / 'store'}: nothing\n"


def test_pruning_by_age_keeps_what_was_used_since(folder, monkeypatch):
    noon = time.mktime((2026, 3, 10, 12, 0, 0, 0, 0, -1))
    monkeypatch.setattr(time, "time", lambda: noon)
    assert run("prune", "--dir", folder, "--older-than", "36h").exit_code == 0
    assert left(folder) == [("effects", 0), ("effects", 1), ("effects", 3), ("runs", 4)]
    assert run("prune", "--dir", folder, "--older-than", "1d").exit_code == 0
    assert ("effects", 1) in left(folder)  # as old as that, and not older


def test_pruning_to_a_size_takes_clean_runs_first_and_then_what_was_used_longest_ago(folder):
    told = run("prune", "--dir", folder, "--to", "4KB").output
    assert told == f"{folder}: removed 2 entries, 1.91 MB; 3 entries, 3.91 KB left\n"
    assert left(folder) == [("effects", 0), ("effects", 1), ("effects", 3)]


def test_pruning_one_kind_leaves_the_others(folder):
    assert run("prune", "--dir", folder, "--all", "--kind", "runs").exit_code == 0
    assert left(folder) == [("effects", n) for n in range(4)]
    refused = run("prune", "--dir", folder, "--all", "--kind", "runs")
    assert refused.exit_code == 2 and "There is nothing of 'runs'" in refused.output and "effects" in refused.output


def test_all_of_it_goes_and_what_another_process_is_writing_stays(folder):
    digits = Store(folder).file("effects", key(0)).parent
    (digits / ".0123456789abcdef.partial").write_bytes(b"half")
    told = run("prune", "--dir", folder, "--all").output
    assert "removed 5 entries" in told and left(folder) == []
    assert [p.name for p in folder.rglob("*") if p.is_file()] == [".0123456789abcdef.partial"]


def test_a_dry_run_says_the_same_and_removes_nothing(folder):
    before = left(folder)
    for words in (["--all"], ["--to", "4KB"], ["--all", "--kind", "effects"]):
        told = run("prune", "--dir", folder, "--dry-run", *words).output
        assert left(folder) == before and "would remove" in told
    assert told.replace("would remove", "removed") == run("prune", "--dir", folder, *words).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Say what is not needed"),
        (["--kind", "runs"], "Say what is not needed"),
        (["--older-than", "30"], "no age; write 12h"),
        (["--older-than", "-1d"], "no age"),
        (["--to", "much"], "--to much is no size; write 800MB"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, words, told):
    refused = run("prune", "--dir", folder, *words)
    assert refused.exit_code == 2 and told in refused.output and len(left(folder)) == 5


def test_an_address_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("show", "verify"):
        refused = run(command, "--dir", "s3://me:hunter2@bucket/store")
        assert refused.exit_code == 1 and "is an address" in refused.output and "hunter2" not in refused.output


def test_verifying_sets_aside_what_is_damaged_and_says_so(folder):
    assert run("verify", "--dir", folder).output == f"{folder}: read 5 entries, 1.91 MB, as they were written\n"
    nothing = folder.parent / "nothing"
    assert run("verify", "--dir", nothing).output == f"{nothing}: there is no entry of a store\n"
    for n in (0, 2):
        file = Store(folder).file("effects", key(n))
        file.write_bytes(file.read_bytes()[:-1])
    found = run("verify", "--dir", folder)
    assert found.exit_code == 1
    *lines, last = found.output.splitlines()
    assert len(lines) == 2 and all("was damaged" in line and "damaged/effects-" in line for line in lines)
    assert last.endswith("and 2 entries not as written")
    assert left(folder) == [("effects", 1), ("effects", 3), ("runs", 4)]
    assert run("verify", "--dir", folder).exit_code == 0
    assert "damaged  -" in run("--dir", folder).output
    assert "removed 2 entries" in run("prune", "--dir", folder, "--all", "--kind", "damaged").output


def test_somebody_elses_folder_is_left_as_it_is(tmp_path):
    """Someone gives their home: nothing in it has the place and the name of an entry, links aside."""
    store = tmp_path / "elsewhere"
    keep(store, "effects", 1)
    home = tmp_path / "home"
    for name in ("thesis.pdf", "models/ab/model.safetensors", f"models/{key(1)}.safetensors", "damaged/photo.jpg"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("precious")
    (home / "effects").symlink_to(store / "effects")
    before = sorted(home.rglob("*"))
    for words in (["prune", "--all"], ["prune", "--to", "0"], ["verify"], ["show"]):
        assert run(*words, "--dir", home).exit_code == 0
    assert sorted(home.rglob("*")) == before and left(store) == [("effects", 1)]


def test_it_is_fast_and_opens_no_model(folder):
    code = (
        "import sys; from causaltest.cli import main\n"
        f"main(['cache', 'verify', '--dir', {str(folder)!r}], standalone_mode=False)\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'transformers', 'pytest') if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("size", "nbytes"),
    [("0", 0), ("1", 1), ("1KB", 1024), ("1.5 kB", 1536), ("2GiB", 2 << 30), (" 10GB ", 10 << 30), ("3T", 3 << 40)],
)
def test_sizes_are_in_powers_of_1024(size, nbytes):
    assert bytes_of_size(size) == nbytes


@pytest.mark.parametrize("size", ["", "GB", "-1", "1e3", "1 2", "1" * 400, "٣MB"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match="no size"):
        bytes_of_size(size)


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KB"), (1023999, "0.977 MB"), (5 << 20, "5 MB"), (3 << 50, "3072 TB")],
)
def test_sizes_are_shown_in_three_digits(nbytes, shown):
    assert shown_bytes(nbytes) == shown
