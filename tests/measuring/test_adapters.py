"""Every site of every family: read and written as the plain reference reads and writes it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from causaltest.asking.sites import Component
from causaltest.measuring.engine import Patch
from causaltest.measuring.trajectory import run

FAMILIES = ("tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox")
COMPONENTS: tuple[Component, ...] = (
    "embed", "resid_pre", "q", "k", "v", "head", "attn_out", "resid_mid", "neuron", "mlp_out", "resid_post",
)  # fmt: skip
PARTED = ("q", "k", "v", "head", "neuron", "pattern")
OFFERED = [(f, c) for f in FAMILIES for c in COMPONENTS if (f, c) != ("tiny_neox", "resid_mid")]
PROMPTS = torch.tensor([[3, 8, 1, 12, 7, 7, 15], [19, 2, 2, 5, 11, 0, 4]])
NEW_TOKENS = 3
EXACT = {"atol": 1e-5, "rtol": 1e-5}


def parts_of(loaded, component):
    """The first, the last and all between; of neurons a few."""
    if component not in PARTED:
        return [None]
    count = len(loaded.blocks[0].taps[component].parts)
    return sorted({0, 5, count - 1} if component == "neuron" else range(count))


def drawn(loaded, component, part, seed, layer=1, rows=(0, 1)):
    """Vectors of a component's size. [row, width]"""
    tap = loaded.blocks[layer].taps.get(component, loaded.blocks[layer].taps["resid_pre"])
    width = sum(map(len, tap.parts)) if part is None else len(tap.parts[part])
    return 4 * torch.randn(len(rows), width, generator=torch.Generator().manual_seed(seed))


def patch(component, layer, part, positions, values):
    rows = torch.arange(len(positions))
    return Patch(component, layer, part, rows, torch.tensor(positions), values)


def plainly(plain, model, row, changes=()):
    return plain.generate(model, PROMPTS[row].tolist(), NEW_TOKENS, changes)


@pytest.mark.parametrize(("family", "component"), OFFERED)
def test_what_is_recorded_is_what_one_hook_sees(request, plain, family, component):
    """In every layer and at every position, of the prompt and of what is generated."""
    tiny = request.getfixturevalue(family)
    given = run(tiny.backend.loaded, PROMPTS, new_tokens=NEW_TOKENS, record=(component,))
    for row in (0, 1):
        tokens, _, seen = plainly(plain, tiny.model, row)
        assert given.tokens[row].tolist() == tokens
        for layer in range(1 if component == "embed" else 3):
            found = given.activations[component, layer][row]
            assert torch.allclose(found, seen.at[component, layer], **EXACT)


@pytest.mark.parametrize(("family", "component"), OFFERED)
def test_a_patch_equals_one_hook_in_full_forwards(request, plain, family, component):
    """Every head; the first row is patched inside its prompt, the second at a generated token."""
    tiny = request.getfixturevalue(family)
    layer, positions = (0 if component == "embed" else 1), (5, 8)
    before = [plainly(plain, tiny.model, row)[1] for row in (0, 1)]
    for part in parts_of(tiny.backend.loaded, component):
        values = drawn(tiny.backend.loaded, component, part, seed=part or 0)
        given = run(
            tiny.backend.loaded,
            PROMPTS,
            new_tokens=NEW_TOKENS,
            patches=[patch(component, layer, part, positions, values)],
        )
        for row, position in enumerate(positions):
            change = plain.Change(component, layer, position, values[row], part)
            tokens, logits, _ = plainly(plain, tiny.model, row, [change])
            assert given.tokens[row].tolist() == tokens
            assert torch.allclose(given.logits[row], logits, **EXACT)
            first = 0 if row == 0 else NEW_TOKENS - 1
            assert (logits[first] - before[row][first]).abs().max() > 1e-4, "the patch certainly does something"
            assert torch.allclose(logits[:first], before[row][:first], **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_of_every_component_together_equal_the_plain_reference(request, plain, family):
    """All in the same layer and at the same position, and a few in others."""
    tiny = request.getfixturevalue(family)
    loaded = tiny.backend.loaded
    wanted = [(c, 0 if c == "embed" else 1, 5) for c in COMPONENTS if (family, c) in OFFERED and c != "resid_post"]
    wanted += [("k", 0, 2), ("neuron", 2, 7), ("v", 2, 8), ("mlp_out", 0, 6)]
    patches, changes = [], ([], [])
    for seed, (component, layer, position) in enumerate(wanted):
        part = parts_of(loaded, component)[-1]
        values = drawn(loaded, component, part, seed)
        patches.append(patch(component, layer, part, (position, position), values))
        for row in (0, 1):
            changes[row].append(plain.Change(component, layer, position, values[row], part))
    given = run(loaded, PROMPTS, new_tokens=NEW_TOKENS, patches=patches)
    for row in (0, 1):
        tokens, logits, _ = plainly(plain, tiny.model, row, changes[row])
        assert given.tokens[row].tolist() == tokens
        assert torch.allclose(given.logits[row], logits, **EXACT)


@pytest.mark.parametrize(("family", "component"), OFFERED)
def test_a_component_written_as_it_is_changes_no_bit(request, family, component):
    tiny = request.getfixturevalue(family)
    loaded, layer = tiny.backend.loaded, 0 if component == "embed" else 1
    before = run(loaded, PROMPTS, new_tokens=NEW_TOKENS, record=(component,))
    own = before.activations[component, layer]
    for part in parts_of(loaded, component):
        values = (
            own[:, 5] if part is None else own[:, 5].unflatten(-1, (len(loaded.blocks[1].taps[component].parts), -1))
        )
        values = values if part is None else values[:, part]
        after = run(loaded, PROMPTS, new_tokens=NEW_TOKENS, patches=[patch(component, layer, part, (5, 5), values)])
        assert torch.equal(after.logits, before.logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tap_has_parts_of_one_width_that_do_not_overlap(request, family):
    for block in request.getfixturevalue(family).backend.loaded.blocks:
        for component, tap in block.taps.items():
            assert len({len(part) for part in tap.parts}) == 1
            assert all(before.stop <= after.start for before, after in pairwise(tap.parts))
            assert (len(tap.parts) == 1) == (component not in PARTED)


def test_the_tiny_gemma_uses_all_that_its_family_has(tiny_gemma2, new_gemma2):
    """Its caps bend, its window is shorter than the prompt, its head is the embedding: otherwise nothing is tested."""

    def logits(**changes):
        with torch.no_grad():
            return new_gemma2(**changes)(PROMPTS).logits

    for changes in ({"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"sliding_window": 99}):
        assert (logits() - logits(**changes)).abs().max() > 1e-2, changes
    assert tiny_gemma2.model.lm_head.weight is tiny_gemma2.model.model.embed_tokens.weight
