"""Latent reasoners in Coconut's layout: against its own loop of passes written by hand, and what is refused."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from causaltest import Lab, Pair, Pairs, embed, logit_diff, resid_post, thought
from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.trajectory import run

MARKS = ("<|start-latent|>", "<|end-latent|>", "<|latent|>")
PIECES = (*'abcdefgh?.!:")1\n ', "[UNK]", "[EOS]")
THOUGHTS = 4


def tokenizer_of(*, marks=MARKS, joins_newlines=False):
    """One token per letter, a newline too; with `joins_newlines` a newline joins a sign before it, as in Llama 3."""
    vocabulary = {piece: i for i, piece in enumerate((*PIECES, *(f"{sign}\n" for sign in "?.!")))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    from tokenizers import Regex

    signs = r"[?.!]\n|[\s\S]" if joins_newlines else r"[\s\S]"
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(signs), "isolated")
    made = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="[EOS]")
    made.add_tokens(list(marks))
    return made


BASE = len(tokenizer_of(marks=()))
START, END, LATENT = BASE, BASE + 1, BASE + 2
NEWLINE = PIECES.index("\n")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def trained(request, new_gpt2, new_llama):
    """A model whose vocabulary was enlarged by the three tokens, and its state under Coconut's names."""
    make = new_gpt2 if request.param == "gpt2" else new_llama
    model = make(vocab_size=BASE + 3)
    state = {f"base_causallm.{name}": tensor for name, tensor in model.state_dict().items()}
    # The module holds its model's embedding a second time, so its state does too.
    return model, state | {"embedding.weight": model.get_input_embeddings().weight}


@pytest.fixture(scope="module")
def gpt2(new_gpt2):
    model = new_gpt2(vocab_size=BASE + 3)
    return model, {f"base_causallm.{name}": tensor for name, tensor in model.state_dict().items()}


def config_of(model, **block):
    plain = model.config.to_diff_dict()
    return plain | ({"reasoning": {"layout": "coconut", "thoughts": THOUGHTS} | block} if block is not None else {})


@torch.no_grad()
def passes(model, ids, steps):
    """Coconut's inference: a pass per latent token over the whole sequence up to it, which fills in its embedding."""
    table = model.get_input_embeddings()
    inputs = table(torch.tensor([ids]))
    for at in [n for n, token in enumerate(ids) if token == LATENT]:
        hidden = model(inputs_embeds=inputs[:, :at], use_cache=False, output_hidden_states=True).hidden_states[-1]
        inputs = torch.cat([inputs[:, :at], hidden[:, at - 1 : at], inputs[:, at + 1 :]], dim=1)
    filled, tokens, logits = inputs[0].clone(), [], []
    for _ in range(steps):
        logits.append(model(inputs_embeds=inputs, use_cache=False).logits[0, -1])
        tokens.append(int(logits[-1].argmax()))
        inputs = torch.cat([inputs, table(torch.tensor([tokens[-1:]]))], dim=1)
    return filled, tokens, torch.stack(logits)


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_a_run_equals_coconuts_own_passes(trained, folder_with, kind):
    model, state = trained
    tokenizer = tokenizer_of()
    loaded = load_model(str(folder_with(state, config_of(model), tokenizer, kind=kind)))
    question = "abc de?"
    prompt = tokenizer(question)["input_ids"]
    ids = tokenizer(question + "\n")["input_ids"] + [START] + [LATENT] * THOUGHTS + [END]
    filled, tokens, logits = passes(model, ids, 4)
    given = run(loaded, torch.tensor([prompt]), new_tokens=4, record=("resid_pre",))
    assert given.tokens[0].tolist() == tokens
    assert torch.allclose(given.logits[0], logits, atol=1e-4, rtol=0)
    # Thought k stands where the k-th latent does; Llama's stream begins with the embedding itself.
    first = len(prompt) + len(loaded.reasoning.begin)
    assert ids[first : first + THOUGHTS] == [LATENT] * THOUGHTS
    positions = model.transformer.wpe.weight[: len(ids)] if hasattr(model, "transformer") else 0
    stream = given.activations["resid_pre", 0][0, : len(ids)]
    assert torch.allclose(stream, filled + positions, atol=1e-4, rtol=0)


def test_the_hidden_state_that_is_fed_back_is_the_one_after_the_final_norm(gpt2, folder_with):
    """By hand: the blocks' output, normed, is the next input; unnormed, it is not."""
    model, state = gpt2
    loaded = load_model(str(folder_with(state, config_of(model), tokenizer_of())))
    given = run(loaded, torch.tensor([[1, 2, 3]]), new_tokens=1, record=("resid_pre", "resid_post"))
    at = 3 + 2
    ended = given.activations["resid_post", 2][0, at - 1]
    fed = given.activations["resid_pre", 0][0, at] - model.transformer.wpe.weight[at]
    with torch.inference_mode():
        normed = torch.nn.functional.layer_norm(
            ended, (16,), model.transformer.ln_f.weight, model.transformer.ln_f.bias
        )
    assert torch.allclose(fed, normed, atol=1e-4)
    assert not torch.allclose(fed, ended, atol=0.1)


