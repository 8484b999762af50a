"""The timeline: which segments a run has, and where."""

from dataclasses import replace

import pytest

from causaltest.errors import MeasurementError
from causaltest.measuring.timeline import check_length, run_length, timeline


def told(segments):
    return [(s.kind, s.start, s.stop, s.answers) for s in segments]


def test_a_decoder_has_its_prompt_and_a_segment_per_token_but_the_last(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    assert told(timeline(model, 5, 1)) == [("prompt", 0, 5, 1)]
    assert told(timeline(model, 5, 3)) == [("prompt", 0, 5, 1), ("token", 5, 6, 1), ("token", 6, 7, 1)]
    assert run_length(model, 5, 3) == 7


def test_a_reasoner_thinks_between_and_answers_from_its_end_on(ducks):
    model = ducks.backend.loaded
    thoughts = [("thought", 11 + k, 12 + k, 0) for k in range(6)]
    assert told(timeline(model, 10, 2)) == [
        ("prompt", 0, 11, 0),
        *thoughts,
        ("end", 17, 18, 1),
        ("token", 18, 19, 1),
    ]
    assert run_length(model, 10, 2) == 19


def test_the_tokens_of_a_forced_answer_stand_in_the_segment_before_them(tiny_gpt2, ducks):
    assert told(timeline(tiny_gpt2.backend.loaded, 5, 3, forced=True)) == [("prompt", 0, 7, 3)]
    *thinking, answering = told(timeline(ducks.backend.loaded, 10, 3, forced=True))
    assert thinking == told(timeline(ducks.backend.loaded, 10, 3))[:7]
    assert answering == ("end", 17, 20, 3)


def test_without_an_end_token_the_last_thought_answers(ducks):
    model = ducks.backend.loaded
    model = replace(model, reasoning=replace(model.reasoning, begin=(), end=(), thoughts=2))
    assert told(timeline(model, 10, 2)) == [
        ("prompt", 0, 10, 0),
        ("thought", 10, 11, 0),
        ("thought", 11, 12, 1),
        ("token", 12, 13, 1),
    ]
    assert told(timeline(model, 10, 3, forced=True))[-1] == ("thought", 11, 14, 3)


def test_a_run_longer_than_the_model_has_positions_is_refused(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    check_length(model, 30, 3)
    with pytest.raises(MeasurementError, match="32 positions, and a prompt of 30 tokens with 4 answer tokens needs 33"):
        check_length(model, 30, 4)
