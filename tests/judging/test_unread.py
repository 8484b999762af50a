"""What nobody reads: told from the prompts' text alone, and only where it is sure."""

from __future__ import annotations

import pytest

from causaltest.asking.edges import edge
from causaltest.asking.experiment import Experiment
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import Position, every, first, index, last, span, step, thought
from causaltest.asking.sites import (
    Site,
    attn_out,
    embed,
    final_norm,
    head,
    k,
    logits,
    mlp_out,
    resid_post,
    resid_pre,
    v,
)
from causaltest.judging.unread import nobody_reads

LAYERS = 3
PAIRS = Pairs(
    [
        Pair(
            clean="The capital of France is",
            corrupt="The capital of Italy is",
            answer=" Paris",
            cluster="c",
            spans={"subject": (15, 21), "verb": (22, 24)},
        )
    ]
)
SUBJECT = span("subject")


def asked(*at: Site, pairs: Pairs = PAIRS) -> Experiment:
    effect = Lab(name="any").rehearsal().denoise(pairs, at=at).recovery(accuracy)
    assert isinstance(effect.question, Experiment)
    return effect.question


@pytest.mark.parametrize(
    "site",
    [
        resid_post(2, SUBJECT),
        mlp_out(2, SUBJECT),
        attn_out(2, first(SUBJECT)),
        head(2, [0, 1], last(SUBJECT)),
        resid_post(2, first("capital")),
        resid_post(2, index(0, 3)),
        resid_post(2, index(-2)),
        final_norm(SUBJECT),
        logits(SUBJECT),
    ],
)
def test_the_last_block_before_the_last_token_is_read_by_nobody(site: Site) -> None:
    assert nobody_reads(asked(site), LAYERS)


@pytest.mark.parametrize(
    "site",
    [
        resid_post(1, SUBJECT),
        resid_post([1, 2], SUBJECT),
        resid_pre(2, SUBJECT),
        k(2, 0, SUBJECT),
        v(2, 0, SUBJECT),
        embed(SUBJECT),
        *(
            resid_post(2, position)
            for position in (
                last(), step(0), thought(0), every(), index(4), index(-1), index(0, 4), span("verb"), first("is"),
                span("no"),
            )
        ),
    ],
)  # fmt: skip
def test_what_may_be_read_is_never_called_unread(site: Site) -> None:
    assert not nobody_reads(asked(site), LAYERS)


def test_every_site_must_be_unread() -> None:
    assert nobody_reads(asked(resid_post(2, SUBJECT), resid_post(2, index(0))), LAYERS)
    assert not nobody_reads(asked(resid_post(2, SUBJECT), resid_post(2, last())), LAYERS)


@pytest.mark.parametrize("position", [first("Italy"), first("France")])
def test_a_text_that_one_prompt_lacks_is_left_alone(position: Position) -> None:
    assert not nobody_reads(asked(resid_post(2, position)), LAYERS)


def test_both_prompts_must_go_on() -> None:
    spans, corrupt_spans = {"subject": (6, 12)}, {"subject": (10, 15)}
    ends = Pair("It is France today", "It is now Italy", "x", cluster="c", spans=spans, corrupt_spans=corrupt_spans)
    assert not nobody_reads(asked(resid_post(2, SUBJECT), pairs=Pairs([ends])), LAYERS)


def test_edges_are_left_alone() -> None:
    run = Lab(name="any").rehearsal().denoise(PAIRS, at=edge(mlp_out(1, SUBJECT), attn_out(2, SUBJECT)))
    effect = run.recovery(accuracy)
    assert isinstance(effect.question, Experiment)
    assert not nobody_reads(effect.question, LAYERS)
