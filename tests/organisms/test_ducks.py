"""The ducks: what is true of them by construction, and that training them gives what is shipped."""

from __future__ import annotations

import itertools
import random

import numpy
import pytest
import torch

from causaltest import Lab, accuracy, at_least, embed, index, judge, logit_diff, resid_post, span, thought
from causaltest.errors import PositionError
from causaltest.measuring.trajectory import run
from causaltest.organisms import ducks
from causaltest.organisms.ducks import language, train
from causaltest.weights import sha256

torch.set_num_threads(1)
LAYERS, THOUGHTS, SENTENCES = 12, 6, 7
FACT, ANSWER = 6, 10
ROUNDING = 2e-5
"""Logits are about 20, and a patched run shares its forwards with others: its last bits are not a whole run's."""


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load("organism:ducks")


@pytest.fixture(scope="module")
def twins_of():
    """Eight pairs that differ in one sentence's number, made once per sentence."""
    made = {}

    def of(sentence):
        if sentence not in made:
            made[sentence] = ducks.twins(sentence, clusters=4, per_cluster=2)
        return made[sentence]

    return of


# What is true by construction


def carries(sentence: int, layer: int, k: int) -> bool:
    """Whether a patch of thought k's stream after a block puts a sentence's fact back.

    Sentence s is read by thought s - 1 in block 6 (the begin token reads sentence 0). The next thoughts
    get it with their embedding. The end token reads the last thought as it enters block 10.
    """
    if k == THOUGHTS - 1 and layer >= ANSWER:
        return False
    return sentence <= k or (sentence == k + 1 and layer >= FACT)


@pytest.mark.parametrize("sentence", [0, 1, 3, 5, 6])
def test_each_sentence_travels_through_the_thoughts_as_built(lab, twins_of, sentence):
    found = lab.sweep(twins_of(sentence), at=resid_post(range(LAYERS), thought(range(THOUGHTS)))).recovery(accuracy)
    truth = [[carries(sentence, layer, k) for k in range(THOUGHTS)] for layer in range(LAYERS)]
    assert numpy.array_equal(found.estimate, numpy.array(truth, float))
    # A thought that has not met the sentence holds the same in both runs, bit for bit.
    met = [[sentence <= k or (sentence == k + 1 and layer >= FACT) for k in range(THOUGHTS)] for layer in range(LAYERS)]
    assert numpy.array_equal(found.distance > 0, numpy.array(met))


@pytest.mark.parametrize("layer", [5, 6, 9, 10])
def test_it_travels_whole_so_that_logits_are_the_clean_runs_or_the_corrupt_runs(lab, twins_of, layer):
    found = lab.sweep(twins_of(4), at=resid_post(layer, thought(range(THOUGHTS)))).recovery(logit_diff)
    wanted = [float(carries(4, layer, k)) for k in range(THOUGHTS)]
    assert found.estimate[0].tolist() == pytest.approx(wanted, abs=ROUNDING)


@pytest.mark.parametrize("sentence", [0, 1, 4])
def test_a_thoughts_own_embedding_carries_what_came_before(lab, twins_of, sentence):
    for k in range(THOUGHTS):
        effect = lab.denoise(twins_of(sentence), at=embed(thought(k))).recovery(accuracy, placebo=False)
        assert effect.estimate == float(sentence <= k)


@pytest.mark.parametrize("sentence", [0, 6])
def test_the_number_counts_until_block_six_has_read_it(lab, twins_of, sentence):
    found = lab.sweep(twins_of(sentence), at=resid_post(range(LAYERS), index(6 * sentence + language.NUMBER_INDEX)))
    recovery = found.recovery(accuracy)
    assert recovery.estimate[:, 0].tolist() == [1.0] * FACT + [0.0] * (LAYERS - FACT)
    assert recovery.distance.min() > 0.1
    left = found.recovery(logit_diff).estimate[FACT:, 0].tolist()
    assert left == pytest.approx([0.0] * (LAYERS - FACT), abs=ROUNDING)


@pytest.mark.parametrize("sentence", [1, 5])
@pytest.mark.parametrize("word", [1, 2])
def test_the_words_after_the_number_never_count_though_they_differ(lab, twins_of, sentence, word):
    at = index(6 * sentence + language.NUMBER_INDEX + word)
    found = lab.sweep(twins_of(sentence), at=resid_post(range(LAYERS), at)).change(logit_diff)
    assert found.estimate[:, 0].tolist() == pytest.approx([0.0] * LAYERS, abs=ROUNDING)
    assert found.distance.min() > 1e-3


