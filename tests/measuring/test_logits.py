"""The logits as a site: what the head gives, read and written at a position."""

from __future__ import annotations

import pytest
import torch

from causaltest import Lab, index, last, logit_diff, logits
from causaltest.errors import ClaimError, SiteError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.engine import Patch
from causaltest.measuring.trajectory import run

FAMILIES = ["gpt2", "llama", "gemma2", "neox"]
PROMPTS = torch.tensor([[3, 8, 1, 12, 7, 7, 15], [19, 2, 2, 5, 11, 0, 4]])
NEW_TOKENS = 3
EXACT = {"atol": 1e-5, "rtol": 1e-5}


@torch.no_grad()
def plainly(model, ids, changes=()):
    """The model's logits [position, vocabulary] and those of its head, of one full forward by one hook."""
    seen = []

    def look(_, __, out):
        out = out.clone()
        for position, vector in changes:
            if position < out.shape[1]:
                out[0, position] = vector
        seen.append(out[0])
        return out

    handle = model.get_output_embeddings().register_forward_hook(look)
    try:
        given = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        handle.remove()
    return given, seen[0]


def generated(model, ids, changes=()):
    ids, steps, seen = list(ids), [], None
    for _ in range(NEW_TOKENS):
        given, seen = plainly(model, ids, changes)
        steps.append(given[-1])
        ids.append(int(given[-1].argmax()))
    return ids[-NEW_TOKENS:], torch.stack(steps), seen


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_recorded_is_what_the_head_gives(request, family):
    """At every position, of the prompt and of what is generated; Gemma's cap comes after it."""
    tiny = request.getfixturevalue(f"tiny_{family}")
    ran = run(tiny.backend.loaded, PROMPTS, new_tokens=NEW_TOKENS, record=("logits",))
    for row in (0, 1):
        tokens, steps, seen = generated(tiny.model, PROMPTS[row].tolist())
        assert ran.tokens[row].tolist() == tokens
        assert torch.allclose(ran.logits[row], steps, **EXACT)
        assert torch.allclose(ran.activations["logits", 0][row], seen, **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_write_equals_one_hook(request, family):
    """The first row at its prompt's last token, the second at a generated one: later tokens follow from it."""
    tiny, positions = request.getfixturevalue(f"tiny_{family}"), (6, 7)
    values = 4 * torch.randn(2, tiny.model.config.vocab_size, generator=torch.Generator().manual_seed(0))
    patch = Patch("logits", 0, None, torch.tensor([0, 1]), torch.tensor(positions), values)
    given = run(tiny.backend.loaded, PROMPTS, new_tokens=NEW_TOKENS, patches=[patch])
    for row, position in enumerate(positions):
        tokens, steps, _ = generated(tiny.model, PROMPTS[row].tolist(), [(position, values[row])])
        assert given.tokens[row].tolist() == tokens
        assert torch.allclose(given.logits[row], steps, **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_runs_logits_are_all_of_its_answer(request, family, random_pairs):
    tiny = request.getfixturevalue(f"tiny_{family}")
    lab = Lab(tiny.model, tiny.tokenizer, name="tiny")
    assert lab.denoise(random_pairs(), at=logits(last())).recovery(logit_diff, placebo=False).estimate == 1.0
    before = lab.denoise(random_pairs(), at=logits(index(1))).change(logit_diff, placebo=False)
    assert set(before.measured.values) == {0.0}


def test_a_reasoner_has_none_and_says_why(ducks, twins):
    with pytest.raises(
        SiteError, match=r"logits is not offered for organism:ducks: no logits are computed of a thought"
    ):
        ducks.denoise(twins, at=logits(last())).recovery(logit_diff)


def test_an_estimate_of_logits_is_refused(tiny_gpt2, random_pairs):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="tiny")
    with pytest.raises(ClaimError, match="these are the logits themselves: drop method="):
        lab.denoise(random_pairs(), at=logits(last()), method="attribution").change(logit_diff)


def test_logits_that_are_not_what_is_answered_with_are_found_at_load(new_gpt2, word_tokenizer):
    """Something is added behind the head that goes by the prompt, so that logits alone do not carry the answer."""
    model, read = new_gpt2(), []
    model.transformer.wte.register_forward_hook(lambda _, __, out: read.append(out.sum()))
    real = model.forward

    def forward(*given, **more):
        out = real(*given, **more)
        entered = more.get("inputs_embeds")
        if entered is not None:
            out.logits = out.logits + 0.1 * entered.flatten(1)[:, :1, None]
        elif more.get("input_ids") is not None:
            out.logits = out.logits + 0.1 * model.transformer.wte(more["input_ids"]).flatten(1)[:, :1, None]
        return out

    model.forward = forward
    disabled = wrap(model, word_tokenizer(), "odd").disabled
    assert "answers otherwise than they say" in disabled["logits"]
