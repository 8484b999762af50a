"""The ducks' language and its twins: every answer is right by the sentences themselves."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.pairs import Pair
from causaltest.organisms import ducks
from causaltest.organisms.ducks import language
from causaltest.organisms.ducks.language import (
    LARGEST,
    NUMBER_INDEX,
    OPERATIONS,
    QUESTION,
    SENTENCE_TOKENS,
    TEMPLATES,
    Problem,
    draw_like,
    draw_problem,
    draw_problems,
    draw_twin,
    numbers_for,
    vocabulary,
)

seeds = st.integers(0, 2**32)
sentences = st.integers(0, OPERATIONS)
problems = seeds.map(lambda seed: draw_problem(random.Random(seed)))

# What a reader takes each sentence to mean, written down apart from the templates.
MEANT = {
    **dict.fromkeys(["starts", "counts", "owns"], lambda _, n: n),
    **dict.fromkeys(["finds", "buys", "bring"], lambda value, n: value + n),
    **dict.fromkeys(["loses", "sells", "takes"], lambda value, n: value - n),
    **dict.fromkeys(["grows", "becomes", "has"], lambda value, n: value * n),
}


def read(prompt: str) -> list[int]:
    """The running value after each sentence, by reading the prompt and nothing else."""
    running = [0]
    for sentence in chunks(prompt.removesuffix(f" {QUESTION}").split()):
        (n,) = (int(word) for word in sentence if word.isdigit())
        (verb,) = (word for word in sentence if word in MEANT)
        running.append(MEANT[verb](running[-1], n))
    return running[1:]


def chunks(words: list[str]) -> list[list[str]]:
    return [words[i : i + SENTENCE_TOKENS] for i in range(0, len(words), SENTENCE_TOKENS)]


# problems


@given(problems)
def test_a_problem_means_what_its_sentences_say(problem: Problem) -> None:
    assert read(problem.prompt) == list(problem.values)
    assert problem.answer == problem.values[-1]


@given(problems)
def test_every_running_value_is_a_number_of_the_language(problem: Problem) -> None:
    assert problem.valid
    assert all(0 <= value <= LARGEST for value in problem.values)


@given(problems)
def test_every_sentence_has_six_tokens_and_its_number_fourth(problem: Problem) -> None:
    assert len(problem.sentences) == OPERATIONS + 1
    for sentence, n in zip(problem.sentences, problem.numbers, strict=True):
        words = sentence.split(" ")
        assert len(words) == SENTENCE_TOKENS
        assert words[NUMBER_INDEX] == str(n)
        assert sum(word.isdigit() for word in words) == 1


@given(problems)
def test_every_token_of_a_prompt_is_in_the_vocabulary(problem: Problem) -> None:
    assert set(problem.prompt.split()) <= vocabulary().keys()
    assert str(problem.answer) in vocabulary()


def test_the_vocabulary_counts_from_zero_and_numbers_are_themselves() -> None:
    words = vocabulary()
    assert sorted(words.values()) == list(range(len(words)))
    assert all(words[str(n)] == n for n in range(LARGEST + 1))
    assert {"[PAD]", "[BEGIN]", "[END]", "[EOS]", "[UNK]"} <= words.keys()


def test_a_problem_beyond_the_largest_number_is_not_valid() -> None:
    too_many = Problem("Janet", 0, ("multiply",) * 6, (0,) * 6, (3, 3, 3, 2, 2, 2, 2))
    assert not too_many.valid
    assert not Problem("Janet", 0, ("subtract",) * 6, (0,) * 6, (3, 9, 1, 1, 1, 1, 1)).valid


@given(st.sampled_from(sorted(TEMPLATES)), st.integers(0, LARGEST))
def test_the_numbers_offered_are_those_that_stay_within_the_language(operation: str, value: int) -> None:
    everything = [2, 3] if operation == "multiply" else range(1, 10)
    after = {"add": value.__add__, "subtract": value.__sub__, "multiply": value.__mul__}[operation]
    assert list(numbers_for(operation, value)) == [n for n in everything if 0 <= after(n) <= LARGEST]


@given(seeds)
def test_a_seed_draws_the_same_problems_again(seed: int) -> None:
    one, again = ([p for p, _ in zip(draw_problems(seed), range(3), strict=False)] for _ in range(2))
    assert one == again


def test_another_seed_draws_other_problems() -> None:
    assert len({next(draw_problems(seed)).prompt for seed in range(50)}) > 45


# problems of one form, and twins


@given(problems, seeds)
def test_a_problem_like_another_has_its_templates_and_numbers_of_its_own(form: Problem, seed: int) -> None:
    like = draw_like(form, random.Random(seed))
    assert like.valid
    assert like.form == form.form
    assert (like.operations, like.templates, like.start_template) == (
        form.operations,
        form.templates,
        form.start_template,
    )


@given(problems, problems)
def test_a_form_stands_for_templates_and_operations_and_for_nothing_else(one: Problem, other: Problem) -> None:
    same = (one.operations, one.templates, one.start_template) == (
        other.operations,
        other.templates,
        other.start_template,
    )
    assert (one.form == other.form) is same


@given(problems, sentences, seeds)
def test_a_twin_differs_in_one_number_by_1_to_3_and_in_its_answer(problem: Problem, sentence: int, seed: int) -> None:
    twin = draw_twin(problem, sentence, random.Random(seed))
    if twin is None:
        return
    differ = [i for i, (a, b) in enumerate(zip(problem.sentences, twin.sentences, strict=True)) if a != b]
    assert differ == [sentence]
    assert 1 <= abs(problem.numbers[sentence] - twin.numbers[sentence]) <= 3
    assert twin.valid and twin.answer != problem.answer
    assert read(twin.prompt)[:sentence] == read(problem.prompt)[:sentence], "the same until the sentence"


@given(problems, sentences)
def test_there_is_no_twin_only_where_no_number_allows_one(problem: Problem, sentence: int) -> None:
    if draw_twin(problem, sentence, random.Random(0)) is not None:
        return
    allowed = range(LARGEST + 1) if sentence == 0 else numbers_for(problem.operations[sentence - 1])
    for n in allowed:
        numbers = (*problem.numbers[:sentence], n, *problem.numbers[sentence + 1 :])
        other = Problem(problem.name, problem.start_template, problem.operations, problem.templates, numbers)
        near = 1 <= abs(n - problem.numbers[sentence]) <= 3
        assert not (near and other.valid and other.answer != problem.answer)


# pairs of twins


@pytest.mark.parametrize("sentence", range(OPERATIONS + 1))
def test_twins_differ_in_the_number_of_their_sentence_only(sentence: int) -> None:
    for pair in ducks.twins(sentence, clusters=8, per_cluster=2):
        clean, corrupt = pair.clean.split(), pair.corrupt.split()
        differ = [i for i, (a, b) in enumerate(zip(clean, corrupt, strict=True)) if a != b]
        assert differ == [SENTENCE_TOKENS * sentence + NUMBER_INDEX]
        assert (pair.answer, pair.corrupt_answer) == (str(read(pair.clean)[-1]), str(read(pair.corrupt)[-1]))
        assert pair.answer != pair.corrupt_answer


@pytest.mark.parametrize("sentence", range(OPERATIONS + 1))
def test_the_spans_of_twins_name_the_number_its_sentence_and_what_follows(sentence: int) -> None:
    for pair in ducks.twins(sentence, clusters=8, per_cluster=2):
        words = chunks(pair.clean.split())[sentence]
        assert text_in(pair, "sentence") == " ".join(words)
        assert text_in(pair, "number") == words[NUMBER_INDEX]
        assert text_in(pair, "rest") == " ".join(words[NUMBER_INDEX + 1 :])


def text_in(pair: Pair, name: str) -> str:
    start, stop = pair.spans[name]
    return pair.clean[start:stop]


@settings(max_examples=30)
@given(sentences, st.integers(1, 6), st.integers(1, 3), seeds)
def test_twins_fill_their_clusters_with_different_pairs(sentence: int, clusters: int, per: int, seed: int) -> None:
    pairs = ducks.twins(sentence, clusters=clusters, per_cluster=per, seed=seed)
    assert len(pairs) == clusters * per == len({p.clean for p in pairs}) == len(set(pairs.ids))
    assert len(set(pairs.clusters or ())) == clusters
    assert ducks.twins(sentence, clusters=clusters, per_cluster=per, seed=seed) == pairs


def test_other_seeds_and_other_sentences_draw_other_pairs() -> None:
    drawn = [ducks.twins(s, clusters=4, per_cluster=1, seed=seed).digest for s in range(7) for seed in range(3)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("sentence", [-1, OPERATIONS + 1])
def test_a_sentence_that_is_not_there_is_refused(sentence: int) -> None:
    with pytest.raises(ValueError, match=rf"sentence={sentence}: the problems have sentences 0 to {OPERATIONS}"):
        ducks.twins(sentence)


def test_the_language_says_what_the_organism_says() -> None:
    assert ducks.THOUGHTS == language.OPERATIONS == 6


def test_twins_are_drawn_without_torch() -> None:
    code = (
        "import sys\nfrom causaltest.organisms import ducks\nducks.twins(clusters=2)\n"
        "print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
