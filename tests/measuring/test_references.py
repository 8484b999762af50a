"""Reference runs: computed once, kept within a budget, the same numbers either way."""

import pytest

from causaltest import accuracy, attn_out, head, index, logit_diff, mlp_out, resid_post
from causaltest.asking.sites import resid_pre
from causaltest.measuring import references
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend


@pytest.fixture
def backend(tiny_gpt2):
    """A backend of its own, which has computed nothing yet."""
    return ModelBackend(wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "fresh"))


@pytest.fixture
def one_length(tiny_gpt2):
    return tiny_gpt2.pairs[::2]


def test_many_claims_about_the_same_pairs_share_two_reference_runs(backend, one_length, experiment, forwards):
    counted = forwards(backend.loaded.model.transformer)
    sites = [make(layer, index(at)) for make in (resid_post, attn_out, mlp_out) for layer in range(3) for at in (0, 3)]
    for n, site in enumerate(sites, 1):
        backend.measure(experiment(one_length, "denoise", site, logit_diff))
        assert len(counted) == 2 + n
    backend.measure(experiment(one_length, "noise", sites[0], logit_diff))
    backend.clean(one_length)
    assert len(counted) == 2 + len(sites) + 1
    assert backend.references.runs == 2 * len(one_length)
    assert backend.counted()["forwards"] == len(counted)


def test_the_same_experiment_is_measured_once(backend, one_length, experiment, forwards):
    asked = experiment(one_length, "denoise", resid_post(1, index(2)), logit_diff)
    first = backend.measure(asked)
    counted = forwards(backend.loaded.model.transformer)
    assert backend.measure(asked) is first
    assert counted == []


def test_other_pairs_are_other_runs(backend, tiny_gpt2, experiment, forwards):
    site = resid_post(1, index(2))
    backend.measure(experiment(tiny_gpt2.pairs[::2], "denoise", site, logit_diff))
    counted = forwards(backend.loaded.model.transformer)
    backend.measure(experiment(tiny_gpt2.pairs[1::2], "denoise", site, logit_diff))
    assert len(counted) == 3


def test_within_the_budget_every_component_is_kept_at_once(backend, one_length):
    kept = backend.references.get(one_length, "clean", 1, {"attn_out"})
    assert kept.recorded == frozenset(references.RECORDED)
    assert backend.references.get(one_length, "clean", 1, {"mlp_out"}) is kept


def test_above_the_budget_only_what_is_asked_for_is_kept(backend, one_length, monkeypatch, forwards):
    monkeypatch.setattr(references, "CACHE_BYTES", 0)
    counted = forwards(backend.loaded.model.transformer)
    first = backend.references.get(one_length, "clean", 1, {"attn_out"})
    assert {component for component, _ in first.runs[0].activations} == {*references.ALWAYS, "attn_out"}
    assert backend.references.get(one_length, "clean", 1, {"attn_out"}) is first
    assert len(counted) == 1
    second = backend.references.get(one_length, "clean", 1, {"mlp_out"})
    assert {component for component, _ in second.runs[0].activations} == {*references.ALWAYS, "attn_out", "mlp_out"}
    assert len(counted) == 2
    backend.references.get(one_length, "clean", 1, {"attn_out"})
    assert len(counted) == 2


def test_a_block_input_asks_for_the_output_of_the_block_before_too(backend, one_length, monkeypatch):
    monkeypatch.setattr(references, "CACHE_BYTES", 0)
    kept = backend.references.get(one_length, "clean", 1, {"resid_pre"})
    assert kept.recorded == {"embed", "resid_pre", "resid_post"}


def test_the_budget_counts_both_sides_of_all_pairs(backend, one_length, monkeypatch):
    """Three pairs, five positions, two sides, 19 vectors of 16 float32 each."""
    needed = 3 * 5 * 2 * (1 + 6 * 3) * 16 * 4
    monkeypatch.setattr(references, "CACHE_BYTES", needed - 1)
    assert backend.references.get(one_length, "clean", 1, {"attn_out"}).recorded == {*references.ALWAYS, "attn_out"}
    monkeypatch.setattr(references, "CACHE_BYTES", needed)
    assert backend.references.get(one_length, "corrupt", 1, {"attn_out"}).recorded == frozenset(references.RECORDED)


@pytest.mark.parametrize("metric", [logit_diff, accuracy])
def test_a_small_budget_gives_the_same_numbers(backend, tiny_gpt2, experiment, monkeypatch, metric):
    monkeypatch.setattr(references, "CACHE_BYTES", 0)
    sites = [make(1, index(3)) for make in (attn_out, mlp_out, resid_pre, resid_post)]
    for site in [*sites, head(2, 1, index(1))]:
        for direction in ("denoise", "noise"):
            asked = experiment(tiny_gpt2.pairs, direction, site, logit_diff)
            roomy = tiny_gpt2.backend.measure(asked).measured
            assert backend.measure(asked).measured.references == roomy.references


def test_clean_runs_looked_at_first_do_not_spoil_a_measurement(backend, tiny_gpt2, one_length, experiment, monkeypatch):
    monkeypatch.setattr(references, "CACHE_BYTES", 0)
    backend.clean(one_length)
    asked = experiment(one_length, "denoise", resid_post(1, index(4)), logit_diff)
    assert backend.measure(asked).measured.values == tiny_gpt2.backend.measure(asked).measured.values
