"""Length groups in place of padding: what a careful researcher gets by padding by hand, on either side."""

import pytest
import torch

from causaltest import Lab, Pairs, index, logit_diff, resid_post
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend

FAMILIES = ["tiny_gpt2", "tiny_llama"]
"""Learned positions, and rotary ones."""
LAYER, POSITION = 1, 2


@pytest.fixture(scope="module")
def mixed(random_pairs):
    """Prompts of three lengths in turn."""
    return random_pairs(9, lengths=(4, 9, 6))


def padded(prompts, side):
    """Prompts as one batch, with what must be said so that padding changes nothing."""
    longest = max(map(len, prompts))
    ids, mask, positions = (torch.zeros(len(prompts), longest, dtype=torch.long) for _ in range(3))
    for row, prompt in enumerate(prompts):
        begin = longest - len(prompt) if side == "left" else 0
        here = slice(begin, begin + len(prompt))
        ids[row, here] = torch.tensor(prompt)
        mask[row, here] = 1
        positions[row, here] = torch.arange(len(prompt))
    return ids, mask, positions


def blocks_of(model):
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def hidden(output):
    return output[0] if isinstance(output, tuple) else output


def patched_by_hand(tiny, pairs, side, *, masked=True, placed=True):
    """Per pair, the logit difference of the corrupt run with the clean vector at one site, in one padded batch."""
    model, tokenizer = tiny.model, tiny.tokenizer
    texts = {which: [tokenizer(getattr(p, which))["input_ids"] for p in pairs] for which in ("clean", "corrupt")}
    lengths = torch.tensor([len(ids) for ids in texts["clean"]])
    begins = (lengths.max() - lengths) if side == "left" else torch.zeros_like(lengths)
    rows, kept = torch.arange(len(pairs)), []

    def run(which, hook):
        ids, mask, positions = padded(texts[which], side)
        said = ({"attention_mask": mask} if masked else {}) | ({"position_ids": positions} if placed else {})
        handle = blocks_of(model)[LAYER].register_forward_hook(hook)
        try:
            with torch.no_grad():
                return model(ids, **said).logits[rows, begins + lengths - 1]
        finally:
            handle.remove()

    def keep(_, __, output):
        kept.append(hidden(output)[rows, begins + POSITION].clone())

    def put(_, __, output):
        changed = hidden(output).clone()
        changed[rows, begins + POSITION] = kept[0]
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    run("clean", keep)
    logits = run("corrupt", put)
    word = tokenizer.convert_tokens_to_ids
    return [float(row[word(p.answer)] - row[word(p.corrupt_answer)]) for row, p in zip(logits, pairs, strict=True)]


def measured(tiny, pairs):
    """Per pair, what a lab of its own gives for the patched run."""
    lab = Lab(backend=ModelBackend(wrap(tiny.model, tiny.tokenizer, "fresh")))
    effect = lab.denoise(pairs, at=resid_post(LAYER, index(POSITION))).change(logit_diff, placebo=False)
    numbers = effect.measured
    by_id = dict(zip(numbers.pair_ids, numbers.references["patched"], strict=True))
    return [by_id[name] for name in pairs.ids]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_padded_by_hand_gives_the_same(family, side, mixed, request):
    tiny = request.getfixturevalue(family)
    by_hand = patched_by_hand(tiny, mixed, side)
    assert measured(tiny, mixed) == pytest.approx(by_hand, abs=2e-5)
    assert len({round(value, 3) for value in by_hand}) == len(mixed), "every pair has a value of its own"


@pytest.mark.parametrize(
    ("family", "side", "left_out"),
    [("tiny_gpt2", "left", "placed"), ("tiny_gpt2", "left", "masked"), ("tiny_llama", "left", "masked")],
)
def test_padding_with_something_left_out_gives_something_else(family, side, left_out, mixed, request):
    """The trap, and the proof that the test above could fail."""
    tiny = request.getfixturevalue(family)
    careless = patched_by_hand(tiny, mixed, side, **{left_out: False})
    right = measured(tiny, mixed)
    wrong = [i for i, (a, b) in enumerate(zip(careless, right, strict=True)) if abs(a - b) > 1e-3]
    assert wrong == [i for i, p in enumerate(mixed) if len(p.clean.split()) < 9], "all but the longest"


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_of_other_lengths_beside_them_change_nothing(family, mixed, request):
    tiny = request.getfixturevalue(family)
    together = dict(zip(mixed.ids, measured(tiny, mixed), strict=True))
    for length in (4, 6, 9):
        alone = Pairs([p for p in mixed if len(p.clean.split()) == length], iid=True)
        assert len(alone) == 3
        assert measured(tiny, alone) == pytest.approx([together[name] for name in alone.ids], abs=1e-6)
