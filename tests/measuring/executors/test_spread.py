"""Workers give, to the last bit, what one process gives: in whatever order they come free, and whoever is lost."""

from __future__ import annotations

import random
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from local_pool import LocalPool
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from causaltest import SAE, Pair, Pairs, accuracy, every, head, index, last, logit_diff, mean, resample, resid_post
from causaltest.asking.edges import edge
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import gaussian
from causaltest.asking.lab import Backend, Lab
from causaltest.asking.settings import Settings
from causaltest.errors import CausaltestError, MeasurementError, NothingEligible, SiteError, WorkersError
from causaltest.measuring import batch, budget
from causaltest.measuring.backend import ModelBackend, open_backend
from causaltest.measuring.executors.crew import Crew
from causaltest.measuring.executors.shares import Looks
from causaltest.measuring.executors.spread import Spread
from causaltest.measuring.kept_shortcuts import KIND
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.kept import Kept
from causaltest.store.surroundings import Surroundings
from causaltest.writing.plain_effects import plain_numbers

WORDS = "the a cat dog fox hen sat ran saw ate one two".split()
LITTLE = Settings(memory=1 << 20, progress=False)
"""So little that the pairs are cut into several chunks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, word_tokenizer) -> str:
    """A random GPT-2, saved."""
    torch.manual_seed(3)
    tokenizer = word_tokenizer(tuple(WORDS))
    config = GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1)
    place = tmp_path_factory.mktemp("gpt2")
    GPT2LMHeadModel(config).eval().save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


@pytest.fixture(scope="module", autouse=True)
def small_tasks() -> Iterator[None]:
    """Waves of few tokens, and a task for each, so that a chunk has several."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(budget, "MOST_TOKENS_CPU", 48)
        patched.setattr(batch, "TASK_WEIGHTS_CPU", 1)
        yield


def some_pairs(count: int = 24) -> Pairs:
    animals, verbs = WORDS[2:6], WORDS[6:10]
    return Pairs(
        [
            Pair(
                clean=f"the {animals[i % 4]} {verbs[i // 4 % 4]} a {animals[(i + 1) % 4]} the" + " a" * (i % 2),
                corrupt=f"the {animals[(i + 2) % 4]} {verbs[i // 4 % 4]} a {animals[(i + 1) % 4]} the" + " a" * (i % 2),
                answer=" one",
                corrupt_answer=" two",
                id=f"pair {i}",
                cluster=f"{i // 4}",
            )
            for i in range(count)
        ]
    )


def questions(lab: Lab) -> dict[str, Callable[[], Any]]:
    """Questions of every kind, each to be asked of a lab."""
    pairs, other = some_pairs(), some_pairs(16)
    at = resid_post(0, index(1))
    return {
        "replace": lambda: lab.denoise(pairs, at=at).recovery(logit_diff),
        "noise, two sites": lambda: lab.noise(pairs, at=[at, head(1, 1, last())]).drop(logit_diff),
        "mean": lambda: lab.ablate(pairs, at=at, by=mean).drop(logit_diff),
        "mean elsewhere": lambda: lab.ablate(pairs, at=at, by=mean(over=other)).drop(logit_diff),
        "resample": lambda: lab.ablate(pairs, at=at, by=resample).change(logit_diff),
        "gaussian": lambda: lab.ablate(pairs, at=at, by=gaussian(sd=1)).change(logit_diff),
        "edge": lambda: lab.denoise(pairs, at=edge(head(0, 1, last()), head(1, 0, last()))).change(logit_diff),
        "elsewhere": lambda: lab.denoise(pairs, at=at).recovery(logit_diff, wrong_position=index(2)),
        "sweep": lambda: lab.sweep(pairs[::2], at=resid_post(range(2), every())).recovery(logit_diff),
        "attribution": lambda: lab.sweep(pairs, at=head(range(2), range(2), last()), method="attribution").recovery(
            logit_diff
        ),
        "neutral": lambda: lab.denoise(pairs, at=at).is_neutral,
        "clean": lambda: lab.clean(pairs),
        "no site": lambda: lab.denoise(pairs, at=resid_post(7, last())).recovery(logit_diff),
        "nobody counts": lambda: lab.denoise(pairs, at=at).recovery(accuracy),
        "uneven": lambda: lab.ablate(pairs, at=resid_post(0), by=mean).drop(logit_diff),
    }


def told(ask: Callable[[], Any]) -> Any:
    """An answer as plain data that can be compared to the last bit."""
    try:
        given = ask()
    except CausaltestError as error:
        return type(error).__name__, str(error), getattr(error, "excluded", None)
    if hasattr(given, "measured"):
        return plain_numbers(given.measured)
    if hasattr(given, "per_pair"):
        values = None if given.per_pair is None else given.per_pair.values.tobytes()
        return given.estimates, given.distances, given.rows, given.columns, values
    return given


