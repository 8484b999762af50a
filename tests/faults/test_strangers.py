"""What a stranger may write into a file that somebody else reads: each once got through, and is refused with a
sentence."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.faults.good_files import CONFIG, ENTRIES, header_of, inner, resealed, seed, tensors
from benchmarks.faults.parsers import BY_NAME, accepted
from causaltest.asking.arrays import read_array
from causaltest.asking.pairs import Pairs
from causaltest.asking.settings import memory_bytes
from causaltest.clean_runs import CleanRun
from causaltest.cli import main
from causaltest.errors import ClaimError, PairsError, RecordError, SiteError
from causaltest.identity.model_files import described
from causaltest.recording.alone import FILE, FOLDER, alone
from causaltest.recording.baseline import baseline_from_bytes
from causaltest.recording.committed_versions import event_hashes
from causaltest.recording.merging import sides_of
from causaltest.reporting.beside import beside, models_of
from causaltest.reporting.claims_json import FIELDS, MORE, write_json
from causaltest.writing.raw_tensors import Damaged, raw_from_bytes

HALF = "\ud800"
DEEP = "[" * 3000 + "]" * 3000


def test_a_header_of_many_columns_takes_no_time_and_is_not_printed_whole(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(",".join(f"c{n}" for n in range(200_000)) + "\na\n")
    with pytest.raises(PairsError, match="the first line names 200000 columns") as told:
        Pairs.from_csv(file)
    assert len(str(told.value)) < 1000


def test_a_line_that_would_burst_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"[" + b"[]," * (1 << 24) + b"]")
    with pytest.raises(PairsError, match="line 1 has 50331650 characters"):
        Pairs.from_jsonl(file)


def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    columns = [pyarrow.array(["x"])] * 4
    table = pyarrow.Table.from_arrays(columns, names=["clean", "corrupt", "answer", "answer"])
    write_table(table, tmp_path / "pairs.parquet")
    with pytest.raises(PairsError, match="two columns called 'answer'"):
        Pairs.from_parquet(tmp_path / "pairs.parquet", iid=True)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [10**400] * 50_000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 10**400]},
    ],
    ids=["a list for a type", "a shape of endless numbers", "a thousand axes", "numbers beyond any file"],
)
def test_a_vector_with_a_bad_header_is_refused_at_once(tmp_path: Path, entry: dict[str, Any]) -> None:
    head = json.dumps({"truth": entry}).encode()
    file = tmp_path / "vectors.safetensors"
    file.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(SiteError):
        read_array(str(file), "truth")
    head = json.dumps({"__metadata__": {"causaltest": ""}, "truth": entry}).encode()
    with pytest.raises(Damaged):
        raw_from_bytes(len(head).to_bytes(8, "little") + head + bytes(4))


@pytest.mark.parametrize(("size", "told"), [("9" * 400, "no size"), ("nanGB", "no size"), ("1e9", "no size")])
def test_a_size_that_is_none_is_refused(size: str, told: str) -> None:
    with pytest.raises(ClaimError, match=told):
        memory_bytes(size)


def config_folder(folder: Path, **texts: str) -> Path:
    (folder / "model.safetensors").write_bytes(b"weights")
    for name, text in {"config": json.dumps(CONFIG), **texts}.items():
        (folder / f"{name}.json").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["config", "tokenizer_config", "generation_config"])
@pytest.mark.parametrize("text", [json.dumps({"a": HALF}), '{"a": ' * 700 + "1" + "}" * 700, DEEP, '{"a": NaN'])
def test_a_config_that_no_record_can_hold_is_refused(tmp_path: Path, name: str, text: str) -> None:
    from causaltest.writing.canonical import digest_of

    with pytest.raises(RecordError):
        digest_of(described(config_folder(tmp_path, **{name: text})))


def test_a_saved_claim_that_causaltest_did_not_write_is_not_compared() -> None:
    good = baseline_from_bytes(seed("baseline.safetensors"))
    data = json.loads(inner(seed("baseline.safetensors")))
    for claim in data["claims"]:
        del claim["spec"]["prediction"]["smallest"]
        claim["spec"]["models"] = 3
        claim["seed"] = HALF
    other = baseline_from_bytes(resealed(json.dumps(data).encode(), seed("baseline.safetensors")))
    told = beside(other.claims, other.claims)
    assert {drift.sentence[:13] for drift in told.drifts.values()} == {"Not compared:"}
    assert models_of(other.claims.values()) == "values that were given"
    assert beside(good.claims, other.claims).drifts


def test_a_number_that_no_float_can_hold_is_refused() -> None:
    data = json.loads(inner(seed("baseline.safetensors")))
    data["claims"][0]["margin"] = 10**400
    with pytest.raises(RecordError, match="no float can hold"):
        baseline_from_bytes(resealed(json.dumps(data).encode(), seed("baseline.safetensors")))


def test_a_ledger_whose_numbers_are_none_is_listed(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in seed("claims.ledger").splitlines() if line]
    for line, alpha in zip(lines, ("x", {}, 10**400, HALF), strict=True):
        line |= {"alpha": alpha, "estimate": 10**400, "claim": "one", "reason": HALF}
    (tmp_path / "claims.ledger").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for words in (["one"], ["--json"], []):
        ran = CliRunner().invoke(main, ["ledger", *words, "--folder", str(tmp_path)])
        assert ran.exit_code == 0, ran.output


def test_a_lock_that_git_keeps_may_hold_anything() -> None:
    for events in ("3", '"a"', "[]", "null"):
        assert event_hashes(f'{{\n "events": [\n{events}\n ],\n}}'.encode()) == []


def test_the_marks_of_a_merge_are_read_once() -> None:
    text = b"a\n<<<<<<< x\nb\n||||||| y\nc\n=======\nd\n>>>>>>> z\ne\n"
    assert sides_of(text) == (b"a\nb\ne\n", b"a\nd\ne\n")
    assert sides_of(b"<<<<<<< x\n" * 200_000) == (b"<<<<<<< x\n" * 199_999, b"")


@pytest.mark.parametrize("name", [FOLDER, f"{FOLDER}/{FILE}", f"{FOLDER}/.gitignore"])
def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Opening a lock empties it: a link of a stranger's repository would empty what it leads to."""
    claims, mine = tmp_path / "claims", tmp_path / "mine"
    (claims / name).parent.mkdir(parents=True)
    if name == FOLDER:
        mine.mkdir()
    else:
        mine.write_text("what I have written")
    (claims / name).symlink_to(mine)
    with pytest.raises(OSError, match="is a link"), alone(claims):
        pass
    assert list(mine.iterdir()) == [] if mine.is_dir() else mine.read_text() == "what I have written"