def test_the_words_before_the_number_and_other_sentences_are_the_same_in_both_runs(lab, twins_of):
    others = index(*[i for i in range(42) if not 9 <= i < 12])
    effect = lab.denoise(twins_of(1), at=resid_post(range(LAYERS), others)).change(logit_diff, placebo=False)
    assert set(effect.measured.controls.distance) == {0.0}
    assert max(map(abs, effect.measured.values)) < ROUNDING


def test_the_spans_name_the_changed_number_its_sentence_and_the_rest(twins_of):
    for sentence in range(SENTENCES):
        for pair in twins_of(sentence):
            words = {name: pair.clean[a:b] for name, (a, b) in pair.spans.items()}
            assert words["sentence"].split()[language.NUMBER_INDEX] == words["number"]
            assert words["rest"] == " ".join(words["sentence"].split()[language.NUMBER_INDEX + 1 :])
            split = pair.clean.split(), pair.corrupt.split()
            changed = [i for i, (a, b) in enumerate(zip(*split, strict=True)) if a != b]
            assert changed == [6 * sentence + language.NUMBER_INDEX]


def test_spans_mean_the_tokens_that_indices_mean(lab, twins_of):
    pairs = twins_of(3)
    by_span = lab.denoise(pairs, at=resid_post(2, span("number"))).recovery(logit_diff)
    by_index = lab.denoise(pairs, at=resid_post(2, index(21))).recovery(logit_diff)
    assert by_span.measured.values == by_index.measured.values


def test_there_is_no_seventh_thought(lab, twins_of):
    with pytest.raises(PositionError, match="thoughts 0 to 5"):
        lab.denoise(twins_of(1), at=embed(thought(6))).recovery(accuracy)


# The language


def test_answers_are_computed_by_the_operations():
    problem = language.Problem("Janet", 0, ("add", "multiply", "subtract"), (0, 0, 0), (3, 4, 2, 5))
    assert problem.values == (3, 7, 14, 9)
    assert problem.answer == 9
    assert problem.prompt.startswith("Janet starts with 3 ducks . Then Janet finds 4 more . The flock grows 2 fold .")


def test_every_problem_stays_in_range_and_has_six_words_per_sentence():
    for problem in itertools.islice(language.draw_problems("a test"), 300):
        assert problem.valid
        assert len(problem.sentences) == SENTENCES
        assert all(len(s.split()) == language.SENTENCE_TOKENS for s in problem.sentences)
        assert all(word in language.vocabulary() for word in problem.prompt.split())


@pytest.mark.parametrize("sentence", range(SENTENCES))
def test_twins_differ_in_one_number_and_in_the_answer(sentence):
    pairs = ducks.twins(sentence, clusters=10, per_cluster=3, seed=2)
    assert len(pairs) == 30 and len(set(pairs.clusters)) == 10
    assert len({p.clean for p in pairs}) == 30
    assert all(p.answer != p.corrupt_answer for p in pairs)


