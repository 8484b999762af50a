"""The planner: every row once, every position once, within the limits, whatever the order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.measuring.planner import EMBEDDING, Limits, Rows, Step, from_start, merged, plan
from causaltest.measuring.timeline import Segment


@st.composite
def segments_of(draw):
    """A prompt, and perhaps later segments of one or several positions."""
    lengths = [draw(st.integers(1, 9)), *draw(st.lists(st.integers(1, 3), max_size=4))]
    stops = np.cumsum(lengths)
    return tuple(
        Segment("prompt" if n == 0 else "token", int(stop - length), int(stop), True)
        for n, (length, stop) in enumerate(zip(lengths, stops, strict=True))
    )


@st.composite
def tasks(draw):
    """Rows, segments, layers and limits."""
    segments, layers = draw(segments_of()), draw(st.integers(1, 4))
    entries = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, segments[-1].stop - 1), st.integers(EMBEDDING, layers)),
            min_size=1,
            max_size=25,
        )
    )
    limits = Limits(draw(st.integers(1, 40)), draw(st.integers(1, 12)), draw(st.integers(0, 50)))
    return rows_from(entries), segments, layers, limits


def rows_from(entries):
    pair, start, join = np.array(entries, dtype=np.int64).T
    return Rows(np.arange(len(entries)), pair, start, join)


def joining(step):
    """For each slot of a step, in order, the block at which it is there."""
    return [block for block, count in step.joins for _ in range(count)]


def begin_of(row_start, segments):
    """Where a row may begin at the latest: at its start in the prompt, else where its segment starts."""
    return row_start if row_start < segments[0].stop else max(s.start for s in segments if s.start <= row_start)


@given(tasks())
def test_every_row_is_in_one_wave_as_it_was_given(task):
    rows, segments, layers, limits = task
    seen = np.concatenate([wave.rows.arm for wave in plan(rows, segments, layers, limits)])
    assert sorted(seen.tolist()) == list(range(len(rows)))
    for wave in plan(rows, segments, layers, limits):
        given_rows = rows.at(wave.rows.arm)
        assert wave.rows.pair.tolist() == given_rows.pair.tolist()
        assert wave.rows.join.tolist() == given_rows.join.tolist()
        assert wave.rows.start.tolist() == [begin_of(start, segments) for start in given_rows.start]


@given(tasks())
def test_every_position_from_its_start_on_is_computed_once(task):
    """Before it at most positions of the prompt, where starts are merged; and the join is that of the first forward."""
    rows, segments, layers, limits = task
    for wave in plan(rows, segments, layers, limits):
        for slot in range(len(wave.rows)):
            mine = [step for step in wave.steps if step.first <= slot < step.last]
            computed = [p for step in mine for p in range(step.start, step.stop)]
            assert computed == list(range(mine[0].start, segments[-1].stop))
            start = int(wave.rows.start[slot])
            assert mine[0].start <= start < mine[0].stop
            assert mine[0].start == start or mine[0].segment == 0
            joins = [joining(step)[slot - step.first] for step in mine]
            assert joins == [int(wave.rows.join[slot])] + [EMBEDDING] * (len(mine) - 1)


@given(tasks())
def test_a_step_is_a_stretch_of_its_segment_and_rows_stand_in_the_order_in_which_they_join(task):
    rows, segments, layers, limits = task
    for wave in plan(rows, segments, layers, limits):
        assert [step.segment for step in wave.steps] == sorted(step.segment for step in wave.steps)
        for step in wave.steps:
            segment = segments[step.segment]
            assert segment.start <= step.start < step.stop == segment.stop
            assert step.segment == 0 or step.start == segment.start
            blocks = [block for block, _ in step.joins]
            assert blocks == sorted(set(blocks))
            assert all(count > 0 for _, count in step.joins)
            assert step.rows == len(joining(step)) > 0
            assert step.last <= len(wave.rows)


@given(tasks())
def test_limits_are_kept_unless_a_single_row_is_longer(task):
    rows, segments, layers, limits = task
    for wave in plan(rows, segments, layers, limits):
        assert len(segments) == 1 or len(wave.rows) <= limits.rows
        for step in wave.steps:
            assert step.rows == 1 or step.rows * (step.stop - step.start) <= limits.tokens


@given(tasks(), st.randoms(use_true_random=False))
def test_rows_in_any_order_give_the_same_plan(task, random):
    rows, segments, layers, limits = task
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)

    def told(rows):
        return [
            (wave.steps, *(getattr(wave.rows, name).tolist() for name in ("pair", "start", "join")))
            for wave in plan(rows, segments, layers, limits)
        ]

    assert told(rows.at(np.array(shuffled))) == told(rows)


@given(tasks())
def test_token_layers_are_counted_position_by_position_and_block_by_block(task):
    rows, segments, layers, limits = task
    for wave in plan(rows, segments, layers, limits):
        for step in wave.steps:
            naive = sum(
                1
                for block in joining(step)
                for _ in range(step.start, step.stop)
                for layer in range(layers)
                if layer >= block
            )
            assert step.token_layers(layers) == naive


@given(tasks())
def test_without_costs_nothing_is_computed_that_need_not_be(task):
    rows, segments, layers, limits = task
    waves = plan(rows, segments, layers, Limits(limits.tokens, limits.rows, 0))
    spent = sum(step.token_layers(layers) for wave in waves for step in wave.steps)
    needed = 0
    for start, join in zip(rows.start.tolist(), rows.join.tolist(), strict=True):
        begin = begin_of(start, segments)
        number = max(n for n, s in enumerate(segments) if s.start <= begin)
        needed += (segments[number].stop - begin) * (layers - max(join, 0))
        needed += (segments[-1].stop - segments[number].stop) * layers
    assert spent == needed


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(0, 60))
def test_starts_share_a_forward_where_that_costs_less_than_a_forward(starts, costs):
    groups = merged(np.array(starts), Limits(1, 1, costs))
    assert groups == sorted(set(groups)) and set(groups) <= set(starts)
    assert groups[0] == min(starts)
    present = sorted(set(starts))
    more = sum(start - max(g for g in groups if g <= start) for start in starts)
    assert more <= costs * (len(present) - len(groups))
    for group in groups[1:]:
        before = present[present.index(group) - 1]
        until = min((g for g in groups if g > group), default=41)
        carried = sum(group <= start < until for start in starts)
        assert carried * (group - before) > costs, "it would have been cheaper to begin with the one before"


@given(tasks())
def test_a_whole_plan_computes_everything_so_far_in_every_forward(task):
    rows, segments, layers, limits = task
    waves = plan(rows, segments, layers, limits, whole=True)
    assert sorted(np.concatenate([wave.rows.arm for wave in waves]).tolist()) == list(range(len(rows)))
    for wave in waves:
        count = len(wave.rows)
        assert wave.whole
        assert wave.rows.pair.tolist() == rows.at(wave.rows.arm).pair.tolist()
        assert set(wave.rows.join.tolist()) == {EMBEDDING} and set(wave.rows.start.tolist()) == {0}
        wanted = tuple(Step(n, 0, s.stop, 0, ((EMBEDDING, count),)) for n, s in enumerate(segments))
        assert wave.steps == wanted
        assert count == 1 or count * segments[-1].stop <= limits.tokens


@given(tasks())
def test_unpatched_runs_begin_at_the_first_position(task):
    rows, segments, _, _ = task
    wave = from_start(rows, segments)
    assert [(s.start, s.stop, s.joins) for s in wave.steps] == [
        (s.start, s.stop, ((EMBEDDING, len(rows)),)) for s in segments
    ]
    assert wave.rows is rows and not wave.whole


@pytest.mark.parametrize("later", [0, 2])
def test_a_million_rows_are_a_few_waves(later):
    count = 1_000_000
    random = np.random.default_rng(0)
    rows = Rows(
        np.arange(count), random.integers(0, 100, count), random.integers(0, 20, count), random.integers(0, 12, count)
    )
    segments = tuple(
        Segment("prompt" if n == 0 else "token", start, stop, True)
        for n, (start, stop) in enumerate([(0, 20), (20, 21), (21, 22)][: 1 + later])
    )
    waves = plan(rows, segments, 12, Limits(1 << 20, 1 << 18, 8))
    assert sum(len(wave.rows) for wave in waves) == count
    assert len(waves) < 40
    assert sum(len(wave.steps) for wave in waves) < 150
