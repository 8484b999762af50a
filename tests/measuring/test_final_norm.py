"""The last norm: what the head reads, found without a name, read and written at a position."""

from __future__ import annotations

from dataclasses import replace as with_changes

import pytest
import torch
from torch import nn

from causaltest import Lab, final_norm, index, last, logit_diff, thought, zero
from causaltest.errors import SiteError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.engine import Patch
from causaltest.measuring.patches import Where, spots
from causaltest.measuring.trajectory import run

NORMS = {
    "gpt2": "transformer.ln_f",
    "llama": "model.norm",
    "gemma2": "model.norm",
    "neox": "gpt_neox.final_layer_norm",
}
FAMILIES = sorted(NORMS)
PROMPTS = torch.tensor([[3, 8, 1, 12, 7, 7, 15], [19, 2, 2, 5, 11, 0, 4]])
NEW_TOKENS = 3
EXACT = {"atol": 1e-5, "rtol": 1e-5}


@torch.no_grad()
def plainly(model, norm, ids, changes=()):
    """Logits [position, vocabulary] and the norm's output [position, width] of one full forward by one hook."""
    seen = []

    def look(_, __, out):
        out = out.clone()
        for position, vector in changes:
            if position < out.shape[1]:
                out[0, position] = vector
        seen.append(out[0])
        return out

    handle = model.get_submodule(norm).register_forward_hook(look)
    try:
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        handle.remove()
    return logits, seen[0]


def generated(model, norm, ids, changes=()):
    ids, steps, seen = list(ids), [], None
    for _ in range(NEW_TOKENS):
        logits, seen = plainly(model, norm, ids, changes)
        steps.append(logits[-1])
        ids.append(int(logits[-1].argmax()))
    return ids[-NEW_TOKENS:], torch.stack(steps), seen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_norm_is_found_and_recorded(request, family):
    tiny = request.getfixturevalue(f"tiny_{family}")
    assert tiny.backend.loaded.norm is tiny.model.get_submodule(NORMS[family])
    ran = run(tiny.backend.loaded, PROMPTS, new_tokens=NEW_TOKENS, record=("final_norm",))
    for row in (0, 1):
        _, _, seen = generated(tiny.model, NORMS[family], PROMPTS[row].tolist())
        assert torch.allclose(ran.activations["final_norm", 0][row], seen, **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_write_moves_the_logits_of_its_position_alone(request, family):
    """The first row at its prompt's last token, the second at a generated one."""
    tiny, positions = request.getfixturevalue(f"tiny_{family}"), (6, 8)
    width = tiny.model.config.hidden_size
    values = 4 * torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    patch = Patch("final_norm", 0, None, torch.tensor([0, 1]), torch.tensor(positions), values)
    given = run(tiny.backend.loaded, PROMPTS, new_tokens=NEW_TOKENS, patches=[patch])
    for row, position in enumerate(positions):
        ids = PROMPTS[row].tolist()
        tokens, logits, _ = generated(tiny.model, NORMS[family], ids, [(position, values[row])])
        before = generated(tiny.model, NORMS[family], ids)[1]
        step = position - 6
        assert given.tokens[row].tolist() == tokens
        assert torch.allclose(given.logits[row], logits, **EXACT)
        assert (logits[step] - before[step]).abs().max() > 1e-3
        assert torch.allclose(logits[:step], before[:step], **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
def test_through_the_lab_it_equals_one_hook(request, family):
    """At the answer's position all is recovered; elsewhere nothing; zeros leave the head its bias."""
    tiny = request.getfixturevalue(f"tiny_{family}")
    lab = Lab(tiny.model, tiny.tokenizer, name=family)
    effect = lab.denoise(tiny.pairs, at=final_norm(last())).recovery(logit_diff)
    assert effect.estimate == pytest.approx(1.0, abs=1e-4)
    assert effect.measured.controls.self_patch.neutral
    assert lab.denoise(tiny.pairs, at=final_norm(index(2))).recovery(logit_diff, placebo=False).estimate == (
        pytest.approx(0.0, abs=1e-4)
    )
    ablated = lab.ablate(tiny.pairs, at=final_norm(last()), by=zero).change(logit_diff, placebo=False)
    by_id = {pair.id: pair for pair in tiny.pairs}
    for name, patched in zip(ablated.measured.pair_ids, ablated.measured.references["patched"], strict=True):
        pair = by_id[name]
        ids = tiny.tokenizer(pair.clean)["input_ids"]
        logits, _ = plainly(tiny.model, NORMS[family], ids, [(len(ids) - 1, 0.0)])
        right, wrong = (tiny.tokenizer.convert_tokens_to_ids(a) for a in (pair.answer, pair.corrupt_answer))
        assert patched == pytest.approx(float(logits[-1, right] - logits[-1, wrong]), abs=1e-5)


def test_a_run_that_is_patched_there_joins_behind_the_last_block():
    (spot,) = spots(final_norm(last()), Where(((4,),)))
    assert (spot.place, spot.join(3)) == (("final_norm", 0), 3)


def test_its_gradient_is_that_of_what_the_head_reads(tiny_gpt2):
    """The head is linear, so an estimate at the answer's position is exact."""
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="t")
    screened = lab.denoise(tiny_gpt2.pairs, at=final_norm(last()), method="attribution").recovery(logit_diff)
    assert screened.estimate == pytest.approx(1.0, abs=1e-4)


def test_in_a_reasoner_it_is_what_thoughts_are_made_of(ducks, twins):
    """Written at the position before a thought, it changes that thought, and so the answer's logits."""
    effect = ducks.denoise(twins, at=final_norm(thought(0))).change(logit_diff, placebo=False)
    assert effect.measured.controls.self_patch.neutral
    assert abs(effect.estimate) > 1e-3


def test_a_model_whose_last_state_is_no_norms_output_has_none(new_llama, word_tokenizer):
    model = new_llama()
    model.model.register_forward_hook(
        lambda _, __, out: type(out)(**{**out, "last_hidden_state": 2 * out.last_hidden_state})
    )
    loaded = wrap(model, word_tokenizer(), "odd")
    assert loaded.norm is None and "no one module makes the last hidden state" in loaded.disabled["final_norm"]
    with pytest.raises(SiteError, match="final_norm is not offered for odd: no one module"):
        loaded.check(final_norm())


def test_another_module_taken_for_it_is_found(tiny_llama):
    model = tiny_llama.backend.loaded
    wrong = with_changes(model, norm=model.blocks[2].block.post_attention_layernorm, disabled={})
    assert "does not carry the whole run" in proven(wrong).disabled["final_norm"]
    assert isinstance(wrong.norm, nn.Module)
