"""The same sweep in other libraries, one file each, as their own tutorials write it.

Each has a class with three steps: wrapping the model (not timed, as opening our lab is not),
the reference runs, and the patched runs of the layers asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from benchmarks.models import Problem
from benchmarks.timing import Timed, timed


@dataclass(frozen=True)
class References:
    """What a peer keeps of the unpatched runs."""

    unpatched: float
    """The target's logit in the corrupt run."""
    clean: Any = None
    """The clean activations, in the peer's own form."""


class Peer(Protocol):
    """A library's way to a map of patched logits."""

    name: ClassVar[str]

    def __init__(self, problem: Problem) -> None: ...
    def references(self) -> References: ...
    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        """The target's logit per site. [layer, ...]"""
        ...


def sweep(peer: Peer, layers: Sequence[int], *, of: int) -> Timed:
    """The changes on some of the layers, with the time that all of them would take.

    Every site is one full forward to a peer, whichever its layer, so the patched runs scale by
    the number of layers; the reference runs are counted once.
    """
    with torch.inference_mode():
        references = timed(peer.references)
        patched = timed(lambda: peer.patched(references.gave, layers))
    seconds = references.seconds + patched.seconds * of / len(layers)
    return Timed(seconds, (patched.gave - references.gave.unpatched).double().numpy())
