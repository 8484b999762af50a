"""Meetings: a write that leaves a run where an unpatched run already is, checked on every pair and bit for bit."""

import numpy as np
import pytest
import torch

from causaltest import attn_out, embed, head, index, logit_diff, mlp_out, resid_post, thought
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.positions import Position
from causaltest.asking.sites import resid_pre
from causaltest.errors import MeasurementError
from causaltest.measuring import engine, patches
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.meetings import Meeting, worst
from causaltest.measuring.planner import EMBEDDING

EVERYWHERE = Position("everywhere")


def asked(pairs, *sites, metric=logit_diff, direction="denoise", **more):
    return Experiment(Patching("t", direction, pairs, sites), "change", metric, **more)


def missed(backend, experiment, values="own", side=None):
    """By pair, how far a patching's write is from where it should be."""
    batch, (study,) = backend.batch([experiment])
    vectors = study.patched.vectors
    meeting = Meeting(vectors, getattr(vectors, values), side or vectors.side, 1)
    out = []
    for number, chunk in enumerate(batch.chunks):
        runs = backend.references.get(batch.pairs, number, 1, {"attn_out", "mlp_out", "head"})
        stop = int(backend.loaded.reasoning is not None) * 8 + chunk.prompt_tokens
        out.append(meeting.missed_by(number, runs, stop))
    return np.concatenate(out)


@pytest.mark.parametrize(
    "site", [embed(index(0)), resid_pre(1, index(2, -1)), resid_post(2), attn_out(0), mlp_out(1), head((0, 2), (1, 3))]
)
def test_a_runs_own_vectors_leave_it_as_it_is(tiny_gpt2, site):
    assert missed(tiny_gpt2.backend, asked(tiny_gpt2.pairs, site)).tolist() == [0.0] * len(tiny_gpt2.pairs)


def test_so_do_those_of_a_thought(ducks, twins):
    site = resid_post((6, 9), thought(range(6)))
    assert missed(ducks.backend, asked(twins[:3], site)).tolist() == [0.0] * 3


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_other_runs_stream_at_every_position_makes_it_the_other_run(tiny_gpt2, layer, direction):
    everywhere = asked(tiny_gpt2.pairs, resid_post(layer, EVERYWHERE), direction=direction)
    other = "clean" if direction == "denoise" else "corrupt"
    assert not missed(tiny_gpt2.backend, everywhere, "other", other).any()
    # From the second position on, it is not; nor is it the run that it was.
    rest = asked(tiny_gpt2.pairs, resid_post(layer, index(*range(1, 5))), direction=direction)
    assert missed(tiny_gpt2.backend, rest, "other").all()
    assert missed(tiny_gpt2.backend, everywhere, "other").all()


def test_what_is_no_number_meets_nothing(tiny_gpt2):
    batch, (study,) = tiny_gpt2.backend.batch([asked(tiny_gpt2.pairs, resid_post(1, index(2)))])
    vectors = study.patched.vectors
    runs = tiny_gpt2.backend.references.get(batch.pairs, 0, 1)

    def values(*given):
        own = vectors.own(*given)
        return torch.where(torch.arange(len(own))[:, None] == 1, torch.nan, own)

    off = Meeting(vectors, values, vectors.side, 1).missed_by(0, runs, batch.chunks[0].prompt_tokens)
    assert off.tolist() == [0.0, np.inf, 0.0]
    assert worst(off) == np.inf and worst(np.zeros(0)) == 0


# What it is for


def test_vectors_read_beside_the_place_where_they_are_written_are_found_out(tiny_gpt2, monkeypatch):
    real = patches.read

    def beside(model, activations, spot, entries=None):
        shifted = {place: tensor.roll(1, dims=1) for place, tensor in activations.items()}
        return real(model, shifted, spot, entries)

    monkeypatch.setattr("causaltest.measuring.vectors.read", beside)
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    with pytest.raises(MeasurementError, match=r"resid_post L1 @ .* back where it was read changes it, by up to \d"):
        backend.measure(asked(tiny_gpt2.pairs, resid_post(1, index(2))))


def test_a_dead_hook_is_found_out(tiny_gpt2, monkeypatch):
    """It fires, and writes nothing: the run is neutral, and only the positive control can tell."""
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    backend.clean(tiny_gpt2.pairs)

    def dead(self, tensor, step, mid_of=None):
        real(self, tensor, step, mid_of)
        return tensor

    real = engine.Entries.write
    monkeypatch.setattr(engine.Entries, "write", dead)
    with pytest.raises(MeasurementError, match="every position of resid_post L1 @ everywhere should make one run"):
        backend.measure(asked(tiny_gpt2.pairs, resid_post(1, index(2))))


def test_what_is_met_is_read_as_the_other_run(tiny_gpt2):
    control = tiny_gpt2.backend.measure(asked(tiny_gpt2.pairs, resid_post(1, index(2)))).measured.controls.positive
    assert control.estimate == 1.0 and control.what == "resid_post L1 @ everywhere"


def test_one_unpatched_run_serves_all_that_begin_there_and_joins_with_the_lowest(tiny_gpt2):
    sites = [resid_post(2, index(2)), head(1, 0, index(2)), resid_post(0, index(2)), mlp_out(2, index(3))]
    for order in (sites, sites[::-1]):
        batch, studies = tiny_gpt2.backend.batch([asked(tiny_gpt2.pairs, site, placebo_draws=0) for site in order])
        by_site = dict(zip(order, studies, strict=True))
        *three, last = (by_site[site].unpatched for site in sites)
        assert len(set(three)) == 1 and last not in three
        rows = [w.rows for planned in batch.plan() for w in planned.waves]
        joins = {int(j) for r in rows for j in r.join[r.arm == three[0]]}
        assert joins == {1}
        assert {int(j) for r in rows for j in r.join[r.arm == last]} == {2}


def test_one_that_begins_at_the_embedding_joins_there(tiny_gpt2):
    sites = [resid_post(2, index(2)), embed(index(2))]
    batch, (study, _) = tiny_gpt2.backend.batch([asked(tiny_gpt2.pairs, site) for site in sites])
    rows = [w.rows for planned in batch.plan() for w in planned.waves]
    assert {int(j) for r in rows for j in r.join[r.arm == study.unpatched]} == {EMBEDDING}
