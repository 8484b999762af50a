"""Runs of pytest in forks of one process that has imported what is slow to import; they can be killed anywhere.

A run is killed after some seconds, or at its n-th write: as a file is opened for writing, written, synced, renamed or
removed. Nothing of the run is told beforehand, and SIGKILL leaves it no time to tidy up.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR
CHANGES = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.link"}
RAN, WRITES = "ran", "writes"


@dataclass(frozen=True)
class Kill:
    """When a run is killed: after seconds, or at a write, half of which is written where it can be halved."""

    after_s: float | None = None
    at_write: int | None = None


@dataclass(frozen=True)
class Forked:
    """What became of a run."""

    killed: bool
    status: int
    seconds: float
    patched_runs: int
    """How many were computed."""
    writes: int
    """What was opened for writing, written, synced, renamed or removed."""
    output: str


def import_all() -> None:
    """Everything that a run imports, so that a fork has it."""
    import numpy  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch

    torch.set_num_threads(1)
    import filelock  # noqa: F401
    import pytest  # noqa: F401
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel  # noqa: F401

    import causaltest.measuring.backend
    import causaltest.pytest_suite
    import causaltest.store.stored  # noqa: F401


def forked_pytest(
    words: Sequence[str], place: Path, environment: Mapping[str, str], prepare: Callable[[], None], kill: Kill
) -> Forked:
    """Runs pytest in `place`; its files are watched below it. `prepare` is called in the fork."""
    for name in (RAN, WRITES):
        (place / name).unlink(missing_ok=True)
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        carried_out(words, place, environment, prepare, kill)
    if kill.after_s is None:
        _, status = os.waitpid(child, 0)
    else:
        status = awaited(child, begin + kill.after_s)
    seconds = time.monotonic() - begin
    code = os.waitstatus_to_exitcode(status)
    numbers = [int(line) for line in text_of(place / RAN).split()]
    output = text_of(place / "output")
    return Forked(code == -signal.SIGKILL, code, seconds, sum(numbers), len(text_of(place / WRITES)), output)


def awaited(child: int, until: float) -> int:
    """The status of a child, which is killed when its time has come."""
    while (left := until - time.monotonic()) > 0:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(min(left, 0.002))
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def carried_out(
    words: Sequence[str], place: Path, environment: Mapping[str, str], prepare: Callable[[], None], kill: Kill
) -> None:
    """Becomes the run, and ends with it."""
    status: object = 1
    try:
        handle = os.open(place / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.chdir(place / "suite")
        os.environ.update(environment)
        import pytest

        prepare()
        count_runs(place / RAN)
        watch_writes(place, kill.at_write)
        status = pytest.main(list(words))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status))  # type: ignore[call-overload]


def count_runs(file: Path) -> None:
    """Writes down every patched run as it is computed."""
    from causaltest.measuring.backend import ModelBackend

    handle, plain_write = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write
    counting = ModelBackend.counting

    def counted(self: Any, tick: Callable[[int], None]) -> Callable[[int, int], None]:
        count = counting(self, tick)

        def both(patched_runs: int, forwards: int) -> None:
            plain_write(handle, b"%d\n" % patched_runs)
            count(patched_runs, forwards)

        return both

    ModelBackend.counting = counted  # type: ignore[method-assign]


def watch_writes(place: Path, kill_at: int | None) -> None:
    """Counts what changes a file below a folder; the n-th of them is the last thing that this process does."""
    own = {str(place / name) for name in (RAN, WRITES, "output")}
    tally = os.open(place / WRITES, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    plain_write, plain_fsync, root = os.write, os.fsync, f"{place}{os.sep}"
    seen = 0

    def mine(path: object) -> bool:
        name = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        return isinstance(name, str) and name.startswith(root) and name not in own

    def named(handle: int) -> str:
        try:
            return os.readlink(f"/proc/self/fd/{handle}")
        except OSError:
            return ""

    def happened(half: Callable[[], object] = lambda: None) -> None:
        nonlocal seen
        plain_write(tally, b".")
        if seen == kill_at:
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES and args and mine(args[0]) and (event != "open" or opened_to_write(args)):
            happened()

    def write(handle: int, data: Any) -> int:
        if mine(named(handle)):
            happened(lambda: plain_write(handle, bytes(data)[: len(data) // 2]))
        return plain_write(handle, data)

    def fsync(handle: int) -> None:
        if mine(named(handle)):
            happened()
        plain_fsync(handle)

    sys.addaudithook(heard)
    os.write, os.fsync = write, fsync


def opened_to_write(args: tuple[Any, ...]) -> bool:
    mode, flags = (*args, None, None)[1:3]
    if isinstance(mode, str):
        return not mode.startswith("r") or "+" in mode
    return isinstance(flags, int) and bool(flags & WRITING)


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
