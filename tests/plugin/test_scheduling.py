"""Which worker gets which test: files with claims whole, else as `--dist load` has it. No process is started."""

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


def collected(sizes: list[tuple[int, bool]]) -> tuple[list[str], frozenset[str]]:
    """Node ids of files of so many tests, and those files that have claims."""
    nodes = [f"test_{n}.py::test_{i}" for n, (size, _) in enumerate(sizes) for i in range(size)]
    return nodes, frozenset(f"test_{n}.py" for n, (_, claims) in enumerate(sizes) if claims)


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


suites = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=150)
@given(
    sizes=suites,
    workers=st.integers(1, 5),
    seed=st.integers(0, 9),
    slow=st.booleans(),
    chunk=st.sampled_from([None, 1, 3]),
)
def test_every_test_runs_once_and_a_file_with_claims_on_one_worker_in_its_order(sizes, workers, seed, slow, chunk):
    nodes, files = collected(sizes)
    scheduler = ClaimScheduling(config(tx=[f"{workers}*popen"], maxschedchunk=chunk), None, lambda: files)
    ran = played(scheduler, made := started(scheduler, nodes, workers), seed, slow=slow)
    assert sorted(chain.from_iterable(ran)) == list(range(len(nodes)))
    for file in files:
        mine = [n for n, nodeid in enumerate(nodes) if nodeid.startswith(f"{file}::")]
        (one,) = [r for r in ran if set(mine) & set(r)]
        at = one.index(mine[0])
        assert one[at : at + len(mine)] == mine
        assert sum(set(mine) <= set(sent) for worker in made for sent in worker.sent) == 1


@settings(max_examples=60)
@given(sizes=suites, workers=st.integers(1, 5), seed=st.integers(0, 9), slow=st.booleans())
def test_a_suite_without_claims_is_handed_out_as_without_the_plugin(sizes, workers, seed, slow):
    nodes, _ = collected(sizes)
    given_out = []
    for make in (lambda c: ClaimScheduling(c, None, frozenset), lambda c: LoadScheduling(c, None)):
        scheduler = make(config(tx=[f"{workers}*popen"]))
        made = started(scheduler, nodes, workers)
        played(scheduler, made, seed, slow=slow)
        given_out.append([worker.sent for worker in made])
        assert type(scheduler).__name__ == "LoadScheduling"  # as pytest -v prints it
    assert given_out[0] == given_out[1]


def test_plain_tests_are_spread_over_the_workers_that_have_no_claims():
    nodes, files = collected([(6, True), (40, False)])
    scheduler = ClaimScheduling(config(), None, lambda: files)
    ran = played(scheduler, started(scheduler, nodes, 2), 0, slow=True)
    assert all(len(r) > 12 for r in ran) and ran[0][:6] == list(range(6))


def test_files_with_claims_go_one_to_each_worker_first():
    nodes, files = collected([(30, False), (3, True), (30, False), (3, True)])
    scheduler = ClaimScheduling(config(), None, lambda: files)
    first, second = started(scheduler, nodes, 2)
    assert first.sent == [[30, 31, 32]] and second.sent == [[63, 64, 65]]


@settings(max_examples=60)
@given(sizes=suites, seed=st.integers(0, 99), after=st.integers(0, 6))
def test_what_a_crashed_worker_had_left_runs_on_others(sizes, seed, after):
    nodes, files = collected(sizes)
    scheduler = ClaimScheduling(config(), None, lambda: files)
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
