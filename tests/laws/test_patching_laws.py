"""Universal laws of patching, on the ducks: generated sites, no statistics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest import Lab, attn_out, embed, head, index, last, logit_diff, mlp_out, resid_post, span, step, thought
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.sites import resid_pre
from causaltest.organisms import ducks

torch.set_num_threads(1)
LAWFUL = settings(max_examples=20, deadline=None)
LAYERS, HEADS, THOUGHTS, PROMPT = 12, 4, 6, 45
ROUNDING = 2e-5
"""Of differences of logits of about 20: patched runs share forwards with others, and bits depend on batch shapes."""

layers = st.integers(0, LAYERS - 1)
positions = st.one_of(
    st.integers(0, PROMPT - 1).map(index),
    st.integers(0, THOUGHTS - 1).map(thought),
    st.lists(st.integers(0, THOUGHTS - 1), min_size=1, unique=True).map(thought),
    st.sampled_from([last(), step(0), span("number"), span("rest")]),
)


def sites_at(where, component_layers=layers):
    return st.one_of(
        st.builds(embed, where),
        st.builds(head, component_layers, st.integers(0, HEADS - 1), where),
        *(st.builds(make, component_layers, where) for make in (resid_pre, resid_post, attn_out, mlp_out)),
    )


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load("organism:ducks")


@pytest.fixture(scope="module")
def twins():
    return {sentence: ducks.twins(sentence, clusters=2, per_cluster=2) for sentence in range(7)}


def change(lab, pairs, site, direction="denoise"):
    """The runs' logit differences, without controls."""
    sites = site if isinstance(site, tuple) else (site,)
    experiment = Experiment(Patching(lab.name, direction, pairs, sites), "change", logit_diff, controls=False)
    return lab.backend.measure(experiment).measured


@LAWFUL
@given(site=sites_at(positions), sentence=st.integers(0, 6), n=st.integers(0, 3))
def test_a_pair_patched_with_itself_changes_nothing(lab, twins, site, sentence, n):
    assert lab.denoise(twins[sentence][n].with_itself(), at=site).is_neutral
    assert lab.noise(twins[sentence][n].with_itself(), at=site).is_neutral


@LAWFUL
@given(
    sentence=st.integers(0, 6),
    data=st.data(),
    direction=st.sampled_from(["denoise", "noise"]),
)
def test_a_patch_off_the_path_changes_nothing(lab, twins, sentence, data, direction):
    """Words that no reader reads; the number once block 6 has read it; thoughts that come before the reader;
    the last thought once the end token has read it."""
    number = 6 * sentence + 3
    reader = sentence - 1
    off = [
        sites_at(st.integers(0, PROMPT - 1).filter(lambda i: i % 6 != 3 or i >= 42).map(index)),
        sites_at(st.just(index(number)), st.integers(7, LAYERS - 1)).filter(lambda s: s.component != "embed"),
        st.builds(resid_post, st.integers(6, LAYERS - 1), st.just(index(number))),
        sites_at(st.just(thought(THOUGHTS - 1)), st.just(LAYERS - 1)).filter(lambda s: s.component != "embed"),
    ]
    if reader > 0:
        off.append(sites_at(st.integers(0, reader - 1).map(thought)))
    site = data.draw(st.one_of(*off))
    # The number's own token begins the words that see it: at other tokens of the prompt nothing moves.
    assert max(map(abs, change(lab, twins[sentence], site, direction).values)) < ROUNDING


@LAWFUL
@given(
    layer=st.integers(0, 9),
    sentence=st.integers(1, 6),
    make=st.sampled_from([resid_post, resid_pre]),
)
def test_patching_every_thought_gives_the_other_run(lab, twins, layer, sentence, make):
    """The thoughts are a cut between the sentences after the first and the answer. The sixth sentence's
    reader is the last thought, so block 6 must have read it; all others pass on by their embedding."""
    if sentence == THOUGHTS and layer < 6 + (make is resid_pre):
        layer += 7
    if layer > 9 + (make is resid_pre):
        layer = 9
    site = make(layer, thought(range(THOUGHTS)))
    for direction, other in (("denoise", "clean"), ("noise", "corrupt")):
        references = change(lab, twins[sentence], site, direction).references
        assert references["patched"] == pytest.approx(references[other], abs=ROUNDING)


@LAWFUL
@given(k=st.integers(0, THOUGHTS - 1), sentence=st.integers(0, 6))
def test_a_thoughts_embedding_is_all_that_it_gets_from_before(lab, twins, k, sentence):
    """Recovery is 1 for what was read before thought k, and 0 for what is read after."""
    references = change(lab, twins[sentence], embed(thought(k))).references
    assert references["patched"] == pytest.approx(references["clean" if sentence <= k else "corrupt"], abs=ROUNDING)


@LAWFUL
@given(site=sites_at(positions), sentence=st.integers(0, 6))
def test_what_goes_in_can_be_taken_out_again(lab, twins, site, sentence):
    """Denoising a swapped pair is noising the pair: only the names of the runs change."""
    from dataclasses import replace

    pairs = twins[sentence]
    swapped = type(pairs)(
        [replace(p, clean=p.corrupt, corrupt=p.clean, answer=p.corrupt_answer, corrupt_answer=p.answer) for p in pairs]
        if site.position.kind != "span"
        else [
            replace(
                p,
                clean=p.corrupt,
                corrupt=p.clean,
                answer=p.corrupt_answer,
                corrupt_answer=p.answer,
                spans=swapped_spans(p),
            )
            for p in pairs
        ]
    )
    there, back = change(lab, pairs, site, "noise"), change(lab, swapped, site, "denoise")
    assert [-v for v in there.references["patched"]] == list(back.references["patched"])


def swapped_spans(pair):
    """The spans by the corrupt prompt's own characters: its number may have one digit more or less."""
    shift = len(pair.corrupt) - len(pair.clean)
    (number, after), (start, stop), (rest, end) = (pair.spans[name] for name in ("number", "sentence", "rest"))
    return {
        "number": (number, after + shift),
        "sentence": (start, stop + shift),
        "rest": (rest + shift, end + shift),
    }
