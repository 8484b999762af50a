"""Processes that want to compute the same: one does, the others wait; and who dies lets go."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from causaltest.store import folder, waiting
from causaltest.store.folder import LOCK_DIGITS, Store

KEY = "ab" * 32
NEIGHBOUR = KEY[:LOCK_DIGITS] + "9" * (64 - LOCK_DIGITS)
"""Another key whose lock is the same file."""

HOLDER = """
import sys, time
from pathlib import Path
from causaltest.store.folder import Store
with Store(Path(sys.argv[1])).alone("plans", sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the right to compute KEY."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path), KEY]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": root}) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def entered(store: Store, kind: str = "plans", key: str = KEY) -> threading.Event:
    """Set once this process holds a key's right, for which a thread of it waits."""
    inside = threading.Event()

    def wait() -> None:
        with store.alone(kind, key):
            inside.set()

    threading.Thread(target=wait, daemon=True).start()
    return inside


def test_who_is_killed_lets_go(tmp_path, holder):
    inside = entered(Store(tmp_path))
    assert not inside.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    assert inside.wait(20)


def test_another_kind_or_another_key_does_not_wait(tmp_path, holder):
    assert entered(Store(tmp_path), "runs").wait(20)
    assert entered(Store(tmp_path), key="cd" * 32).wait(20)


def test_who_holds_a_right_does_not_wait_for_themselves(tmp_path):
    def nested() -> None:
        with Store(tmp_path).alone("plans", KEY), Store(tmp_path).alone("plans", NEIGHBOUR):
            inside.set()

    inside = threading.Event()
    threading.Thread(target=nested, daemon=True).start()
    assert inside.wait(20)


def test_threads_wait_for_each_other(tmp_path):
    with Store(tmp_path).alone("plans", KEY):
        inside = entered(Store(tmp_path))
        assert not inside.wait(0.3)
    assert inside.wait(20)


def test_a_long_wait_is_told_once_and_pauses_grow(tmp_path, monkeypatch):
    pauses, told, after, times = [], [], [], iter(range(1000))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(times)))
    store = Store(tmp_path, hear=after.append)
    store.notice = told.append
    held = Store(tmp_path).alone("plans", KEY)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 30:
            other.set()
            done.wait()

    other, done = threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            holding.set()
            other.wait()
        done.set()

    holding = threading.Event()
    threading.Thread(target=hold, daemon=True).start()
    holding.wait()
    monkeypatch.setattr(waiting.time, "sleep", pause)
    with store.alone("plans", KEY):
        pass
    assert len(pauses) == 30 and pauses == sorted(pauses)
    assert pauses[0] == waiting.SHORTEST_S and pauses[-1] == waiting.LONGEST_S
    (sentence,) = told
    assert "another process is measuring the same pairs" in sentence and str(tmp_path) in sentence
    assert after == ["waited 31 s for another process, which is measuring the same pairs"]


def test_a_short_wait_is_not_told(tmp_path):
    store = Store(tmp_path, hear=pytest.fail)
    store.notice = pytest.fail
    with store.alone("runs", KEY):
        pass
    assert folder.LONG_S > 1
