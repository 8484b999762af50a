"""Edges against a plain path patching: modules named by hand, one full forward for every run."""

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from causaltest import (
    Lab,
    Pairs,
    accuracy,
    at_least,
    attn_out,
    edge,
    embed,
    every,
    head,
    index,
    judge,
    k,
    last,
    logit_diff,
    mlp_out,
    q,
    resid_post,
    span,
    step,
    thought,
    v,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.errors import ClaimError, MeasurementError, PositionError, SiteError
from causaltest.measuring import edges as edges_module
from causaltest.measuring.backend import open_backend
from causaltest.organisms import ducks as ducks_organism
from causaltest.organisms import planted

FAMILIES = ("tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox", "tiny_mistral")
LAYERS = 3
PROJECTION = {
    "gpt2": "transformer.h.{}.attn.c_proj",
    "llama": "model.layers.{}.self_attn.o_proj",
    "mistral": "model.layers.{}.self_attn.o_proj",
    "gemma2": "model.layers.{}.self_attn.o_proj",
    "gpt_neox": "gpt_neox.layers.{}.attention.dense",
}


def positions(site, length=5):
    kinds = {"every": range(length), "last": [length - 1]}
    return list(kinds.get(site.position.kind, site.position.numbers))


@torch.no_grad()
def contribution(plain, model, run, sender, other):
    """What a sender adds at every position in the other run, less what it adds in this one. [position, width]"""
    kind, heads = model.config.model_type, model.config.num_attention_heads
    length = len(run.at["resid_pre", 0])
    there = torch.zeros(length, 1)
    there[positions(sender, length)] = 1.0
    if sender.component == "embed":
        # Where positions are added, they are the same in both runs. Some releases scale Gemma's embeddings behind them.
        at = ("resid_pre" if kind == "gemma2" else "embed", 0)
        return there * (other.at[at] - run.at[at])
    total = torch.zeros_like(run.at["resid_pre", 0])
    for layer in sender.layers:
        if sender.component != "head":
            total += other.at[sender.component, layer] - run.at[sender.component, layer]
            continue
        projection = model.get_submodule(PROJECTION[kind].format(layer))
        weight = projection.weight if kind == "gpt2" else projection.weight.T  # [head x width, stream]
        own, mixed = run.at["head", layer], run.at["head", layer].clone().view(length, heads, -1)
        for part in sender.parts:
            mixed[:, part] = other.at["head", layer].view(length, heads, -1)[:, part]
        if kind == "gemma2":
            norm = model.model.layers[layer].post_attention_layernorm
            total += norm(mixed.flatten(1) @ weight) - norm(own @ weight)
        else:
            total += (mixed.flatten(1) - own) @ weight
    return there * total


def reached(plain, model, ids, run, arriving, receiver):
    """What a receiver's layers hold once a difference is added to the stream that they read. (layer, vector) each"""
    parallel = getattr(model.config, "use_parallel_residual", False)
    out = {}
    for layer in receiver.layers:
        place = "resid_mid" if receiver.component == "mlp_out" and not parallel else "resid_pre"
        stream = run.at[place, layer] + arriving
        # The whole stream is written, so that nothing below matters.
        seen = plain.forward(model, ids, [plain.Change(place, layer, p, s) for p, s in enumerate(stream)])
        out[layer] = seen
    return out


def path_patched(plain, tiny, pairs, direction, edges):
    """Per pair, the logit difference of the run in which the receivers hold what arrives, less that unpatched."""
    word = tiny.tokenizer.convert_tokens_to_ids
    changed = []
    for pair in pairs:
        sides = [tiny.tokenizer(getattr(pair, side))["input_ids"] for side in ("clean", "corrupt")]
        ids, other_ids = sides[::-1] if direction == "denoise" else sides
        run, other = (plain.forward(tiny.model, i) for i in (ids, other_ids))
        changes, heard = [], {}
        for one in edges:
            difference = contribution(plain, tiny.model, run, one.sender, other)
            heard[one.receiver] = heard.get(one.receiver, 0) + difference
        for receiver, arriving in heard.items():
            if receiver == "logits":
                stream = run.at["resid_post", LAYERS - 1] + arriving
                changes += [plain.Change("resid_post", LAYERS - 1, p, s) for p, s in enumerate(stream)]
                continue
            for layer, seen in reached(plain, tiny.model, ids, run, arriving, receiver).items():
                for part in receiver.parts or (None,):
                    for p in positions(receiver, len(ids)):
                        vector = seen.vector(receiver.component, layer, p, part)
                        changes.append(plain.Change(receiver.component, layer, p, vector, part))
        logits = [plain.forward(tiny.model, ids, some).logits[-1] for some in (changes, [])]
        right, wrong = word(pair.answer), word(pair.corrupt_answer)
        changed.append(float((logits[0] - logits[1])[right] - (logits[0] - logits[1])[wrong]))
    return changed


def lab_of(tiny):
    return Lab(name="tiny", backend=tiny.backend)


def measured(tiny, pairs, direction, edges):
    run = getattr(lab_of(tiny), direction)(pairs, at=edges)
    numbers = tiny.backend.measure(
        Experiment(run.patching, "change", logit_diff, controls=False, placebo_draws=0)
    ).measured
    by_id = dict(zip(numbers.pair_ids, numbers.values, strict=True))
    return [by_id[name] for name in pairs.ids]


EDGES = {
    "embedding to attention": edge(embed(index(2)), attn_out(1, last())),
    "embedding to the first MLP": edge(embed(index(4)), mlp_out(0, index(4))),
    "attention to its own MLP": edge(attn_out(1, last()), mlp_out(1, last())),
    "MLP to an MLP": edge(mlp_out(0, index(1, 4)), mlp_out(2, index(1, 4))),
    "MLP to a head": edge(mlp_out(0, index(2)), head(1, 3, last())),
    "head to a head": edge(head(0, 1, every()), head(2, 2, last())),
    "head to q": edge(head(0, 1, last()), q(2, 3, last())),
    "head to k": edge(head(0, (0, 1, 2)), k(2, (0, 1))),
    "heads to v": edge(head(0, (1, 2), index(2)), v(2, 0, index(2))),
    "attention to attention": edge(attn_out(0), attn_out(2)),
    "head to the logits": edge(head(1, 2, last()), "logits"),
    "MLP to the logits": edge(mlp_out(2, last()), "logits"),
    "embedding to the logits": edge(embed(last()), "logits"),
    "several layers and heads": edge(mlp_out((0, 1), index(2, 4)), head(2, (0, 1), index(3, 4))),
}


@pytest.mark.parametrize(("family", "direction"), [*((f, "denoise") for f in FAMILIES), ("tiny_gemma2", "noise")])
@pytest.mark.parametrize("name", EDGES)
def test_every_edge_equals_a_plain_path_patching(request, plain, family, name, direction):
    tiny = request.getfixturevalue(family)
    if name == "attention to its own MLP" and family == "tiny_neox":
        with pytest.raises(SiteError, match="nothing arrives, for the receiver reads the stream before"):
            measured(tiny, tiny.pairs[::2], direction, EDGES[name])
        return
    pairs = tiny.pairs[::2]
    found = measured(tiny, pairs, direction, EDGES[name])
    wanted = path_patched(plain, tiny, pairs, direction, [EDGES[name]])
    assert found == pytest.approx(wanted, abs=2e-5)
    assert max(map(abs, wanted)) > 2e-4


SEVERAL = {
    "into one receiver": [edge(head(0, 1, last()), q(2, 3, last())), edge(mlp_out(1, last()), q(2, 3, last()))],
    "two receivers": [edge(head(0, 1, last()), q(2, 3, last())), edge(mlp_out(0, index(2)), v(1, 1, index(2)))],
    "a receiver behind another": [edge(mlp_out(0), attn_out(1)), edge(embed(), attn_out(2))],
    "into the logits": [edge(mlp_out(1, last()), "logits"), edge(head(0, 3, last()), "logits")],
    "into the logits from other positions": [edge(mlp_out(1), "logits"), edge(embed(last()), "logits")],
}


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox"])
@pytest.mark.parametrize("name", SEVERAL)
def test_several_edges_equal_a_plain_path_patching(request, plain, family, name):
    tiny = request.getfixturevalue(family)
    pairs = tiny.pairs[::2]
    found = measured(tiny, pairs, "denoise", SEVERAL[name])
    wanted = path_patched(plain, tiny, pairs, "denoise", SEVERAL[name])
    assert found == pytest.approx(wanted, abs=2e-5)


def test_prompts_of_several_lengths_each_have_their_own_positions(plain, tiny_llama):
    one = [edge(head(0, 1, index(-2)), head(2, 2, last()))]
    found = measured(tiny_llama, tiny_llama.pairs, "denoise", one)
    for pair, value in zip(tiny_llama.pairs, found, strict=True):
        at = len(pair.clean.split()) - 2
        here = [edge(head(0, 1, index(at)), head(2, 2, last()))]
        assert value == pytest.approx(path_patched(plain, tiny_llama, [pair], "denoise", here)[0], abs=2e-5)


senders = st.one_of(
    st.builds(
        lambda layer, part, at: head(layer, part, index(at)), st.integers(0, 1), st.integers(0, 3), st.integers(0, 4)
    ),
    st.builds(lambda layer, at: mlp_out(layer, index(at)), st.integers(0, 1), st.integers(0, 4)),
    st.builds(lambda p: embed(index(p)), st.integers(0, 4)),
)


@given(sender=senders, receiver=st.sampled_from([mlp_out(2), attn_out(2), head(2, 1), q(2, 0), "logits"]))
@example(sender=mlp_out(0, index(4)), receiver=attn_out(2))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pair_with_itself_changes_nothing(tiny_gemma2, sender, receiver):
    pair = tiny_gemma2.pairs[0]
    if receiver == "logits":
        sender = dataclasses.replace(sender, position=last())
    assert lab_of(tiny_gemma2).denoise(pair.with_itself(), at=edge(sender, receiver)).is_neutral


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_mlp_has_one_edge_and_that_is_all_of_it(request, family):
    tiny = request.getfixturevalue(family)
    pairs, site = tiny.pairs[::2], mlp_out(2, last())
    whole = tiny.backend.measure(
        Experiment(Patching("tiny", "denoise", pairs, (site,)), "change", logit_diff, controls=False)
    ).measured.values
    assert measured(tiny, pairs, "denoise", edge(site, "logits")) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "receiver", [q(1, 1, last()), k(1, 1), v(1, 0), head(1, 2, last()), attn_out(1, last())], ids=str
)
def test_all_that_is_added_before_a_receiver_makes_it_the_other_runs(request, family, receiver):
    tiny = request.getfixturevalue(family)
    pairs = tiny.pairs[::2]
    arriving = [edge(sender, receiver) for sender in (embed(), attn_out(0), mlp_out(0))]
    whole = tiny.backend.measure(
        Experiment(Patching("tiny", "denoise", pairs, (receiver,)), "change", logit_diff, controls=False)
    ).measured.values
    assert measured(tiny, pairs, "denoise", arriving) == pytest.approx(whole, abs=2e-5)


