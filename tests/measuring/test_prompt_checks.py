"""What a tokenizer does to a prompt unseen: refused where it is wrong, noted where it may be."""

import copy

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from causaltest import Lab, Pair, Pairs, first, index, logit, resid_post
from causaltest.errors import PairsError
from causaltest.measuring.positions import Layout, resolve
from causaltest.measuring.prompts import token_pair, tokenise_prompt


def pair(clean="The capital of France is", corrupt="The capital of Italy is", answer=" Paris", other=" Rome"):
    return Pair(clean=clean, corrupt=corrupt, answer=answer, corrupt_answer=other, id="it")


def adding(tokenizer, single):
    """A tokenizer that adds special tokens to a prompt."""
    changed = copy.deepcopy(tokenizer)
    end = changed.convert_tokens_to_ids(changed.eos_token)
    changed.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(changed.eos_token, end)]
    )
    return changed


# the beginning and the end


def test_a_first_token_that_is_added_is_there_once_and_shown(byte_tokenizer, new_gpt2):
    tokenizer = adding(byte_tokenizer, "<|end|> $A")
    lab = Lab(new_gpt2(vocab_size=len(tokenizer)), tokenizer)
    runs = lab.clean(Pairs([pair()]))
    assert runs.runs[0].tokens == ("<|end|>", "The", "Ġcapital", "Ġof", "ĠFrance", "Ġis")
    assert "it as the model sees it: <|end|> The Ġcapital Ġof ĠFrance Ġis" in str(runs)


def test_a_first_token_that_is_added_and_written_is_refused(byte_tokenizer):
    tokenizer = adding(byte_tokenizer, "<|end|> $A")
    with pytest.raises(PairsError, match=r"begins with <\|end\|> twice: the tokenizer adds it, .* Leave it out of"):
        tokenise_prompt(tokenizer, "<|end|>The capital of France is")
    assert len(tokenise_prompt(tokenizer, "The<|end|>").ids) == 3, "elsewhere it is the researcher's own"


def test_a_first_token_that_is_only_written_is_the_researchers_own(byte_tokenizer):
    assert len(tokenise_prompt(byte_tokenizer, "<|end|>The").ids) == 2
    assert len(tokenise_prompt(byte_tokenizer, "<|end|><|end|>The<|end|>").ids) == 4


@pytest.mark.parametrize("single", ["$A <|end|>", "<|end|> $A <|end|>"])
def test_a_token_added_at_the_end_is_refused(byte_tokenizer, single):
    with pytest.raises(PairsError, match=r"adds <\|end\|> at the end of the prompt, .* add_eos_token=False"):
        tokenise_prompt(adding(byte_tokenizer, single), "The capital of France is")


def test_a_prompt_of_added_tokens_alone_is_no_prompt(word_tokenizer):
    with pytest.raises(PairsError, match="makes no token of the prompt"):
        tokenise_prompt(adding(word_tokenizer(), "[EOS] $A"), "  ")


# words that are not known


def test_prompts_that_differ_in_unknown_words_alone_are_refused(tiny_gpt2):
    zebra = pair("the zebra sat", "the gnu sat", "one", "two")
    with pytest.raises(PairsError, match=r"it: .*same tokens of both .* not know the words \['zebra', 'gnu'\]"):
        token_pair(tiny_gpt2.tokenizer, zebra)


def test_prompts_that_differ_in_nothing_that_becomes_a_token_are_refused(tiny_gpt2):
    with pytest.raises(PairsError, match="makes the same tokens of both prompts, so the model sees no difference"):
        token_pair(tiny_gpt2.tokenizer, pair("the cat sat", "the  cat sat", "one", "two"))
    token_pair(tiny_gpt2.tokenizer, pair("the cat sat", "the dog sat", "one", "two").with_itself())


