"""Place: what all labs of a process share of where they keep what they measure.

How full the folder is, and whether the address answers: with as many views of these as there are labs, each would
write as much before it looks again, and each would wait for an address that hangs.
"""

from __future__ import annotations

import os
from weakref import WeakValueDictionary

from causaltest.asking.settings import StorePlace
from causaltest.store.remote import Link
from causaltest.store.room import Room


class Place:
    """A folder of this machine, and the address behind it, where there is one."""

    def __init__(self, given: StorePlace) -> None:
        self.room = Room(given.folder, given.most_bytes)
        self.link = Link(given.address) if given.remote else None


PLACES: WeakValueDictionary[tuple[object, ...], Place] = WeakValueDictionary()
"""Those that a lab uses, and no longer than it does: in a notebook, a new lab may find what did not answer before."""


def place_of(given: StorePlace) -> Place:
    """The place that every lab of this process has that keeps its numbers there."""
    # A process that was forked has none of the threads that ask an address.
    named = (given, given.folder, os.getpid())
    found = PLACES.get(named)
    if found is None:
        found = PLACES[named] = Place(given)
    return found
