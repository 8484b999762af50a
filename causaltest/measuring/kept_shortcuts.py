"""Shortcuts in the store: proven once for a model, so that they hold whichever prompt is measured first.

A proof looks at one prompt. A run that goes on where another was interrupted begins with other pairs, and what it may
leave out must not depend on that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Shortcuts, written_out
from causaltest.store.entry import Entry
from causaltest.store.kept import Kept

KIND = "shortcuts"


def kept_shortcuts(kept: Kept | None, model: LoadedModel, prove: Callable[[], Shortcuts]) -> Shortcuts:
    """What was proven of a model, or is proven now."""
    return shortcuts_of(kept_proof(kept, lambda: said_of(prove())), model)


def kept_proof(kept: Kept | None, prove: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The same as plain data, which go where the model is."""
    if kept is None:
        return prove()
    with kept.alone(KIND, []):
        entry = kept.get(KIND, [])
        if entry is not None:
            return entry.said
        proven = prove()
        kept.put(KIND, [], Entry(proven))
    return proven


def said_of(shortcuts: Shortcuts) -> dict[str, Any]:
    return {"forks": shortcuts.forks, "trims": shortcuts.trims, "fused": bool(shortcuts.fused), "why": shortcuts.why}


def shortcuts_of(said: Mapping[str, Any], model: LoadedModel) -> Shortcuts:
    """The inverse of `said_of`. What is fused are the model's own modules, which are found again."""
    fused = written_out(model) if said["fused"] else ()
    return Shortcuts(bool(said["forks"]), bool(said["trims"]), fused, str(said["why"]))
