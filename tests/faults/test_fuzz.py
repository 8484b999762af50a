"""Mutated files, read as a command would: nothing but causaltest's own errors, and none takes long. The long form is
benchmarks/faults/fuzz.py."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.faults.fuzz import SLOW_S
from benchmarks.faults.good_files import seed
from benchmarks.faults.mutation import mutated
from benchmarks.faults.parsers import PARSERS, Parser, read_once

FILES = 60
"""Of each parser; the same ones in every run."""


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_mutated_file_is_read_or_refused_with_a_sentence(parser: Parser) -> None:
    if parser.name == "parquet":
        pytest.importorskip("pyarrow")
    seeds = parser.seeds()
    for good in seeds:
        read_once(parser, good)

    @settings(
        max_examples=FILES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), st.integers(0, 2**32))
    def check(good: bytes, number: int) -> None:
        data = good[:1] + mutated(good[1:], number)
        began = time.process_time()
        read_once(parser, data)
        assert time.process_time() - began < SLOW_S

    check()


def test_what_the_fuzzer_calls_a_find_is_one() -> None:
    """A parser that lets another error through, which the check above would tell."""

    def careless(data: bytes, folder: object) -> object:
        return {b"a": 1}[data]

    with pytest.raises(KeyError):
        read_once(Parser("careless", "careless", list, careless), b"b")


def test_mutations_are_the_same_for_a_seed_and_differ_from_the_good_file() -> None:
    good = seed("claims.lock")
    made = {number: mutated(good, number) for number in range(50)}
    assert made == {number: mutated(good, number) for number in range(50)}
    assert sum(data == good for data in made.values()) < 5
