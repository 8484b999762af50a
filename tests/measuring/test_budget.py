"""The budget: what the model's sizes and the declared bytes allow, and nothing of what is free."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.measuring import budget as room
from causaltest.measuring.budget import DEFAULT, Budget, Shape
from causaltest.measuring.references import References, size_of


@pytest.mark.parametrize(
    ("family", "keys", "inner", "width"),
    [
        ("tiny_gpt2", 2 * 4 * 4, 64, 16),
        ("tiny_llama", 2 * 2 * 4, 24, 16),
        ("tiny_mistral", 2 * 2 * 4, 24, 16),
        ("tiny_gemma2", 2 * 2 * 6, 24, 16),
        ("tiny_neox", 2 * 4 * 8, 24, 32),
    ],
)
def test_a_shape_is_read_off_the_model(request, family, keys, inner, width):
    """Grouped queries keep fewer keys, and a head may be wider than its share."""
    tiny = request.getfixturevalue(family)
    model = tiny.backend.loaded
    shape = Shape.of(model)
    assert (shape.layers, shape.width, shape.inner, shape.keys) == (3, width, inner, keys)
    assert (shape.vocabulary, shape.itemsize, shape.on_cpu) == (30, 4, True)
    assert shape.block_weights == sum(p.numel() for p in model.blocks[0].block.parameters())
    kept = References(model, Budget()).get(tiny.pairs[:1], 0, 1).clean.keys
    assert len(kept) == 3
    assert {k.shape[1] * (k.shape[3] + v.shape[3]) for k, v in kept} == {keys}


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox", "ducks"])
def test_what_a_reference_run_takes_is_within_what_is_reckoned(request, family, twins):
    given = request.getfixturevalue(family)
    pairs = twins if family == "ducks" else given.pairs
    references = References(given.backend.loaded, Budget())
    run = references.get(pairs, 0, 1, {"attn_out"}).clean
    chunk = references.chunks(pairs)[0]
    length = run.keys[0][0].shape[2]
    reckoned = 2 * len(chunk.pairs) * length * Shape.of(given.backend.loaded).reference_bytes
    # Beside each layer's tensors there are the embedding, the first input and a few logits.
    assert 0.6 * reckoned < size_of(run) < 1.4 * reckoned


@given(st.integers(0, 1 << 34), st.integers(1, 20))
def test_more_bytes_never_hold_less_and_never_less_than_one(tiny_gpt2, size, length):
    model = tiny_gpt2.backend.loaded
    for less, more in ((Budget(size), Budget(2 * size)), (Budget(size), Budget(size + 1))):
        assert 1 <= less.pairs(model, length) <= more.pairs(model, length)
        a, b = less.limits(model, length), more.limits(model, length)
        assert 1 <= a.tokens <= b.tokens <= room.MOST_TOKENS_CPU
        assert 1 <= a.rows <= b.rows <= room.MOST_ROWS
        assert a.forward_costs == b.forward_costs


def test_the_parts_of_the_budget_are_what_they_say(tiny_gpt2):
    """A quarter for the unpatched runs of both sides, a quarter for a forward, half for what rows keep."""
    model = tiny_gpt2.backend.loaded
    shape, length = Shape.of(model), 7
    budget = Budget(1 << 20)
    pairs = budget.pairs(model, length)
    assert pairs * 2 * length * shape.reference_bytes <= budget.bytes / 4
    assert (pairs + 1) * 2 * length * shape.reference_bytes > budget.bytes / 4
    limits = budget.limits(model, length)
    assert limits.tokens * shape.token_bytes <= budget.bytes / 4 < (limits.tokens + 1) * shape.token_bytes
    row = length * shape.row_bytes + shape.vocabulary * (shape.itemsize + 4)
    assert limits.rows * row <= budget.bytes / 2 < (limits.rows + 1) * row


def test_a_longer_run_has_fewer_rows(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    rows = [Budget(1 << 20).limits(model, length).rows for length in (4, 8, 16)]
    assert rows == sorted(rows, reverse=True) and len(set(rows)) == 3


def test_halving_halves(tiny_gpt2):
    assert Budget().bytes == DEFAULT
    assert Budget().halved().halved() == Budget(DEFAULT // 4)


def test_what_is_free_has_no_say(tiny_gpt2, monkeypatch):
    """Else the same claim would have other bits on another day."""
    import torch

    model, names = tiny_gpt2.backend.loaded, ("mem_get_info", "memory_allocated", "memory_reserved")
    for name in names:
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("asked what is free"))
    assert Budget().limits(model, 9) == Budget().limits(model, 9)
    assert Budget().pairs(model, 9) == Budget().pairs(model, 9)


def test_many_pairs_leave_less_for_the_rest_and_few_leave_all_of_it():
    """Few leave all, so that the shapes of batches, and with them the last bits, do not hang on how many they are."""
    budget = Budget(1 << 28)
    assert budget.beside(1) == budget.beside(10_000) == budget
    left = [budget.beside(pairs).bytes for pairs in (10_001, 50_000, 100_000, 10_000_000)]
    assert left == sorted(left, reverse=True) and left[0] < budget.bytes
    assert left[-1] == budget.bytes // 4, "something can always be run"


@pytest.mark.parametrize(
    ("layers", "block_weights", "tokens"), [(12, 7_087_872, 512), (8, 200_000, 2_048), (10, 2_000_000, 1_000)]
)
def test_a_forward_of_a_large_model_takes_about_a_second_of_a_core(layers, block_weights, tokens):
    sizes = {"width": 1, "inner": 1, "keys": 1, "vocabulary": 1, "itemsize": 4}
    shape = Shape(layers=layers, block_weights=block_weights, on_cpu=True, **sizes)
    assert shape.most_tokens == tokens
    assert replace(shape, on_cpu=False).most_tokens == room.MOST_TOKENS
