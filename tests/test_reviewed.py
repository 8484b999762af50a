"""A bundle judged again: what was measured stands, and whatever was changed afterwards is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from records import commit, repository
from simulated import CLUSTERED, IID, RANGED, Simulated, change, claim_with, judged_in, layers, saved_of, spec_with

from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.orderings import monotone
from causaltest.asking.predictions import at_least, at_most
from causaltest.cli import main
from causaltest.cli.bundle_review import with_page
from causaltest.cli.proofs import Tried
from causaltest.effect import Effect
from causaltest.errors import RecordError, Tampered
from causaltest.recording.baseline import (
    Baseline,
    baseline_file,
    baseline_from_bytes,
    baseline_to_bytes,
    write_baseline,
)
from causaltest.recording.bundle import EFFECTS, MANIFEST, PAGE, Bundle, bundle_of, packed, read_bundle
from causaltest.recording.fingerprint import fingerprint
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.zipped import unzipped, zipped
from causaltest.rejudged import rejudged
from causaltest.reporting.bundle_page import page as made_page
from causaltest.results import Family, Known
from causaltest.reviewed import Review, reviewed
from causaltest.session import decide
from causaltest.writing.canonical import canonical, digest_of

NAMES = (MANIFEST, "claims.lock", "claims.ledger", EFFECTS, PAGE)
STRONG, WEAK = Simulated(0.9), Simulated(0.05)

CLAIMS: dict[str, tuple[Any, Simulated, dict[str, Any]]] = {
    "t.py::plain": (claim_with(change, at_least(0.5)), STRONG, {"pairs": IID}),
    "t.py::refuted": (claim_with(change, at_least(0.5), sentence="It <b>matters</b>."), WEAK, {"pairs": CLUSTERED}),
    "t.py::looks": (claim_with(change, at_least(0.5), rule="obrien-fleming"), STRONG, {"pairs": IID, "layer": 5}),
    "t.py::anytime": (claim_with(change, at_least(0.5), rule="anytime"), STRONG, {"pairs": IID, "layer": 6}),
    "t.py::order": (claim_with(layers, monotone([1, 3, 5, 7])), WEAK, {"pairs": IID, "metric": RANGED}),
    "t.py::variants": (
        claim_with(change, at_most(0.5), axes={"layer": [2, 4], "metric": [accuracy, RANGED]}, share=0.5),
        WEAK,
        {"pairs": IID},
    ),
    "t.py::broken": (claim_with(change, at_least(0.5)), Simulated(0.9, broken=8), {"pairs": IID, "layer": 8}),
    "t.py::later": (claim_with(change, at_least(0.5)), STRONG, {"pairs": IID, "layer": 9}),
}
UNREGISTERED, NOT_YET = "t.py::anytime", "t.py::later"


def known_as(id: str, folder: Path, seed: str = "7") -> Known:
    return Known(
        id,
        id,
        Family("t.py", len(CLAIMS)),
        seed,
        record=Record(folder),
        record_id=id,
        record_family="t.py",
    )


def look_at(id: str, folder: Path, seed: str = "7") -> None:
    """Measures a claim and writes the look down, and saves its effects."""
    claim, backend, more = CLAIMS[id]
    known = known_as(id, folder, seed)
    decide(claim, {"lab": Lab(name=backend.model, backend=backend, seed=seed), **more}, known)  # type: ignore[arg-type]
    judged = judged_in(claim, backend, known, **more)
    file = baseline_file(folder)
    before = baseline_from_bytes(file.read_bytes()) if file.exists() else Baseline({})
    spec = spec_with(claim, judged, known, id=id)
    write_baseline(file, before.with_claims([saved_of(judged, spec.fields, seed, id=id)]))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lock that is committed, and a look at all claims but one."""
    folder = tmp_path_factory.mktemp("recorded") / "claims"
    folder.mkdir()
    candidates = []
    for id, (claim, backend, more) in CLAIMS.items():
        if id != UNREGISTERED:
            known = known_as(id, folder)
            candidates.append(Candidate(spec_with(claim, judged_in(claim, backend, known, **more), known, id=id)))
    register(Record(folder), candidates)
    commit(repository(folder))
    for id in CLAIMS:
        if id != NOT_YET:
            look_at(id, folder)
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(recorded, tmp_path / "claims"))


