"""Scores: what each metric reads off a run, and what it needs."""

import pytest
import torch

from causaltest import Pair, accuracy, exact_match, logit, logit_diff
from causaltest.errors import ClaimError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.prompts import token_pair
from causaltest.measuring.scores import chooses_tokens, score, text_of, tokens_needed, within_range
from causaltest.measuring.trajectory import Run

last_number = exact_match(extract="last_number")


@pytest.fixture(scope="module")
def model(new_gpt2, splitting_tokenizer):
    return wrap(new_gpt2(), splitting_tokenizer, "tiny")


@pytest.fixture(scope="module")
def numbers(new_gpt2, word_tokenizer):
    return wrap(new_gpt2(), word_tokenizer(("is", "so", "18", "-4", "1,300", "2.5", "18.0", "#18", "nine")), "numbers")


def asked(model, answer, corrupt_answer=None, prompt="the cat"):
    return token_pair(
        model.tokenizer, Pair(clean=prompt, corrupt=prompt, answer=answer, corrupt_answer=corrupt_answer, id="it")
    )


def gave(model, *texts, logits=None):
    rows = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    tokens = torch.tensor(rows)
    given = torch.zeros(*tokens.shape, 30) if logits is None else logits
    return Run(tokens, given, torch.ones(len(tokens), dtype=torch.bool))


def read(metric, model, run, pair):
    (value,) = within_range(metric, score(metric, model, run, torch.arange(30), [pair]))
    return value


def test_accuracy_reads_every_token_of_the_answer(model):
    pair = asked(model, "ducklings")
    assert tokens_needed(accuracy, [pair]) == 3
    assert read(accuracy, model, gave(model, "ducklings"), pair) == 1
    assert read(accuracy, model, gave(model, "duckling the"), pair) == 0
    assert read(accuracy, model, gave(model, "the duck one"), pair) == 0


def test_accuracy_lets_the_text_go_on_after_the_answer(model):
    assert read(accuracy, model, gave(model, "duck ran one"), asked(model, "duck")) == 1


def test_accuracy_needs_as_many_tokens_as_the_longest_answer(model):
    pairs = [asked(model, "duck"), asked(model, "ducklings"), asked(model, "ducky")]
    assert tokens_needed(accuracy, pairs) == 3
    run = gave(model, "duck ran one", "ducklings", "duckling two")
    assert score(accuracy, model, run, torch.arange(30), pairs).tolist() == [1, 1, 0]


def test_exact_match_compares_the_whole_text(model):
    pair = asked(model, "ducklings")
    assert tokens_needed(exact_match(max_new_tokens=5), [pair]) == 5
    assert tokens_needed(exact_match, [pair]) == 32
    assert read(exact_match, model, gave(model, "ducklings"), pair) == 0  # the pieces are not joined in this vocabulary
    assert read(exact_match, model, gave(model, "cat"), asked(model, "cat")) == 1
    assert read(exact_match, model, gave(model, "cat ran"), asked(model, "cat")) == 0
    assert read(exact_match, model, gave(model, "cat ran"), asked(model, " cat ran ")) == 1


def test_the_text_ends_at_the_end_of_sequence_token(model):
    eos = model.tokenizer.eos_token
    assert read(exact_match, model, gave(model, f"cat {eos} dog dog"), asked(model, "cat")) == 1
    assert text_of(model.tokenizer, model.tokenizer(f"cat ran {eos} {eos} dog")["input_ids"]) == "cat ran"
    assert text_of(model.tokenizer, [model.tokenizer.eos_token_id]) == ""


def test_last_number_reads_the_last_number_of_the_text(numbers):
    pair = asked(numbers, "18")
    assert read(last_number, numbers, gave(numbers, "-4 so is 18"), pair) == 1
    assert read(last_number, numbers, gave(numbers, "18 so is -4"), pair) == 0
    assert read(last_number, numbers, gave(numbers, "is 18.0"), pair) == 1
    assert read(last_number, numbers, gave(numbers, "is #18"), pair) == 1
    assert read(last_number, numbers, gave(numbers, "is nine"), pair) == 0
    assert read(last_number, numbers, gave(numbers, "is 1,300"), asked(numbers, "1,300")) == 1
    assert read(last_number, numbers, gave(numbers, "is 2.5"), asked(numbers, "2.5")) == 1
    assert read(last_number, numbers, gave(numbers, "is 18"), asked(numbers, "-4")) == 0


def test_last_number_refuses_an_answer_without_a_number(numbers):
    """Otherwise every text without a number would count as right."""
    with pytest.raises(ClaimError, match="it: the answer 'nine' holds no number"):
        read(last_number, numbers, gave(numbers, "so"), asked(numbers, "nine"))


