"""What Ray says of a call, as a crew hears it: with Ray's own errors, and without a cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from causaltest.measuring.executors.pool import Answer
from causaltest.measuring.executors.ray import RayPool
from causaltest.measuring.executors.worker import Said

errors = pytest.importorskip("ray.exceptions", reason="Ray is not installed")


class Cluster:
    """Ray, of which every call gives what the test says."""

    exceptions = errors

    def __init__(self) -> None:
        self.gives: list[Any] = []

    def remote(self, kind: type) -> Any:
        call = SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=lambda *_: (object(), object())))
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: SimpleNamespace(call=call)))

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        given = self.gives.pop(0)
        if isinstance(given, BaseException):
            raise given
        return given


def called(*gives: Any) -> tuple[RayPool, Any]:
    """A pool whose only worker was called, and the call."""
    cluster = Cluster()
    cluster.gives.extend(gives)
    pool = RayPool(cluster, 1, 0.0)
    return pool, pool.call(pool.begin(), "run", [])


def test_an_error_that_nobody_had_in_mind_is_an_answer_with_the_traceback_of_its_process():
    cause = ZeroDivisionError("division by zero")
    pool, call = called(errors.RayTaskError("call", "line 7 of the worker", cause).as_instanceof_cause())
    heard = pool.next([call], 1.0)
    assert heard is not None and heard[0] == call
    assert heard[1].said is not None and heard[1].said.error is cause
    assert "line 7 of the worker" in str(cause.__cause__)


@pytest.mark.parametrize(
    "error",
    [
        errors.ActorDiedError(),
        errors.OutOfMemoryError("killed by the memory monitor"),
        errors.WorkerCrashedError(),
        errors.NodeDiedError(""),
        errors.ObjectLostError("0" * 56, None, ""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_worker_that_is_gone_is_lost(error):
    pool, call = called(error)
    assert pool.next([call], 1.0) == (call, Answer(None))


def test_a_result_that_cannot_be_read_here_is_an_answer_too():
    pool, call = called(Said(), ModuleNotFoundError("no such module here"))
    heard = pool.next([call], 1.0)
    assert heard is not None and isinstance(heard[1].said.error, ModuleNotFoundError)


def test_a_call_that_could_not_be_read_is_there_to_be_heard_again():
    pool, call = called(KeyboardInterrupt(), Said(), "its result")
    with pytest.raises(KeyboardInterrupt):
        pool.next([call], 1.0)
    heard = pool.next([call], 1.0)
    assert heard is not None and heard[1].result == "its result"