# The wired organism, whose paths are known.


@pytest.fixture(scope="module")
def organism():
    return Lab.load("organism:planted"), planted.pairs(per_cluster=1)


VALUE, READER = span("value"), last()
ON_PATH = [
    edge(embed(VALUE), mlp_out(0, VALUE)),
    edge(mlp_out(0, VALUE), v(1, 0, VALUE)),
    edge(mlp_out(0, VALUE), head(1, 0, READER)),
    edge(head(1, 0, READER), "logits"),
    edge(attn_out(1, READER), "logits"),
]
OFF_PATH = [
    edge(embed(VALUE), head(1, 0, READER)),
    edge(embed(VALUE), head(2, 1, READER)),
    edge(mlp_out(0, VALUE), k(1, 0, VALUE)),
    edge(mlp_out(0, VALUE), head(2, 1, READER)),
    edge(head(2, 1, READER), "logits"),
    edge(head(1, 0, READER), mlp_out(2, READER)),
]


@pytest.mark.parametrize("one", ON_PATH, ids=str)
def test_what_travels_along_an_edge_of_the_planted_path(organism, one):
    lab, pairs = organism
    assert lab.denoise(pairs, at=one).recovery(accuracy, placebo=False).estimate == 1.0


@pytest.mark.parametrize("one", OFF_PATH, ids=str)
def test_nothing_travels_along_other_edges(organism, one):
    lab, pairs = organism
    assert lab.denoise(pairs, at=one).recovery(accuracy, placebo=False).estimate == 0.0


