"""Reference runs: computed once, kept within a budget, the same numbers either way."""

import itertools
from dataclasses import replace

import pytest
import torch

from causaltest import Pairs, accuracy, attn_out, embed, exact_match, head, index, logit_diff, mlp_out, resid_post, step
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.settings import Settings
from causaltest.asking.sites import resid_pre
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.budget import Budget
from causaltest.measuring.engine import WHOLE
from causaltest.measuring.readings import Comparison
from causaltest.measuring.references import MOST_TOKENISED, STREAM_PARTS, References, read_alike, size_of


@pytest.fixture
def backend(tiny_gpt2):
    """A backend of its own, which has computed nothing yet."""
    return ModelBackend(wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "fresh"))


@pytest.fixture
def one_length(tiny_gpt2):
    return tiny_gpt2.pairs[::2]


def test_many_claims_about_the_same_pairs_share_one_reference_run_of_both_sides(
    backend, one_length, experiment, forwards
):
    counted = forwards(backend.loaded.model.transformer)
    sites = [make(layer, index(at)) for make in (resid_post, attn_out, mlp_out) for layer in range(3) for at in (0, 3)]
    backend.clean(one_length)
    proofs = len(counted) - 1
    for n, site in enumerate(sites, 1):
        backend.measure(experiment(one_length, "denoise", site, logit_diff))
        # Each component is recorded when the first asks for it, on both sides at once.
        repeated = sum(n > first for first in (6, 12))
        assert len(counted) - proofs == 1 + n + repeated
    backend.measure(experiment(one_length, "noise", sites[0], logit_diff))
    backend.clean(one_length)
    assert len(counted) - proofs == 1 + len(sites) + repeated + 1
    assert backend.references.runs == 2 * (1 + repeated) * len(one_length)
    assert backend.counted()["forwards"] == len(counted) - proofs


def test_claims_that_are_announced_share_reference_runs_and_forwards(backend, one_length, experiment, forwards):
    """All in one plan: each component is recorded at once, and rows that begin together run together."""
    sites = [make(layer, index(at)) for make in (resid_post, attn_out, mlp_out) for layer in range(3) for at in (0, 3)]
    asked = [experiment(one_length, "denoise", site, logit_diff) for site in sites]
    backend.clean(one_length)
    counted = forwards(backend.loaded.model.transformer)
    backend.expect(asked)
    for one in asked:
        backend.measure(one)
    # Again both sides, with all components; the patched rows begin at tokens 0 and 3.
    assert len(counted) <= 1 + 2
    assert backend.counted()["patched_runs"] == len(sites) * len(one_length)


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
    assert len(counted) == 2  # both sides, and the patched rows


def test_the_stream_and_what_is_asked_for_is_recorded(backend, one_length):
    kept = backend.references.get(one_length, 0, 1, {"attn_out"}).clean
    assert {component for component, _ in kept.activations} == {*STREAM_PARTS, "attn_out"}
    # Of the blocks' inputs only the first: each other one is an output.
    assert [layer for component, layer in kept.activations if component == "resid_pre"] == [0]
    assert backend.references.get(one_length, 0, 1, {"resid_pre", "resid_post"}).clean is kept


def test_a_component_more_is_a_run_more_and_what_was_asked_for_stays(backend, one_length, forwards):
    counted = forwards(backend.loaded.model.transformer)
    first = backend.references.get(one_length, 0, 1, {"attn_out"})
    assert len(counted) == 1
    second = backend.references.get(one_length, 0, 1, {"mlp_out"})
    assert len(counted) == 2
    for place, tensor in first.clean.activations.items():
        assert torch.equal(second.clean.activations[place], tensor)
    assert {component for component, _ in second.clean.activations} == {*STREAM_PARTS, "attn_out", "mlp_out"}
    assert backend.references.get(one_length, 0, 1, {"attn_out", "mlp_out"}).corrupt is second.corrupt
    assert len(counted) == 2
    assert backend.references.reused == 2 * len(one_length)


def test_a_longer_run_serves_a_shorter_one(backend, one_length, forwards):
    long = backend.references.get(one_length, 0, 4)
    counted = forwards(backend.loaded.model.transformer)
    assert backend.references.get(one_length, 0, 2).clean is long.clean
    assert counted == []
    short = References(backend.loaded, Budget()).get(one_length, 0, 2).clean
    assert torch.equal(short.tokens, long.clean.tokens[:, :2])
    assert torch.equal(short.logits, long.clean.logits[:, :2])


# Letting go


def test_the_run_used_longest_ago_is_let_go_first(backend, tiny_gpt2):
    """A budget for two chunks' runs of three: what is asked for again stays."""
    model, three = backend.loaded, [tiny_gpt2.pairs[n : n + 1] for n in (0, 2, 4)]
    one = size_of(References(model, Budget()).get(three[0], 0, 1).clean)
    references = References(model, Budget(4 * 2 * one + 8))  # a quarter of it holds the runs of two pairs
    a, b = (references.get(pairs, 0, 1).clean for pairs in three[:2])
    assert references.get(three[0], 0, 1).clean is a
    references.get(three[2], 0, 1)
    assert references.get(three[0], 0, 1).clean is a
    again = references.get(three[1], 0, 1).clean
    assert again is not b
    assert torch.equal(again.logits, b.logits)