def spread(name: str, pool: LocalPool, workers: int = 2, kept: Kept | None = None) -> Spread:
    return Spread(name, LITTLE, kept, Crew(pool, workers))


def lab_of(name: str, backend: Backend) -> Lab:
    return Lab(name=name, backend=backend, settings=LITTLE)


@pytest.fixture(scope="module")
def serial(folder, small_tasks) -> dict[str, Any]:
    """What one process says, each question in a plan of its own."""
    lab = lab_of(folder, open_backend(folder, None, None, LITTLE))
    return {name: told(ask) for name, ask in questions(lab).items()}


def test_means_of_two_precisions_travel_each_in_its_own(folder, small_tasks, tmp_path):
    """A feature's activations are worked out in single precision, whatever the model's is."""
    arrays = {
        "W_enc": torch.randn(64, 5),
        "W_dec": torch.randn(5, 64),
        "b_enc": torch.zeros(5),
        "b_dec": torch.ones(64),
    }
    save_file(arrays, tmp_path / "sae.safetensors")
    sae = SAE.from_safetensors(tmp_path / "sae.safetensors", subtract_decoder_bias=True)
    at, halved = [resid_post(0, index(1)), resid_post(1, index(2)).features(sae, 3)], replace(LITTLE, dtype="bfloat16")

    def asked(backend: Backend) -> Any:
        lab = Lab(name=folder, backend=backend, settings=halved)
        return told(lambda: lab.ablate(some_pairs(), at=at, by=mean).drop(logit_diff))

    given = asked(Spread(folder, halved, None, Crew(LocalPool(), 2)))
    assert isinstance(given, dict) and given == asked(open_backend(folder, None, None, halved))


def test_the_questions_are_of_every_kind(serial, folder):
    backend = open_backend(folder, None, None, LITTLE)
    assert len(backend.references.chunks(some_pairs())) > 3, "several chunks"
    kinds = [type(one) for one in serial.values()]
    assert kinds.count(dict) == 8
    assert [serial[name][0] for name in ("no site", "nobody counts", "uneven")] == [
        SiteError.__name__,
        NothingEligible.__name__,
        MeasurementError.__name__,
    ]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_give_what_one_process_gives(serial, folder, workers):
    pool = LocalPool(seed=workers)
    lab = lab_of(folder, spread(folder, pool, workers))
    for name, ask in questions(lab).items():
        assert told(ask) == serial[name], name
    ran = Counter(worker for worker, method, _ in pool.log if method == "run")
    assert len(ran) == workers, "all have worked"


@pytest.mark.parametrize("name", ["replace", "mean elsewhere", "resample", "sweep", "attribution"])
@pytest.mark.parametrize("seed", [0])
def test_whoever_is_lost_and_when_the_numbers_are_the_same(serial, folder, seed, name):
    drawn = random.Random(f"{seed} {name}")
    workers, lost = drawn.randint(1, 4), set(drawn.sample(range(2, 60), drawn.randint(1, 6)))
    deaths: Counter[str] = Counter()

    def dies(worker: int, method: str, call: int) -> bool:
        # No call ends three workers, which is another test.
        if call in lost and deaths[method] < 2:
            deaths[method] += 1
            return True
        return False

    pool = LocalPool(seed, dies)
    asked = spread(folder, pool, workers)
    assert told(questions(lab_of(folder, asked))[name]) == serial[name]
    assert asked.crew.replaced == sum(deaths.values()) and pool.begun == workers + asked.crew.replaced


def test_a_worker_who_comes_later_proves_the_model_on_the_prompts_that_the_others_did(folder):
    """What it may leave out must not depend on the pairs that are measured when it comes."""
    lost: list[int] = []

    def dies(worker: int, method: str, call: int) -> bool:
        return bool(lost) and method == "run" and worker == lost.pop()

    pool = LocalPool(dies=dies)
    lab = lab_of(folder, spread(folder, pool, 1))
    first, second = some_pairs(8), some_pairs(16)
    for pairs in (first, second):
        lab.denoise(pairs, at=resid_post(0, index(1))).recovery(logit_diff)
        lost.append(1)
    lab.denoise(second, at=resid_post(1, index(1))).recovery(logit_diff)
    assert [(worker, pairs) for worker, method, pairs in pool.log if method == "prove"] == [(1, first)]
    assert [worker for worker, method, _ in pool.log if method == "proven"] == [1, 2]


