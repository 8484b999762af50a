"""The probability of an answer, against a softmax over all logits of a plain forward."""

import dataclasses

import pytest

from causaltest import Lab, Pairs, accuracy, at_least, index, judge, last, logit_diff, probability, resid_post, thought
from causaltest.errors import ClaimError
from causaltest.organisms import ducks as organism


def likely(plain, tiny, text, answer, changes=()):
    logits = plain.forward(tiny.model, tiny.tokenizer(text)["input_ids"], list(changes)).logits[-1]
    return float(logits.double().softmax(-1)[tiny.tokenizer.convert_tokens_to_ids(answer)])


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox"])
@pytest.mark.parametrize("at", [resid_post(1, index(2)), resid_post(2, last())], ids=str)
def test_a_probability_is_the_softmax_of_a_plain_forward(request, plain, family, at):
    tiny = request.getfixturevalue(family)
    pairs, (layer,) = tiny.pairs[::2], at.layers
    numbers = Lab(tiny.model, tiny.tokenizer).denoise(pairs, at=at).change(probability, placebo=False).measured
    assert numbers.range == (-1.0, 1.0)
    columns = [numbers.references[name] for name in ("clean", "corrupt", "patched")]
    by_id = dict(zip(numbers.pair_ids, zip(*columns, strict=True), strict=True))
    for name, pair in zip(pairs.ids, pairs, strict=True):
        ids = tiny.tokenizer(pair.clean)["input_ids"]
        p = 2 if at.position.kind == "index" else len(ids) - 1
        clean = plain.forward(tiny.model, ids)
        change = plain.Change("resid_post", layer, p, clean.vector("resid_post", layer, p, None))
        wanted = [likely(plain, tiny, text, pair.answer) for text in (pair.clean, pair.corrupt)]
        wanted.append(likely(plain, tiny, pair.corrupt, pair.answer, [change]))
        assert by_id[name] == pytest.approx(wanted, abs=1e-6)
        assert abs(wanted[1] - wanted[2]) > 1e-5


def test_beside_other_metrics_each_is_what_it_is_alone(ducks):
    """In one plan with a metric that reads more tokens, and one that reads fewer logits."""
    pairs = organism.twins(1, clusters=4, per_cluster=2)
    site = resid_post(6, thought(0))

    def body(lab):
        run = lab.denoise(pairs, at=site)
        return [run.recovery(m, placebo=False) for m in (probability, accuracy, logit_diff)]

    lab = Lab.load("organism:ducks")
    body(lab.rehearsal())
    together = body(lab)
    alone = [Lab.load("organism:ducks").denoise(pairs, at=site).recovery(probability, placebo=False)]
    assert together[0].measured.values == pytest.approx(alone[0].measured.values, abs=1e-6)
    assert together[0].measured.controls.positive.estimate == pytest.approx(1.0, abs=1e-6)
    assert together[0].measured.clipped == 0.0
    assert judge(together[0], at_least(0.3)).reason  # of three metrics it is judged like any with a range


def test_what_a_probability_has_not(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    with pytest.raises(ClaimError, match="follows a metric that is a sum of logits"):
        lab.sweep(tiny_gpt2.pairs[::2], at=resid_post(range(2), last()), method="attribution").recovery(probability)
    with pytest.raises(ClaimError, match="probability has no option 'range'"):
        probability(range=(0, 2))
    two = [dataclasses.replace(pair, answer=f"{pair.answer} on") for pair in tiny_gpt2.pairs[::2]]
    with pytest.raises(ClaimError, match=r"probability\(first_token=True\)"):
        lab.denoise(Pairs(two, iid=True), at=resid_post(1, last())).change(probability)


def test_who_does_not_ask_for_it_does_not_pay_for_it(ducks, twins):
    """Else the whole head would be computed for each patched run of a logit."""
    run = ducks.denoise(twins, at=resid_post(6, thought(0)))
    for metric, whole in ((logit_diff, False), (accuracy, False), (probability, True)):
        run.change(metric, placebo=False)
        batch, _ = ducks.backend.batch([ducks.experiments[-1]])
        assert batch.reads_total is whole
        assert batch.chooses is (metric != logit_diff)
