"""The catalogue against the numbers: what it names by hand is what the models compute. Nothing of causaltest."""

from __future__ import annotations

import pytest
import torch
from families import columns, tiny
from families.catalogue import FAMILIES, make
from families.places import At
from families.plain import Change, forward

IDS = (3, 7, 1, 12, 5, 9)
COMPONENTS = ("resid_pre", "q", "k", "v", "head", "attn_out", "resid_mid", "neuron", "mlp_out", "resid_post")
ODD_HEADS = {"attention sinks", "norms of heads and neurons", "differential attention"}
"""In which heads are no averages of v."""
STREAM = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def close(found, wanted):
    return torch.allclose(found, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=0)


def test_every_family_has_a_tiny_model_and_says_of_every_component_where_it_is_or_why_not():
    assert set(FAMILIES) == set(tiny.CONFIGURATIONS)
    for name, family in FAMILIES.items():
        assert set(family.places) - {"mixer"} == set(COMPONENTS), name
        for component, at in family.places.items():
            why = at.elsewhere if isinstance(at, At) and at.layers is not None else at
            assert component == "mixer" or isinstance(why, At) or len(why.split()) > 3, (name, component)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_attention_and_the_mlp_add_is_all_that_a_block_does(name):
    family, model = FAMILIES[name], make(name)
    seen = forward(family, model, IDS).at
    assert seen["embed", 0].shape[:2] == (len(IDS), 1)
    for layer in range(model.config.num_hidden_layers):
        before, after = seen["resid_pre", layer], seen["resid_post", layer]
        if layer:
            assert torch.equal(before, seen["resid_post", layer - 1])
        if "post-norm" in family.facts:
            continue
        mixed = sum(seen[c, layer] for c in ("attn_out", "mixer") if (c, layer) in seen)
        mlp = seen.get(("mlp_out", layer), torch.zeros_like(before))
        assert close(before + mixed + mlp, after)
        if ("resid_mid", layer) in seen:
            assert close(before + mixed, seen["resid_mid", layer])


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].projections])
@torch.no_grad()
def test_heads_and_neurons_projected_are_what_is_added(name):
    family, model = FAMILIES[name], make(name)
    seen = forward(family, model, IDS).at
    checked = 0
    for layer in range(model.config.num_hidden_layers):
        block = model.get_submodule(family.block.format(layer))
        for parts, added, projection, norm in zip(
            ("head", "neuron"), ("attn_out", "mlp_out"), family.projections, family.norms, strict=True
        ):
            at = family.place(added, layer)
            if (parts, layer) in seen and at is not None:
                given = block.get_submodule(projection)(seen[parts, layer].flatten(1))
                given = at.scale * (given if norm is None else block.get_submodule(norm)(given))
                assert close(given, seen[added, layer][:, 0])
                checked += 1
    assert checked > 0 or "post-norm" in family.facts


@pytest.mark.parametrize("name", FAMILIES)
def test_parts_are_as_many_and_as_wide_as_the_configuration_says(name):
    family, model = FAMILIES[name], make(name)
    config, seen = model.config, forward(family, model, IDS).at
    assert all(held.shape[1:] == (1, config.hidden_size) for (c, _), held in seen.items() if c in STREAM)
    if family.projections is None:
        return
    queries, groups = columns.query_heads(config), columns.key_heads(config)
    groups = {"falcon": tiny.KEY_HEADS, "falcon (sequential)": tiny.HEADS}.get(name, groups)
    groups = 1 if "multi-query" in family.facts else groups
    heads = queries // 2 if "differential attention" in family.facts else queries
    for (component, _), held in seen.items():
        wanted = {"q": queries, "head": heads, "k": groups, "v": groups}.get(component)
        if wanted is not None:
            assert held.shape[1] == wanted, component
    assert ("grouped queries" in family.facts) == (1 < groups < queries)


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_give_out_a_v_that_is_the_same_everywhere(name):
    """The weights of attention add up to one, whatever q and k are."""
    family, model = FAMILIES[name], make(name)
    if ODD_HEADS & set(family.facts):
        return
    seen = forward(family, model, IDS).at
    for layer in range(model.config.num_hidden_layers):
        if ("v", layer) not in seen:
            continue
        changes = [
            Change("v", layer, position, seen["v", layer][1, part], part)
            for position in range(len(IDS))
            for part in range(seen["v", layer].shape[1])
        ]
        now = forward(family, model, IDS, changes).at["head", layer]
        value = seen["v", layer][1].clamp(-tiny.CLIP, tiny.CLIP) if "clipped" in name else seen["v", layer][1]
        value = value.repeat_interleave(now.shape[1] // seen["v", layer].shape[1], dim=0)
        assert close(now, value.expand_as(now))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_component_written_as_it_is_changes_nothing_and_written_otherwise_it_does(name):
    """At the last position, which is read; what is written is what is then seen there."""
    family, model = FAMILIES[name], make(name)
    plain = forward(family, model, IDS)
    generator = torch.Generator().manual_seed(0)
    for (component, layer), held in plain.at.items():
        if component == "mixer":
            continue
        part, position = held.shape[1] - 1, 1 if component == "k" else len(IDS) - 1
        own = held[position, part]
        same = forward(family, model, IDS, [Change(component, layer, position, own, part)])
        assert close(same.logits, plain.logits), component
        other = own + torch.randn(own.shape, generator=generator) * held.std()
        changed = forward(family, model, IDS, [Change(component, layer, position, other, part)])
        assert close(changed.at[component, layer][position, part], other), component
        assert not torch.equal(changed.at["resid_post", layer], plain.at["resid_post", layer]) or component == "k"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_query_moves_its_head_where_it_stands_and_a_key_moves_its_group_from_there_on(name):
    family, model = FAMILIES[name], make(name)
    if (ODD_HEADS - {"attention sinks"}) & set(family.facts):
        return
    plain, generator, at = forward(family, model, IDS), torch.Generator().manual_seed(0), 2
    for (component, layer), held in plain.at.items():
        if component not in ("q", "k"):
            continue
        for part in range(held.shape[1]):
            vector = held[at, part] + torch.randn(held.shape[2], generator=generator) * held.std()
            now = forward(family, model, IDS, [Change(component, layer, at, vector, part)]).at["head", layer]
            moved = (now - plain.at["head", layer]).abs().amax(-1) > 1e-4 * now.abs().max()
            group = now.shape[1] // held.shape[1]
            mine = torch.zeros(now.shape[1], dtype=torch.bool)
            mine[part * group : (part + 1) * group] = True
            assert bool(moved[:, mine].any())
            assert not bool(moved[:, ~mine].any()) or "norms over all heads of q and k" in family.facts
            if component == "q":
                assert not bool(moved[torch.arange(len(IDS)) != at].any())
            elif name not in ("bert", "t5"):
                assert not bool(moved[:at].any()) and bool(moved[at + 1 :].any())
