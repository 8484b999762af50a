"""Pool: where workers come from, and how they are called. What a cluster is, as far as a crew needs to know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from causaltest.measuring.executors.worker import Said

Call = Any
"""Whatever tells a call from all others; hashable."""


@dataclass(frozen=True)
class Answer:
    """What has come of a call."""

    said: Said | None
    """None: the worker was lost."""
    result: Any = None
    """Or where it lies, if it was asked to stay there."""


class Pool(Protocol):
    """A cluster."""

    def begin(self) -> Any:
        """Has another worker come up. Calls to it wait until it has."""
        ...

    def end(self, worker: Any) -> None:
        """Lets a worker go."""
        ...

    def call(self, worker: Any, method: str, arguments: Sequence[Any], *, stays: bool = False) -> Call:
        """Calls a worker, after what it was called for before; its result `stays` where it can be lent."""
        ...

    def next(self, calls: Collection[Call], seconds: float) -> tuple[Call, Answer] | None:
        """The first call that is answered; None where none is in that time.

        What a worker raised is its answer: raised here, it would end whatever is asked for now.
        """
        ...

    def share(self, value: Any) -> Any:
        """Something that several workers will be given, sent once."""
        ...
