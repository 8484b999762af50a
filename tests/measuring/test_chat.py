"""A prompt in its chat: the tokens that the model sees, and where spans and texts are found in them."""

import copy

import pytest

from causaltest import Lab, Pair, Pairs, embed, first, index, last, logit, logit_diff, nth, resid_post, span
from causaltest.asking.chats import Chat
from causaltest.errors import PairsError, PositionError
from causaltest.measuring.chat import render
from causaltest.measuring.positions import Layout, resolve
from causaltest.measuring.prompts import token_pair

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} </{{ m['role'] }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{{ ' hm' if thinking }}{% endif %}"
)
FRANCE = Pair(
    "The capital of France is", "The capital of Italy is", " Paris", " Rome", id="it", spans={"subject": (15, 21)}
)


@pytest.fixture
def chatting(byte_tokenizer):
    """Makes a tokenizer with a chat template."""

    def make(template=TEMPLATE):
        tokenizer = copy.deepcopy(byte_tokenizer)
        tokenizer.chat_template = template
        return tokenizer

    return make


def tokens_of(tokenizer, pair):
    tokens = token_pair(tokenizer, pair)
    return tokens, tokenizer.convert_ids_to_tokens(list(tokens.clean.ids))


def test_the_model_sees_what_the_tokenizer_makes_of_the_conversation(chatting):
    tokenizer = chatting()
    chat = Chat("Be brief.", (("The capital of Italy is", "Rome."),), options={"thinking": True})
    (pair,) = Pairs([FRANCE]).as_chat(system=chat.system, turns=chat.turns, thinking=True)
    tokens, _ = tokens_of(tokenizer, pair)
    for prompt, text in ((tokens.clean, pair.clean), (tokens.corrupt, pair.corrupt)):
        wanted = tokenizer.apply_chat_template(chat.messages(text), add_generation_prompt=True, thinking=True)
        assert list(prompt.ids) == wanted["input_ids"]
        assert prompt.text.endswith("</user>\n<assistant> hm")
        assert prompt.ids.count(tokenizer.bos_token_id) == 1
        assert prompt.ids[0] == tokenizer.bos_token_id


def test_a_prefill_is_where_the_assistant_has_begun(chatting):
    (pair,) = Pairs([FRANCE]).as_chat(prefill=" It is")
    tokens, shown = tokens_of(chatting(), pair)
    assert tokens.clean.text.endswith("</user>\n<assistant> It is")
    assert shown[-1] == "Ġis"


def test_special_tokens_are_not_added_to_those_of_the_template(chatting, byte_tokenizer):
    from tokenizers import processors

    tokenizer = chatting()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", tokenizer.bos_token_id)]
    )
    assert tokenizer("The")["input_ids"][0] == tokenizer.bos_token_id, "a prompt of its own gets one"
    (pair,) = Pairs([FRANCE]).as_chat()
    _, shown = tokens_of(tokenizer, pair)
    assert shown.count("<|end|>") == 1
    twice = Pairs([FRANCE]).as_chat(system="Be brief.")
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    with pytest.raises(PairsError, match=r"it: The chat begins with <\|end\|> twice"):
        token_pair(tokenizer, twice[0])


def test_spans_and_texts_are_found_in_the_pairs_own_prompt(chatting):
    """The system text and the turns hold the same words."""
    (pair,) = Pairs([FRANCE]).as_chat(
        system="The capital of France", turns=[("The capital of Italy is", "Rome. The capital of France is Paris.")]
    )
    tokens, shown = tokens_of(chatting(), pair)
    where = Layout(len(shown), 0, 0, 0, len(shown))
    begin = tokens.clean.text.rindex("The capital of France is")
    assert tokens.clean.begin == begin
    for position, word in [
        (first("France"), "ĠFrance"),
        (last("France"), "ĠFrance"),
        (span("subject"), "ĠFrance"),
        (first("of"), "Ġof"),
        (nth("The", 0), "ĠThe"),
        (last("is"), "Ġis"),
    ]:
        (at,) = resolve(position, tokens, where)
        assert shown[at] == word
        assert tokens.clean.offsets[at][0] >= begin - 1
        assert tokens.clean.offsets[at][1] <= begin + len(pair.clean)
    assert resolve(last(), tokens, where) == resolve(index(-1), tokens, where) == (len(shown) - 1,)
    with pytest.raises(PositionError, match="the prompt has no 'assistant'"):
        resolve(first("assistant"), tokens, where)


