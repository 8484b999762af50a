"""Shortcuts in the store: proven once for a model, so that they hold whichever prompt is measured first.

A proof looks at one prompt. A run that goes on where another was interrupted begins with other pairs, and what it may
leave out must not depend on that.
"""

from __future__ import annotations

from collections.abc import Callable

from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Shortcuts, written_out
from causaltest.store.entry import Entry
from causaltest.store.kept import Kept

KIND = "shortcuts"


def kept_shortcuts(kept: Kept | None, model: LoadedModel, prove: Callable[[], Shortcuts]) -> Shortcuts:
    """What was proven of a model, or is proven now."""
    if kept is None:
        return prove()
    with kept.alone(KIND, []):
        entry = kept.get(KIND, [])
        if entry is not None:
            return shortcuts_of(entry, model)
        proven = prove()
        kept.put(KIND, [], entry_of(proven))
    return proven


def entry_of(shortcuts: Shortcuts) -> Entry:
    told = {"forks": shortcuts.forks, "trims": shortcuts.trims, "fused": bool(shortcuts.fused), "why": shortcuts.why}
    return Entry(told)


def shortcuts_of(entry: Entry, model: LoadedModel) -> Shortcuts:
    """The inverse of `entry_of`. What is fused are the model's own modules, which are found again."""
    said = entry.said
    fused = written_out(model) if said["fused"] else ()
    return Shortcuts(bool(said["forks"]), bool(said["trims"]), fused, str(said["why"]))
