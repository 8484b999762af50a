"""A crew goes on after whatever has ended one of its runs."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from causaltest.errors import WorkersError
from causaltest.measuring.executors.crew import Crew, Each, Job, Step
from causaltest.measuring.executors.pool import Answer
from causaltest.measuring.executors.worker import Said

LOST = Answer(None)


def well(result: Any = None) -> Answer:
    return Answer(Said(), result)


class Scripted:
    """Workers who answer what the test says, in the order in which they were called."""

    def __init__(self, answers: Callable[[int, str], Answer | None]) -> None:
        """`answers` gives what a worker says of a method; None: nothing yet."""
        self.answers = answers
        self.begun = 0
        self.queue: deque[tuple[int, int, str]] = deque()
        self.made = 0

    def begin(self) -> int:
        self.begun += 1
        return self.begun

    def end(self, worker: int) -> None:
        return None

    def call(self, worker: int, method: str, arguments: Sequence[Any], *, stays: bool = False) -> int:
        self.made += 1
        self.queue.append((self.made, worker, method))
        return self.made

    def next(self, calls: Sequence[int], seconds: float) -> tuple[int, Answer] | None:
        assert calls, "nobody is at work, so that nothing will ever be heard"
        for _ in range(len(self.queue)):
            call, worker, method = self.queue.popleft()
            answer = self.answers(worker, method)
            if answer is not None:
                return call, answer
            self.queue.append((call, worker, method))
        return None

    def share(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_machine_that_is_lost_with_all_its_workers_ends_no_plan(count):
    """All are at the same step, as none can begin a task before it."""
    crew = Crew(Scripted(lambda worker, method: LOST if worker <= count else well(method)), count)
    crew.tell([Step("begin")], after=len(crew.steps))
    each = Each([Job("first")])
    crew.run(each)
    assert list(each.results.values()) == ["first"] and crew.replaced == count


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_that_ends_all_workers_three_times_over_is_named(count):
    pool = Scripted(lambda worker, method: LOST if method == "begin" else well(method))
    crew = Crew(pool, count)
    crew.tell([Step("begin", name="planning")], after=len(crew.steps))
    with pytest.raises(WorkersError, match=f"^{3 * count} workers ended one after the other at planning, and not"):
        crew.run(Each([Job("first")]))
    assert crew.replaced == 3 * count


def test_a_step_that_ends_workers_between_those_who_take_it_is_not_to_blame():
    did: Counter[int] = Counter()

    def answers(worker: int, method: str) -> Answer:
        """Every other worker is lost at the step, and the others after a job each."""
        did[worker] += method != "up"
        return LOST if did[worker] > 2 or (method == "begin" and worker % 2) else well(method)

    crew = Crew(Scripted(answers), 1)
    crew.tell([Step("begin")], after=len(crew.steps))
    each = Each([Job(f"job {n}") for n in range(5)])
    crew.run(each)
    assert sorted(each.results.values()) == [f"job {n}" for n in range(5)] and crew.replaced == 9


def test_a_worker_that_is_still_loading_is_up():
    """A large model takes longer than the patience for a cluster that may have no room."""
    asked: Counter[str] = Counter()

    def answers(worker: int, method: str) -> Answer | None:
        asked[method] += 1
        return None if method == "load" and asked[method] < 3 else well(method)

    crew = Crew(Scripted(answers), 1)
    crew.tell([Step("load")], after=len(crew.steps))
    each = Each([Job("first")])
    crew.run(each)
    assert list(each.results.values()) == ["first"]


def test_a_cluster_without_room_is_told():
    crew = Crew(Scripted(lambda worker, method: None), 2)
    crew.tell([Step("load")], after=len(crew.steps))
    with pytest.raises(WorkersError, match="No worker came up within 900 s: the cluster has no room"):
        crew.run(Each([Job("first")]))


class Refusing(Scripted):
    """The first call cannot be made, as with an argument that cannot be pickled."""

    def call(self, worker: int, method: str, arguments: Sequence[Any], *, stays: bool = False) -> int:
        if method == "unsendable":
            raise TypeError("cannot pickle it")
        return super().call(worker, method, arguments, stays=stays)


def test_a_worker_who_could_not_be_called_is_at_no_work():
    crew = Crew(Refusing(lambda worker, method: well(method)), 1)
    with pytest.raises(TypeError, match="cannot pickle"):
        crew.run(Each([Job("unsendable")]))
    each = Each([Job("second")])
    crew.run(each)
    assert list(each.results.values()) == ["second"]


def test_an_error_of_one_run_is_not_heard_in_the_next():
    def answers(worker: int, method: str) -> Answer:
        return Answer(Said(error=ZeroDivisionError(method))) if method == "first" else well(method)

    crew = Crew(Scripted(answers), 2)
    with pytest.raises(ZeroDivisionError, match="first"):
        crew.run(Each([Job("first"), Job("first")]))
    each = Each([Job("second"), Job("second")])
    crew.run(each)
    assert list(each.results.values()) == ["second"] * 2