def test_what_a_store_says_was_proven_is_proven_no_more(folder, serial, tmp_path, monkeypatch):
    """By workers or without: a run that goes on begins with other pairs, and may leave out what the first might."""
    kept = Kept(Store(tmp_path), Surroundings({"model": {}}))
    pool = LocalPool()
    first, second = some_pairs(8), some_pairs(16)
    lab_of(folder, spread(folder, pool, kept=kept)).clean(first)
    assert [method for _, method, _ in pool.log].count("prove") == 1
    monkeypatch.setattr("causaltest.measuring.backend.prove", lambda *_: pytest.fail("proven again"))
    pool = LocalPool()
    many = lab_of(folder, spread(folder, pool, kept=kept))
    one = lab_of(folder, open_backend(folder, None, None, LITTLE, kept))
    for lab in (many, one):
        assert told(questions(lab)["replace"]) == serial["replace"]
    assert lab_of(folder, spread(folder, LocalPool(), kept=kept)).clean(second) == one.clean(second)


def test_workers_leave_out_what_the_store_says_that_they_may(folder, tmp_path):
    kept = Kept(Store(tmp_path), Surroundings({"model": {}}))
    kept.put(KIND, [], Entry({"forks": False, "trims": False, "fused": False, "why": "as it was found"}))
    pool = LocalPool()
    many, one = spread(folder, pool, kept=kept), open_backend(folder, None, None, LITTLE, kept)
    given = [questions(lab_of(folder, backend))["replace"]() for backend in (many, one)]
    assert [effect.measured.provenance["whole runs"] for effect in given] == ["as it was found"] * 2
    assert told(lambda: given[0]) == told(lambda: given[1])


def test_a_task_that_ends_three_workers_is_named(folder):
    pool = LocalPool(dies=lambda worker, method, call: method == "run")
    with pytest.raises(WorkersError, match="3 workers ended one after the other at waves 0 to 1 of chunk 0, and"):
        questions(lab_of(folder, spread(folder, pool, 1)))["replace"]()


def test_an_error_of_the_workers_is_not_taken_for_the_experiments(folder):
    """Another experiment in the plan would be tried alone, and a store would keep the error as an answer."""
    pool = LocalPool(dies=lambda worker, method, call: method == "begin")
    backend = spread(folder, pool)
    lab = lab_of(folder, backend)
    with pytest.raises(WorkersError, match="at planning 1 experiment"):
        questions(lab)["replace"]()
    assert not backend._measured


class InTurn(LocalPool):
    """Workers who come up together and are equally fast: each sees chunks, and goes on with those that it has seen."""

    def drawn(self, waiting: list[int]) -> int:
        return min(waiting, key=lambda worker: self.queues[worker][0][0])


@pytest.mark.parametrize("workers", [2, 3])
def test_no_clean_run_is_computed_twice(folder, workers):
    """One process lets none go here, and neither do workers need another's."""
    ample = Settings(progress=False)
    one = open_backend(folder, None, None, ample)
    questions(lab_of(folder, one))["replace"]()
    assert len(one.references.chunks(some_pairs())) == 2
    # In any order of answers: a worker may come up when others have seen all chunks.
    for pool in (InTurn(), *map(LocalPool, range(6))):
        many = Spread(folder, ample, None, Crew(pool, workers))
        questions(lab_of(folder, many))["replace"]()
        assert many.counted()["reference_runs"] == one.counted()["reference_runs"] == 48
        assert many.counted()["patched_runs"] == one.counted()["patched_runs"]
        assert many.lent_bytes > 0 or not isinstance(pool, InTurn), "a worker without a chunk of its own has helped"


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_that_nobody_had_in_mind_ends_one_question_alone(folder, serial, monkeypatch, workers):
    def broken(self: Any, task: Any, *given: Any) -> Any:
        raise ZeroDivisionError(f"in chunk {task.chunk}")

    asked = questions(lab_of(folder, spread(folder, LocalPool(), workers)))
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError, match="in chunk"):
        patched.setattr(batch.Batch, "run_task", broken)
        asked["replace"]()
    for name in ("replace", "mean"):
        assert told(asked[name]) == serial[name]


