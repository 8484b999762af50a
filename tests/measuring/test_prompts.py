"""Prompts as tokens: alignment, answers, and the chunks that share a forward."""

import pytest
import torch

from causaltest import Lab, Pair, Pairs, accuracy, index, logit_diff, resid_post
from causaltest.asking.settings import Settings
from causaltest.errors import PairsError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.budget import Budget, Shape
from causaltest.measuring.prompts import token_pair, tokenise


def pair(clean="the cat sat", corrupt="the dog sat", answer="one", **more):
    return Pair(clean=clean, corrupt=corrupt, answer=answer, **more)


def test_prompts_of_different_length_show_both_tokenisations_and_where_they_part(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    odd = pair(clean="the cat sat", corrupt="the big dog sat", id="the third")
    with pytest.raises(PairsError) as told:
        lab.denoise(odd, at=resid_post(0, index(0))).recovery(accuracy)
    message = str(told.value)
    assert message.startswith("the third: the clean prompt has 3 tokens and the corrupt one 4")
    assert "They part at token 1:" in message
    assert "clean   ['the', 'cat', 'sat']" in message
    assert "corrupt ['the', 'big', 'dog', 'sat']" in message


def test_a_prompt_that_only_goes_on_parts_where_the_shorter_one_ends(tiny_gpt2):
    with pytest.raises(PairsError, match="They part at token 3:"):
        token_pair(tiny_gpt2.tokenizer, pair(clean="the cat sat", corrupt="the cat sat on"))


def test_words_that_split_into_more_tokens_misalign_too(splitting_tokenizer):
    with pytest.raises(PairsError, match=r"'duck', '##ling', '##s'"):
        token_pair(splitting_tokenizer, pair(clean="a duck ran", corrupt="a ducklings ran"))


def test_an_answer_that_the_tokenizer_does_not_know_is_refused(tiny_gpt2):
    with pytest.raises(PairsError, match="no tokens for the answer 'zebra'"):
        token_pair(tiny_gpt2.tokenizer, pair(answer="zebra"))
    with pytest.raises(PairsError, match="no tokens for the answer 'zebra'"):
        token_pair(tiny_gpt2.tokenizer, pair(corrupt_answer="zebra"))


def test_an_answer_may_have_several_tokens(splitting_tokenizer):
    tokens = token_pair(splitting_tokenizer, pair(answer="ducklings", corrupt_answer="ducky"))
    assert splitting_tokenizer.convert_ids_to_tokens(list(tokens.answer)) == ["duck", "##ling", "##s"]
    assert splitting_tokenizer.convert_ids_to_tokens(list(tokens.corrupt_answer)) == ["duck", "##y"]


def test_a_prompt_without_a_token_is_refused(tiny_gpt2):
    from causaltest.measuring.prompts import tokenise_prompt

    with pytest.raises(PairsError, match="makes no token of the prompt"):
        tokenise_prompt(tiny_gpt2.tokenizer, "  ")


def test_prompts_are_grouped_by_length_and_keep_their_order(tiny_gpt2):
    chunks = tokenise(tiny_gpt2.backend.loaded, tiny_gpt2.pairs, Budget())
    assert [c.prompt_tokens for c in chunks] == [5, 7]
    assert [p.pair.id for c in chunks for p in c.pairs] == [f"pair {i}" for i in (0, 2, 4, 1, 3, 5)]
    for chunk in chunks:
        for row, tokens in enumerate(chunk.pairs):
            assert chunk.clean[row].tolist() == list(tokens.clean.ids)
            assert chunk.corrupt[row].tolist() == list(tokens.corrupt.ids)


def two_short_ones(model):
    """A quarter of this budget holds both runs of two pairs of five tokens, and of one of seven."""
    return Budget(4 * 2 * 2 * 5 * Shape.of(model).reference_bytes)


def test_a_chunk_holds_as_many_pairs_as_the_budget_holds_runs(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    chunks = tokenise(model, tiny_gpt2.pairs, two_short_ones(model))
    assert [(len(c.pairs), c.prompt_tokens) for c in chunks] == [(2, 5), (1, 5), (1, 7), (1, 7), (1, 7)]


def test_a_pair_that_is_above_the_budget_is_a_chunk_all_the_same(tiny_gpt2):
    chunks = tokenise(tiny_gpt2.backend.loaded, tiny_gpt2.pairs, Budget(1))
    assert [len(c.pairs) for c in chunks] == [1] * 6


def test_numbers_belong_to_their_pairs_whatever_the_chunks(tiny_gpt2, experiment):
    """Small chunks and one large chunk give each pair the same value, up to rounding."""
    model = wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "small")
    small = ModelBackend(model, Settings(memory=two_short_ones(model).bytes))
    assert len(small.references.chunks(tiny_gpt2.pairs)) == 5
    asked = experiment(tiny_gpt2.pairs, "denoise", resid_post(1, index(1, 2)), logit_diff)
    a, b = small.measure(asked).measured, tiny_gpt2.backend.measure(asked).measured
    by_pair = [dict(zip(n.pair_ids, n.values, strict=True)) for n in (a, b)]
    assert by_pair[0] == pytest.approx(by_pair[1], abs=1e-5)
    assert len(set(by_pair[1].values())) == len(tiny_gpt2.pairs)


def test_nothing_is_padded(tiny_gpt2, plain, experiment):
    """A short prompt beside a long one gives what it gives alone."""
    chunks = tiny_gpt2.backend.references.chunks(tiny_gpt2.pairs)
    references = tiny_gpt2.backend.references
    columns = references.columns(tiny_gpt2.pairs).ids
    for number, chunk in enumerate(chunks):
        run = references.get(tiny_gpt2.pairs, number, 1).clean
        for row, ids in enumerate(chunk.clean.tolist()):
            wanted = plain.forward(tiny_gpt2.model, ids).logits[-1, columns]
            assert torch.allclose(run.logits[row, 0], wanted, atol=1e-5)


def test_pairs_are_tokenised_once(tiny_gpt2):
    one = tiny_gpt2.backend.references.chunks(tiny_gpt2.pairs)
    again = Pairs(list(tiny_gpt2.pairs), iid=True)
    assert tiny_gpt2.backend.references.chunks(again) is one
