"""The rows of the table, by name. Each runs in a process of its own: no peer's import or hook reaches another's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.row import Options, Row

ROWS = {
    "residual-nnsight": "residual:nnsight_loop",
    "residual-nnsight-batched": "residual:nnsight_batched",
    "residual-pyvene": "residual:pyvene_loop",
    "residual-transformerlens": "residual:transformer_lens",
    "residual-plain": "residual:plain",
    "residual-floor": "residual:floor",
    "llama-plain": "llama:plain",
    "heads-plain": "heads:plain",
    "latent-plain": "latent:checked",
    "latent-generated": "latent:generated",
    "pairs-64": "pairs:sixty_four",
    "claims-36": "claims:without_placebo",
    "claims-36-controls": "claims:with_every_control",
    "claims-cold": "claims:cold",
    "plan-million": "planning:million",
    "judge-1000": "judging:thousand",
    "memory-64": "memory:sixty_four",
    "record": "record:commands",
}


def measure(name: str, options: Options) -> list[Row]:
    module, function = ROWS[name].split(":")
    rows: Callable[[Options], list[Row]] = getattr(import_module(f"benchmarks.rows.{module}"), function)
    return rows(options)
