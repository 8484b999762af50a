"""Which worker gets which test: units of files whole, else as `--dist load` has it. No process is started."""

from __future__ import annotations

import random
from itertools import chain
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("xdist")
from xdist.scheduler import LoadScheduling

from causaltest.pytest_scheduling import ClaimScheduling, make_scheduler


class Worker:
    """A worker as a scheduler sees it: it begins a test when it knows the one after it, or that there is none."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.queue: list[int] = []
        self.sent: list[list[int]] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.sent.append(list(indices))
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def ready(self) -> bool:
        return len(self.queue) > 1 or (self.shutting_down and bool(self.queue))


def config(**options) -> SimpleNamespace:
    values = {"tx": ["2*popen"], "maxschedchunk": None, "dist": "load", **options}
    return SimpleNamespace(getoption=values.get, getvalue=values.get, stash={})


def collected(sizes: list[tuple[int, int]]) -> tuple[list[str], dict[str, str]]:
    """Node ids of files of so many tests, and of each file that is not cut its unit; those of unit 0 are plain."""
    nodes = [f"test_{n}.py::test_{i}" for n, (size, _) in enumerate(sizes) for i in range(size)]
    return nodes, {f"test_{n}.py": f"unit {unit}" for n, (_, unit) in enumerate(sizes) if unit}


def started(scheduler, nodes: list[str], workers: int) -> list[Worker]:
    made = [Worker(f"gw{n}") for n in range(workers)]
    for worker in made:
        scheduler.add_node(worker)
    for worker in made:
        scheduler.add_node_collection(worker, list(nodes))
    assert scheduler.collection_is_completed
    scheduler.schedule()
    return made


def played(scheduler, workers: list[Worker], seed: int, *, slow: bool) -> list[list[int]]:
    """What each worker ran, in an order of finishing that is drawn. Fails where nobody can go on."""
    draw, ran = random.Random(seed), {id(w): [] for w in workers}
    while any(w.queue for w in workers):
        able = [w for w in workers if w.ready]
        assert able, "every worker waits for a second test, and nobody sends one"
        worker = draw.choice(able)
        index = worker.queue.pop(0)
        ran[id(worker)].append(index)
        scheduler.mark_test_complete(worker, index, 1.0 if slow else 0.0)
    assert scheduler.tests_finished and not scheduler.has_pending
    assert all(w.shutting_down for w in workers if ran[id(w)])
    return [ran[id(w)] for w in workers]


suites = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=8)


@settings(max_examples=150)
@given(
    sizes=suites,
    workers=st.integers(1, 5),
    seed=st.integers(0, 9),
    slow=st.booleans(),
    chunk=st.sampled_from([None, 1, 3]),
)
def test_every_test_runs_once_and_a_unit_of_files_on_one_worker_in_its_order(sizes, workers, seed, slow, chunk):
    nodes, units = collected(sizes)
    scheduler = ClaimScheduling(config(tx=[f"{workers}*popen"], maxschedchunk=chunk), None, lambda: units)
    ran = played(scheduler, made := started(scheduler, nodes, workers), seed, slow=slow)
    assert sorted(chain.from_iterable(ran)) == list(range(len(nodes)))
    for unit in set(units.values()):
        mine = [n for n, nodeid in enumerate(nodes) if units.get(nodeid.split("::")[0]) == unit]
        (one,) = [r for r in ran if set(mine) & set(r)]
        at = one.index(mine[0])
        assert one[at : at + len(mine)] == mine
        assert sum(set(mine) <= set(sent) for worker in made for sent in worker.sent) == 1


@settings(max_examples=60)
@given(sizes=suites, workers=st.integers(1, 5), seed=st.integers(0, 9), slow=st.booleans())
def test_a_suite_without_claims_is_handed_out_as_without_the_plugin(sizes, workers, seed, slow):
    nodes, _ = collected(sizes)
    given_out = []
    for make in (lambda c: ClaimScheduling(c, None, dict), lambda c: LoadScheduling(c, None)):
        scheduler = make(config(tx=[f"{workers}*popen"]))
        made = started(scheduler, nodes, workers)
        played(scheduler, made, seed, slow=slow)
        given_out.append([worker.sent for worker in made])
        assert type(scheduler).__name__ == "LoadScheduling"  # as pytest -v prints it
    assert given_out[0] == given_out[1]


def test_plain_tests_are_spread_over_the_workers_that_have_no_claims():
    nodes, units = collected([(6, 1), (40, 0)])
    scheduler = ClaimScheduling(config(), None, lambda: units)
    ran = played(scheduler, started(scheduler, nodes, 2), 0, slow=True)
    assert all(len(r) > 12 for r in ran) and ran[0][:6] == list(range(6))


def test_units_and_other_tests_are_handed_out_in_the_order_of_their_collection():
    nodes, units = collected([(3, 0), (2, 1), (1, 0), (2, 2), (2, 1), (9, 0)])
    scheduler = ClaimScheduling(config(maxschedchunk=2), None, lambda: units)
    first, second = started(scheduler, nodes, 2)
    assert (first.sent, second.sent) == ([[0, 1]], [[2, 3, 4, 8, 9]])
    scheduler.mark_test_complete(first, first.queue.pop(0), 1.0)
    assert first.sent[1:] == [[5, 6, 7]]


@settings(max_examples=60)
@given(sizes=suites, seed=st.integers(0, 99), after=st.integers(0, 6))
def test_what_a_crashed_worker_had_left_runs_on_others(sizes, seed, after):
    nodes, units = collected(sizes)
    scheduler = ClaimScheduling(config(), None, lambda: units)
    workers, draw, ran = started(scheduler, nodes, 2), random.Random(seed), []
    crashed = None
    while any(w.queue for w in workers):
        if scheduler.tests_finished:  # as pytest-xdist asks after each event
            for worker in workers:
                worker.shutdown()
        worker = draw.choice([w for w in workers if w.ready])
        if crashed is None and len(ran) >= after:
            crashed = worker.queue[0]
            assert scheduler.remove_node(worker) == nodes[crashed]
            workers.remove(worker)
            workers.append(replacement := Worker("gw2"))
            scheduler.add_node(replacement)
            scheduler.add_node_collection(replacement, list(nodes))
            scheduler.schedule()
            continue
        ran.append(worker.queue.pop(0))
        scheduler.mark_test_complete(worker, ran[-1], 1.0)
    assert sorted(ran if crashed is None else [*ran, crashed]) == list(range(len(nodes)))


@pytest.mark.parametrize("dist", ["no", "each", "loadscope", "loadfile", "loadgroup", "worksteal"])
def test_another_way_of_spreading_tests_is_left_alone(dist):
    assert make_scheduler(config(dist=dist), None) is None
