"""Shortcuts: taken where they hold, found out where they do not, and right either way."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from causaltest import Pairs, accuracy, attn_out, embed, exact_match, head, index, logit_diff, mlp_out, resid_post, step
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.sites import resid_pre
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.plans import Plan
from causaltest.measuring.proofs import probes, prove
from causaltest.organisms import bypass, planted

PROMPT = torch.tensor([[3, 8, 1, 12, 7, 15]])
SITES = (
    embed(index(1)),
    resid_pre(1, index(0)),
    head(0, 2, index(-1)),
    attn_out(2, index(2)),
    mlp_out(2, index(-1)),
    resid_post(2, index(1)),
    resid_post(0, step(1)),
    mlp_out(1, step(2)),
)
TOKENS = 3


def equals_plain(plain, planned, backend, pairs, other):
    """Planned as the backend was proven, against one hook in full forwards of `other`, which is the same model."""
    metric = exact_match(max_new_tokens=TOKENS)
    sites = [site for site in SITES if site.component not in backend.loaded.disabled]
    assert len(sites) > 2
    asked = [Experiment(Patching("t", "denoise", pairs, (site,)), "change", metric, controls=False) for site in sites]
    chunk = backend.references.chunks(pairs)[0]
    shortcuts = prove(backend.loaded, chunk.clean[:1])
    batch = planned(backend.loaded, asked, shortcuts=shortcuts)
    for site, study in zip(sites, batch.studies, strict=True):
        for pair in pairs:
            clean, corrupt = (backend.loaded.tokenizer(text)["input_ids"] for text in (pair.clean, pair.corrupt))
            (n,) = site.position.numbers
            position = len(clean) - 1 + n if site.position.kind == "step" else n % len(clean)
            layer, part = (site.layers or (0,))[0], (site.parts or (None,))[0]
            _, _, seen = plain.generate(other, clean, TOKENS)
            change = plain.Change(
                site.component, layer, position, seen.vector(site.component, layer, position, part), part
            )
            tokens, logits, _ = plain.generate(other, corrupt, TOKENS, [change])
            gave = batch.gave[study.patched.arm, pair.id]
            assert gave.tokens == tokens
            assert torch.allclose(gave.logits, logits, atol=1e-5, rtol=1e-5), site
    return shortcuts


# Where they hold


@pytest.mark.parametrize(
    "family", ["tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox"]
)
def test_ordinary_decoders_take_every_shortcut(request, family):
    shortcuts = prove(request.getfixturevalue(family).backend.loaded, PROMPT)
    assert (shortcuts.forks, shortcuts.trims, shortcuts.why) == (True, True, "")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_prompts_prove_them_too(tiny_gpt2, tiny_gemma2, length):
    for tiny in (tiny_gpt2, tiny_gemma2):
        shortcuts = prove(tiny.backend.loaded, PROMPT[:, :length])
        assert shortcuts.forks and shortcuts.trims


def test_a_model_of_one_block_takes_them(new_gpt2, word_tokenizer):
    shortcuts = prove(wrap(new_gpt2(n_layer=1), word_tokenizer(), "one block"), PROMPT)
    assert shortcuts.forks and shortcuts.trims


def test_the_ducks_and_the_organisms_take_them(ducks, twins):
    """Their thoughts are probed too."""
    model = ducks.backend.loaded
    chunk = ducks.backend.references.chunks(twins)[0]
    assert chunk.prompt_tokens + 1 in [position for _, position in probes(model, chunk.clean[:1])]
    for loaded, prompt in (
        (model, chunk.clean[:1]),
        *((organism.load(), organism_prompt(organism)) for organism in (planted, bypass)),
    ):
        shortcuts = prove(loaded, prompt)
        assert shortcuts.forks and shortcuts.trims, loaded.name


def organism_prompt(organism):
    backend = ModelBackend(organism.load())
    return backend.references.chunks(organism.pairs(per_cluster=1))[0].clean[:1]


def test_a_proof_leaves_nothing_behind_and_costs_nothing_to_the_next(tiny_gpt2, forwards):
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    counted = forwards(tiny_gpt2.model.transformer)
    backend.clean(tiny_gpt2.pairs)
    first = len(counted)
    backend.clean(tiny_gpt2.pairs)
    backend.references.get(tiny_gpt2.pairs, 0, 1)
    assert len(counted) == first
    assert not any("forward" in vars(module) for module in tiny_gpt2.model.modules())


# Where they do not


def two_ways(model, tokenizer):
    """The model with attention that looks ahead, as measured, and as a model of its own for the plain reference."""
    loaded = wrap(model, tokenizer, "two ways")
    other = copy.deepcopy(model)
    real = other.forward
    other.forward = lambda input_ids, **more: real(
        input_ids=input_ids, attention_mask=torch.zeros(1, 1, input_ids.shape[1], input_ids.shape[1]), **more
    )
    return ModelBackend(replace(loaded, mask=lambda _, total: torch.zeros(1, 1, total, total))), other


def test_attention_that_looks_ahead_is_found_out_and_run_whole(new_gpt2, word_tokenizer, random_pairs, plain, planned):
    backend, other = two_ways(new_gpt2(), word_tokenizer())
    pairs = random_pairs(4)
    shortcuts = equals_plain(plain, planned, backend, pairs, other)
    assert not shortcuts.forks and not shortcuts.trims
    assert "off by" in shortcuts.why
    asked = Experiment(Patching("t", "denoise", pairs, (resid_post(0, index(-1)),)), "change", logit_diff)
    numbers = backend.measure(asked).measured
    assert numbers.provenance["whole runs"] == shortcuts.why
    assert numbers.controls.self_patch.neutral and numbers.controls.self_patch.tolerance < 1e-4


def test_a_wrongly_forked_run_of_it_would_be_seen(new_gpt2, word_tokenizer, random_pairs, planned):
    """The test above has teeth: with the shortcuts taken all the same, the numbers are others."""
    backend, _ = two_ways(new_gpt2(), word_tokenizer())
    asked = [
        Experiment(
            Patching("t", "denoise", random_pairs(4), (resid_post(0, index(-1)),)), "change", logit_diff, controls=False
        )
    ]
    chunk = backend.references.chunks(random_pairs(4))[0]
    right = planned(backend.loaded, asked, shortcuts=prove(backend.loaded, chunk.clean[:1]))
    wrong = planned(backend.loaded, asked)
    arm = right.studies[0].patched.arm
    assert (right.gave[arm, "pair 0"].logits - wrong.gave[arm, "pair 0"].logits).abs().max() > 1e-2


class Flattening(nn.Module):
    """A GPT-2 block that adds in one long row of tokens, and so cannot add one token to many."""

    def __init__(self, block):
        super().__init__()
        for name in ("ln_1", "attn", "ln_2", "mlp"):
            setattr(self, name, getattr(block, name))

    def forward(self, hidden_states, past_key_values=None, attention_mask=None, *_, **more):
        attended = self.attn(
            self.ln_1(hidden_states), past_key_values=past_key_values, attention_mask=attention_mask, **more
        )[0]
        hidden_states = added(hidden_states, attended)
        return added(hidden_states, self.mlp(self.ln_2(hidden_states)))


def added(stream, more):
    return (stream.flatten(0, 1) + more.flatten(0, 1)).view(stream.shape)


class Averaging(nn.Module):
    """An MLP that adds the mean of what it has read so far, which no cache keeps for it."""

    def __init__(self, mlp):
        super().__init__()
        self.c_fc, self.c_proj, self.act = mlp.c_fc, mlp.c_proj, mlp.act

    def forward(self, hidden_states):
        so_far = torch.arange(1, hidden_states.shape[1] + 1)[:, None]
        return self.c_proj(self.act(self.c_fc(hidden_states))) + hidden_states.cumsum(1) / so_far


def test_a_last_block_that_cannot_be_trimmed_is_not(new_gpt2, word_tokenizer, random_pairs, plain, planned):
    model = new_gpt2()
    model.transformer.h[2] = Flattening(model.transformer.h[2]).eval()
    backend = ModelBackend(wrap(model, word_tokenizer(), "flattening"))
    shortcuts = equals_plain(plain, planned, backend, random_pairs(4), model)
    assert shortcuts.forks and not shortcuts.trims


def test_a_block_that_reads_all_positions_outside_of_attention_is_run_whole(
    new_gpt2, word_tokenizer, random_pairs, plain, planned
):
    """Causal, so that nothing is wrong with the model; but the prefix of a fork is not in its keys and values."""
    model = new_gpt2()
    model.transformer.h[2].mlp = Averaging(model.transformer.h[2].mlp).eval()
    loaded = wrap(model, word_tokenizer(), "averaging")
    backend = ModelBackend(loaded)
    assert not equals_plain(plain, planned, backend, random_pairs(4), model).forks


def test_a_model_whose_keys_cannot_be_kept_is_run_whole_and_says_why(new_gpt2, word_tokenizer, random_pairs):
    model = new_gpt2()
    loaded = wrap(model, word_tokenizer(), "forgetful")
    wanted = ModelBackend(wrap(new_gpt2(), word_tokenizer(), "ordinary"))
    block, real = model.transformer.h[1], model.transformer.h[1].forward

    def refuse(hidden_states, past_key_values=None, *given, **more):
        if past_key_values is not None:
            raise TypeError("no cache here")
        return real(hidden_states, None, *given, **more)

    block.forward = refuse
    asked = Experiment(Patching("t", "denoise", random_pairs(), (resid_post(0, index(1)),)), "change", logit_diff)
    numbers = ModelBackend(loaded).measure(asked).measured
    assert "cannot be kept (TypeError: no cache here)" in numbers.provenance["whole runs"]
    assert numbers.values == pytest.approx(wanted.measure(asked).measured.values, abs=1e-5)


def test_an_answer_is_generated_where_a_later_token_may_change_what_came_before(
    new_gpt2, word_tokenizer, random_pairs, plain
):
    """Under attention that looks ahead, an answer that is given would be seen before it is predicted."""
    backend, other = two_ways(new_gpt2(), word_tokenizer())
    pairs = []
    for pair in random_pairs(4):
        tokens, _, _ = plain.generate(other, backend.loaded.tokenizer(pair.clean)["input_ids"], TOKENS)
        answer = " ".join(backend.loaded.tokenizer.convert_ids_to_tokens(tokens))
        pairs.append(replace(pair, answer=answer, corrupt_answer=None))
    asked = Experiment(
        Patching("t", "noise", Pairs(pairs, iid=True), (resid_post(2, index(0)),)), "change", accuracy, controls=False
    )
    _, readings = backend._run(Plan((asked,)))
    assert readings.scores["clean", accuracy].tolist() == [1.0] * 4
    batch, _ = backend.batch([asked])
    assert not batch.forced
    assert ModelBackend(wrap(new_gpt2(), word_tokenizer(), "causal")).batch([asked])[0].forced