def test_the_edges_of_a_sender_add_up_where_all_is_linear(organism):
    """Everything behind head 1.0 is linear in it: its edges give together what patching it gives."""
    lab, pairs = organism
    sender = head(1, 0, READER)
    into = ["logits", *(mlp_out(n, READER) for n in (1, 2, 3)), *(attn_out(n, READER) for n in (2, 3))]
    parts = [lab.denoise(pairs, at=edge(sender, r)).recovery(logit_diff, placebo=False).estimate for r in into]
    assert sum(parts) == pytest.approx(lab.denoise(pairs, at=sender).recovery(logit_diff, placebo=False).estimate)


def test_an_edge_is_a_claim_with_all_its_controls(organism):
    lab, pairs = organism
    effect = lab.denoise(pairs, at=ON_PATH[1]).recovery(accuracy)
    controls = effect.measured.controls
    assert controls.self_patch.neutral and controls.positive.passed and min(controls.distance) > 0
    assert isinstance(controls.placebo, tuple) and sum(controls.placebo) / len(controls.placebo) < 0.5
    assert judge(effect, at_least(0.5)).outcome == "SUPPORTED"
    assert "mlp_out L0 @ span('value') -> v L1 H0 @ span('value')" in effect.question.summary
    into_logits = lab.denoise(pairs, at=ON_PATH[3]).recovery(accuracy)
    assert into_logits.measured.controls.positive.passed
    assert judge(into_logits, at_least(0.5)).outcome == "SUPPORTED"


