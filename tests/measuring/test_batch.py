"""A batch: which row begins and joins where, and that each arm's readings are its own."""

import numpy as np
import pytest
import torch

from causaltest import accuracy, embed, exact_match, head, index, logit, logit_diff, mlp_out, resid_post, step, thought
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.sites import resid_pre
from causaltest.measuring.arms import Arm
from causaltest.measuring.batch import Batch, begin_of, rows_of
from causaltest.measuring.patches import Where, spots
from causaltest.measuring.planner import EMBEDDING
from causaltest.measuring.readings import Gathering, Readings, Task
from causaltest.measuring.references import References

LAYERS = 3
STOPS = np.array([5, 6, 7, 9])
"""A prompt of five tokens, two segments of one, one of two."""


def arm(*placed, side="corrupt"):
    """An arm of sites, each with the positions of every pair of the only chunk."""
    chunk = tuple(spot for site, positions in placed for spot in spots(site, Where(tuple(positions))))
    return Arm(side, (chunk,), None, 1)


def began(*placed):
    start, join = begin_of(arm(*placed).spots[0], STOPS, LAYERS)
    return list(zip(start.tolist(), join.tolist(), strict=True))


def test_one_spot_begins_at_its_first_position_and_joins_at_its_block():
    assert began((mlp_out(1), [(3, 2), (4,)])) == [(2, 1), (4, 1)]
    assert began((resid_post(1), [(3,), (8,)])) == [(3, 2), (8, 2)]
    assert began((resid_post(2), [(3,)])) == [(3, LAYERS)]
    assert began((embed(), [(3,)])) == [(3, EMBEDDING)]


def test_several_spots_of_a_segment_begin_at_the_first_and_join_at_the_lowest():
    """Whichever comes first: all of the segment is computed from the lowest block on."""
    assert began((mlp_out(2), [(1,)]), (mlp_out(0), [(4,)])) == [(1, 0)]
    assert began((mlp_out(0), [(4,)]), (mlp_out(2), [(1,)])) == [(1, 0)]
    assert began((head((1, 2), 0), [(1,), (2,)]), (resid_post(2), [(0,), (3,)])) == [(0, 1), (2, 1)]


def test_a_spot_of_a_later_segment_has_no_say_in_where_the_row_joins():
    """There all blocks are computed anyway."""
    assert began((mlp_out(2), [(1,)]), (mlp_out(0), [(5,)])) == [(1, 2)]
    assert began((embed(), [(6,)]), (resid_post(1), [(5,)])) == [(5, 2)]
    assert began((mlp_out(2), [(7,)]), (mlp_out(0), [(8,)])) == [(7, 0)]  # one segment of two positions
    assert began((mlp_out(2), [(1,), (1,)]), (mlp_out(0), [(4,), (6,)])) == [(1, 0), (1, 2)]


def test_a_spot_counts_from_its_first_position_on_though_others_come_later():
    assert began((mlp_out(0), [(8, 2)]), (mlp_out(1), [(3,)])) == [(2, 0)]
    assert began((mlp_out(0), [(8, 6)]), (mlp_out(1), [(3,)])) == [(3, 1)]


def test_there_is_a_row_per_arm_and_pair():
    arms = [arm((mlp_out(1), [(3,), (2,)])), arm((embed(), [(0,), (1,)]))]
    rows = rows_of([4, 9], arms, 0, STOPS.tolist(), LAYERS)
    assert rows.arm.tolist() == [4, 4, 9, 9]
    assert rows.pair.tolist() == [0, 1, 0, 1]
    assert rows.start.tolist() == [3, 2, 0, 1]
    assert rows.join.tolist() == [1, 1, EMBEDDING, EMBEDDING]
    assert len(rows_of([], [], 0, STOPS.tolist(), LAYERS)) == 0


def asked(pairs, site, metric=logit_diff, direction="denoise", **more):
    return Experiment(Patching("t", direction, pairs, (site,)), "change", metric, **more)


def test_the_same_patch_read_by_two_metrics_is_one_arm(tiny_gpt2, planned):
    site = resid_post(1, index(2))
    both = [asked(tiny_gpt2.pairs, site, metric, controls=False) for metric in (logit, logit_diff)]
    batch = planned(tiny_gpt2.backend.loaded, both)
    assert len(batch.arms) == 1
    assert len(planned(tiny_gpt2.backend.loaded, [*both, asked(tiny_gpt2.pairs, site, direction="noise")]).arms) > 2


