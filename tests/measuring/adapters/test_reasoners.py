"""Which layout a folder has; and thoughts that are text, which need none."""

import json

import pytest
import torch
from safetensors.torch import save_file

from causaltest import Lab, Pair, Pairs, first, last, logit_diff, resid_post, span, step, thought
from causaltest.errors import ModelError, PositionError
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.adapters.reasoners import layout_of


@pytest.mark.parametrize(
    "key, layout",
    [
        ("codi.base_model.model.transformer.wte.weight", "codi"),
        ("base_causallm.transformer.wte.weight", "coconut"),
        ("transformer.wte.weight", None),
        ("model.codi.weight", None),
    ],
)
@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_a_layout_is_known_by_a_prefix(tmp_path, key, layout, kind):
    state = {key: torch.zeros(1), "prj.1.weight": torch.zeros(1)}
    torch.save(state, tmp_path / kind) if kind.endswith("bin") else save_file(state, tmp_path / kind)
    assert layout_of(tmp_path) == layout


def test_what_is_declared_comes_before_names(tmp_path):
    save_file({"codi.x": torch.zeros(1)}, tmp_path / "model.safetensors")
    block = {"layout": "pause", "thoughts": 2, "token": 3}
    (tmp_path / "config.json").write_text(json.dumps({"reasoning": block}))
    assert layout_of(tmp_path) == "pause"


def test_an_unknown_layout_lists_those_that_are_there(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"reasoning": {"layout": "huginn", "thoughts": 2}}))
    with pytest.raises(ModelError) as told:
        load_model(str(tmp_path))
    message = str(told.value)
    assert "layout 'huginn' is not known" in message
    assert all(f'"layout": "{layout}", "thoughts": how many' in message for layout in ("codi", "coconut", "pause"))


# Thoughts that are text


@pytest.fixture(scope="module")
def thinking(word_tokenizer, words):
    """Pairs whose prompts hold a thinking text of equal length; the thoughts differ, the question does not."""
    tokenizer = word_tokenizer((*words, "<think>", "</think>"))

    def pair(clean, corrupt, answer, other):
        texts = [f"the cat sat <think> {thoughts} </think> on" for thoughts in (clean, corrupt)]
        start, stop = texts[0].index("<think>") + len("<think> "), texts[0].index(" </think>")
        return Pair(
            clean=texts[0], corrupt=texts[1], answer=answer, corrupt_answer=other, spans={"thoughts": (start, stop)}
        )

    return tokenizer, Pairs([pair("one two", "red big", "dog", "fox")], iid=True)


def test_a_thinking_text_in_the_prompt_is_patched_by_its_words(thinking, new_gpt2, plain, planned, experiment):
    """Token for token and logit for logit as the plain reference patches those positions."""
    tokenizer, pairs = thinking
    model = new_gpt2()
    lab = Lab(model, tokenizer)
    ids = {side: tokenizer(getattr(pairs[0], side))["input_ids"] for side in ("clean", "corrupt")}
    words = pairs[0].clean.split()
    opens, closes = words.index("<think>"), words.index("</think>")
    seen = plain.forward(model, ids["clean"])
    at = {span("thoughts"): range(opens + 1, closes), first("<think>"): [opens], last("</think>"): [closes]}
    for position, tokens in at.items():
        site = resid_post(1, position)
        changes = [plain.Change("resid_post", 1, n, seen.vector("resid_post", 1, n)) for n in tokens]
        _, logits, _ = plain.generate(model, ids["corrupt"], 1, changes)
        batch = planned(lab.backend.loaded, [experiment(pairs, "denoise", site, logit_diff)])
        given = batch.gave[batch.studies[0].patched.arm, pairs[0].id]
        assert torch.allclose(given.logits[0], logits[0], atol=1e-4, rtol=0)
    # The thoughts are where the prompts differ; what stands before them is the same in both.
    inside, before = (
        lab.denoise(pairs, at=resid_post(1, position)).change(logit_diff).measured.controls.distance[0]
        for position in (span("thoughts"), first("<think>"))
    )
    assert inside > 0 and before == 0


def test_generated_thinking_is_reached_by_its_steps(thinking, new_gpt2):
    tokenizer, pairs = thinking
    lab = Lab(new_gpt2(), tokenizer)
    assert lab.denoise(pairs, at=resid_post(1, step(0))).change(logit_diff).estimate != 0


def test_a_decoder_that_thinks_in_text_has_no_latent_thoughts(thinking, new_gpt2):
    tokenizer, pairs = thinking
    with pytest.raises(PositionError, match=r"this model has no latent thoughts"):
        float(Lab(new_gpt2(), tokenizer).denoise(pairs, at=resid_post(1, thought(0))).change(logit_diff).estimate)