def test_an_unknown_word_elsewhere_is_noted_where_it_is_seen(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    odd = Pairs([pair("the zebra cat sat", "the zebra dog sat", "one", "two")])
    runs = lab.clean(odd)
    note = "the tokenizer does not know ['zebra'], and the model sees none of it"
    assert runs.runs[0].notes == (note,)
    assert f"note: {note}" in str(runs)
    effect = lab.denoise(odd, at=resid_post(0, index(2))).change(logit, placebo=False)
    assert effect.measured.provenance["prompts"] == f"it: {note}"


def test_known_words_leave_no_note(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    assert {run.notes for run in lab.clean(tiny_gpt2.pairs).runs} == {()}
    effect = lab.denoise(tiny_gpt2.pairs, at=resid_post(0, index(2))).change(logit, placebo=False)
    assert "prompts" not in effect.measured.provenance


def test_a_token_for_unknown_that_is_also_the_end_is_no_unknown_word(byte_tokenizer):
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.unk_token = "<|end|>"
    assert tokenise_prompt(tokenizer, "<|end|>The").unknown == ()


# the seam between prompt and answer


@pytest.mark.parametrize("answer", [" Paris", "Paris"])
def test_a_space_at_the_prompts_end_that_is_a_token_is_refused(byte_tokenizer, answer):
    odd = pair("The capital of France is ", "The capital of Italy is ", answer, None)
    with pytest.raises(PairsError, match=r"it: The prompt ends with a space, .* begin the answers with it: ' Paris'"):
        token_pair(byte_tokenizer, odd)


def test_a_space_that_no_token_holds_is_harmless(tiny_gpt2):
    tokens = token_pair(tiny_gpt2.tokenizer, pair("the cat sat ", "the dog sat ", " one", "two"))
    assert tokens.notes == ()


def test_an_answer_that_goes_on_as_the_tokenizer_writes_it_leaves_no_note(byte_tokenizer, splitting_tokenizer):
    assert token_pair(byte_tokenizer, pair()).notes == ()
    # One letter a token, so that any two texts stand together as they stand alone.
    assert token_pair(byte_tokenizer, pair("in 17", "in 18", "33", "34")).notes == ()
    assert token_pair(splitting_tokenizer, pair("a duck ran", "a cat ran", "duckling", "ducks")).notes == ()


def test_an_answer_that_would_be_written_in_other_tokens_is_noted(byte_tokenizer):
    """`Th` and `e` are one token together."""
    (note,) = token_pair(byte_tokenizer, pair("of France. Th", "of Italy. Th", "e", None)).notes
    assert note.startswith("the tokenizer writes the prompt's end and the answer 'e' in other tokens")


def test_an_answer_of_no_token_is_refused_by_its_pair(tiny_gpt2):
    with pytest.raises(PairsError, match="it: the tokenizer has no tokens for the answer 'zebra'"):
        token_pair(tiny_gpt2.tokenizer, pair("the cat sat", "the dog sat", "zebra", None))


@pytest.fixture(scope="module")
def piece_tokenizer():
    """Words with their space as `▁word`, the first word too, as SentencePiece tokenizers write them."""
    words = ["▁The", "▁capital", "▁of", "▁France", "▁Italy", "▁is", "▁Paris", "▁Rome", "▁", "<unk>", "</s>"]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>")


@pytest.mark.parametrize("answer", ["Paris", " Paris"])
def test_a_tokenizer_that_writes_every_word_with_its_space_takes_an_answer_either_way(piece_tokenizer, answer):
    tokens = token_pair(piece_tokenizer, pair(answer=answer, other=None))
    assert piece_tokenizer.convert_ids_to_tokens(list(tokens.answer)) == ["▁Paris"]
    assert tokens.notes == ()
    where = Layout(5, 0, 0, 0, 5)
    assert [resolve(first(word), tokens, where) for word in ("The", "France", " of ")] == [(0,), (3,), (2,)]


def test_a_space_after_the_last_of_such_words_is_refused(piece_tokenizer):
    with pytest.raises(PairsError, match="ends with a space, which the tokenizer makes a token of its own"):
        token_pair(piece_tokenizer, pair("The capital of France is ", "The capital of Italy is ", "Paris", None))


# lengths


def test_long_prompts_of_different_length_are_shown_where_they_part(tiny_gpt2):
    long = "the cat sat on " * 30
    with pytest.raises(PairsError) as told:
        token_pair(tiny_gpt2.tokenizer, pair(f"{long}one red hen {long}", f"{long}one hen {long}", "one", "two"))
    message = str(told.value)
    assert "the clean prompt has 243 tokens and the corrupt one 242" in message
    assert "They part at token 121:\n  clean   113 tokens, [" in message
    assert "'red', 'hen', 'the'" in message
    assert "tokens more" in message
    assert len(message) < 1200