def logits_for(model, pair, right, wrong, steps=1):
    logits = torch.full((1, steps, 30), -9.0)
    logits[0, 0, pair.answer[0]] = right
    if pair.corrupt_answer:
        logits[0, 0, pair.corrupt_answer[0]] = wrong
    return logits


def test_logit_and_logit_diff_read_the_first_step(model):
    pair = asked(model, "cat", "dog")
    run = gave(model, "one two", logits=logits_for(model, pair, 2.5, 0.75, steps=2))
    assert read(logit, model, run, pair) == 2.5
    assert read(logit_diff, model, run, pair) == 1.75
    assert tokens_needed(logit, [pair]) == tokens_needed(logit_diff, [pair]) == 1


def test_logit_diff_needs_a_corrupt_answer(model):
    with pytest.raises(ClaimError, match="it has no corrupt_answer, which logit_diff compares with; use logit"):
        read(logit_diff, model, gave(model, "cat"), asked(model, "cat"))


@pytest.mark.parametrize("answers", [("ducklings", "cat"), ("cat", "ducklings")])
def test_a_logit_of_several_tokens_needs_first_token(model, answers):
    pair = asked(model, *answers)
    run = gave(model, "cat", logits=logits_for(model, pair, 3.0, 1.0))
    with pytest.raises(ClaimError, match=r"an answer has 3 tokens, and logit_diff reads one.*first_token=True"):
        read(logit_diff, model, run, pair)
    assert read(logit_diff(first_token=True), model, run, pair) == 2.0


@pytest.mark.parametrize("right, wanted", [(3.0, 1.0), (-3.0, -1.0), (0.5, 0.5), (1.0, 1.0)])
def test_values_are_clipped_to_the_range(model, right, wanted):
    pair = asked(model, "cat", "dog")
    run = gave(model, "one", logits=logits_for(model, pair, right, 0.0))
    assert read(logit(range=(-1, 1)), model, run, pair) == wanted
    assert read(logit_diff(range=(-1, 1)), model, run, pair) == wanted


# Many rows at once, of which only some logits were computed


def test_each_row_reads_its_own_answer_in_columns_that_are_not_all(model):
    """The columns are the answers' tokens, ascending; every row has another answer."""
    answers = [("cat", "dog"), ("hen", "cat"), ("dog", "hen"), ("cat", "hen")]
    pairs = [asked(model, *one) for one in answers]
    columns = torch.tensor(sorted({i for pair in pairs for i in (*pair.answer, *pair.corrupt_answer)}))
    assert len(columns) == 3
    torch.manual_seed(0)
    every = torch.randn(4, 2, 30)
    run = Run(torch.zeros(4, 2), every[:, :, columns], torch.ones(4, dtype=torch.bool))
    right = [float(every[i, 0, pair.answer[0]]) for i, pair in enumerate(pairs)]
    wrong = [float(every[i, 0, pair.corrupt_answer[0]]) for i, pair in enumerate(pairs)]
    assert score(logit, model, run, columns, pairs).tolist() == right
    assert score(logit_diff, model, run, columns, pairs).tolist() == [a - b for a, b in zip(right, wrong, strict=True)]


def test_scores_of_rows_together_are_those_of_each_alone(model):
    texts = ("cat ran", "dog one", "hen hen", "cat cat")
    pairs = [asked(model, answer, "fox") for answer in ("cat", "dog", "cat", "cat cat")]
    torch.manual_seed(0)
    logits, columns = torch.randn(4, 2, 30), torch.arange(30)
    for metric in (accuracy, exact_match(max_new_tokens=2), logit(first_token=True), logit_diff(first_token=True)):
        together = score(metric, model, gave(model, *texts, logits=logits), columns, pairs)
        alone = [
            score(metric, model, gave(model, text, logits=logits[[i]]), columns, [pair])[0]
            for i, (text, pair) in enumerate(zip(texts, pairs, strict=True))
        ]
        assert together.tolist() == alone


def test_a_difference_of_logits_is_taken_in_double_precision(model):
    pair = asked(model, "cat", "dog")
    run = gave(model, "cat", logits=logits_for(model, pair, 1e7, 1e7 - 1))
    assert read(logit_diff, model, run, pair) == 1.0
    assert score(logit_diff, model, run, torch.arange(30), [pair]).dtype == "float64"


def test_a_range_is_left_to_who_reads_the_score(model):
    pair = asked(model, "cat", "dog")
    run = gave(model, "one", logits=logits_for(model, pair, 3.0, 0.0))
    assert score(logit(range=(-1, 1)), model, run, torch.arange(30), [pair]).tolist() == [3.0]


def test_only_metrics_that_read_tokens_need_all_logits():
    metrics = (accuracy, exact_match, exact_match(extract="last_number"), logit, logit_diff)
    assert [chooses_tokens(m) for m in metrics] == [True, True, True, False, False]