def test_what_is_kept_stays_within_its_quarter_of_the_budget(backend, tiny_gpt2):
    one = size_of(References(backend.loaded, Budget()).get(tiny_gpt2.pairs[:1], 0, 1).clean)
    references = References(backend.loaded, Budget(4 * 3 * one))
    for n in range(6):
        references.get(tiny_gpt2.pairs[n : n + 1], 0, 1)
        assert sum(size_of(kept.runs.clean) for kept in references._kept.values()) <= 3 * one
    nothing = References(backend.loaded, Budget(0))
    runs = nothing.get(tiny_gpt2.pairs[:1], 0, 1)
    assert torch.equal(runs.clean.logits, references.get(tiny_gpt2.pairs[:1], 0, 1).clean.logits)
    assert len(nothing._kept) == 1  # the one in use, both of its sides


def test_what_a_run_holds_is_counted_once(backend, one_length):
    run = backend.references.get(one_length, 0, 1, {"attn_out"}).clean
    # Three pairs of five tokens, clean and corrupt in one: embed, resid_pre 0, and per layer resid_post, attn_out,
    # keys and values, 16 wide each.
    vectors = 2 * 3 * 5 * (2 + 3 * 4)
    assert size_of(run) == 4 * (16 * vectors + 2 * run.logits.numel())


# The budget decides how, and not what


def small(model, pairs):
    """A budget that holds one pair of a length at a time, and no run beside those in use."""
    backend = ModelBackend(model, Settings(memory=1))
    assert len(backend.references.chunks(pairs)) == len(pairs)
    return backend


@pytest.mark.parametrize("metric", [logit_diff, accuracy, exact_match(max_new_tokens=3)], ids=str)
def test_a_small_budget_gives_the_same_numbers_to_rounding(tiny_gpt2, experiment, metric):
    backend = small(wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "small"), tiny_gpt2.pairs)
    sites = [make(1, index(3)) for make in (attn_out, mlp_out, resid_pre, resid_post)]
    for site in [*sites, head(2, 1, index(1)), embed(step(0))]:
        for direction in ("denoise", "noise"):
            asked = experiment(tiny_gpt2.pairs, direction, site, metric)
            if metric != logit_diff:  # no pair of a random model is eligible, so the runs themselves are compared
                batches = []
                for one in (backend, tiny_gpt2.backend):
                    batch, (study,) = one.batch([asked])
                    readings = batch.run(lambda *_: None)
                    scores = readings.scores[study.patched.arm, metric].tolist()
                    batches.append(dict(zip((p.pair.id for p in study.pairs), scores, strict=True)))
                assert batches[0] == batches[1]
                continue
            roomy, tight = (one.measure(asked).measured for one in (tiny_gpt2.backend, backend))
            assert roomy.pair_ids == tight.pair_ids
            for side, values in roomy.references.items():
                assert tight.references[side] == pytest.approx(values, abs=1e-5)


def questions(pairs):
    """Of several components, metrics and lengths of answer, so that what one records another lacks."""
    sites = [resid_post(1, index(2)), attn_out(0, index(1)), head(2, 1, index(-1)), mlp_out(1, index(0))]
    asked = [
        Experiment(Patching("t", direction, pairs, (site,)), "change", logit_diff, placebo_draws=2)
        for site, direction in zip(sites, ("denoise", "noise", "denoise", "noise"), strict=True)
    ]
    return [
        *asked,
        Experiment(Patching("t", "denoise", pairs, (embed(step(1)),)), "change", exact_match(max_new_tokens=3)),
    ]


def bits(backend, asked):
    """Every number of every effect."""
    out = {}
    for one in asked:
        try:
            numbers = backend.measure(one).measured
        except Exception as error:
            out[one.digest] = str(error)
        else:
            out[one.digest] = (numbers.references, numbers.controls, numbers.values)
    return out


@pytest.mark.parametrize("memory", [1, 60_000, 1 << 30])
@pytest.mark.parametrize("announced", [True, False])
def test_the_same_budget_gives_the_same_bits_in_any_order_of_asking(tiny_gpt2, memory, announced):
    model = wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "any order")
    pairs = tiny_gpt2.pairs[:4]
    asked = questions(pairs)

    def measured(order, before=()):
        backend = ModelBackend(model, Settings(memory=memory))
        if announced:
            backend.expect(asked)
        for one in before:
            one(backend)
        return bits(backend, order)

    first = measured(asked)
    for order in itertools.islice(itertools.permutations(asked), 47, None, 60):
        assert measured(order) == first
    others = [
        lambda backend: backend.clean(pairs),
        lambda backend: backend.moved(asked[1].patching),
        lambda backend: bits(backend, questions(tiny_gpt2.pairs[4:])),
        # Not announced, so that it is measured alone.
        lambda backend: bits(
            backend, [Experiment(Patching("t", "denoise", pairs, (mlp_out(2),)), "change", logit_diff)]
        ),
    ]
    assert measured(asked[::-1], others) == first


