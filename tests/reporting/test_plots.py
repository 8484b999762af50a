"""Figures: a picture where matplotlib is installed, and the way to it where it is not."""

from __future__ import annotations

import math
import struct
import sys
import zlib
from dataclasses import replace
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


@pytest.fixture
def without_matplotlib(monkeypatch):
    """From here on it can be neither found among the modules nor imported."""

    class Refused:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "matplotlib":
                raise ImportError(name)

    def go() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Refused(), *sys.meta_path])

    return go


def test_a_figure_that_is_there_is_not_drawn_again(tmp_path: Path, without_matplotlib) -> None:
    pytest.importorskip("matplotlib")
    made = heatmap(sweep(), tmp_path / "a.png", title="A", survivors=survivors(sweep())).read_bytes()
    again = heatmap(sweep(), tmp_path / "a.png", title="A", survivors=survivors(sweep()))
    assert again.read_bytes() == made
    without_matplotlib()
    assert heatmap(sweep(), tmp_path / "a.png", title="A", survivors=survivors(sweep())).read_bytes() == made


@pytest.mark.parametrize(
    "asked",
    [
        {"title": "B"},
        {"survivors": None},
        {"survivors": survivors(sweep(), alive=1.0)},
        {"sweep": sweep(first=2.0000000000000004)},
        {"sweep": replace(sweep(), distances=(0.5, *sweep().distances[1:]))},
        {"sweep": replace(sweep(), n=8)},
        {"sweep": replace(sweep(), columns=("a", "b", "c", "d"))},
        {"sweep": replace(sweep(), rows=("a", "b", "c"))},
    ],
)
def test_a_figure_of_something_else_is_drawn(tmp_path: Path, without_matplotlib, asked) -> None:
    pytest.importorskip("matplotlib")
    heatmap(sweep(), tmp_path / "a.png", title="A", survivors=survivors(sweep()))
    without_matplotlib()
    shown = {"sweep": sweep(), "title": "A", "survivors": survivors(sweep()), **asked}
    if shown["survivors"] is not None and shown["survivors"].sweep != shown["sweep"]:
        shown["survivors"] = replace(shown["survivors"], sweep=shown["sweep"])
    with pytest.raises(CausaltestError, match="matplotlib"):
        heatmap(shown["sweep"], tmp_path / "a.png", title=shown["title"], survivors=shown["survivors"])


@pytest.mark.parametrize("at", [0, 40, 2000, -170, -100, -20, -1])
def test_a_figure_that_was_changed_is_drawn_again(tmp_path: Path, without_matplotlib, at: int) -> None:
    pytest.importorskip("matplotlib")
    path = heatmap(sweep(), tmp_path / "a.png", title="A")
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    without_matplotlib()
    with pytest.raises(CausaltestError, match="matplotlib"):
        heatmap(sweep(), path, title="A")


def test_a_figure_that_says_what_it_shows_is_a_whole_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data, names = heatmap(sweep(), tmp_path / "a.png", title="A").read_bytes()[8:], []
    while data:
        length, body = int.from_bytes(data[:4], "big"), data[4:8]
        body += data[8 : 8 + length]
        assert int.from_bytes(data[8 + length : 12 + length], "big") == zlib.crc32(body)
        names.append(body[:4])
        data = data[12 + length :]
    assert names[-2:] == [b"tEXt", b"IEND"]
