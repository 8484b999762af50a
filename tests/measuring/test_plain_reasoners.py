"""Patched latent reasoning against the plain reference: formulas on the checkpoint, no cache."""

from dataclasses import replace as replaced

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest import Pairs, accuracy, attn_out, embed, exact_match, head, index, mlp_out, resid_post, step, thought
from causaltest.asking.interventions import replace, zero
from causaltest.asking.sites import resid_pre
from causaltest.measuring.backend import ModelBackend
from causaltest.organisms import ducks as organism

NEW_TOKENS = 3
THREE_TOKENS = exact_match(max_new_tokens=NEW_TOKENS)
SITE_OF = {"resid_pre": resid_pre, "resid_post": resid_post, "attn_out": attn_out, "mlp_out": mlp_out}


@pytest.fixture(scope="module")
def reference(plain):
    return plain.Ducks(organism.CHECKPOINT)


@pytest.fixture(scope="module")
def two(twins):
    return twins[:2]


def absolute(position, prompt):
    """The prompt, the begin token, six thoughts, the end token, the answer."""
    start = {"index": 0, "thought": prompt + 1, "step": prompt + 1 + 6}[position.kind]
    return [start + n for n in position.numbers]


def check(plain, reference, planned, ducks, pairs, experiment, site, direction="denoise", by=replace):
    """The planned patched run, token for token and logit for logit. Returns how far the patch moved a logit."""
    batch = planned(ducks.backend.loaded, [experiment(pairs, direction, site, THREE_TOKENS, intervention=by)])
    moved = 0.0
    for pair in pairs:
        mine, other = (pair.corrupt, pair.clean) if direction == "denoise" else (pair.clean, pair.corrupt)
        _, unpatched, own = reference.generate(mine, NEW_TOKENS)
        _, _, seen = reference.generate(other, NEW_TOKENS)
        changes = []
        for layer in site.layers or (0,):
            for h in site.parts or (None,):
                for position in absolute(site.position, len(pair.clean.split())):
                    vector = (own if by == zero else seen).vector(site.component, layer, position, h)
                    vector = torch.zeros_like(vector) if by == zero else vector
                    changes.append(plain.Change(site.component, layer, position, vector, h))
        tokens, logits, _ = reference.generate(mine, NEW_TOKENS, changes)
        given = batch.gave[batch.studies[0].patched.arm, pair.id]
        assert given.tokens == tokens
        # A layer norm of a stream of zeros divides by almost nothing, which magnifies rounding.
        assert torch.allclose(given.logits, logits, atol=1e-3 if by == zero else 1e-4, rtol=0)
        moved = max(moved, float((logits[0] - unpatched[0]).abs().max()))
    return moved


def test_an_unpatched_run_equals_the_plain_reference(ducks, reference, twins):
    backend = ModelBackend(ducks.backend.loaded)
    run = backend.references.get(twins, 0, NEW_TOKENS, {"attn_out", "mlp_out", "head"}).clean
    columns = backend.references.columns(twins).ids
    assert len({component for component, _ in run.activations}) == 6
    for row, pair in enumerate(twins):
        tokens, logits, seen = reference.generate(pair.clean, NEW_TOKENS)
        assert run.tokens[row].tolist() == tokens
        assert torch.allclose(run.logits[row], logits[:, columns], atol=1e-4, rtol=0)
        for place, whole in run.activations.items():
            assert torch.allclose(whole[row], seen.at[place], atol=1e-4, rtol=0), place


@pytest.mark.parametrize("k", range(6))
def test_a_thoughts_own_embedding_equals_the_plain_reference(plain, reference, planned, ducks, two, experiment, k):
    moved = check(plain, reference, planned, ducks, two, experiment, embed(thought(k)))
    # The changed sentence is read by thought 0, so the thoughts after it differ.
    assert (moved > 1) == (k > 0)


