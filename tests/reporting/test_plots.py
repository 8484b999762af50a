"""Figures: a picture where matplotlib is installed, and the way to it where it is not."""

from __future__ import annotations

import math
import struct
import sys
from pathlib import Path

import pytest

from causaltest.errors import CausaltestError
from causaltest.reporting.plots import heatmap, shared_word
from causaltest.survivors import Survivors
from causaltest.sweep import SweepMap

MATPLOTLIB = ("matplotlib", "matplotlib.figure", "matplotlib.backends", "matplotlib.backends.backend_agg")


def sweep(rows: int = 3, columns: int = 4, first: float = 2.0) -> SweepMap:
    cells = rows * columns
    return SweepMap(
        summary="recovery(accuracy), denoise resid_post",
        rows=tuple(f"L{r}" for r in range(rows)),
        columns=tuple(f"index {c}" for c in range(columns)),
        estimates=(first, *(i / cells for i in range(1, cells))),
        distances=(0.0, *(1.0,) * (cells - 1)),
        n=7,
        pairs_total=9,
    )


def size_of(path: Path) -> tuple[int, int]:
    """Width and height, from the PNG's own header."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR"
    return struct.unpack(">II", head[16:24])


def test_a_heatmap_is_a_png_that_grows_with_its_sweep(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    small = heatmap(sweep(), tmp_path / "small.png", title="Small")
    large = heatmap(sweep(12, 20), tmp_path / "large.png", title="Large")
    assert small == tmp_path / "small.png"
    assert all(a < b for a, b in zip(size_of(small), size_of(large), strict=True))


def test_a_cell_without_a_number_is_still_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    size_of(heatmap(sweep(first=math.nan), tmp_path / "nan.png", title="One cell without eligible pairs"))


def survivors(of: SweepMap, alive: float = 0.01) -> Survivors:
    p = (alive, *(1.0,) * (len(of.estimates) - 1))
    return Survivors(of, "max-t", 0.05, False, p, p, units=7, flips=127, enumerated=True, seed=0)


def test_what_survives_is_framed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = [
        heatmap(sweep(), tmp_path / f"{name}.png", title="Map", survivors=kept).read_bytes()
        for name, kept in (("none", survivors(sweep(), 1.0)), ("one", survivors(sweep())))
    ]
    assert drawn[0] != drawn[1]


def test_the_survivors_of_another_sweep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CausaltestError, match="not of recovery"):
        heatmap(sweep(), tmp_path / "map.png", title="Map", survivors=survivors(sweep(first=0.5)))


@pytest.mark.parametrize(
    ("columns", "word", "ticks"),
    [
        (("thought 0", "thought 1"), "thought", ["0", "1"]),
        (("index 0", "thought 1"), "", ["index 0", "thought 1"]),
        (("thought 0",), "", ["thought 0"]),
    ],
)
def test_a_word_that_all_columns_share_names_their_axis(columns: tuple[str, ...], word: str, ticks: list[str]) -> None:
    assert shared_word(columns) == (word, ticks)


def test_without_matplotlib_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MATPLOTLIB:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CausaltestError, match=r"Figures need matplotlib: pip install 'causaltest\[report\]'"):
        heatmap(sweep(), tmp_path / "none.png", title="None")
    assert not list(tmp_path.iterdir())