def test_clean_runs_looked_at_first_do_not_spoil_a_measurement(backend, tiny_gpt2, one_length, experiment):
    backend.clean(one_length)
    asked = experiment(one_length, "denoise", resid_post(1, index(4)), logit_diff)
    assert backend.measure(asked).measured.values == tiny_gpt2.backend.measure(asked).measured.values


def test_generated_clean_runs_looked_at_first_are_not_taken_for_forced_ones(tiny_gpt2, one_length, experiment):
    """The generated tokens stand where the answer's are given."""
    pairs = Pairs([replace(p, answer=f"{p.answer} two red", corrupt_answer=None) for p in one_length], iid=True)
    asked = experiment(pairs, "denoise", resid_post(1, index(2)), accuracy)

    def measured(backend):
        backend.prove(pairs)
        batch, (study,) = backend.batch([asked])
        assert batch.forced and study.patched.new_tokens == 3
        batch.compare(Comparison(study.patched.arm, "corrupt", "clean"))
        batch.prepare()
        (task,) = batch.tasks()
        kept = batch.run_task(task, lambda *_: None).logits
        assert kept.keys() == {"clean", "corrupt", study.patched.arm}
        return kept

    looked = ModelBackend(tiny_gpt2.backend.loaded)
    looked.clean(pairs)
    wanted, given = measured(ModelBackend(tiny_gpt2.backend.loaded)), measured(looked)
    assert wanted.keys() == given.keys() and "corrupt" in wanted
    for arm, logits in wanted.items():
        assert torch.equal(logits.nan_to_num(), given[arm].nan_to_num())
    generated = looked.references.get(pairs, 0, 3).corrupt
    assert not torch.equal(generated.logits[:, 1:], wanted["corrupt"][:, 1:])


def differing_late(pair):
    """The same prompt but for its last word."""
    return replace(pair, corrupt=" ".join([*pair.clean.split()[:-1], "blue"]), id="late")


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_gemma2"])
def test_what_comes_of_the_same_tokens_is_the_same_in_both_runs(request, family):
    """Else the last bits of two rows would be a difference between two runs, and a patch of nothing have a distance."""
    tiny = request.getfixturevalue(family)
    first, second, *_ = tiny.pairs[::2]
    pairs = Pairs([first, differing_late(second), replace(first.with_itself(), id="alike")], iid=True)
    backend = ModelBackend(wrap(tiny.model, tiny.tokenizer, "fresh"))
    backend.clean(pairs)
    runs = backend.references.get(pairs, 0, 2, {"attn_out", "mlp_out", "head", "q"})
    chunk = backend.references.chunks(pairs)[0]
    shared = (chunk.clean == chunk.corrupt).cumprod(1).sum(1).tolist()
    assert shared[2] == chunk.prompt_tokens > shared[1] == chunk.prompt_tokens - 1 > shared[0]
    for place, clean in runs.clean.activations.items():
        for row, until in enumerate(shared):
            assert torch.equal(clean[row, :until], runs.corrupt.activations[place][row, :until])
    one, other = (run.activations["resid_post", 1] for run in (runs.clean, runs.corrupt))
    assert not torch.equal(one[0], other[0]) and not torch.equal(one[1, -1], other[1, -1])
    alike = 2
    for name in ("tokens", "logits"):
        assert torch.equal(getattr(runs.clean, name)[alike], getattr(runs.corrupt, name)[alike])
    for mine, theirs in zip(runs.clean.keys, runs.corrupt.keys, strict=True):
        assert all(torch.equal(a[alike], b[alike]) for a, b in zip(mine, theirs, strict=True))


def test_a_prefix_is_not_shared_where_attention_looks_ahead(tiny_llama):
    """There, what stands before the first difference hears of it."""
    pairs = Pairs([differing_late(tiny_llama.pairs[2])], iid=True)
    references = References(wrap(tiny_llama.model, tiny_llama.tokenizer, "fresh"), Budget())
    references.shortcuts = WHOLE
    kept = references.get(pairs, 0, 1)
    marked = {place: tensor.clone() for place, tensor in kept.corrupt.activations.items()}
    with torch.inference_mode():
        for tensor in kept.clean.activations.values():
            tensor += 1.0
    read_alike(kept, references.chunks(pairs)[0], causal=references.shortcuts.forks)
    assert all(torch.equal(kept.corrupt.activations[place], before) for place, before in marked.items())


def test_what_was_reused_is_counted_on_within_another_budget(backend, one_length):
    for _ in range(2):
        backend.clean(one_length)
    counted = backend.counted()
    backend.within(Budget(1 << 20))
    assert backend.counted() == counted and counted["reused_runs"] == 2 * len(one_length)


def test_of_pairs_whose_tokens_are_forgotten_nothing_is_remembered(backend, random_pairs):
    references = backend.references
    for seed in range(MOST_TOKENISED + 3):
        references.columns(random_pairs(2 + seed, (4,)))
    assert references._columns.keys() == references._chunks.keys() and len(references._chunks) == MOST_TOKENISED