@pytest.mark.parametrize("component", [*SITE_OF, "head"])
@pytest.mark.parametrize("direction, by", [("denoise", replace), ("noise", replace), ("ablate", zero)])
def test_every_component_of_a_thought_equals_the_plain_reference(
    plain, reference, planned, ducks, two, experiment, component, direction, by
):
    layers = (6, 7, 9)
    site = head(layers, range(4), thought(0)) if component == "head" else SITE_OF[component](layers, thought(0))
    # The MLPs of a thought do little here; the tolerance of the comparison is 1e-4.
    least = 3e-4 if component == "mlp_out" else 0.1
    assert check(plain, reference, planned, ducks, two, experiment, site, direction, by) > least


def test_prompt_tokens_equal_the_plain_reference(plain, reference, planned, ducks, two, experiment):
    moved = [
        check(plain, reference, planned, ducks, two, experiment, resid_post(layer, index(at)))
        for layer in (0, 5, 6)
        for at in (9, 10)
    ]
    # Token 9 is the changed number. It is read in block 6 only, and the word after it never.
    assert [m > 1 for m in moved] == [True, False, True, False, False, False]


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_patched_answer_token_equals_the_plain_reference(plain, reference, planned, ducks, two, experiment, k):
    check(plain, reference, planned, ducks, two, experiment, resid_post(8, step(k)))
    check(plain, reference, planned, ducks, two, experiment, embed(step(k)), "ablate", zero)


@given(
    component=st.sampled_from(["embed", "head", *SITE_OF]),
    layer=st.integers(0, 11),
    at=st.one_of(
        st.integers(0, 44).map(index), st.integers(0, 5).map(thought), st.integers(0, NEW_TOKENS - 1).map(step)
    ),
    way=st.sampled_from([("denoise", replace), ("noise", replace), ("ablate", zero)]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_site_of_the_ducks_equals_the_plain_reference(
    plain, reference, planned, ducks, two, experiment, component, layer, at, way
):
    if component == "embed":
        site = embed(at)
    elif component == "head":
        site = head(layer, 1, at)
    else:
        site = SITE_OF[component](layer, at)
    check(plain, reference, planned, ducks, two, experiment, site, *way)


def test_a_forced_answer_is_right_where_the_plain_reference_generates_it(
    plain, reference, planned, ducks, two, experiment
):
    """Answers of several tokens, checked in one forward: those that the patched run gives, and others."""
    site, right = resid_post(7, thought(range(6))), []
    pairs = []
    for n, pair in enumerate(two):
        _, _, seen = reference.generate(pair.clean, NEW_TOKENS)
        changes = [
            plain.Change("resid_post", 7, at, seen.vector("resid_post", 7, at))
            for at in absolute(site.position, len(pair.clean.split()))
        ]
        tokens, logits, _ = reference.generate(pair.corrupt, NEW_TOKENS, changes)
        for wrong in (None, *range(NEW_TOKENS)):
            given = [t if k != wrong else (t + 1) % 20 + 5 for k, t in enumerate(tokens)]
            words = ducks.backend.loaded.tokenizer.convert_ids_to_tokens(given)
            pairs.append(replaced(pair, id=f"{n} {wrong}", answer=" ".join(words), corrupt_answer=None))
            right.append((given == tokens, tokens, logits))
    batch = planned(ducks.backend.loaded, [experiment(Pairs(pairs), "denoise", site, accuracy)])
    assert batch.forced
    for pair, (same, tokens, logits) in zip(pairs, right, strict=True):
        gave = batch.gave[batch.studies[0].patched.arm, pair.id]
        assert (gave.tokens == tokens) >= same
        first_wrong = next((k for k in range(NEW_TOKENS) if pair.id.endswith(str(k))), NEW_TOKENS - 1)
        # Up to the first token that is another, it is the run that generates.
        assert gave.tokens[: first_wrong + 1] == tokens[: first_wrong + 1]
        assert torch.allclose(gave.logits[: first_wrong + 1], logits[: first_wrong + 1], atol=1e-4, rtol=0)
        answer = ducks.backend.loaded.tokenizer.convert_tokens_to_ids(pair.answer.split())
        assert (gave.tokens == answer) == same
