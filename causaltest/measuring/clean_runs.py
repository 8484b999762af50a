"""CleanRuns: what the model answers before anything is patched, as a table to look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CleanRun:
    """One pair's two unpatched runs. `excluded` is why it does not count for accuracy, or None."""

    pair_id: str
    clean: str
    corrupt: str
    answer: str
    clean_gave: str
    corrupt_gave: str
    tokens: tuple[str, ...]
    """The clean prompt as the model sees it, special tokens included."""
    excluded: str | None


@dataclass(frozen=True)
class CleanRuns:
    """The unpatched runs of all pairs."""

    model: str
    runs: tuple[CleanRun, ...]

    @property
    def eligible(self) -> int:
        """How many pairs count for accuracy."""
        return sum(run.excluded is None for run in self.runs)

    def __str__(self) -> str:
        head = f"{self.model}: {self.eligible} of {len(self.runs)} pairs eligible for accuracy"
        lines = [
            f"  {r.pair_id}: wanted {r.answer.strip()!r}, clean gave {r.clean_gave!r}, corrupt gave {r.corrupt_gave!r}"
            + (f"  [excluded: {r.excluded}]" if r.excluded else "")
            for r in self.runs[:20]
        ]
        more = [f"  ... and {len(self.runs) - 20} more"] if len(self.runs) > 20 else []
        return "\n".join([head, *lines, *more])