def test_a_plan_that_was_interrupted_goes_on_from_its_parts(folder, serial, tmp_path, monkeypatch):
    monkeypatch.setattr("causaltest.measuring.parts.EVERY_S", 0.0)
    kept = Kept(Store(tmp_path), Surroundings({"model": "this"}))

    class Killed(BaseException):
        pass

    def killed(worker: int, method: str, call: int) -> bool:
        ran[method] += 1
        if ran["run"] == 9:
            raise Killed
        return False

    ran: Counter[str] = Counter()
    with pytest.raises(Killed):
        questions(lab_of(folder, spread(folder, LocalPool(dies=killed), kept=kept)))["replace"]()
    pool = LocalPool()
    assert told(questions(lab_of(folder, spread(folder, pool, kept=kept)))["replace"]) == serial["replace"]
    whole = LocalPool()
    assert told(questions(lab_of(folder, spread(folder, whole)))["replace"]) == serial["replace"]
    tasks = {task for _, method, task in whole.log if method == "run"}
    again = [task for _, method, task in pool.log if method == "run"]
    assert len(again) == len(tasks) - 8


class Lying(list[Any]):
    """What lies in an object store."""


def test_vectors_of_all_pairs_are_let_go_once_they_are_shared(folder, monkeypatch):
    """By this process while tasks are run, and from where they lie for workers when the plan is at its end."""
    looks: list[Any] = []
    held: list[Any] = []

    class Seen(Looks):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            looks.append(weakref.ref(self))

    class Sharing(LocalPool):
        def share(self, value: Any) -> Any:
            if not isinstance(value, list):
                return value
            lies = Lying(value)
            shared.append(weakref.ref(lies))
            return lies

    def noted(worker: int, method: str, call: int) -> bool:
        if method == "run":
            held.append(looks[-1]())
        return False

    shared: list[Any] = []
    monkeypatch.setattr("causaltest.measuring.executors.spread.Looks", Seen)
    backend = spread(folder, Sharing(dies=noted))
    questions(lab_of(folder, backend))["replace"]()
    assert held and not any(held)
    assert shared and shared[-1]() is None


def test_out_of_memory_all_go_on_with_half_of_it(folder, monkeypatch):
    """As one process does: the same halves, and the same note."""

    def full(self: Any, task: Any, *given: Any) -> Any:
        if self.references.budget.bytes > 600_000 and task.chunk == 1:
            raise MemoryError
        return run_task(self, task, *given)

    run_task = batch.Batch.run_task
    monkeypatch.setattr(batch.Batch, "run_task", full)
    monkeypatch.setattr("causaltest.measuring.executors.spread.LEAST", 1 << 18)
    monkeypatch.setattr("causaltest.measuring.backend.LEAST", 1 << 18)
    one = lab_of(folder, open_backend(folder, None, None, LITTLE))
    many = lab_of(folder, spread(folder, LocalPool()))
    for name in ("replace", "sweep"):
        given = told(questions(many)[name])
        assert given == told(questions(one)[name])
    assert "out of memory" in str(told(questions(many)["replace"]))


@pytest.mark.parametrize("ask", ["clean", "cost"])
def test_out_of_memory_beside_a_plan_is_an_error_with_a_text(folder, monkeypatch, ask):
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    backend = spread(folder, LocalPool())
    lab = lab_of(folder, backend)
    lab.clean(some_pairs(4))
    for method in ("clean", "cost_of"):
        monkeypatch.setattr(ModelBackend, method, full)
    backend.expect([cost_question(folder, resid_post(1, last()))])
    with pytest.raises(WorkersError, match=rf"no memory left for {folder}: not even for {1 << 20} bytes"):
        lab.clean(some_pairs(8)) if ask == "clean" else lab.cost()


def cost_question(name: str, at: Any) -> Experiment:
    return Experiment(Patching(name, "denoise", some_pairs(8), (at,)), "change", logit_diff)


def test_what_is_not_asked_about_costs_nothing(folder):
    one, many = open_backend(folder, None, None, LITTLE), spread(folder, LocalPool(), 1)
    first, second = (cost_question(folder, resid_post(layer, last())) for layer in range(2))
    costs = []
    for backend in (one, many):
        backend.expect([first, second])
        costs.append((backend.cost().patched_runs, backend.cost_of([second]).patched_runs))
    assert costs[0] == costs[1] and costs[0][1] < costs[0][0]


def test_a_worker_with_other_files_is_refused(folder, monkeypatch):
    pool = LocalPool()
    backend = spread(folder, pool)
    monkeypatch.setattr("causaltest.store.surroundings.source_digest", lambda package: "another")
    with pytest.raises(
        WorkersError, match=r"would measure something else than this process: source of .* differ there"
    ):
        questions(lab_of(folder, backend))["replace"]()


def test_workers_of_two_kinds_are_refused(folder, monkeypatch):
    kinds = iter(("AVX2", "AVX512"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: next(kinds))
    with pytest.raises(WorkersError, match=r"Two workers are not alike: asked to load, one says .*AVX512"):
        questions(lab_of(folder, spread(folder, LocalPool(seed=1))))["replace"]()
