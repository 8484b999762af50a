"""CleanRuns: what the model answers before anything is patched, as a table to look at."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN_TOKENS = 64


@dataclass(frozen=True)
class CleanRun:
    """One pair's two unpatched runs. `excluded` is why it does not count, or None."""

    pair_id: str
    clean: str
    corrupt: str
    answer: str
    clean_gave: str
    corrupt_gave: str
    tokens: tuple[str, ...]
    """The clean prompt as the model sees it, special tokens included."""
    excluded: str | None
    notes: tuple[str, ...] = ()
    """What may be wrong with its prompts."""


@dataclass(frozen=True)
class CleanRuns:
    """The unpatched runs of all pairs."""

    model: str
    runs: tuple[CleanRun, ...]
    rule: str = "accuracy"
    """What says which pairs count."""

    @property
    def eligible(self) -> int:
        """How many pairs count."""
        return sum(run.excluded is None for run in self.runs)

    def __str__(self) -> str:
        head = f"{self.model}: {self.eligible} of {len(self.runs)} pairs eligible for {self.rule}"
        lines = [
            f"  {r.pair_id}: wanted {r.answer.strip()!r}, clean gave {r.clean_gave!r}, corrupt gave {r.corrupt_gave!r}"
            + (f"  [excluded: {r.excluded}]" if r.excluded else "")
            + "".join(f"\n    note: {note}" for note in r.notes)
            for r in self.runs[:20]
        ]
        more = [f"  ... and {len(self.runs) - 20} more"] if len(self.runs) > 20 else []
        first = [f"  {r.pair_id} as the model sees it: {shortened(r.tokens)}" for r in self.runs[:1]]
        return "\n".join([head, *lines, *more, *first])


def shortened(tokens: tuple[str, ...]) -> str:
    """Tokens in a row; of many, the first and the last, where special tokens stand."""
    if len(tokens) <= SHOWN_TOKENS:
        return " ".join(tokens)
    half = SHOWN_TOKENS // 2
    return f"{' '.join(tokens[:half])} ... {len(tokens) - 2 * half} more ... {' '.join(tokens[-half:])}"
