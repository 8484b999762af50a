"""Planning a million patched runs: no model, no forward, numbers only."""

from __future__ import annotations

from benchmarks.row import Options, Row
from benchmarks.timing import median, timed

RUNS = 1_000_000
LAYERS, TOKENS = 12, 28


def million(options: Options) -> list[Row]:
    row = Row(f"a plan of {RUNS:,} patched runs", "", unit="s", better="less", at_least=2.0, aim=0.5)
    try:
        plan = planner()
    except ImportError as error:
        return [Row(**(row.as_dict() | {"notes": f"No planner to measure: {error}"}))]
    seconds = tuple(timed(plan).seconds for _ in range(max(3, options.repeats)))
    figures = {"figure": median(seconds), "lowest": min(seconds), "highest": max(seconds)}
    note = f"{LAYERS} layers x {TOKENS} positions, as many pairs as make {RUNS:,} rows."
    return [Row(**(row.as_dict() | figures | {"ours": f"{median(seconds):.2f} s", "notes": note}))]


def planner():
    """What is timed: a call without arguments that plans RUNS rows. The planner's names are used here alone."""
    import numpy as np

    from causaltest.measuring.planner import Limits, Rows, plan
    from causaltest.measuring.timeline import Segment

    pair, layer, t = np.unravel_index(np.arange(RUNS), (-(-RUNS // (LAYERS * TOKENS)), LAYERS, TOKENS))
    rows = Rows(arm=np.zeros_like(pair), pair=pair, start=t, join=layer + 1)
    segments = (Segment("prompt", 0, TOKENS, True),)
    limits = Limits(tokens=2_048, rows=4_096, forward_costs=8)
    return lambda: plan(rows, segments, LAYERS, limits)
