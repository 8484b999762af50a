"""Baselines: what was measured comes back to the last bit, the same claims give the same bytes, bad files are told."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.effect import (
    Controls,
    Effect,
    Elsewhere,
    Exclusion,
    FullComponent,
    Numbers,
    PositiveControl,
    SelfPatch,
    Waived,
)
from causaltest.effects import Effects
from causaltest.errors import RecordError
from causaltest.recording.baseline import (
    Baseline,
    baseline_file,
    baseline_from_bytes,
    baseline_to_bytes,
    read_baseline,
    write_baseline,
)
from causaltest.recording.saved import SavedClaim
from causaltest.writing.plain_effects import Recorded
from causaltest.writing.tensors import Tensors, tensors_from_bytes, tensors_to_bytes

ANY_NAN = st.integers(0x7FF8000000000000, 0x7FFFFFFFFFFFFFFF).map(
    lambda b: struct.unpack("<d", struct.pack("<Q", b))[0]
)
NUMBER = st.floats() | ANY_NAN
TEXT = st.text(max_size=6) | st.sampled_from(["$array", "$map", "\ud800", "\0", "a/b", "__metadata__"])
SIZE = st.floats(0, 1e300)


def bits(data: object) -> object:
    """Anything as a form in which NaN equals itself and 0.0 is not -0.0."""
    if isinstance(data, float):
        return struct.pack("<d", data)
    if dataclasses.is_dataclass(data):
        return type(data).__name__, [bits(getattr(data, f.name)) for f in dataclasses.fields(data)]
    if isinstance(data, dict):
        return {key: bits(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return ["list" if isinstance(data, list) else "tuple", *map(bits, data)]
    return data


def row(n: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(NUMBER, min_size=n, max_size=n).map(tuple)


@st.composite
def effects(draw: st.DrawFn, n: int | None = None, kind: str | None = None) -> Effect:
    n = draw(st.integers(0, 4)) if n is None else n
    kind = kind or draw(st.sampled_from(["binary", "continuous", "ratio"]))
    waived = TEXT.filter(str.strip).map(Waived)
    ids = tuple(f"{draw(TEXT)}{i}" for i in range(n))
    controls = Controls(
        self_patch=draw(st.none() | waived | st.builds(SelfPatch, NUMBER, NUMBER)),
        placebo=draw(st.none() | waived | row(n)),
        positive=draw(st.none() | waived | st.builds(PositiveControl, NUMBER, NUMBER, TEXT)),
        distance=draw(st.none() | row(n)),
        full=draw(st.none() | st.builds(FullComponent, NUMBER, NUMBER, TEXT)),
        elsewhere=tuple(draw(st.lists(st.builds(Elsewhere, TEXT, row(n), row(n)), max_size=2))),
    )
    numbers = Numbers(
        values=draw(row(n)),
        pair_ids=ids,
        clusters=draw(st.none() | st.lists(TEXT, min_size=n, max_size=n).map(tuple)),
        kind=kind,
        range=draw(st.none() | row(2)),
        denominators=draw(row(n)) if kind == "ratio" else None,
        controls=controls,
        clipped=draw(NUMBER),
        rounding=draw(SIZE),
        pairs_total=draw(st.integers(0, 99)),
        excluded=tuple(draw(st.lists(st.builds(Exclusion, TEXT, TEXT), max_size=2))),
        references=draw(st.dictionaries(TEXT, row(n), max_size=2)),
        provenance=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        estimated_by=draw(st.none() | TEXT),
        seen=tuple(draw(st.lists(TEXT, max_size=2))),
    )
    canonical = st.dictionaries(TEXT, st.integers() | TEXT | st.lists(TEXT, max_size=2), max_size=2)
    return Effect(draw(st.none() | st.builds(Recorded, TEXT, TEXT, canonical)), numbers)


@st.composite
def orders(draw: st.DrawFn) -> Effects:
    """Several effects of the same pairs by names of every kind."""
    first = draw(effects(2, "continuous"))
    name = st.integers() | TEXT | st.tuples(st.integers(0, 9), st.integers(0, 9)) | st.tuples(TEXT, st.floats(0, 1))
    members = {
        name: Effect(draw(st.none() | st.just(first.question)), dataclasses.replace(first.measured, values=values))
        for name, values in draw(st.dictionaries(name, row(2), min_size=1, max_size=3)).items()
    }
    return Effects(members)


PLAIN = st.dictionaries(TEXT, st.none() | st.integers(-9, 9) | TEXT | st.floats(allow_nan=False, allow_infinity=False))
CLAIMS = st.lists(
    st.builds(
        SavedClaim,
        id=TEXT,
        spec=PLAIN,
        seed=TEXT,
        told=PLAIN,
        effects=st.lists(st.tuples(TEXT, effects() | orders()), max_size=3).map(tuple),
        played=st.none() | PLAIN,
        margin=st.none() | st.floats(0, 9),
    ),
    max_size=3,
    unique_by=lambda claim: claim.id,
)


@settings(max_examples=30, deadline=None)
@given(CLAIMS)
def test_claims_come_back_to_the_last_bit(claims):
    baseline = Baseline({claim.id: claim for claim in claims})
    again = baseline_from_bytes(baseline_to_bytes(baseline))
    assert bits(dict(again.claims)) == bits(dict(baseline.claims))
    assert again.versions == baseline.versions


@settings(max_examples=15, deadline=None)
@given(CLAIMS)
def test_the_same_claims_in_any_order_give_the_same_bytes(claims):
    one, other = (Baseline({c.id: c for c in order}) for order in (claims, reversed(claims)))
    assert baseline_to_bytes(one) == baseline_to_bytes(other)
    assert baseline_to_bytes(baseline_from_bytes(baseline_to_bytes(one))) == baseline_to_bytes(one)


def saved(id: str = "a", *values: float, **more: object) -> SavedClaim:
    effect = Effect.from_values(values or (0.25, 0.5), kind="continuous", iid=True, placebo=Waived("a test"))
    return SavedClaim(id, {"sentence": "It holds."}, "0", {"verdict": "SUPPORTED"}, (("", effect),), **more)


def test_a_file_is_written_and_read(tmp_path):
    file = baseline_file(tmp_path)
    assert file == tmp_path / "baselines" / "baseline.safetensors"
    write_baseline(file, Baseline({"a": saved()}))
    assert bits(read_baseline(file).claims["a"]) == bits(saved())
    assert os.listdir(file.parent) == [file.name]
    with pytest.raises(FileNotFoundError):
        read_baseline(baseline_file(tmp_path, "other"))


def test_claims_are_added_and_replaced_and_the_others_stay():
    old = Baseline({"a": saved("a", 0.1), "b": saved("b", 0.2)}, {"causaltest": "0"})
    new = old.with_claims([saved("b", 0.3), saved("c", 0.4)])
    assert {id: claim.effects[0][1].measured.values for id, claim in new.claims.items()} == {
        "a": (0.1,),
        "b": (0.3,),
        "c": (0.4,),
    }
    assert new.versions != old.versions


def test_other_readers_of_safetensors_open_it(tmp_path):
    from safetensors import safe_open

    file = baseline_file(tmp_path)
    write_baseline(file, Baseline({"a": saved("a", 0.25, 0.5, 1.0)}))
    with safe_open(file, "numpy") as opened:
        arrays = {name: opened.get_tensor(name).tolist() for name in opened.keys()}
        claims = json.loads(opened.metadata()["causaltest"])["claims"]
    assert arrays == {"a/0/1/numbers/values": [0.25, 0.5, 1.0]}
    assert claims[0]["spec"] == {"sentence": "It holds."}


def test_numbers_that_many_claims_share_are_kept_once():
    one, many = (Baseline({f"{i}": saved(f"{i}", *range(1000)) for i in range(n)}) for n in (1, 9))
    assert len(baseline_to_bytes(many)) < len(baseline_to_bytes(one)) + 8 * 1000


def test_numbers_that_are_equal_and_not_the_same_are_kept_apart():
    zeros = {"a": saved("a", 0.0, 1.0), "b": saved("b", -0.0, 1.0)}
    assert bits(dict(baseline_from_bytes(baseline_to_bytes(Baseline(zeros))).claims)) == bits(zeros)


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    file = baseline_file(tmp_path)
    write_baseline(file, Baseline({"a": saved()}))
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_baseline(file, Baseline({"b": saved("b")}))
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def written(header: dict, arrays: dict | None = None) -> bytes:
    return tensors_to_bytes(Tensors(json.dumps(header), arrays or {}))


WHOLE = {"format": 1, "versions": {"causaltest": "9.9"}, "texts": [], "claims": []}
PLAIN_CLAIM = {"id": "a", "spec": {}, "seed": "0", "told": {}, "effects": [], "played": None, "margin": None}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no safetensors file"),
        (b"{}", "no safetensors file"),
        (b"\xff" * 40, "no safetensors file"),
        (pickle.dumps({"a": 1}), "no safetensors file"),
        ((5).to_bytes(8, "little") + b"[[[[[", "no JSON"),
        ((2).to_bytes(8, "little") + b"[]", "no object"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"),
        ((2).to_bytes(8, "little") + b"{}", "something else"),
        (written({}), "no claims"),
        (written([1]), "no claims"),
        (written({**WHOLE, "format": 2}), r"newer causaltest \(9.9\).*Update"),
        (written({**WHOLE, "claims": [PLAIN_CLAIM, PLAIN_CLAIM]}), "two claims with one id"),
        (written({**WHOLE, "claims": [{**PLAIN_CLAIM, "id": 3}]}), "no claims"),
        (written({**WHOLE, "claims": [{**PLAIN_CLAIM, "effects": [["", {"$array": "x"}]]}]}), "no claims"),
        (tensors_to_bytes(Tensors("[" * 200_000, {})), "no claims"),
    ],
)
def test_a_file_that_is_no_baseline_is_told(tmp_path, data, told):
    file = tmp_path / "b.safetensors"
    file.write_bytes(data)
    with pytest.raises(RecordError, match=told) as raised:
        read_baseline(file)
    assert str(file) in str(raised.value)


def test_an_effect_with_lengths_that_do_not_fit_is_refused():
    data = baseline_to_bytes(Baseline({"a": saved("a", 0.25, 0.5)}))
    tensors = tensors_from_bytes(data, "it")
    for arrays in ({name: (0.5,) for name in tensors.arrays}, {}):
        with pytest.raises(RecordError, match="no claims"):
            baseline_from_bytes(tensors_to_bytes(Tensors(tensors.text, arrays)))
    wrong = tensors.text.replace('"rounding":0.0', '"rounding":-1.0')
    assert wrong != tensors.text
    with pytest.raises(RecordError, match="no claims"):
        baseline_from_bytes(tensors_to_bytes(Tensors(wrong, tensors.arrays)))
    odd = tensors.text.replace('"continuous"', '"ratio"')
    with pytest.raises(RecordError, match="no claims"):
        baseline_from_bytes(tensors_to_bytes(Tensors(odd, tensors.arrays)))


def test_every_changed_byte_of_the_numbers_or_the_text_is_seen():
    data = baseline_to_bytes(Baseline({"a": saved("a", 0.25, 0.5)}))
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            again = baseline_from_bytes(bytes(changed))
        except RecordError:
            continue
        # A name in the header may change without changing what is read.
        assert bits(again.claims["a"]) == bits(saved("a", 0.25, 0.5))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_cut_or_changed_anywhere_is_refused_or_the_same(data):
    whole = baseline_to_bytes(Baseline({"a": saved("a", 0.25, 0.5), "b": saved("b", 0.25, 0.75)}))
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    changed = whole[:start] + data.draw(st.binary(max_size=9)) + whole[stop:]
    try:
        again = baseline_from_bytes(changed)
    except RecordError:
        return
    assert bits(dict(again.claims)) == bits({"a": saved("a", 0.25, 0.5), "b": saved("b", 0.25, 0.75)})


def test_a_small_file_that_names_one_array_many_times_stays_small():
    """As many references as would fill the memory if each were a copy."""
    effect = Effect.from_values([0.5] * 20_000, kind="continuous", iid=True)
    data = baseline_to_bytes(Baseline({"a": SavedClaim("a", {}, "0", {}, (("", effect),))}))
    tensors = tensors_from_bytes(data, "it")
    header = json.loads(tensors.text)
    header["claims"][0]["effects"] *= 1000
    tracemalloc.start()
    again = baseline_from_bytes(tensors_to_bytes(Tensors(json.dumps(header), tensors.arrays)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(again.claims["a"].effects) == 1000
    assert peak < 1 << 25


def test_a_folder_and_what_cannot_be_opened_are_told(tmp_path):
    with pytest.raises(RecordError, match="cannot be read"):
        read_baseline(tmp_path)


def test_a_file_beyond_the_bound_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "b.safetensors"
    write_baseline(file, Baseline({"a": saved()}))
    monkeypatch.setattr("causaltest.recording.baseline.LARGEST", 10)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    with pytest.raises(RecordError, match="at most 10"):
        read_baseline(file)
    with pytest.raises(RecordError, match="at most 10"):
        write_baseline(file, Baseline({"a": saved()}))