# Reasoners: thoughts are positions like others, and all that lies between is as it was.


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        (embed(thought(1)), mlp_out(range(12), thought(1))),
        (mlp_out(range(6), index(9)), attn_out(6, thought(0))),
        (mlp_out(8, thought(5)), v(10, (0, 1, 2, 3), thought(5))),
        (mlp_out(8, thought(5)), attn_out(10, step(0))),
    ],
    ids=str,
)
def test_an_edge_inside_a_reasoner(plain, ducks, twins, formulas, sender, receiver):
    """Within a thought, from a fact's token to the thought that reads it, and from the last thought to the answer."""
    effect = ducks.denoise(twins[:2], at=edge(sender, receiver)).change(logit_diff, placebo=False)
    assert max(map(abs, effect.measured.values)) > 1e-2
    for pair, value in zip(twins[:2], effect.measured.values, strict=True):
        assert value == pytest.approx(plain_edge_of_ducks(plain, formulas, pair, sender, receiver), abs=1e-4)


@pytest.mark.parametrize("sender", [mlp_out(8, thought(2)), head(8, 1, index(9))], ids=str)
def test_nothing_goes_straight_from_a_thought_to_the_logits(ducks, twins, sender):
    """The last layer of a thought is read by the next thought, and by no logit."""
    with pytest.raises(PositionError, match=r"nothing arrives, for the answer's logits are read where"):
        ducks.denoise(twins[:2], at=edge(sender, "logits")).change(logit_diff, placebo=False)


@pytest.mark.parametrize("sender", [mlp_out(2, index(1)), embed(index(0, 3))], ids=str)
def test_an_edge_from_where_no_logits_are_read_is_refused(tiny_llama, sender):
    """A claim that it does nothing would be true of any model."""
    with pytest.raises(PositionError, match=r"nothing arrives, for the answer's logits are read where"):
        measured(tiny_llama, tiny_llama.pairs[::2], "denoise", edge(sender, "logits"))


@pytest.fixture(scope="module")
def formulas(plain):
    return plain.Ducks(Path(ducks_organism.__file__).parent / "checkpoint")


def positions_of_ducks(site, prompt):
    starts = {"thought": prompt + 1, "step": prompt + 7, "index": 0}  # six thoughts, and one token to end them
    return [starts[site.position.kind] + n for n in site.position.numbers]