@pytest.fixture(scope="module")
def whole(recorded: Path) -> Bundle:
    return bundle_of(recorded, baseline="baseline")


def of(review: Review, id: str) -> Any:
    (look,) = [look for look in review.looks if look.claim == id]
    return look


def test_every_look_of_every_kind_is_judged_again_and_stands(whole: Bundle) -> None:
    review = reviewed(whole)
    assert review.problems == ()
    assert [look.claim for look in review.looks] == sorted(set(CLAIMS) - {NOT_YET})
    assert {look.judged for look in review.looks} == {"the same"}
    assert all(look.stands for look in review.looks) and review.complete and not review.tampered
    assert review.not_looked_at == (NOT_YET,)
    assert of(review, "t.py::plain").status == "CONFIRMATORY"
    assert of(review, "t.py::refuted").verdict == "REFUTED"
    assert of(review, "t.py::broken").verdict == "INVALID"
    assert of(review, UNREGISTERED).status == "EXPLORATORY"


def test_the_same_record_makes_the_same_bytes_and_reads_back(whole: Bundle, tmp_path: Path) -> None:
    data = packed(replace(whole, page=b"a page"))
    assert data == packed(replace(whole, page=b"a page"))
    file = tmp_path / "claims.zip"
    file.write_bytes(data)
    again = read_bundle(file)
    assert packed(again) == data
    assert again.committed.commit == whole.committed.commit != ""
    assert again.effects.claims.keys() == set(CLAIMS) - {NOT_YET, "t.py::broken"}


def test_no_prompt_is_in_it(whole: Bundle) -> None:
    data = packed(whole)
    for pair in (*IID, *CLUSTERED):
        assert f'"{pair.clean}"'.encode() not in data


# what was changed


def lines_of(bundle: Bundle) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bundle.ledger_text.splitlines()]