def test_the_layout_is_known_by_the_weights_names(trained, folder_with):
    model, state = trained
    config = model.config.to_diff_dict() | {"vocab_size": BASE}  # the base model's own config
    loaded = load_model(str(folder_with(state, config, tokenizer_of(), kind="pytorch_model.bin")))
    assert loaded.reasoning.thoughts == 6
    assert (loaded.reasoning.begin, loaded.reasoning.end) == ((NEWLINE, START), (END,))
    said = f"coconut, by its weights' names: 6 thoughts, begin ({NEWLINE}, {START}), end ({END},)"
    assert loaded.provenance["reasoning"] == said


def test_a_patched_thought_moves_the_answer(trained, folder_with):
    model, state = trained
    folder = folder_with(state, config_of(model), tokenizer_of())
    pairs = Pairs([Pair(clean="abc", corrupt="dbc", answer="a", corrupt_answer="b")], iid=True)
    lab = Lab.load(str(folder))
    for site in (embed(thought(1)), resid_post(0, thought(2))):
        numbers = lab.denoise(pairs, at=site).change(logit_diff).measured
        assert numbers.values[0] != 0
        assert numbers.controls.self_patch.neutral


def test_sim_cots_second_decoder_is_dropped_and_told(gpt2, folder_with):
    model, state = gpt2
    folder = folder_with(state | {"expainable_llm.a": torch.zeros(2)}, config_of(model), tokenizer_of())
    assert load_model(str(folder)).provenance["not used"].startswith("expainable_llm.* (1)")


# What is refused


@pytest.mark.parametrize("missing", MARKS)
def test_a_tokenizer_without_one_of_the_three_tokens_is_refused(gpt2, folder_with, missing):
    model, state = gpt2
    folder = folder_with(state, config_of(model), tokenizer_of(marks=[mark for mark in MARKS if mark != missing]))
    with pytest.raises(ModelError) as told:
        load_model(str(folder))
    message = str(told.value)
    assert f"has no token {missing}. Add" in message
    assert f'"begin": [a newline, {START}], "end": [{END}]' in message


def test_the_tokens_may_be_named_by_their_ids(gpt2, folder_with):
    model, state = gpt2
    block = {"begin": [NEWLINE, START], "end": [END]}
    named = load_model(str(folder_with(state, config_of(model, **block), tokenizer_of(marks=()))))
    found = load_model(str(folder_with(state, config_of(model), tokenizer_of(), name="other")))
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(run(named, ids, new_tokens=2).logits, run(found, ids, new_tokens=2).logits)


def test_a_tokenizer_that_joins_newlines_needs_them_in_the_prompts(gpt2, folder_with):
    model, state = gpt2
    joining = tokenizer_of(joins_newlines=True)
    with pytest.raises(
        ModelError, match=rf'joins a newline .* Write it at the end of every prompt.*"begin": \[{START}\]'
    ):
        load_model(str(folder_with(state, config_of(model), joining)))
    assert load_model(str(folder_with(state, config_of(model, begin=[START]), joining))).reasoning.begin == (START,)


def test_an_embedding_that_is_not_the_models_own_is_refused(gpt2, folder_with):
    model, state = gpt2
    own = model.get_input_embeddings().weight
    for other in ({"embedding.weight": own + 1e-3}, {"embedding.bias": own}):
        with pytest.raises(ModelError, match=r"embedding\.weight is Coconut's second name .* the two differ"):
            load_model(str(folder_with(state | other, config_of(model), tokenizer_of())))


def test_missing_and_left_over_weights_are_named(gpt2, folder_with):
    model, state = gpt2
    without = {k: t for k, t in state.items() if "h.1.mlp.c_fc.weight" not in k}
    with pytest.raises(ModelError, match=r"Missing \['transformer\.h\.1\.mlp\.c_fc\.weight'\]"):
        load_model(str(folder_with(without, config_of(model), tokenizer_of())))
    with pytest.raises(ModelError, match=r"left over prj\.1\.weight \(1\)"):
        load_model(str(folder_with(state | {"prj.1.weight": torch.zeros(2)}, config_of(model), tokenizer_of())))


def test_a_checkpoint_of_another_width_than_its_config_is_refused(gpt2, folder_with):
    model, state = gpt2
    with pytest.raises(ModelError, match=r"does not fit its config: .*weight is \[\d+, 16\], and .* for \[\d+, 32\]"):
        load_model(str(folder_with(state, config_of(model) | {"n_embd": 32}, tokenizer_of())))


@pytest.mark.parametrize("block", [{"thoughts": 0}, {"latents": 6}, {"begin": []}, {"end": "x"}], ids=str)
def test_a_malformed_block_says_what_it_needs(gpt2, folder_with, block):
    model, state = gpt2
    with pytest.raises(
        ModelError, match=r'not understood .*It needs "layout": "coconut", "thoughts": how many, and may'
    ):
        load_model(str(folder_with(state, config_of(model, **block), tokenizer_of())))
