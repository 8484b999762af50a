"""Positions resolved on real tokens: which token a description means, and when it means none."""

import pytest

from causaltest import Lab, Pair, Pairs, embed, every, first, index, last, logit, nth, resid_post, span, step, thought
from causaltest.asking.positions import Position
from causaltest.errors import PositionError, SiteError
from causaltest.measuring.positions import Layout, resolve
from causaltest.measuring.prompts import token_pair

PLAIN = Layout(prompt=6, begin=0, thoughts=0, end=0, total=8)
REASONER = Layout(prompt=6, begin=1, thoughts=6, end=1, total=16)


@pytest.fixture(scope="module")
def tokenizer(word_tokenizer):
    return word_tokenizer()


@pytest.fixture(scope="module")
def words(tokenizer):

    def make(clean, corrupt=None, **spans):
        pair = Pair(clean=clean, corrupt=corrupt or clean, answer="one", id="it", spans=spans)
        return token_pair(tokenizer, pair)

    return make


@pytest.fixture(scope="module")
def pair(words):
    return words("the cat sat on the hen", "the dog sat on the fox", animal=(4, 7), end=(15, 22))


@pytest.mark.parametrize(
    "position, wanted",
    [
        (index(0), (0,)),
        (index(2, 5), (2, 5)),
        (index(-1), (5,)),
        (index(-6), (0,)),
        (last(), (5,)),
        (every(), (0, 1, 2, 3, 4, 5)),
        (first("sat"), (2,)),
        (last("sat on"), (3,)),
        (first("sat on"), (2,)),
        (first("the", occurrence=1), (4,)),
        (span("animal"), (1,)),
        (span("end"), (4, 5)),
        (first(span("end")), (4,)),
        (last(span("end")), (5,)),
        (step(0), (5,)),
        (step(0, 2), (5, 7)),
        (Position("everywhere"), tuple(range(8))),
    ],
    ids=str,
)
def test_positions_of_an_ordinary_run(pair, position, wanted):
    assert resolve(position, pair, PLAIN) == wanted


@pytest.mark.parametrize(
    "position, wanted",
    [
        (last(), (5,)),
        (every(), (0, 1, 2, 3, 4, 5, 6)),
        (thought(0), (7,)),
        (thought(5), (12,)),
        (thought(range(6)), tuple(range(7, 13))),
        (first("[THINK]"), (7,)),
        (last("[THINK]"), (12,)),
        (step(0), (13,)),
        (step(2), (15,)),
        (Position("everywhere"), tuple(range(16))),
    ],
    ids=str,
)
def test_positions_of_a_latent_reasoner(pair, position, wanted):
    """Six words, the begin token at 6, thoughts 7 to 12, the end token at 13, then the answer."""
    assert resolve(position, pair, REASONER) == wanted


@pytest.mark.parametrize("which", [first, last])
def test_the_nth_think_is_that_thought(pair, which):
    assert resolve(which("[THINK]", occurrence=2), pair, REASONER) == (9,)
    with pytest.raises(PositionError, match="no thought 6"):
        resolve(which("[THINK]", occurrence=6), pair, REASONER)


def test_a_text_of_one_prompt_only_is_found_there(pair):
    assert resolve(first("cat"), pair, PLAIN) == resolve(first("dog"), pair, PLAIN) == (1,)


def test_an_absent_text_shows_the_prompt(pair):
    with pytest.raises(PositionError, match=r"it: the prompt has no 'zebra'. It reads: 'the cat sat on the hen'"):
        resolve(first("zebra"), pair, PLAIN)


def test_a_text_that_stands_twice_asks_which(pair):
    with pytest.raises(PositionError, match=r"'the' stands 2 times .* first\('the', occurrence=0\)"):
        resolve(first("the"), pair, PLAIN)


def test_an_occurrence_that_is_not_there_says_how_many_are(pair):
    with pytest.raises(PositionError, match="'the' stands 2 times; there is no occurrence 2"):
        resolve(first("the", occurrence=2), pair, PLAIN)


def test_overlapping_occurrences_are_counted(words):
    tokens = words("two two two")
    with pytest.raises(PositionError, match="stands 2 times"):
        resolve(first("two two"), tokens, PLAIN)
    assert resolve(last("two two", occurrence=1), tokens, PLAIN) == (2,)


def test_a_text_at_different_tokens_of_the_two_prompts_is_refused(words):
    tokens = words("the cat sat", "cat sat the")
    with pytest.raises(PositionError, match=r"'cat' stands at tokens \(1,\) of the clean prompt and at \(0,\)"):
        resolve(first("cat"), tokens, PLAIN)


@pytest.mark.parametrize("n", [6, 99, -7])
def test_an_index_out_of_range_says_the_range(pair, n):
    with pytest.raises(PositionError, match=rf"it: there is no token {n}; the prompt has tokens 0 to 5"):
        resolve(index(n), pair, PLAIN)