def test_a_chat_is_measured_where_the_assistant_speaks(chatting, new_gpt2):
    tokenizer = chatting()
    model = new_gpt2(vocab_size=len(tokenizer), n_positions=128)
    lab = Lab(model, tokenizer)
    pairs = Pairs([FRANCE]).as_chat(system="Be brief.")
    (run,) = lab.clean(pairs).runs
    ids = tokenizer.apply_chat_template(
        Chat("Be brief.").messages(FRANCE.clean), add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    assert list(run.tokens) == tokenizer.convert_ids_to_tokens(ids[0].tolist())
    logits = model(ids).logits[0, -1]
    assert run.clean_gave == tokenizer.decode([int(logits.argmax())]).strip()
    everything = lab.denoise(pairs, at=embed()).recovery(logit_diff, placebo=False)
    assert everything.estimate == pytest.approx(1.0, abs=1e-4)
    subject = lab.denoise(pairs, at=embed(span("subject"))).recovery(logit_diff, placebo=False)
    assert subject.estimate == pytest.approx(1.0, abs=1e-4), "the prompts differ in nothing else"
    assert lab.denoise(pairs, at=embed(first("of"))).change(logit, placebo=False).estimate == 0.0


def test_chat_and_plain_pairs_are_not_taken_for_each_other(chatting, new_gpt2):
    tokenizer = chatting()
    lab = Lab(new_gpt2(vocab_size=len(tokenizer), n_positions=128), tokenizer)
    pairs = Pairs([FRANCE])
    values = {
        lab.denoise(p, at=resid_post(0, span("subject"))).change(logit, placebo=False).estimate
        for p in (pairs, pairs.as_chat(), pairs.as_chat(system="Be brief."))
    }
    assert len(values) == 3


BAD_TEMPLATES = {
    "none": (None, "the tokenizer has no chat template. Measure a chat model, set tokenizer.chat_template"),
    "prompt twice": ("{{ messages[-1]['content'] * 2 }}", "shows the prompt 2 times"),
    "no prompt": ("hello", "shows the prompt 0 times"),
    "prompt changed": ("{{ messages[-1]['content'] | upper }}", "shows the prompt 0 times"),
    "prompt cut": ("{{ messages[-1]['content'][:12] }}", "changes the prompt, so spans"),
    "prompt judged": ("{{ messages[-1].content ~ ('!' if 'of' in messages[-1].content) }}", "changes the prompt"),
    "today": ("{{ strftime_now('%d') }}{{ messages[-1]['content'] }}", "writes today's date .*date_string="),
    "refusal": ("{{ raise_exception('no system role') }}", "does not take this chat: no system role"),
    "broken": ("{% for %}", "does not take this chat"),
}


@pytest.mark.parametrize(("template", "message"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
def test_a_template_that_does_not_show_the_prompt_as_it_is_is_refused(chatting, template, message):
    (pair,) = Pairs([FRANCE]).as_chat()
    with pytest.raises(PairsError, match=f"it: .*{message}"):
        token_pair(chatting(template), pair)


def test_a_prompt_with_spaces_that_the_template_cuts_is_told_so(chatting):
    tokenizer = chatting("{{ messages[-1]['content'] | trim }}")
    assert render(tokenizer, Chat(), "a b").text == "a b"
    with pytest.raises(PairsError, match="Write the prompt without the spaces around it"):
        render(tokenizer, Chat(), " a b")


def test_a_date_that_is_given_is_no_longer_todays(chatting):
    tokenizer = chatting(
        "{{ date_string if date_string is defined else strftime_now('%d') }}: {{ messages[-1]['content'] }}"
    )
    assert render(tokenizer, Chat(options={"date_string": "26 Jul"}), "a").text == "26 Jul: a"


def test_an_option_that_the_template_does_not_read_is_refused(chatting):
    with pytest.raises(PairsError, match="reads no option 'enable_thinking', so it would do nothing"):
        render(chatting(), Chat(options={"enable_thinking": False}), "a")
    with pytest.raises(PairsError, match="reads no option 'think'"):
        render(chatting(), Chat(options={"think": False}), "a")


def test_a_tokenizer_with_several_templates_and_no_default_is_refused(chatting):
    tokenizer = chatting({"rag": TEMPLATE, "tool": TEMPLATE})
    with pytest.raises(PairsError, match="does not say which chat template is meant"):
        render(tokenizer, Chat(), "a")
    tokenizer.chat_template = {"default": TEMPLATE, "rag": "no"}
    assert render(tokenizer, Chat(), "a").text.endswith("<user> a </user>\n<assistant>")


def test_a_plain_pair_needs_no_template(chatting):
    assert token_pair(chatting(None), FRANCE).clean.text == FRANCE.clean
