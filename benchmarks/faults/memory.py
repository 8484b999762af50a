"""Memory that this process holds, as Linux counts it.

Of the process alone: the most that getrusage tells is that of whoever began it, too.
"""

from __future__ import annotations

from pathlib import Path


def held_now() -> int:
    """Bytes."""
    return status("VmRSS")


def held_at_most() -> int:
    """Bytes that were ever held at once."""
    return status("VmHWM")


def status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
