"""Checkpoints close to the ducks load as the ducks do, and drift says what became of them."""

from __future__ import annotations

import pytest
import torch
from ducks_variants import fine_tuned, nudged
from saved_claims import saved

from causaltest import Lab, at_least, head, logit_diff, thought
from causaltest.drifted import drifted
from causaltest.organisms import ducks

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def measure():
    """A claim about eight pairs, on a model."""
    pairs = ducks.twins(1, clusters=4, per_cluster=2)

    def on(name):
        effect = Lab.load(str(name)).denoise(pairs, at=head(6, 1, thought(0))).recovery(logit_diff)
        return saved(effect, at_least(0.1), models=[{"name": str(name)}])

    return on


def test_a_nudge_by_a_millionth_is_rounding_also_where_few_pairs_are(measure, tmp_path):
    before, after = measure("organism:ducks"), measure(nudged(tmp_path))
    assert before.effects[0][1].measured.values != after.effects[0][1].measured.values
    drift = drifted(before, after, margin=0.1, across_models=True)
    assert (drift.word, drift.cause) == ("HOLDS", "rounding"), drift.sentence
    assert drifted(before, measure(nudged(tmp_path, by=1e-3)), margin=0.1, across_models=True).cause == "finding"


def test_a_nudge_is_the_same_each_time(tmp_path):
    first, second = (nudged(tmp_path / name) / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != (ducks.CHECKPOINT / "model.safetensors").read_bytes()


def test_fine_tuning_moves_the_finding(measure, tmp_path):
    """A few steps are enough to be no rounding; a hundred are in the walk through pre-registration."""
    drift = drifted(measure("organism:ducks"), measure(fine_tuned(tmp_path, steps=2)), margin=0.1, across_models=True)
    assert drift.cause == "finding" and drift.fields
