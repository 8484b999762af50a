"""Figures of sweeps. matplotlib comes with the extra `report`."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from causaltest.errors import CausaltestError
from causaltest.reporting.drawn import is_drawn, marked
from causaltest.survivors import Survivors
from causaltest.sweep import SweepMap
from causaltest.weights import sha256
from causaltest.writing.canonical import sha256_of
from causaltest.writing.exact import exact

LEVELS = {"max-t": "family-wise p <=", "bh": "false discovery rate", "by": "false discovery rate"}


def heatmap(sweep: SweepMap, path: Path, *, title: str, survivors: Survivors | None = None) -> Path:
    """A PNG of a sweep's estimates, layers upward; dots mark patches of distance zero, frames mark what survives.

    Where the file shows this already it is left as it is: importing matplotlib takes longer than a warm run's verdicts.

    Raises CausaltestError when matplotlib is not installed, or the survivors are another sweep's.
    """
    if survivors is not None and survivors.sweep != sweep:
        raise CausaltestError(f"These are the survivors of {survivors.sweep.summary}, and not of {sweep.summary}.")
    what = shown(sweep, title, survivors)
    # Whoever has imported it may have changed how it draws, and gains nothing here.
    if "matplotlib" not in sys.modules and is_drawn(path, what):
        return path
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CausaltestError("Figures need matplotlib: pip install 'causaltest[report]'.") from error
    rows, columns = sweep.shape
    figure = Figure(figsize=(max(4.8, 2.2 + 0.26 * columns), 1.8 + 0.26 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    known = [abs(e) for e in sweep.estimates if math.isfinite(e)]
    bound = max([1.0, *known])
    image = axes.imshow(
        sweep.estimate, cmap="RdBu_r", vmin=-bound, vmax=bound, origin="lower", aspect="auto", interpolation="nearest"
    )
    mark_nothing_moved(axes, sweep)
    told = "" if survivors is None else f"; frames: {LEVELS[survivors.method]} {survivors.level:g}"
    if survivors is not None:
        frame(axes, survivors)
    axis, labels = shared_word(sweep.columns)
    axes.set_xticks(range(columns), labels, rotation=90 if max(map(len, labels)) > 3 else 0, fontsize=8)
    axes.set_xlabel(axis, fontsize=8)
    axes.set_yticks(range(rows), sweep.rows, fontsize=8)
    axes.set_title(f"{title}\nn = {sweep.n} pairs, exploratory; dots: the patch moved nothing{told}", fontsize=9)
    figure.colorbar(image, ax=axes, label=sweep.summary.split(",")[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    path.write_bytes(marked(drawn.getvalue(), what))
    return path


def shown(sweep: SweepMap, title: str, survivors: Survivors | None) -> str:
    """A hash of all that a figure is made of, the code that draws it included."""
    try:
        drawn_by = version("matplotlib")
    except PackageNotFoundError:
        drawn_by = ""
    frames = None if survivors is None else [survivors.method, survivors.level, survivors.table.tolist()]
    numbers = [sweep.summary, sweep.rows, sweep.columns, sweep.estimates, sweep.distances, sweep.n]
    return sha256_of(exact([title, numbers, frames, drawn_by, sha256(Path(__file__))]))


def shared_word(labels: Sequence[str]) -> tuple[str, list[str]]:
    """`thought 0`, `thought 1` as the word for the axis and the rest for its ticks."""
    words = {label.partition(" ")[0] for label in labels}
    if len(labels) < 2 or len(words) > 1:
        return "", list(labels)
    return words.pop(), [label.partition(" ")[2] for label in labels]


def mark_nothing_moved(axes: Any, sweep: SweepMap) -> None:
    where = (sweep.distance == 0).nonzero()
    axes.scatter(where[1], where[0], s=3, color="0.6", linewidths=0)


def frame(axes: Any, survivors: Survivors) -> None:
    """A frame around every cell that survives."""
    from matplotlib.patches import Rectangle

    for row, column in zip(*survivors.table.nonzero(), strict=True):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=1.2))