def chained(bundle: Bundle, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Bundle:
    """The bundle of somebody who has changed lines and has computed all hashes of the ledger anew."""
    made: list[str] = []
    previous = ""
    for line in lines_of(bundle):
        told = {**change(line), "previous": previous}
        told.pop("hash")
        previous = digest_of(told)
        made.append(f"{canonical({**told, 'hash': previous})}\n")
    return replace(bundle, ledger_text="".join(made).encode())


def with_effects(bundle: Bundle, id: str, change: Callable[[Any], Any]) -> Bundle:
    saved = bundle.effects.claims[id]
    return replace(bundle, effects=bundle.effects.with_claims([change(saved)]))


def moved(saved: Any) -> Any:
    """One value of one pair, moved."""
    ((name, effect),) = saved.effects
    numbers = effect.measured
    values = (1.0 - numbers.values[0], *numbers.values[1:])
    return replace(saved, effects=((name, Effect(effect.question, replace(numbers, values=values))),))


def test_a_value_that_was_moved_is_told(whole: Bundle) -> None:
    review = reviewed(with_effects(whole, "t.py::plain", moved))
    assert review.tampered
    assert "t.py::plain: the effects in the bundle are those of no look" in " ".join(review.problems)


def test_a_spec_that_is_not_the_looks_is_told(whole: Bundle) -> None:
    spec = {**whole.effects.claims["t.py::plain"].spec, "sentence": "It matters more."}
    assert reviewed(with_effects(whole, "t.py::plain", lambda saved: replace(saved, spec=spec))).tampered


def test_effects_of_another_claim_are_told(whole: Bundle) -> None:
    others = whole.effects.claims["t.py::looks"].effects
    assert reviewed(with_effects(whole, "t.py::plain", lambda saved: replace(saved, effects=others))).tampered


def test_how_a_sequential_claim_was_played_cannot_be_changed(whole: Bundle) -> None:
    played = {**whole.effects.claims["t.py::looks"].played, "units": [[1, 60]]}
    assert reviewed(with_effects(whole, "t.py::looks", lambda saved: replace(saved, played=played))).tampered


@pytest.mark.parametrize(
    ("id", "field", "value"),
    [
        ("t.py::plain", "verdict", "REFUTED"),
        ("t.py::plain", "lower", "0.91"),
        ("t.py::refuted", "verdict", "SUPPORTED"),
        ("t.py::order", "verdict", "SUPPORTED"),
        ("t.py::variants", "estimate", "0.7"),
        ("t.py::broken", "verdict", "SUPPORTED"),
        ("t.py::looks", "n", 60),
        ("t.py::order", "seed", "8"),
        ("t.py::plain", "data", "0" * 64),
    ],
)
def test_a_verdict_in_a_ledger_whose_hashes_were_computed_anew_is_told(whole: Bundle, id: str, field: str, value: Any):
    def change(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, field: value} if line.get("claim") == id else line

    review = reviewed(chained(whole, change))
    assert review.tampered
    told = " ".join([*review.problems, *(p for look in review.looks for p in look.problems)])
    assert id in told


@pytest.mark.parametrize("status", ["CONFIRMATORY", "REPLICATION", "REPRODUCED", "AMENDED", "PROVEN"])
def test_a_status_that_the_record_does_not_give_is_told(whole: Bundle, status: str) -> None:
    def change(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "status": status} if line.get("claim") == UNREGISTERED else line

    review = reviewed(chained(whole, change))
    assert review.tampered
    assert any(status in problem for look in review.looks for problem in look.problems)


def test_a_second_look_is_not_the_confirming_one(folder: Path) -> None:
    look_at("t.py::plain", folder, seed="8")
    bundle = bundle_of(folder, baseline="baseline")
    review = reviewed(bundle)
    assert not review.tampered
    first, second = [look for look in review.looks if look.claim == "t.py::plain"]
    assert (first.status, second.status) == ("CONFIRMATORY", "EXPLORATORY")
    assert first.stands and second.stands

    def change(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "status": "CONFIRMATORY"} if line.get("seed") == "8" else line

    assert reviewed(chained(bundle, change)).tampered


def test_a_claim_is_known_by_the_look_that_confirmed_it(folder: Path) -> None:
    look_at("t.py::plain", folder, seed="8")
    look_at(UNREGISTERED, folder, seed="8")
    review = reviewed(replace(bundle_of(folder, baseline="baseline"), effects=Baseline({})))
    assert of(review, "t.py::plain").status == "CONFIRMATORY"
    assert of(review, UNREGISTERED).at == lines_of(bundle_of(folder, baseline="baseline"))[-1]["at"]


def test_a_line_that_was_taken_out_is_told(whole: Bundle) -> None:
    first, *others = whole.ledger_text.splitlines(keepends=True)
    assert reviewed(replace(whole, ledger_text=b"".join(others))).tampered
    assert first


def test_a_lock_that_was_edited_is_told(whole: Bundle) -> None:
    edited = whole.lock_text.replace(b'"threshold":"0.5"', b'"threshold":"0.2"', 1)
    assert edited != whole.lock_text
    assert reviewed(replace(whole, lock_text=edited)).tampered


def test_effects_that_are_not_there_leave_a_verdict_unchecked(whole: Bundle) -> None:
    claims = {id: saved for id, saved in whole.effects.claims.items() if id != "t.py::plain"}
    review = reviewed(replace(whole, effects=replace(whole.effects, claims=claims)))
    assert not review.tampered and not review.complete
    assert of(review, "t.py::plain").judged == "no effects"
    assert [look.claim for look in review.looks if not look.stands] == ["t.py::plain"]


def test_effects_of_another_run_are_not_packed(folder: Path) -> None:
    file = baseline_file(folder)
    saved = baseline_from_bytes(file.read_bytes())
    write_baseline(file, saved.with_claims([moved(saved.claims["t.py::plain"])]))
    bundle = bundle_of(folder, baseline="baseline")
    assert "t.py::plain" not in bundle.effects.claims
    assert of(reviewed(bundle), "t.py::plain").judged == "no effects"


# the file


def changed(data: bytes, tmp_path: Path, change: Callable[[dict[str, bytes]], Mapping[str, bytes]]) -> Path:
    file = tmp_path / "claims.zip"
    file.write_bytes(data)
    file.write_bytes(zipped(change(unzipped(file, NAMES))))
    return file


@pytest.mark.parametrize("name", [name for name in NAMES if name != MANIFEST])
def test_a_part_that_was_changed_or_taken_out_is_told(whole: Bundle, tmp_path: Path, name: str) -> None:
    data = packed(replace(whole, page=b"a page"))
    file = changed(data, tmp_path, lambda files: {**files, name: files[name] + b" "})
    with pytest.raises(Tampered, match=f"{name} is not the one"):
        read_bundle(file)
    file = changed(data, tmp_path, lambda files: {n: part for n, part in files.items() if n != name})
    with pytest.raises(Tampered, match=f"{name} was taken out"):
        read_bundle(file)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (None, "it has no manifest"),
        (b"{", "is no JSON"),
        (b"[]", 'does not say "format"'),
        (b'{"format": "causaltest bundle", "version": 2}', "Update causaltest"),
        (b'{"format": "causaltest bundle", "version": 1}', "lacks 'files'"),
        (b'{"format": "causaltest bundle", "version": 1, "files": 3}', "lacks"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_bundle_is_refused(whole: Bundle, tmp_path: Path, manifest: bytes | None, told: str) -> None:
    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        others = {name: part for name, part in files.items() if name != MANIFEST}
        return others if manifest is None else {**others, MANIFEST: manifest}

    with pytest.raises(RecordError, match=told):
        read_bundle(changed(packed(whole), tmp_path, change))


@given(
    name=st.sampled_from(["lock_text", "ledger_text", "effects"]),
    place=st.integers(0, 1 << 40),
    flipped=st.integers(1, 255),
)
@settings(max_examples=25, deadline=None)
def test_any_bytes_in_a_part_are_told_or_refused(whole: Bundle, name: str, place: int, flipped: int) -> None:
    """Whoever has changed a byte and written the manifest anew gets no review in which all stands."""
    text = bytearray(baseline_to_bytes(whole.effects) if name == "effects" else getattr(whole, name))
    place %= len(text)
    assume(not (text[place : place + 1].isspace() and bytes([text[place] ^ flipped]).isspace()))  # JSON says the same
    text[place] ^= flipped
    try:
        part = baseline_from_bytes(bytes(text)) if name == "effects" else bytes(text)
        review = reviewed(replace(whole, **{name: part}))
    except RecordError:
        return
    assert review.tampered or not review.complete


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=4
)


@given(line=st.integers(0, 6), field=st.integers(0, 99), value=ANYTHING)
@settings(max_examples=25, deadline=None)
def test_anything_in_a_line_is_told_or_refused(whole: Bundle, line: int, field: int, value: Any) -> None:
    """Whoever knows how hashes are computed cannot make it fall over either."""
    place = iter(range(len(lines_of(whole))))

    def change(given: dict[str, Any]) -> dict[str, Any]:
        name = sorted(given)[field % len(given)]
        return {**given, name: value} if next(place) == line else given

    try:
        reviewed(chained(whole, change))
    except RecordError as error:
        assert str(error)


@given(field=st.integers(0, 99), value=ANYTHING)
@settings(max_examples=12, deadline=None)
def test_anything_in_a_saved_spec_is_told_or_refused(whole: Bundle, field: int, value: Any) -> None:
    saved = whole.effects.claims[UNREGISTERED]
    spec = {**saved.spec, sorted(saved.spec)[field % len(saved.spec)]: value}
    hashed = chained(
        with_effects(whole, UNREGISTERED, lambda saved: replace(saved, spec=spec)),
        lambda line: {**line, "spec": digest_of(spec)} if line.get("claim") == UNREGISTERED else line,
    )
    try:
        with_page(reviewed(hashed), hashed)
    except RecordError as error:
        assert str(error)


# the commands


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_a_bundle_is_packed_and_verified_by_command(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "it.zip"
    result = run("bundle", str(folder), "-o", str(file))
    assert result.exit_code == 0, result.output
    assert "wrote " in result.output and "SHA-256" in result.output
    result = run("verify", str(file))
    assert result.exit_code == 0, result.output
    assert "holds: the verdict, hashes and status of 7 looks stand." in result.output
    assert "Only git can show" in result.output
    told = json.loads(run("verify", str(file), "--json").output)
    assert told["holds"] and len(told["looks"]) == 7
    page = unzipped(file, NAMES)[PAGE].decode()
    assert "It &lt;b&gt;matters&lt;/b&gt;." in page and "<script" not in page and "http" not in page


def test_no_torch_is_loaded_to_judge_again(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "it.zip"
    run("bundle", str(folder), "-o", str(file))
    code = (
        "import sys; from causaltest.cli.bundle_review import verify_bundle; from pathlib import Path; "
        "status = verify_bundle(Path(sys.argv[1])); "
        "sys.exit(status or len({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_time_stamp_is_asked_of_the_lock_in_the_bundle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def tried(proofs: Any, lock: Path, **_: Any) -> list[Tried]:
        asked.append(lock.read_bytes())
        return [Tried(str(proof), "DOES NOT HOLD", ("It is of another file.",)) for proof in proofs]

    monkeypatch.setattr("causaltest.cli.verify.tried_proofs", tried)
    file, proof = tmp_path / "it.zip", tmp_path / "it.tsr"
    proof.write_bytes(b"")
    run("bundle", str(folder), "-o", str(file))
    result = run("verify", str(file), "--proof", str(proof))
    assert result.exit_code == 1 and "DOES NOT HOLD" in result.output
    assert asked == [(folder / "claims.lock").read_bytes()]
    assert not json.loads(run("verify", str(file), "--proof", str(proof), "--json").output)["proofs"][0]["holds"]


def test_a_tampered_bundle_ends_with_3_and_an_unreadable_one_with_1(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "it.zip"
    run("bundle", str(folder), "-o", str(file))
    data = file.read_bytes()
    changed(data, tmp_path, lambda files: {**files, PAGE: b"another page"}).rename(file)
    result = run("verify", str(file))
    assert result.exit_code == 3 and "TAMPERED" in result.output
    file.write_bytes(data[:200])
    result = run("verify", str(file))
    assert result.exit_code == 1 and "cannot be read as a ZIP" in result.output


def test_what_steers_a_terminal_or_a_page_is_shown_as_a_question_mark(whole: Bundle, tmp_path: Path) -> None:
    odd = whole.lock_text.replace(b"It matters.", rb"\u202eIt \u001bmatters.")
    page = made_page(replace(whole, lock_text=odd))
    assert "?It ?matters." in page and "\u202e" not in page and "\x1b" not in page
    lines = [{**line, "claim": "a\x1b[2Jb"} if line["claim"] == UNREGISTERED else line for line in lines_of(whole)]
    ledger = "".join(f"{canonical(line)}\n" for line in lines).encode()
    file = tmp_path / "it.zip"
    file.write_bytes(packed(replace(whole, ledger_text=ledger)))
    output = run("verify", str(file)).output
    assert "a?[2Jb" in output and "\x1b" not in output


def test_a_page_that_is_not_of_the_record_is_told(whole: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "it.zip"
    file.write_bytes(packed(replace(whole, page=b"<p>All claims were confirmed.</p>")))
    result = run("verify", str(file))
    assert result.exit_code == 1 and "page.html is not the page" in result.output
    assert "holds as far as it could be checked" in result.output


def test_what_was_not_saved_is_named_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "baselines")
    file = tmp_path / "it.zip"
    result = run("bundle", str(folder), "-o", str(file))
    assert result.exit_code == 1 and file.exists()
    assert "--causal-save" in result.output and "t.py::plain" in result.output
    assert run("verify", str(file)).exit_code == 1


def test_a_name_that_nothing_was_saved_under_is_told_with_those_that_are(folder: Path, tmp_path: Path) -> None:
    result = run("bundle", str(folder), "-o", str(tmp_path / "it.zip"), "--from", "last")
    assert result.exit_code == 1 and "saved are: baseline." in result.output
    assert not (tmp_path / "it.zip").exists()


def test_a_record_that_does_not_hold_is_not_packed(folder: Path, tmp_path: Path) -> None:
    ledger = folder / "claims.ledger"
    ledger.write_text(ledger.read_text().replace("SUPPORTED", "REFUTED", 1))
    file = tmp_path / "it.zip"
    result = run("bundle", str(folder), "-o", str(file))
    assert result.exit_code == 3 and not file.exists()


def test_a_folder_without_a_lock_says_how_to_get_one(tmp_path: Path) -> None:
    result = run("bundle", str(tmp_path), "-o", str(tmp_path / "it.zip"))
    assert result.exit_code == 1 and "causaltest register" in result.output


def test_the_fingerprint_in_the_ledger_is_that_of_the_saved_effects(whole: Bundle) -> None:
    told = {line["claim"]: line["effects"] for line in lines_of(whole)}
    for id, saved in whole.effects.claims.items():
        assert told[id] == fingerprint(saved.effects, saved.played)
        assert rejudged(saved).outcome == saved.told["verdict"]
    assert told["t.py::broken"] == ""
