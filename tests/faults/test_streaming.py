"""Many pairs within the budget, in the short form of benchmarks/faults/streaming.py."""

import pytest

from benchmarks.faults import streaming
from causaltest.asking.lab import Lab
from causaltest.asking.settings import Settings
from causaltest.measuring.budget import Budget
from causaltest.measuring.kept_vectors import Room

PAIRS, MEMORY = 2_000, 64 << 20


@pytest.fixture(scope="module")
def problem():
    model, tokenizer = streaming.tiny_model(), streaming.word_tokenizer()
    return model, tokenizer, streaming.drawn(model, tokenizer, 150)


def numbers(problem, memory=1 << 22):
    """Everything that was measured of each effect, and the lab."""
    model, tokenizer, pairs = problem
    lab = Lab(model, tokenizer, settings=Settings(memory=memory, progress=False))
    return [effect.measured for effect in streaming.asked(lab, pairs)], lab


def test_a_run_holds_no_more_than_the_budget():
    """In a process of its own, above what it held with the model and the pairs."""
    held = streaming.measured_alone(PAIRS, MEMORY)
    assert 0 < held.most <= MEMORY
    assert all(0 < estimate <= 1 for estimate in held.estimates)


def test_vectors_in_a_file_give_the_same_bits_and_are_let_go(problem, monkeypatch):
    filed = []
    write = Room.write
    monkeypatch.setattr(Room, "write", lambda room, data: filed.append(len(data)) or write(room, data))
    monkeypatch.setattr(Budget, "for_vectors", property(lambda budget: 1 << 30))
    in_memory, _ = numbers(problem)
    assert not filed
    monkeypatch.setattr(Budget, "for_vectors", property(lambda budget: 0))
    in_a_file, lab = numbers(problem)
    rows = 2 * streaming.POSITIONS * streaming.WIDTH * 4
    # Both runs of every pair, for each of two effects that are measured one after the other.
    assert sum(filed) == 2 * 2 * len(problem[2]) * rows
    assert in_a_file == in_memory
    room = lab.backend.references.room
    assert (room.held, room.filed) == (0, 0)


def test_another_budget_gives_the_same_numbers_to_rounding(problem):
    (small, _), (large, _) = numbers(problem, 1 << 20)[0], numbers(problem, 1 << 30)[0]
    assert small.values == pytest.approx(large.values, abs=1e-4)
    assert small.controls.placebo == pytest.approx(large.controls.placebo, abs=1e-3)
    assert small.pair_ids == large.pair_ids
