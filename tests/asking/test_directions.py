"""Directions, features, and sites of which only a part is patched."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from causaltest import SAE, direction, head, last, resid_post
from causaltest.asking.directions import Direction
from causaltest.asking.experiment import canonical_site
from causaltest.errors import SiteError

SITE = resid_post(6, last())


def saved(path: Path, **arrays: tuple[list[int], list[float]]) -> str:
    header, data = {}, b""
    for name, (shape, numbers) in arrays.items():
        packed = struct.pack(f"<{len(numbers)}d", *numbers)
        header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + data)
    return str(path)


def sae_file(path: Path, **change: Any) -> str:
    arrays = {
        "W_enc": ([2, 3], [1.0, 2, 3, 4, 5, 6]),
        "W_dec": ([3, 2], [1.0, 2, 3, 4, 5, 6]),
        "b_enc": ([3], [0.0, 1, 2]),
        "b_dec": ([2], [0.5, 0.5]),
    }
    return saved(path, **(arrays | change))


# directions


def test_a_direction_of_a_file_is_that_of_its_numbers(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "probe.safetensors", d=([2], [1.0, 2.0]), two=([2, 2], [1.0, 2, 3, 4]), deep=([1, 1, 1], [1.0])
    )
    assert direction(path, key="d") == direction([1.0, 2.0]) == direction([[1, 2]])
    assert hash(direction(tmp_path / "probe.safetensors", key="d")) == hash(direction([1.0, 2.0]))
    assert direction(path, key="two") == direction([[1, 2], [3, 4]]) != direction(path, key="d")
    with pytest.raises(
        SiteError, match=r"deep of probe\.safetensors has the shape \[1, 1, 1\]; a direction is \[width\]"
    ):
        _ = direction(path, key="deep").digest


def test_a_file_is_read_late_and_once(tmp_path: Path) -> None:
    path = tmp_path / "probe.safetensors"
    late = direction(path, key="d")
    site = SITE.along(late)
    assert str(site) == "resid_post L6 @ last() along d of probe.safetensors"
    saved(path, d=([2], [1.0, 2.0]))
    digest = late.digest
    path.unlink()
    assert late.digest == digest == direction([1, 2]).digest


def test_a_direction_says_what_it_takes() -> None:
    assert direction(given := direction([1.0])) is given
    with pytest.raises(SiteError, match=r"'probe\.safetensors'.* is a file of several arrays; say which with key="):
        direction("probe.safetensors")
    with pytest.raises(SiteError, match="key='d' names an array of a file, and numbers were given"):
        direction([1.0], key="d")
    assert str(direction([1.0, 2.0])).startswith("direction ") and str(direction([[1.0], [2.0]])).startswith(
        "2 directions "
    )


# sites


def test_a_site_along_a_direction_is_another_site() -> None:
    part = SITE.along([1.0, 2.0])
    assert part != SITE and part == SITE.along(direction([1.0, 2.0])) and part != SITE.along([1.0, 3.0])
    assert part.whole() == SITE
    assert isinstance(part.within, Direction)
    assert [
        cell.within for row in resid_post((1, 2), last()).along([1.0]).cells() for cells in row for cell in cells
    ] == [direction([1.0])] * 2
    with pytest.raises(SiteError, match="is a part already; give its directions in one, as rows of one subspace"):
        part.along([1.0, 2.0])


def test_only_a_part_is_named_in_the_canonical_form() -> None:
    assert "within" not in canonical_site(head(1, 2))
    assert canonical_site(SITE.along([1.0]))["within"] == ["Direction", direction([1.0]).digest]
    assert canonical_site(SITE.along([1.0])) | {"within": None} == canonical_site(SITE) | {"within": None}


# features


def test_features_are_equal_where_their_numbers_and_conventions_are(tmp_path: Path) -> None:
    path, other = sae_file(tmp_path / "one.safetensors"), sae_file(tmp_path / "other.safetensors")
    sae = SAE.from_safetensors(path, subtract_decoder_bias=True)
    same = SITE.features(SAE.from_safetensors(other, subtract_decoder_bias=True), 1)
    assert SITE.features(sae, 1) == same and hash(same) == hash(SITE.features(sae, (1,)))
    others = [
        SITE.features(sae, 2),
        SITE.features(sae, (1, 2)),
        SITE.features(SAE.from_safetensors(path, subtract_decoder_bias=False), 1),
        SITE.features(SAE.from_safetensors(path, subtract_decoder_bias=True, encoder_bias=None), 1),
        SITE.features(SAE.from_safetensors(path, subtract_decoder_bias=True, threshold="b_enc"), 1),
        SITE.features(SAE.from_safetensors(path, subtract_decoder_bias=True, top_k=2), 1),
    ]
    assert same not in others and len({site.within.digest for site in others if site.within}) == len(others)
    changed = sae_file(tmp_path / "changed.safetensors", W_dec=([3, 2], [1.0, 2, 3, 4.5, 5, 6]))
    assert SITE.features(SAE.from_safetensors(changed, subtract_decoder_bias=True), 1) != same
    assert SITE.features(SAE.from_safetensors(changed, subtract_decoder_bias=True), 0) == SITE.features(sae, 0)


def test_an_encoder_either_way_round_reads_the_same(tmp_path: Path) -> None:
    turned = sae_file(tmp_path / "turned.safetensors", W_enc=([3, 2], [1.0, 4, 2, 5, 3, 6]))
    path = sae_file(tmp_path / "sae.safetensors")
    ours = SITE.features(SAE.from_safetensors(path, subtract_decoder_bias=True), 1).within
    theirs = SITE.features(SAE.from_safetensors(turned, subtract_decoder_bias=True, feature_rows=True), 1).within
    assert ours is not None and theirs is not None
    assert ours.arrays["encoder"].data == theirs.arrays["encoder"].data == struct.pack("<2d", 2, 5)  # type: ignore[union-attr]


@pytest.mark.parametrize("index", [-1, 1.0, True, (), (1, 1), "1"])
def test_a_feature_is_a_whole_number(tmp_path: Path, index: Any) -> None:
    sae = SAE.from_safetensors(sae_file(tmp_path / "sae.safetensors"), subtract_decoder_bias=True)
    with pytest.raises(SiteError, match="A feature is a whole number from 0, or several different ones"):
        SITE.features(sae, index)


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"takes an SAE, from SAE\.from_safetensors\(path, \.\.\.\), and got 'layer6'"):
        SITE.features("layer6", 1)  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="top_k=0 must be a whole number from 1"):
        SAE.from_safetensors(tmp_path / "sae.safetensors", subtract_decoder_bias=True, top_k=0)
    with pytest.raises(TypeError, match="subtract_decoder_bias"):
        SAE.from_safetensors(tmp_path / "sae.safetensors")  # type: ignore[call-arg]
