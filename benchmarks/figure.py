"""How the cost of a sweep grows with layers, positions and pairs, beside the floor: docs/img/cost.png."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import floor, ours
from benchmarks.models import TOKENS, Problem, gpt2_small, problem, random_pairs
from benchmarks.timing import median, timed
from causaltest import Pairs, index, resid_post

DEPTHS = (2, 4, 8, 16)
LENGTHS = (7, 14, 28, 56)
PAIRS = (1, 4, 16, 64)
POSITIONS = (10, 24)
"""Of 28, where many pairs are swept."""
ENOUGH_S = 3.0
"""A short sweep is repeated for this long, and its median stands."""


@dataclass(frozen=True)
class Point:
    """One sweep: what grew, how long it took, the floor, and one full forward per site."""

    at: int
    seconds: float
    least: float
    plain: float


def drawn(path: Path) -> None:
    model = gpt2_small()
    rate = floor.Blocks(model).rate()
    panels = {
        "layers of the model": [point(n, problem(gpt2_small(n_layer=n)), rate) for n in DEPTHS],
        "tokens of the prompt": [point(n, problem(model, tokens=n), rate) for n in LENGTHS],
        f"pairs (positions {' and '.join(map(str, POSITIONS))} only)": [
            point(n, problem(model), rate, pairs=random_pairs(n), positions=POSITIONS) for n in PAIRS
        ],
    }
    plotted(panels, path)


def point(
    at: int, given: Problem, rate: floor.Rate, *, pairs: Pairs | None = None, positions: tuple[int, ...] = ()
) -> Point:
    swept = positions or tuple(range(given.tokens))
    site = resid_post(range(given.layers), index(*swept))
    # One small sweep first: what only a first run pays is not growth.
    ours.sweep(given, resid_post(0, index(0)))
    took: list[float] = []
    while sum(took) < ENOUGH_S:
        took.append(ours.sweep(given, site, pairs=pairs).seconds)
    count = len(pairs) if pairs else 1
    with torch.inference_mode():
        forward = min(timed(lambda: given.model(given.corrupt, use_cache=False)).seconds for _ in range(3))
    tokens = floor.token_blocks(given.layers, given.tokens, positions=swept)
    plain = count * given.layers * len(swept) * forward
    return Point(at, median(tuple(took)), count * tokens * rate.seconds_per_token, plain)


def plotted(panels: dict[str, list[Point]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(12, 4), sharey=True, layout="constrained")
    for axis, (name, points) in zip(axes, panels.items(), strict=True):
        panel(axis, name, points)
    axes[0].set_ylabel("seconds")
    axes[0].legend(frameon=False)
    figure.suptitle(f"A sweep of the residual stream, GPT-2 small's width, {TOKENS} tokens unless said, one pair")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def panel(axis: Any, name: str, points: list[Point]) -> None:
    at = [p.at for p in points]
    axis.plot(at, [p.plain for p in points], ":", color="0.6", label="one full forward per site")
    axis.plot(at, [p.seconds for p in points], "o-", color="#1f5fa8", label="measured")
    axis.plot(at, [p.least for p in points], "--", color="#c44e2b", label="arithmetic floor")
    for p in points:
        axis.annotate(
            f"{p.seconds / p.least:.2f} x", (p.at, p.seconds), xytext=(-5, 5), textcoords="offset points", ha="right"
        )
    axis.set(xscale="log", yscale="log", xlabel=name)
    axis.set_xticks(at, [str(n) for n in at], minor=False)
    axis.minorticks_off()
    axis.margins(x=0.3)
    axis.spines[["top", "right"]].set_visible(False)