def test_placebos_are_drawn_per_experiment_and_the_other_arms_are_shared(tiny_gpt2, planned):
    site = resid_post(1, index(2))
    one = planned(tiny_gpt2.backend.loaded, [asked(tiny_gpt2.pairs, site, placebo_draws=2)])
    two = planned(
        tiny_gpt2.backend.loaded,
        [asked(tiny_gpt2.pairs, site, placebo_draws=2), asked(tiny_gpt2.pairs, site, logit, placebo_draws=2)],
    )
    assert len(one.arms) == 5  # patched, own, unpatched, two placebos; everywhere is the clean run
    assert len(two.arms) == 5 + 2


def test_runs_go_as_far_as_their_own_metric_reads(tiny_gpt2, planned):
    """One token for a logit, four for a text, in one batch; each plan has its own side and length."""
    pairs = tiny_gpt2.pairs[::2]
    both = [
        asked(pairs, resid_post(1, index(2)), controls=False),
        asked(pairs, resid_post(1, step(2)), exact_match(max_new_tokens=4), direction="noise", controls=False),
    ]
    batch = planned(tiny_gpt2.backend.loaded, both)
    assert sorted((p.side, p.new_tokens) for p in batch.plan()) == [("clean", 4), ("corrupt", 1)]
    assert {len(gave.tokens) for (arm_, _), gave in batch.gave.items() if arm_ == batch.studies[1].patched.arm} == {4}


def test_logits_of_the_answers_alone_are_computed_where_no_token_is_chosen(tiny_gpt2):
    pairs = tiny_gpt2.pairs[:2]
    batch = Batch(
        tiny_gpt2.backend.loaded, References(tiny_gpt2.backend.loaded, tiny_gpt2.backend.references.budget), pairs
    )
    text = exact_match(max_new_tokens=1)
    batch.metrics["clean"][text] = None
    assert not batch.chooses  # of the unpatched runs all logits are computed, whoever reads them
    arm = Arm("corrupt", (), None, 1)
    batch.arm("one", lambda: arm, (logit,))
    assert not batch.chooses
    batch.arm("one", lambda: arm, (text,))
    assert batch.chooses


@pytest.mark.parametrize("wide", [True, False])
def test_every_row_is_told_once_and_every_forward_is_counted(tiny_gpt2, tight, planned, wide):
    from causaltest.measuring.planner import Limits

    batch = planned(
        tiny_gpt2.backend.loaded,
        [asked(tiny_gpt2.pairs, resid_pre(1, index(at)), placebo_draws=3) for at in (0, 2, -1)],
        budget=tight(2, Limits(9, 4, 0)),
        wide=wide,
    )
    told = []
    batch.gave.clear()
    batch.run(lambda rows, forwards: told.append((rows, forwards)))
    few = sum(arm.few for arm in batch.arms)
    assert few == 3
    rows = (len(batch.arms) - few) * len(tiny_gpt2.pairs) + few * len(batch.chunks)
    assert sum(rows for rows, _ in told) == rows == batch.patched_runs
    waves = [wave for planned_ in batch.plan() for wave in planned_.waves]
    assert told == [(len(wave.rows), len(wave.steps)) for wave in waves]
    assert len(batch.gave) == rows + 2 * len(tiny_gpt2.pairs)


def test_a_plan_of_thoughts_begins_behind_the_prompt(ducks, twins, planned):
    batch = planned(ducks.backend.loaded, [asked(twins[:2], resid_post(6, thought(2)), controls=False)])
    ((wave,),) = [planned_.waves for planned_ in batch.plan()]
    prompt = batch.chunks[0].prompt_tokens
    assert wave.rows.start.tolist() == [prompt + 1 + 2] * 2
    assert [step_.start for step_ in wave.steps] == [prompt + 1 + k for k in range(2, 7)]
    assert wave.steps[0].joins == ((7, 2),)


def test_what_a_task_has_read_stays_as_it_is_when_its_chunk_is_closed():
    """It may be kept for a run that goes on later, and not be written yet."""
    arm, logits = 0, torch.zeros(2, 1, 3)
    first = Readings({(arm, accuracy): np.array([1.0, np.nan])}, logits={arm: logits}, ran={arm: [np.array([0])]})
    second = Readings({(arm, accuracy): np.array([np.nan, 2.0])}, logits={arm: logits + 1}, ran={arm: [np.array([1])]})
    gathering = Gathering([2], [Task(0, 0, 1), Task(0, 1, 2)], lambda number, whole: whole.logits.clear())
    gathering.add(Task(0, 0, 1), first)
    gathering.add(Task(0, 1, 2), second)
    assert gathering.together().scores[arm, accuracy].tolist() == [1.0, 2.0]
    assert np.isnan(first.scores[arm, accuracy][1]) and not first.logits[arm].any() and len(first.ran[arm]) == 1
