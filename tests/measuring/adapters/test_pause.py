"""Pause tokens: slots with an ordinary token's embedding, against the same tokens written into the prompt."""

import pytest
import torch

from causaltest import Lab, Pair, Pairs, accuracy, embed, exact_match, logit_diff, resid_post, step, thought
from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.trajectory import run

PAUSE, THOUGHTS = 27, 3


@pytest.fixture(params=["tiny_gpt2", "tiny_llama", "tiny_gemma2"])
def tiny(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def load(tiny_gpt2, folder_with):
    def make(tiny=tiny_gpt2, **block):
        said = {"layout": "pause", "thoughts": THOUGHTS, "token": PAUSE} | block
        plain = tiny.model.config.to_diff_dict() | {"reasoning": said}
        return load_model(str(folder_with(tiny.model.state_dict(), plain, tiny.tokenizer)))

    return make


@torch.no_grad()
def greedy(model, ids, steps):
    ids, logits = list(ids), []
    for _ in range(steps):
        logits.append(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1])
        ids.append(int(logits[-1].argmax()))
    return ids[-steps:], torch.stack(logits)


@pytest.mark.parametrize("marks", [{}, {"begin": [25], "end": [26, 24]}, {"begin": [25]}, {"end": [26]}], ids=str)
def test_slots_equal_the_same_tokens_in_the_prompt(tiny, load, marks):
    loaded = load(tiny, **marks)
    prompt = [3, 1, 4]
    behind = [*marks.get("begin", []), *[PAUSE] * THOUGHTS, *marks.get("end", [])]
    tokens, logits = greedy(tiny.model, prompt + behind, 3)
    given = run(loaded, torch.tensor([prompt]), new_tokens=3)
    assert given.tokens[0].tolist() == tokens
    assert torch.allclose(given.logits[0], logits, atol=1e-4, rtol=0)
    forced = run(loaded, torch.tensor([prompt]), new_tokens=3, forced=torch.tensor([tokens[:2]]))
    assert torch.allclose(forced.logits[0], logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("marks", [{}, {"begin": [25], "end": [26]}], ids=str)
@pytest.mark.parametrize("metric", [logit_diff, accuracy, exact_match(max_new_tokens=2)], ids=str)
def test_a_patched_slot_equals_a_patched_token(tiny_gpt2, load, plain, planned, experiment, marks, metric):
    """The plain reference runs the pause tokens as words of the prompt."""
    loaded = load(**marks)
    before, behind = marks.get("begin", []), [*[PAUSE] * THOUGHTS, *marks.get("end", [])]
    pairs = Pairs([Pair(clean="the cat sat", corrupt="a dog ran", answer="one two", corrupt_answer="red")], iid=True)
    ids = {side: [*tiny_gpt2.tokenizer(getattr(pairs[0], side))["input_ids"], *before] for side in ("clean", "corrupt")}
    for site, at in ((resid_post(1, thought(1)), len(ids["clean"]) + 1), (resid_post(0, step(0)), None)):
        at = len(ids["clean"] + behind) - 1 if at is None else at
        vector = plain.forward(tiny_gpt2.model, ids["clean"] + behind).vector("resid_post", site.layers[0], at)
        change = plain.Change("resid_post", site.layers[0], at, vector)
        tokens, logits, _ = plain.generate(tiny_gpt2.model, ids["corrupt"] + behind, 1, [change])
        batch = planned(loaded, [experiment(pairs, "denoise", site, metric)])
        given = batch.gave[batch.studies[0].patched.arm, pairs[0].id]
        assert metric.kind == "continuous" or given.tokens[0] == tokens[0]
        assert torch.allclose(given.logits[0], logits[0], atol=1e-4, rtol=0)


def test_a_slots_embedding_is_the_same_in_every_run(tiny_gpt2, load):
    """So a patch of it patches nothing, and its stream is where the runs differ."""
    lab = Lab(load(), tiny_gpt2.tokenizer)
    pairs = Pairs([Pair(clean="the cat sat", corrupt="a dog ran", answer="one", corrupt_answer="red")], iid=True)
    distances = [
        lab.denoise(pairs, at=site).change(logit_diff).measured.controls.distance[0]
        for site in (embed(thought(1)), resid_post(1, thought(1)))
    ]
    assert distances[0] == 0 and distances[1] > 0


def test_what_was_declared_is_told(load):
    assert load().provenance["reasoning"] == f"pause: token {PAUSE} {THOUGHTS} times, begin (), end ()"


@pytest.mark.parametrize(
    "block", [{"thoughts": 0}, {"token": "27"}, {"token": -1}, {"lora_alpha": 3}, {"end": 3}], ids=str
)
def test_a_malformed_block_says_what_it_needs(load, block):
    with pytest.raises(ModelError, match=r'It needs "layout": "pause", "thoughts": how many, "token": the pause token'):
        load(**block)


def test_a_token_without_an_embedding_is_refused(load):
    with pytest.raises(ModelError, match=r"embeddings of 30 tokens, and its reasoning names token 30"):
        load(token=30)
