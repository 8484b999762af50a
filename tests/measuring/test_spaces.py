"""Spaces: vectors as tensors, of every type that a file may have, and orthonormal."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from causaltest import add, direction, gaussian, index, logit_diff, resid_post
from causaltest.asking.arrays import Array
from causaltest.asking.experiment import Experiment, Patching
from causaltest.errors import SiteError
from causaltest.measuring.patches import Spot, Where
from causaltest.measuring.spaces import Spaces, orthonormal, tensor_of

SPOT = Spot("resid_post", 1, None, Where(((2,),)))


@given(st.integers(0, 999), st.integers(1, 8), st.integers(0, 4))
@settings(deadline=None, max_examples=40)
def test_a_basis_is_orthonormal_spans_the_rows_and_points_their_way(seed, count, power):
    rows = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 10.0**power
    basis = orthonormal(rows, "it")
    assert torch.allclose(basis @ basis.T, torch.eye(count, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(rows @ basis.T @ basis, rows, atol=1e-8 * 10.0**power)
    assert torch.allclose(basis[0], rows[0] / rows[0].norm(), atol=1e-9)
    assert all(float(b @ r) > 0 for b, r in zip(basis, rows, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_file_of_any_type_gives_its_numbers(tmp_path, tiny_gpt2, dtype):
    vector = torch.linspace(-1, 2, 16).to(dtype)
    save_file({"d": vector}, tmp_path / "d.safetensors")
    read = direction(tmp_path / "d.safetensors", key="d")
    assert torch.equal(tensor_of(read.array, "d")[0], vector)
    spaces = Spaces(tiny_gpt2.backend.loaded)
    assert torch.allclose(spaces.added(SPOT, add(read, times=-2)), -2 * vector.float())
    basis = spaces.basis(SPOT, read)
    assert basis.dtype == torch.float32 and torch.allclose(basis[0], vector.float() / vector.float().norm(), atol=1e-6)
    assert spaces.basis(SPOT, direction(tmp_path / "d.safetensors", key="d")) is basis


def test_a_file_of_several_rows_is_not_added(tmp_path, tiny_gpt2):
    save_file({"d": torch.ones(2, 16)}, tmp_path / "d.safetensors")
    with pytest.raises(SiteError, match=r"add takes one vector, and d of d\.safetensors has 2 rows"):
        Spaces(tiny_gpt2.backend.loaded).added(SPOT, add(direction(tmp_path / "d.safetensors", key="d")))


def test_no_numbers_are_no_vector():
    with pytest.raises(SiteError, match=r"it has an array of the shape \[0, 3\], which has no numbers"):
        tensor_of(Array("F32", (0, 3), b""), "it")


def test_equal_moves_are_one_so_that_their_entries_are_written_together(tiny_gpt2):
    spaces, by = Spaces(tiny_gpt2.backend.loaded), add([1.0] * 16)
    along = [Spot("resid_post", layer, None, SPOT.where, direction([1.0] * 16)) for layer in (0, 1)]
    assert spaces.move(along[0], by) is spaces.move(along[1], by)
    assert spaces.move(along[0], by) is not spaces.move(along[0], gaussian(sd=1))


def test_the_width_of_noise_is_in_the_provenance(tiny_gpt2):
    patching = Patching("t", "ablate", tiny_gpt2.pairs, (resid_post(1, index(2)),), gaussian(sd=3))
    told = tiny_gpt2.backend.measure(Experiment(patching, "change", logit_diff, controls=False)).measured.provenance
    weight = tiny_gpt2.model.get_input_embeddings().weight.detach().flatten().tolist()
    mean = math.fsum(weight) / len(weight)
    spread = math.sqrt(math.fsum((w - mean) ** 2 for w in weight) / (len(weight) - 1))
    assert told["noise"].startswith("standard deviation ")
    assert float(told["noise"].split()[-1]) == pytest.approx(3 * spread, rel=1e-4)