def test_a_thought_of_an_ordinary_model_is_refused(pair):
    for position in (thought(0), first("[THINK]")):
        with pytest.raises(PositionError, match="this model has no latent thoughts"):
            resolve(position, pair, PLAIN)


def test_a_sixth_thought_of_six_is_refused_by_name(ducks, twins):
    for site in (resid_post(6, thought(6)), embed(thought(range(7)))):
        with pytest.raises(PositionError, match="there is no thought 6; this run has thoughts 0 to 5"):
            ducks.denoise(twins, at=site).recovery(logit)


def test_a_step_after_what_the_metric_reads_is_refused(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    with pytest.raises(PositionError, match=r"step\(3\) comes after the last token that logit reads.*cannot matter"):
        lab.denoise(tiny_gpt2.pairs, at=resid_post(1, step(3))).change(logit)


def test_a_step_beyond_the_run_is_refused(pair):
    with pytest.raises(PositionError, match="there is no step 3; this run has steps 0 to 2"):
        resolve(step(3), pair, PLAIN)


def test_a_missing_span_lists_those_that_are_there(pair, words):
    with pytest.raises(PositionError, match=r"it has no span 'subject'; it has \['animal', 'end'\]"):
        resolve(span("subject"), pair, PLAIN)
    with pytest.raises(PositionError, match=r"it has no span 'subject'; it has none"):
        resolve(last(span("subject")), words("the cat"), PLAIN)


def test_a_span_over_white_space_only_covers_no_token(words):
    with pytest.raises(PositionError, match="No token covers characters 3 to 4"):
        resolve(span("gap"), words("the cat", gap=(3, 4)), PLAIN)


def test_a_span_takes_every_token_that_it_touches(words):
    assert resolve(span("part"), words("the cat sat", part=(5, 9)), PLAIN) == (1, 2)


def test_a_word_of_several_tokens_has_a_first_and_a_last(splitting_tokenizer):
    text = "the ducklings ran"
    tokens = token_pair(splitting_tokenizer, Pair(clean=text, corrupt=text, answer="one", spans={"word": (4, 13)}))
    where = Layout(prompt=5, begin=0, thoughts=0, end=0, total=5)
    assert resolve(first("ducklings"), tokens, where) == resolve(first(span("word")), tokens, where) == (1,)
    assert resolve(last("ducklings"), tokens, where) == resolve(last(span("word")), tokens, where) == (3,)
    assert resolve(span("word"), tokens, where) == (1, 2, 3)
    assert resolve(last("ling"), tokens, where) == (2,)
    assert resolve(first("ran"), tokens, where) == (4,)


def byte_tokens(tokenizer, clean, corrupt=None, **more):
    tokens = token_pair(tokenizer, Pair(clean=clean, corrupt=corrupt or clean, answer=" Paris", id="it", **more))
    length = len(tokens.clean.ids)
    shown = tokenizer.convert_ids_to_tokens(list(tokens.clean.ids))

    def at(position):
        return [shown[i] for i in resolve(position, tokens, Layout(length, 0, 0, 0, length))]

    return at


def test_a_word_with_its_space_in_its_first_token_is_that_token(byte_tokenizer):
    at = byte_tokens(byte_tokenizer, "The capital of France is", spans={"it": (15, 21), "wide": (14, 22)})
    for text in ("capital", " capital", "capital ", " capital "):
        assert at(first(text)) == at(last(text)) == ["Ġcapital"]
    assert at(span("it")) == at(span("wide")) == ["ĠFrance"]
    assert at(last("The ")) == ["The"]
    assert at(first(" of France ")) == ["Ġof"]


def test_a_word_of_several_bytes_and_tokens_has_a_first_and_a_last(byte_tokenizer):
    at = byte_tokens(byte_tokenizer, "The capital of Mexico is")
    assert (at(first("Mexico")), at(last("Mexico"))) == (["M"], ["o"])
    assert at(nth("i", 2)) == ["Ġis"]


def test_tokens_that_share_a_character_all_belong_to_it(byte_tokenizer):
    """An emoji has four bytes and a kanji three, here a token each."""
    at = byte_tokens(byte_tokenizer, "The 京😀 is", spans={"kanji": (4, 5), "face": (5, 6)})
    kanji, face = at(span("kanji")), at(span("face"))
    assert byte_tokenizer.convert_tokens_to_string(kanji).strip() == "京"
    assert byte_tokenizer.convert_tokens_to_string(face) == "😀"
    assert len(face) == 4
    assert (at(first("😀")), at(last("😀"))) == (face[:1], face[-1:])
    assert at(last("京")) == kanji[-1:]
    assert at(first("is")) == ["Ġis"]


def test_the_nth_of_a_text_is_counted_from_zero(pair):
    assert [resolve(nth("the", k), pair, PLAIN) for k in range(2)] == [(0,), (4,)]
    with pytest.raises(PositionError, match="'the' stands 2 times; there is no occurrence 2"):
        resolve(nth("the", 2), pair, PLAIN)


def test_spans_of_drawn_pairs_are_the_same_tokens_of_both_prompts(byte_tokenizer):
    """Each of these names is one token after a space."""
    store = "When {{io}} and {{s}} went to the store, {{s2={}}} gave a drink to"
    pairs = Pairs.from_template(
        store.format("s"),
        corrupt=store.format("io"),
        fillers={"io": ["Mary", "John"], "s": ["Mary", "John"]},
        where=lambda f: f["io"] != f["s"],
        answer=" {io}",
        corrupt_answer=" {s}",
        n=2,
        seed=0,
    )
    for pair in pairs:
        tokens = token_pair(byte_tokenizer, pair)
        length = len(tokens.clean.ids)
        at = {name: resolve(span(name), tokens, Layout(length, 0, 0, 0, length)) for name in pair.spans}
        assert {name: len(where) for name, where in at.items()} == {"io": 1, "s": 1, "s2": 1}
        for side in (tokens.clean, tokens.corrupt):
            said = {name: side.piece(where[0]).strip() for name, where in at.items()}
            assert said["s2"] == said["s" if side is tokens.clean else "io"]


def test_a_span_of_other_tokens_in_the_corrupt_prompt_is_refused_with_both(byte_tokenizer):
    """Both prompts have as many tokens, for Mexico has several where Rome has one, and the other way round."""
    one, other = "of Mexico and Rome", "of Rome and Mexico"
    at = byte_tokens(byte_tokenizer, one, other, spans={"first": (3, 9), "start": (0, 2)})
    assert at(span("start")) == ["of"]
    for position in (span("first"), first(span("first")), last("Mexico")):
        with pytest.raises(PositionError, match=r"stands at tokens \(2, 3, .* of the clean prompt and at "):
            at(position)


def test_corrupt_spans_say_what_the_comparison_cannot(tokenizer):
    clean, corrupt = "the red cat sat", "one small blue fox"
    known = Pair(clean=clean, corrupt="the big dog ran", answer="one", spans={"it": (8, 11)})
    assert resolve(span("it"), token_pair(tokenizer, known), PLAIN) == (2,)
    shifted = {"spans": {"it": (4, 11)}, "corrupt_spans": {"it": (0, 9)}}
    with pytest.raises(PositionError, match=r"tokens \(1, 2\) of the clean prompt and at \(0, 1\) of the corrupt"):
        resolve(span("it"), token_pair(tokenizer, Pair(clean=clean, corrupt=corrupt, answer="one", **shifted)), PLAIN)


def test_a_span_without_a_clear_place_in_the_corrupt_prompt_asks_for_it(splitting_tokenizer):
    """`duckling` is two tokens, as `red hen` is, and only half of the words is named."""
    clean, corrupt = "the red hen sat", "the duckling sat"
    half = Pair(clean=clean, corrupt=corrupt, answer="one", id="it", spans={"half": (4, 7)})
    with pytest.raises(PositionError, match=r"it: the span 'half', 'red', .*not clear.*corrupt_spans=\{'half'"):
        resolve(span("half"), token_pair(splitting_tokenizer, half), PLAIN)
    said = Pair(clean=clean, corrupt=corrupt, answer="one", spans={"half": (4, 7)}, corrupt_spans={"half": (4, 8)})
    assert resolve(span("half"), token_pair(splitting_tokenizer, said), PLAIN) == (1,)
    with pytest.raises(PositionError, match=r"'red' is in one of the two prompts, and it is not clear what stands"):
        resolve(first("red"), token_pair(splitting_tokenizer, half), PLAIN)
    whole = Pair(clean=clean, corrupt=corrupt, answer="one", spans={"whole": (4, 11)})
    assert resolve(span("whole"), token_pair(splitting_tokenizer, whole), PLAIN) == (1, 2)


@pytest.mark.parametrize("layer", [12, 40])
def test_a_layer_out_of_range_says_the_range(ducks, twins, layer):
    with pytest.raises(SiteError, match=rf"organism:ducks has no layer {layer}: its layers are 0 to 11"):
        ducks.denoise(twins, at=resid_post(layer, thought(0))).recovery(logit)


def test_a_head_out_of_range_says_the_range(ducks, twins):
    from causaltest import head

    with pytest.raises(SiteError, match="organism:ducks has no head 4: its heads are 0 to 3"):
        ducks.denoise(twins, at=head(6, 4, thought(0))).recovery(logit)


def test_a_site_out_of_range_is_refused_before_anything_runs(new_gpt2, word_tokenizer, random_pairs, forwards):
    lab = Lab(new_gpt2(), word_tokenizer())
    counted = forwards(lab.backend.loaded.model.transformer)
    with pytest.raises(SiteError):
        lab.denoise(random_pairs(), at=resid_post(3, index(0))).recovery(logit)
    assert counted == []
