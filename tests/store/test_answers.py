"""Answers come back from an entry to the last bit, in the same order, and damaged ones are told from errors."""

from __future__ import annotations

import math
import struct
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest import Pair, Pairs, accuracy, last, resid_post
from causaltest.asking.experiment import Experiment, Patching
from causaltest.clean_runs import CleanRun, CleanRuns
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
from causaltest.errors import ClaimError, MeasurementError, ModelError, NothingEligible, PositionError
from causaltest.store.answers import (
    clean_of,
    effect_of,
    map_of,
    plain_clean,
    plain_effect,
    plain_error,
    plain_map,
    read,
    written,
)
from causaltest.store.entry import Entry, entry_from_bytes, entry_to_pieces
from causaltest.sweep import PerPair, SweepMap
from causaltest.writing.raw_tensors import Damaged

KEY = "0" * 64
PAIRS = Pairs([Pair("a b", "a c", " x", " y")], iid=True)
EXPERIMENT = Experiment(Patching("model", "denoise", PAIRS, (resid_post(1, last()),)), "recovery", accuracy)

numbers = st.floats(width=64)
real = st.floats(0, 1e300)
names = st.text(max_size=6)
reasons = names.filter(str.strip).map(Waived)


@st.composite
def effects(draw) -> Effect:
    n = draw(st.integers(0, 4))
    many = st.tuples(*[numbers] * n)
    kind = draw(st.sampled_from(["binary", "continuous", "ratio"]))
    controls = Controls(
        self_patch=draw(st.none() | reasons | st.builds(SelfPatch, numbers, numbers)),
        placebo=draw(st.none() | reasons | many),
        positive=draw(st.none() | reasons | st.builds(PositiveControl, numbers, numbers, names)),
        distance=draw(st.none() | many),
        full=draw(st.none() | st.builds(FullComponent, numbers, numbers, names)),
        elsewhere=tuple(draw(st.lists(st.builds(Elsewhere, names, many, many), max_size=2))),
    )
    measured = Numbers(
        values=draw(many),
        pair_ids=draw(st.tuples(*[names] * n)),
        clusters=draw(st.none() | st.tuples(*[names] * n)),
        kind=kind,
        range=draw(st.none() | st.tuples(numbers, numbers)),
        denominators=draw(many) if kind == "ratio" else None,
        controls=controls,
        clipped=draw(numbers),
        rounding=draw(real),
        pairs_total=draw(st.integers(0, 10**6)),
        excluded=tuple(draw(st.lists(st.builds(Exclusion, names, names), max_size=3))),
        references=draw(st.dictionaries(names, many, max_size=3)),
        provenance=draw(st.dictionaries(names, names, max_size=4)),
        estimated_by=draw(st.none() | names),
        seen=tuple(draw(st.lists(names, max_size=2))),
    )
    return Effect(EXPERIMENT, measured)


def bits(value: object) -> object:
    """A value as something that is equal only to the same bits, of the same types, in the same order."""
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    if is_dataclass(value):
        return (type(value).__name__, [(f.name, bits(getattr(value, f.name))) for f in fields(value)])
    if isinstance(value, float):
        return ("float", struct.pack("<d", value) if not math.isnan(value) else "nan")
    if isinstance(value, dict):
        return ("dict", [(name, bits(item)) for name, item in value.items()])
    if isinstance(value, tuple):
        return ("tuple", [bits(item) for item in value])
    return (type(value).__name__, value)


def through_a_file(entry: Entry) -> Entry:
    return entry_from_bytes(b"".join(bytes(piece) for piece in entry_to_pieces(entry, "effects", KEY)), "effects", KEY)


@given(effects())
def test_an_effect_comes_back_to_the_last_bit_and_in_its_order(effect):
    found = read(through_a_file(written(plain_effect(effect))), lambda plain: effect_of(plain, EXPERIMENT))
    assert found.question is EXPERIMENT
    assert bits(found.numbers) == bits(effect.numbers)


@given(effects())
def test_an_effect_that_was_read_is_written_as_it_was(effect):
    entry = written(plain_effect(effect))
    again = written(plain_effect(read(entry, lambda plain: effect_of(plain, EXPERIMENT))))
    assert list(map(bytes, entry_to_pieces(entry, "effects", KEY))) == list(
        map(bytes, entry_to_pieces(again, "effects", KEY))
    )


@st.composite
def maps(draw) -> SweepMap:
    cells, n = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    per_pair = PerPair(
        values=np.array(draw(st.lists(numbers, min_size=cells * n, max_size=cells * n))).reshape(cells, n),
        pair_ids=draw(st.tuples(*[names] * n)),
        clusters=draw(st.none() | st.tuples(*[names] * n)),
        denominators=draw(st.none() | st.tuples(*[numbers] * n)),
        rounding=draw(numbers),
    )
    return SweepMap(
        summary=draw(names),
        rows=draw(st.tuples(*[names] * cells)),
        columns=(draw(names),),
        estimates=draw(st.tuples(*[numbers] * cells)),
        distances=draw(st.tuples(*[numbers] * cells)),
        n=n,
        pairs_total=draw(st.integers(n, 99)),
        sites=EXPERIMENT.patching.sites * cells,
        estimated_by=draw(st.none() | names),
        per_pair=draw(st.sampled_from([None, per_pair])),
    )


@given(maps())
def test_a_map_comes_back_to_the_last_bit(made):
    entry = through_a_file(written(plain_map(made)))
    assert bits(read(entry, lambda plain: map_of(plain, [EXPERIMENT] * len(made.estimates)))) == bits(made)


runs = st.builds(
    CleanRun,
    *[names] * 6,
    st.lists(names, max_size=3).map(tuple),
    st.none() | names,
    st.lists(names, max_size=2).map(tuple),
)


@given(st.builds(CleanRuns, names, st.lists(runs, max_size=3).map(tuple), names))
def test_clean_runs_come_back(made):
    assert bits(read(through_a_file(written(plain_clean(made))), clean_of)) == bits(made)


@pytest.mark.parametrize(
    "error",
    [
        MeasurementError("A run gave NaN."),
        PositionError("There is no such token."),
        ClaimError(""),
        NothingEligible("None counts.", (("a", "the clean run is wrong"), ("b", "\ud800"))),
        NothingEligible("None was tried."),
    ],
)
def test_an_error_comes_back_as_what_it_was(error):
    found = read(through_a_file(written(plain_error(error))), clean_of)
    assert type(found) is type(error) and str(found) == str(error)
    assert getattr(found, "excluded", None) == getattr(error, "excluded", None)


@pytest.mark.parametrize("error", [ModelError("It is gone."), KeyError("name")])
def test_an_error_that_is_no_answer_is_never_read_as_one(error):
    with pytest.raises(Damaged, match="no answer"):
        read(written(plain_error(error)), clean_of)


def test_an_entry_of_something_else_is_damaged():
    effect = Effect(EXPERIMENT, Numbers((1.0,), ("a",), None, "binary"))
    entry = written(plain_effect(effect))
    with pytest.raises(Damaged, match="no answer"):
        read(entry, clean_of)
    plain = dict(plain_effect(effect)["numbers"], values=[1.0, 2.0])
    with pytest.raises(Damaged, match="one number for each of 1"):
        read(written({"numbers": plain}), lambda plain: effect_of(plain, EXPERIMENT))
    for said in ({}, {"plain": {}}, {"plain": None, "texts": []}, {"plain": {"$texts": 3}, "texts": []}):
        with pytest.raises(Damaged):
            read(Entry(said), clean_of)
