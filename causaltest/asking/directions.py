"""Directions: a vector of a site's space, or several that span a subspace of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from causaltest.asking.arrays import Array, array_of, read_array
from causaltest.errors import SiteError


@dataclass(frozen=True, eq=False)
class Direction:
    """Vectors, given or in a file that is read when it is first needed. Equal where their numbers are."""

    given: Array | None = None
    path: str = ""
    key: str = ""

    @cached_property
    def array(self) -> Array:
        """The vectors. [row, width]

        Raises SiteError when the file has no such vectors.
        """
        array = self.given or read_array(self.path, self.key)
        if len(array.shape) == 1:
            array = Array(array.dtype, (1, *array.shape), array.data)
        if len(array.shape) != 2 or 0 in array.shape:
            raise SiteError(
                f"{self} has the shape {list(array.shape)}; a direction is [width], and several are [row, width]."
            )
        return array

    @property
    def digest(self) -> str:
        return self.array.digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Direction) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        if self.given is None:
            return f"{self.key} of {Path(self.path).name}"
        rows, _ = self.given.shape
        return f"{'direction' if rows == 1 else f'{rows} directions'} {self.digest[:6]}"

    __repr__ = __str__


def direction(values: Any, *, key: str | None = None) -> Direction:
    """A direction of a site's space; several rows span a subspace.

    `values` are numbers [width] or [row, width], as a list or an array, or the path of a safetensors file
    with the `key` of its array. The file is read when the claim is first hashed or measured.

        probe = direction("probes.safetensors", key="truth.layer6")
        lab.denoise(pairs, at=resid_post(6, last()).along(probe)).recovery(logit_diff)

    Raises SiteError for what are no finite numbers, and for a path without a key.
    """
    if isinstance(values, Direction):
        return values
    if not isinstance(values, str | Path):
        if key is not None:
            raise SiteError(f"key={key!r} names an array of a file, and numbers were given; leave it out.")
        return Direction(array_of(values, "direction(...)"))
    if not key:
        raise SiteError(f"direction({str(values)!r}) is a file of several arrays; say which with key=....")
    return Direction(None, str(values), key)