def test_a_report_goes_around_a_link_that_somebody_has_put_in_its_way(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("what I have written")
    (tmp_path / f".report.json.{os.getpid()}").symlink_to(mine)
    claim = json.dumps({name: "a" for name in (*FIELDS, *MORE)} | {"reason": HALF})
    write_json(tmp_path / "report.json", [claim])
    assert mine.read_text() == "what I have written"
    assert json.loads((tmp_path / "report.json").read_text())[0]["reason"] == HALF


DEEPER = "[" * 600 + "]" * 600
"""JSON that can be read, and whose readers go twice as deep."""
RUN = [field.name for field in fields(CleanRun)]


@pytest.mark.parametrize(
    ("which", "plain"),
    [
        (0, f'"numbers": {DEEPER}'),
        (1, f'"runs": {DEEPER}'),
        (1, '"runs": [{"pair_id": "a", "tokens": [], "notes": []}]'),
        (1, f'"runs": [{json.dumps(dict.fromkeys(RUN, 7) | {"tokens": [], "notes": []})}]'),
        (2, '"columns": ["one", "two"]'),
        (2, '"columns": []'),
    ],
    ids=["deep effect", "deep runs", "half a run", "a run of numbers", "more columns than sites", "no column"],
)
def test_an_entry_of_a_store_that_holds_another_answer_is_damaged(which: int, plain: str) -> None:
    said = json.loads(inner(seed(ENTRIES[which])))["said"]
    said["plain"] |= json.loads("{" + plain + "}")
    with pytest.raises(RecordError, match="it holds no answer"):
        accepted(BY_NAME["entry"], bytes([3 + 4 * which]) + json.dumps(said).encode())


def test_the_helpers_of_these_tests_make_good_files() -> None:
    whole = seed("baseline.safetensors")
    assert tensors(b"\1" + inner(whole), whole) == tensors(b"\0" + whole, whole) == whole
    assert tensors(b"\2" + header_of(whole), whole) == whole
