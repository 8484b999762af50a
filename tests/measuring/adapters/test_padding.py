"""What is told of padding is what padding does."""

import pytest
import torch
from torch import nn

from causaltest import Lab
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.padding import padded_equals_unpadded

SAME = "left: the same answer; right: the same answer. Not used: prompts are measured in groups of one length"


def told(loaded):
    return padded_equals_unpadded(loaded, loaded.probe_prompt)


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox"])
def test_a_model_that_is_told_its_positions_and_its_mask_answers_the_same(request, family):
    assert told(request.getfixturevalue(family).backend.loaded) == SAME


class Deaf(nn.Module):
    """Learned positions that are counted from the row's first token, whatever is asked for."""

    def __init__(self, positions):
        super().__init__()
        self.weight = positions.weight
        self.eval()

    def forward(self, asked):
        return self.weight[torch.arange(asked.shape[-1])].expand(*asked.shape, -1)


def test_positions_that_are_counted_from_the_pads_are_another_answer(new_gpt2, word_tokenizer):
    model = new_gpt2()
    loaded = wrap(model, word_tokenizer(), "deaf")
    model.transformer.wpe = Deaf(model.transformer.wpe)
    left, right = told(loaded).split(". Not used")[0].split("; right: ")
    assert left.startswith("left: ANOTHER ANSWER (a logit is off by ")
    assert float(left.removesuffix(")").split()[-1]) > 0.01
    assert right == "the same answer"


def test_a_model_that_does_not_heed_the_mask_is_told_from_one_that_does(new_gpt2, word_tokenizer):
    """Pads behind the prompt cannot reach it in a causal model; those before it do."""
    model = new_gpt2()
    loaded = wrap(model, word_tokenizer(), "maskless")

    def see_everything(_, args, given):
        # With no mask at all, transformers takes positions that begin again for another text in the same row.
        ones = None if given.get("attention_mask") is None else torch.ones_like(given["attention_mask"])
        return args, given | {"attention_mask": ones}

    model.transformer.register_forward_pre_hook(see_everything, with_kwargs=True)
    assert told(loaded).startswith("left: ANOTHER ANSWER")
    assert "; right: the same answer." in told(loaded)


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError, IndexError])
def test_a_model_that_refuses_pads_is_said_to(new_gpt2, word_tokenizer, error):
    model = new_gpt2()
    loaded = wrap(model, word_tokenizer(), "strict")

    def refuse(_, args, given):
        if given.get("attention_mask") is not None:
            raise error("no mask here")

    model.transformer.register_forward_pre_hook(refuse, with_kwargs=True)
    refused = f"refused by the model ({error.__name__})"
    assert told(loaded).startswith(f"left: {refused}; right: {refused}. Not used")


def test_of_a_reasoner_nothing_is_told(ducks):
    assert told(ducks.backend.loaded) == "none: prompts are measured in groups of one length"
    assert "  padding      none: " in str(ducks.card("Janet"))


def test_the_card_says_it(tiny_gpt2):
    card = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer).card("cat")
    assert f"padding      {SAME}" in card.facts