def plain_edge_of_ducks(plain, ducks, pair, sender, receiver):
    prompt = len(ducks.ids(pair.clean))
    own, other = (ducks.generate(text, 1)[2] for text in (pair.corrupt, pair.clean))
    arriving = torch.zeros_like(own.at["resid_pre", 0])
    for p in positions_of_ducks(sender, prompt):
        for layer in sender.layers or (0,):
            arriving[p] += other.at[sender.component, layer][p] - own.at[sender.component, layer][p]
    # The embeddings of all positions are written too, so that no thought hears another than it did.
    frozen = [plain.Change("embed", 0, p, e) for p, e in enumerate(own.at["embed", 0])]
    place = "resid_mid" if receiver.component == "mlp_out" else "resid_pre"
    changes = []
    for layer in receiver.layers:
        stream = own.at[place, layer] + arriving
        written = [*frozen, *(plain.Change(place, layer, p, e) for p, e in enumerate(stream))]
        heard = ducks.generate(pair.corrupt, 1, written)[2]
        for p in positions_of_ducks(receiver, prompt):
            for part in receiver.parts or (None,):
                vector = heard.vector(receiver.component, layer, p, part)
                changes.append(plain.Change(receiver.component, layer, p, vector, part))
    right, wrong = (ducks.words[a.strip()] for a in (pair.answer, pair.corrupt_answer))
    logits = [ducks.generate(pair.corrupt, 1, some)[1][0] for some in (changes, [])]
    return float((logits[0] - logits[1])[right] - (logits[0] - logits[1])[wrong])


# What is refused.


@pytest.mark.parametrize(
    ("sender", "receiver", "told"),
    [
        (resid_post(1), head(2, 0), "An edge begins at a component that adds"),
        (q(0, 1), head(2, 0), "An edge begins at a component that adds"),
        (head(0, 1), resid_post(2), "An edge ends at a component that reads"),
        (head(0, 1), "output", "An edge ends at a component that reads"),
        (head(1, 1), head(1, 2), "nothing arrives, for the receiver reads the stream before"),
        (mlp_out(1), attn_out(1), "nothing arrives, for the receiver reads the stream before"),
        (mlp_out((0, 2)), head((1, 3), 0), "nothing arrives, for the receiver reads the stream before"),
    ],
)
def test_ends_that_cannot_be_joined_are_refused(sender, receiver, told):
    with pytest.raises(SiteError, match=told):
        edge(sender, receiver)


def test_what_edges_do_not_take_is_refused(organism):
    lab, pairs = organism
    one = ON_PATH[1]
    with pytest.raises(SiteError, match="got both"):
        lab.denoise(pairs, at=[one, head(1, 0, READER)])
    with pytest.raises(SiteError, match="sweeps and ablations take sites"):
        lab.sweep(pairs, at=one)
    with pytest.raises(ClaimError, match=r"use lab\.denoise or lab\.noise"):
        lab.ablate(pairs, at=one)
    with pytest.raises(ClaimError, match="estimates sites"):
        lab.denoise(pairs, at=one, method="attribution")
    with pytest.raises(ClaimError, match="is measured by itself"):
        lab.denoise(pairs, at=[one, ON_PATH[3]])
    for ends in (
        (mlp_out(0, VALUE), v(1, 0, READER)),
        (mlp_out(0, READER), head(1, 0, VALUE)),
        (attn_out(0, VALUE), mlp_out(2, READER)),
    ):
        with pytest.raises(PositionError, match="nothing arrives"):
            lab.denoise(pairs, at=edge(*ends)).recovery(accuracy)
    two = [edge(mlp_out(0, VALUE), head(2, 1, READER)), edge(embed(VALUE), head(2, 1, index(-1, -2)))]
    with pytest.raises(PositionError, match="positions that overlap"):
        lab.denoise(pairs, at=two).recovery(accuracy)


def test_a_block_that_gives_something_else_by_itself_is_refused(tiny_gpt2, monkeypatch):
    through = edges_module.Frozen.through
    monkeypatch.setattr(edges_module.Frozen, "through", lambda *a: {name: 1.01 * t for name, t in through(*a).items()})
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    with pytest.raises(MeasurementError, match="computed once more from its own stream, is off by"):
        lab.denoise(tiny_gpt2.pairs[::2], at=edge(mlp_out(0), mlp_out(2))).change(logit_diff)


