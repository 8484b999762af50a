"""Two baselines beside each other, as lines of plain text: what became of each claim, and what is in one alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.drifted import Drift, drifted
from causaltest.once import judging_seed
from causaltest.recording.changes import changes
from causaltest.recording.saved import SavedClaim
from causaltest.recording.wording import counted

WIDTH = 116
ORDER = ("REGRESSED", "INCONCLUSIVE", "IMPROVED", "HOLDS")
SAID = {"REGRESSED": "regressed", "INCONCLUSIVE": "inconclusive", "IMPROVED": "improved", "HOLDS": "hold"}
WORD, CAUSE = 14, 12
MOST_FIELDS = 5


@dataclass(frozen=True)
class Beside:
    """Two sets of claims: the drift of those that are in both, by id, and those that are in one alone."""

    drifts: Mapping[str, Drift] = field(default_factory=dict)
    verdicts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By id, in the first and in the second."""
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether some finding is not what it was, or none could be compared."""
        return any(d.fails for d in self.drifts.values()) or not any(d.n for d in self.drifts.values())


def beside(
    before: Mapping[str, SavedClaim],
    after: Mapping[str, SavedClaim],
    *,
    margin: float | None = None,
    across_models: bool = False,
) -> Beside:
    """Each claim of both; without `margin`, each with the margin that it was saved with, the later one first."""
    both = [id for id in before if id in after]
    return Beside(
        {
            id: drifted(
                before[id],
                after[id],
                margin=margin or after[id].margin or before[id].margin,
                seed=judging_seed(after[id].seed),
                across_models=across_models,
            )
            for id in sorted(both)
        },
        {id: (verdict_of(before[id]), verdict_of(after[id])) for id in both},
        tuple(sorted(set(before) - set(after))),
        tuple(sorted(set(after) - set(before))),
    )


def beside_lines(found: Beside, *, every: bool = False) -> Iterator[str]:
    """The claims that moved first, with what was seen of each; with `every`, also of those that hold to rounding."""
    for id, drift in sorted(found.drifts.items(), key=lambda item: (ORDER.index(item[1].word), item[0])):
        then, now = found.verdicts[id]
        turned = f"  ({then} before, {now} after)" if then != now else ""
        yield f"{drift.word:<{WORD}}{drift.cause or 'not compared':<{CAUSE}} {id}{turned}"
        if every or (drift.word, drift.cause) != ("HOLDS", "rounding"):
            yield from indented(drift.sentence)
            yield from fields_of(drift)
    for told, ids in (("first", found.only_before), ("second", found.only_after)):
        if ids:
            yield from textwrap.wrap(f"In the {told} alone: {', '.join(ids)}.", WIDTH, break_on_hyphens=False)
    yield summed(found)


def verdict_of(claim: SavedClaim) -> str:
    return str(claim.told.get("verdict", ""))


def indented(text: str) -> list[str]:
    lead = " " * WORD
    return textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False)


def fields_of(drift: Drift) -> Iterator[str]:
    """The fields in which two specs differ, where that is why they were not compared."""
    if drift.cause != "experiment":
        return
    told = changes(drift.fields)
    more = len(told) - MOST_FIELDS
    for line in [*told[:MOST_FIELDS], *([f"and {more} more fields"] if more > 0 else [])]:
        yield " " * WORD + line


def summed(found: Beside) -> str:
    """How many came to what."""
    words = [drift.word for drift in found.drifts.values()]
    counts = [f"{words.count(word)} {SAID[word]}" for word in ORDER if word in words]
    rounding = sum(drift.cause == "rounding" for drift in found.drifts.values())
    lost = sum(drift.lost for drift in found.drifts.values())
    if "HOLDS" in words and rounding:
        counts[-1] += f" ({rounding} of them to rounding)"
    if lost:
        counts.append(f"{lost} {'has' if lost == 1 else 'have'} no numbers any more")
    nothing = "" if any(drift.n for drift in found.drifts.values()) else " Nothing could be compared."
    return f"{counted(len(words), 'claim')} in both: {', '.join(counts)}.{nothing}" if words else "No claim is in both."


def models_of(claims: Iterable[SavedClaim]) -> str:
    """The models that claims were measured on, by name."""
    said = [model for claim in claims if isinstance(models := claim.spec.get("models"), list) for model in models]
    names = {str(model.get("name", "")): model for model in said if isinstance(model, Mapping)}
    return ", ".join(f"{name}{known_by(model)}" for name, model in names.items()) or "values that were given"


def known_by(model: Mapping[str, Any]) -> str:
    known = model.get("commit") or model.get("weights")
    return f" ({str(known)[:8]})" if known else ""
