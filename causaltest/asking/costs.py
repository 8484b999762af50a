"""Cost: what measuring takes, known before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Work and memory of a plan. Costs add; memory does not, because plans run one after the other."""

    experiments: int = 0
    pairs: int = 0
    patched_runs: int = 0
    reference_runs: int = 0
    forwards: int = 0
    token_layers: int = 0
    """Tokens times the blocks that compute them."""
    plain_token_layers: int = 0
    """The same with one whole run per patched run."""
    seconds: float = 0.0
    """At the rate that the machine's matrix products have now."""
    bytes: int = 0
    """Held at most above the model's own memory."""
    stored: int = 0
    """Experiments that are in the store, and cost nothing."""
    whole: tuple[str, ...] = ()
    """Why runs are computed whole, for the models where they are."""

    def __add__(self, other: Cost) -> Cost:
        added = (
            "experiments",
            "pairs",
            "patched_runs",
            "reference_runs",
            "forwards",
            "token_layers",
            "plain_token_layers",
            "seconds",
            "stored",
        )
        return Cost(
            **{name: getattr(self, name) + getattr(other, name) for name in added},
            bytes=max(self.bytes, other.bytes),
            whole=tuple(dict.fromkeys((*self.whole, *other.whole))),
        )

    def __str__(self) -> str:
        if self.stored and not self.experiments:
            return f"nothing is left to measure: {self.in_store}"
        saved = self.plain_token_layers / self.token_layers if self.token_layers else 1.0
        lines = [
            f"{self.experiments} experiment{'s' * (self.experiments != 1)} on {self.pairs} pairs",
            f"{self.patched_runs:,} patched runs and {self.reference_runs:,} clean and corrupt runs "
            f"in {self.forwards:,} forwards",
            f"{self.token_layers:,} tokens x layers, where a whole run for each would take {saved:.1f} times as many",
            f"about {told(self.seconds)} and {self.bytes / 2**20:,.0f} MiB above the model",
        ]
        if self.stored:
            lines.append(f"besides, {self.in_store}")
        return "\n".join([*lines, *(f"all runs are computed whole: {why}" for why in self.whole)])

    @property
    def in_store(self) -> str:
        return "1 experiment is in the store" if self.stored == 1 else f"{self.stored} experiments are in the store"


def told(seconds: float) -> str:
    """Seconds in the unit that a person would choose."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