def test_edges_are_a_part_of_the_experiment_and_sites_keep_their_digest(organism):
    lab, pairs = organism
    made = [Experiment(lab.denoise(pairs, at=at).patching, "change", logit_diff) for at in (*ON_PATH, OFF_PATH[0])]
    made.append(Experiment(lab.denoise(pairs, at=list(made[0].patching.sites)).patching, "change", logit_diff))
    assert len({experiment.digest for experiment in made}) == len(made)
    assert "edges" not in made[-1].canonical() and made[-1].patching.sites == made[0].patching.sites
    twice = lab.denoise(pairs, at=[ON_PATH[0], ON_PATH[0]]).patching
    assert twice == made[0].patching


def test_two_edges_measured_together_are_as_each_alone(tiny_gpt2):
    pairs = tiny_gpt2.pairs[::2]
    ends = [EDGES["MLP to a head"].sender, EDGES["MLP to a head"].receiver]
    asked = [EDGES["head to q"], EDGES["MLP to a head"], EDGES["head to the logits"], ends]

    def body(lab):
        return [lab.denoise(pairs, at=one).change(logit_diff) for one in asked]

    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    body(lab.rehearsal())
    together = body(lab)
    for effect, one in zip(together, asked, strict=True):
        alone = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer).denoise(pairs, at=one).change(logit_diff)
        assert effect.measured.values == pytest.approx(alone.measured.values, abs=1e-5)
        assert effect.measured.controls.placebo == pytest.approx(alone.measured.controls.placebo, abs=1e-5)


def test_a_model_whose_blocks_cannot_run_alone_is_refused(tiny_gpt2):
    backend = open_backend("whole", tiny_gpt2.model, tiny_gpt2.tokenizer)
    backend._proven = True
    backend.references.shortcuts = dataclasses.replace(
        backend.references.shortcuts, forks=False, trims=False, why="its attention looks ahead"
    )
    with pytest.raises(MeasurementError, match="its attention looks ahead"):
        Lab(name="whole", backend=backend).denoise(
            Pairs(tiny_gpt2.pairs[::2], iid=True), at=EDGES["MLP to a head"]
        ).change(logit_diff)


def test_an_mlp_that_should_be_deaf_to_its_attention_and_is_not_is_refused(tiny_gpt2):
    loaded = dataclasses.replace(tiny_gpt2.backend.loaded, disabled={"resid_mid": "some other layer has none."})
    with pytest.raises(
        MeasurementError, match=r"it hears the attention of its block, and .* some other layer has none\."
    ):
        Lab(loaded, tiny_gpt2.tokenizer).denoise(tiny_gpt2.pairs[::2], at=EDGES["MLP to an MLP"]).change(logit_diff)


@pytest.mark.parametrize("component", ["resid_pre", "attn_out", "mlp_out"])
def test_a_model_whose_components_do_not_add_to_one_stream_is_refused(tiny_gpt2, component):
    loaded = dataclasses.replace(tiny_gpt2.backend.loaded, disabled={component: "a norm stands on the stream."})
    with pytest.raises(SiteError, match=r"An edge goes along a stream .* a norm stands on the stream\."):
        Lab(loaded, tiny_gpt2.tokenizer).denoise(tiny_gpt2.pairs[::2], at=edge(embed(), head(1, 0))).change(logit_diff)


def test_where_nothing_arrives_not_a_bit_moves(tiny_llama, monkeypatch):
    """Else a null would be seen beside a patch that moves by rounding alone."""
    through, off = edges_module.Frozen.through, 1 + 1e-6  # what rounding may make of a block that is computed again
    monkeypatch.setattr(edges_module.Frozen, "through", lambda *a: {name: off * t for name, t in through(*a).items()})
    pairs = [dataclasses.replace(tiny_llama.pairs[0].with_itself(), id="alike"), *tiny_llama.pairs[2::2]]
    lab = Lab(tiny_llama.model, tiny_llama.tokenizer)
    for name in ("MLP to a head", "heads to v", "attention to attention", "embedding to the logits"):
        effect = lab.denoise(Pairs(pairs, iid=True), at=EDGES[name]).change(logit_diff)
        distance = dict(zip(effect.measured.pair_ids, effect.measured.controls.distance, strict=True))
        assert distance["alike"] == 0 < max(distance.values())