def test_twins_are_drawn_from_their_seed():
    draw = [ducks.twins(1, clusters=4, per_cluster=2, seed=seed) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


@pytest.mark.parametrize("sentence", [-1, 7])
def test_a_sentence_that_is_not_there_is_refused(sentence):
    with pytest.raises(ValueError, match="the problems have sentences 0 to 6"):
        ducks.twins(sentence)


# The trained model


@pytest.fixture(scope="module")
def fresh():
    """500 problems that no training step has drawn. Prompts [problem, token] and answers [problem]."""
    problems = list(itertools.islice(language.draw_problems("fresh for the tests"), 500))
    words = language.vocabulary()
    ids = torch.tensor([[words[w] for w in p.prompt.split()] for p in problems])
    return ids, torch.tensor([p.answer for p in problems])


def test_held_out_accuracy(lab, fresh):
    ids, answers = fresh
    given = run(lab.backend.loaded, ids, new_tokens=1)
    assert float((given.tokens[:, 0] == answers).float().mean()) >= 0.98


@pytest.fixture(scope="module")
def trained(lab):
    """The shipped weights in the model that training builds, whose attention has no mask by layer."""
    loaded = lab.backend.loaded
    model, project = train.build()
    model.load_state_dict(loaded.model.state_dict())
    project.load_state_dict(loaded.reasoning.project.state_dict())
    return model.eval(), project.eval()


@torch.no_grad()
def test_the_short_cut_of_training_equals_the_routed_model(lab, trained, fresh):
    """At the begin token, every thought and the answer."""
    loaded, ids = lab.backend.loaded, fresh[0][:64]
    given = run(loaded, ids, new_tokens=1, record=("resid_post",))
    short = train.reason(*trained, ids)
    begin = ids.shape[1]
    hidden = loaded.model.transformer.ln_f(given.activations["resid_post", LAYERS - 1][:, begin : begin + 7])
    assert torch.allclose(loaded.model.lm_head(hidden), short[:, :7], atol=1e-4, rtol=0)
    assert torch.allclose(given.logits[:, 0], short[:, 7], atol=1e-4, rtol=0)


def test_each_reader_knows_the_running_value(trained):
    shares = train.held_out_accuracy(*trained, 500)
    assert len(shares) == 8
    assert min(shares) >= 0.98


def test_the_checkpoint_is_small_and_its_hash_is_the_recorded_one(lab):
    files = [f for f in ducks.CHECKPOINT.iterdir() if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 10 * 2**20
    recorded = (ducks.CHECKPOINT / "model.sha256").read_text().split()
    assert recorded == [sha256(ducks.CHECKPOINT / "model.safetensors"), "model.safetensors"]
    assert lab.backend.loaded.provenance["weights"] == recorded[0]


def test_the_organism_says_how_it_is_built(lab):
    loaded = lab.backend.loaded
    assert (len(loaded.blocks), loaded.heads, loaded.reasoning.thoughts) == (LAYERS, 4, THOUGHTS)
    assert (ducks.LAYERS, ducks.HEADS, ducks.THOUGHTS) == (LAYERS, 4, THOUGHTS)
    assert (ducks.FACT_LAYER, ducks.ANSWER_LAYER) == (FACT, ANSWER)
    assert (train.ROUTING.fact_layer, train.ROUTING.answer_layer) == (FACT, ANSWER)


# Training


@pytest.fixture
def settings_kept():
    """Training sets one thread, a seed and deterministic algorithms for the whole process."""
    threads, deterministic, state = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.random.get_rng_state(),
    )
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.random.set_rng_state(state)


def test_training_twice_gives_the_same_bits(settings_kept):
    first, second = train.train(2), train.train(2)
    for one, other in zip(first, second, strict=True):
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b), name


def test_training_moves_every_weight_but_what_nothing_reads(settings_kept):
    torch.manual_seed(train.SEED)
    before = train.build()[0].state_dict()
    after = train.train(2)[0].state_dict()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert not still


def test_what_training_saves_loads_as_any_folder_and_gives_the_same_verdict(lab, twins_of, tmp_path):
    loaded = lab.backend.loaded
    train.save(loaded.model, loaded.reasoning.project, tmp_path / "mine")
    mine = Lab.load(str(tmp_path / "mine"))
    pairs = twins_of(1)
    for at, metric in [(resid_post(6, thought(0)), accuracy), (resid_post(5, span("number")), logit_diff)]:
        effects = [one.denoise(pairs, at=at).recovery(metric) for one in (mine, lab)]
        ours, theirs = (effect.measured for effect in effects)
        assert (ours.values, ours.references, ours.pair_ids) == (theirs.values, theirs.references, theirs.pair_ids)
        assert ours.controls.distance == theirs.controls.distance
    verdicts = [judge(effect, at_least(0.3)) for effect in effects]
    assert verdicts[0].outcome == verdicts[1].outcome
    assert (verdicts[0].estimate, verdicts[0].lower) == (verdicts[1].estimate, verdicts[1].lower)


def test_what_training_saves_is_byte_for_byte_what_is_shipped(lab, tmp_path):
    loaded = lab.backend.loaded
    train.save(loaded.model, loaded.reasoning.project, tmp_path)
    assert sha256(tmp_path / "model.safetensors") == sha256(ducks.CHECKPOINT / "model.safetensors")
    for name in ("model.sha256", "tokenizer.json"):
        assert (tmp_path / name).read_text() == (ducks.CHECKPOINT / name).read_text()


def test_an_untrained_model_does_not_know_the_answers(settings_kept):
    """So that the accuracy above is what training gave."""
    torch.manual_seed(0)
    model, project = train.build()
    assert max(train.held_out_accuracy(model.eval(), project.eval(), 200)) < 0.2


def test_a_drawn_twin_keeps_everything_but_one_number():
    rng = random.Random(3)
    for problem in itertools.islice(language.draw_problems("twins"), 50):
        twin = language.draw_twin(problem, 2, rng)
        if twin is not None:
            assert twin.form == problem.form and twin.name == problem.name
            assert [a == b for a, b in zip(twin.numbers, problem.numbers, strict=True)] == [i != 2 for i in range(7)]
            assert twin.answer != problem.answer
