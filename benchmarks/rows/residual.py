"""The residual stream of GPT-2 small, 12 layers x 28 positions, one pair: against each peer, and the floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from benchmarks import floor as arithmetic
from benchmarks import ours
from benchmarks.beside import sweep_beside
from benchmarks.models import Problem, gpt2_small, problem
from benchmarks.peers import Peer
from benchmarks.row import Options, Row
from benchmarks.timing import Paired, Timed, median, paired
from causaltest import every, resid_post, resid_pre
from causaltest.asking.sites import Site

WHAT = "residual stream, 12 layers x 28 positions, GPT-2 small, one pair"


def nnsight_loop(options: Options) -> list[Row]:
    from benchmarks.peers.nnsight_traces import NnsightLoop

    return against(NnsightLoop, options, at_least=7.5, aim=10.0)


def nnsight_batched(options: Options) -> list[Row]:
    from benchmarks.peers.nnsight_traces import NnsightBatched

    return against(NnsightBatched, options, at_least=4.3, aim=6.0)


def pyvene_loop(options: Options) -> list[Row]:
    from benchmarks.peers.pyvene_loop import PyveneLoop

    note = "Each of its calls runs the source prompt too."
    return against(PyveneLoop, options, at_least=13.0, aim=18.0, notes=note)


def transformer_lens(options: Options) -> list[Row]:
    from benchmarks.peers.transformer_lens_patching import TransformerLensPatching

    note = "Both patch the stream before each block; a bridge to the same weights, unprocessed."
    return against(TransformerLensPatching, options, at_least=8.5, aim=12.0, site=resid_pre, notes=note)


def plain(options: Options) -> list[Row]:
    from benchmarks.peers.plain import Plain

    return against(Plain, options)


def against(
    peer: Callable[[Problem], Peer],
    options: Options,
    *,
    at_least: float | None = None,
    aim: float | None = None,
    site: Callable[..., Site] = resid_post,
    notes: str = "",
) -> list[Row]:
    given = problem(gpt2_small())
    them = peer(given)
    row = Row(WHAT, them.name, at_least=at_least, aim=aim, notes=notes)
    at = site(range(given.layers), every())
    return [sweep_beside(given, at, them, options, row, every=options.every)]


def floor(options: Options) -> list[Row]:
    """The sweep over the time of the matrix products that it cannot do without."""
    given = problem(gpt2_small())
    blocks = arithmetic.Blocks(given.model)
    at = resid_post(range(given.layers), every())
    count = arithmetic.token_blocks(given.layers, given.tokens)
    rates: list[arithmetic.Rate] = []

    def least() -> Timed:
        rates.append(blocks.rate())
        return Timed(count * rates[-1].seconds_per_token, None)

    ours.sweep(given, at)
    both = paired(lambda: ours.sweep(given, at), least, repeats=max(5, options.repeats), check=lambda _a, _b: None)
    return [floored(both, rates, count)]


def floored(both: Paired, rates: list[arithmetic.Rate], count: int) -> Row:
    over = tuple(1 / ratio for ratio in both.ratios)
    return dataclasses.replace(
        Row(WHAT, "the arithmetic floor", unit="x the floor", better="less", at_least=1.25, aim=1.05),
        ours=f"{median(both.ours):.2f} s",
        theirs=f"{median(both.theirs):.2f} s",
        figure=median(over),
        lowest=min(over),
        highest=max(over),
        notes=(
            f"{count} tokens through a block, {rates[0].flops_per_token / 1e6:.2f} MFLOP each, at "
            f"{np.median([r.gflops for r in rates]):.0f} GFLOP/s, the rate of the block's four products on "
            f"{rates[0].rows} tokens, the model's own weights in turn. Attention, norms, logits and the two "
            "reference runs are not in the floor."
        ),
    )
