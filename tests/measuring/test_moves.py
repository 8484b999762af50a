"""Moves: what is added to the value that is there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.measuring.moves import Added, AlongFeatures, Codec, Inside, Scaled, Toward, moved

drawn = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 10_000)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 5


def basis_of(seed, count, width):
    return torch.linalg.qr(numbers(seed, width, count).double()).Q.T.float()


def codec_of(seed, width=8, features=5, **more):
    return Codec(
        numbers(seed, width, features), numbers(seed + 1, features, width), numbers(seed + 2, features),
        numbers(seed + 3, width), **more,
    )  # fmt: skip


# Bits


@given(seeds, st.integers(1, 8), dtypes)
@drawn
def test_a_vector_patched_with_itself_inside_a_subspace_keeps_every_bit(seed, count, dtype):
    x = numbers(seed, 6, 8).to(dtype)
    assert torch.equal(moved(x, x.clone(), Inside(Toward(), basis_of(seed, count, 8))), x)


@given(seeds, dtypes, st.sampled_from([None, 2]))
@drawn
def test_so_does_one_whose_features_are_patched_with_its_own(seed, dtype, top_k):
    x = numbers(seed, 6, 8).to(dtype)
    codec = codec_of(seed, top_k=top_k, index=(0, 1, 2, 3, 4))
    assert torch.equal(moved(x, x.clone(), AlongFeatures(codec, "vector")), x)


@given(seeds, dtypes)
@drawn
def test_so_do_an_addition_of_zero_and_a_scale_of_one(seed, dtype):
    x, ones = numbers(seed, 6, 8).to(dtype), torch.ones(6, 8)
    basis = basis_of(seed, 3, 8)
    for of, values in ((Added(), 0 * ones), (Scaled(), ones)):
        assert torch.equal(moved(x, values, of), x)
        assert torch.equal(moved(x, values, Inside(of, basis)), x)
    codec = codec_of(seed)
    for aim, each in (("amount", 0.0), ("factor", 1.0)):
        assert torch.equal(moved(x, torch.full((6, 5), each), AlongFeatures(codec, aim)), x)


# Numbers


@given(seeds, st.integers(1, 8))
@drawn
def test_what_is_orthogonal_to_a_subspace_stays(seed, count):
    x, s, basis = numbers(seed, 6, 8), numbers(seed + 1, 6, 8), basis_of(seed, count, 8)
    new = moved(x, s, Inside(Toward(), basis))
    assert torch.allclose(new @ basis.T, s @ basis.T, atol=1e-4)
    rest = torch.eye(8) - basis.T @ basis
    assert torch.allclose(new @ rest, x @ rest, atol=1e-4)
    if count == 8:
        assert torch.allclose(new, s, atol=1e-4)


def test_a_features_activation_is_the_formula_written_out():
    x, codec = numbers(1, 4, 8), codec_of(5)
    for entry in range(4):
        for feature in range(5):
            total = float(codec.encoder_bias[feature])
            for n in range(8):
                total += float((x[entry, n] - codec.decoder_bias[n]) * codec.encoder[n, feature])
            assert float(codec.activations(x)[entry, feature]) == pytest.approx(max(total, 0.0), abs=1e-3)


def test_a_threshold_lets_through_what_lies_above_it_and_leaves_it_as_it_is():
    x = torch.tensor([[0.5, 2.0, -1.0]])
    codec = Codec(torch.eye(3), torch.eye(3), threshold=torch.tensor([1.0, 1.0, -2.0]))
    assert codec.activations(x).tolist() == [[0.0, 2.0, -1.0]]


def test_of_the_top_k_only_those_count():
    x = torch.tensor([[3.0, 2.0, 1.0, -1.0]])
    codec = Codec(torch.eye(4), torch.eye(4)[:2], top_k=1, index=(0, 1))
    assert codec.activations(x).tolist() == [[3.0, 0.0]]
    codec = Codec(torch.eye(4), torch.eye(4)[:2], top_k=4, index=(3, 1))
    assert codec.activations(x).tolist() == [[0.0, 2.0]]


def test_features_move_along_their_decoder_rows():
    x, s = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -3.0]])
    codec = Codec(torch.eye(2), torch.tensor([[0.0, 10.0], [100.0, 0.0]]))
    # Activations 1 and 2 of x; 4 and 0 of s.
    assert moved(x, s, AlongFeatures(codec, "vector")).tolist() == [[1 - 200, 2 + 30]]
    assert moved(x, torch.zeros(1, 2), AlongFeatures(codec, "activation")).tolist() == [[1 - 200, 2 - 10]]
    assert moved(x, torch.tensor([[1.0, 0.5]]), AlongFeatures(codec, "amount")).tolist() == [[1 + 50, 2 + 10]]
    assert moved(x, torch.full((1, 2), 0.5), AlongFeatures(codec, "factor")).tolist() == [[1 - 100, 2 - 5]]


def test_half_precision_is_computed_in_single_and_cast_once():
    x, s = (numbers(n, 4, 64).bfloat16() for n in (1, 2))
    basis = basis_of(3, 2, 64)
    wanted = x + ((s.float() - x.float()) @ basis.T @ basis).bfloat16()
    assert torch.equal(moved(x, s, Inside(Toward(), basis)), wanted)
