"""A run that is interrupted at any write goes on, and gives what it would have given, to the last bit."""

from __future__ import annotations

import json
import random
import shutil

import pytest
import torch

from causaltest import Pairs, accuracy, edge, head, last, logit_diff, pattern, q, resid_post, step
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.settings import Settings
from causaltest.errors import CausaltestError
from causaltest.measuring import batch, parts
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend
from causaltest.store.answers import plain_effect, plain_error
from causaltest.store.folder import Store
from causaltest.store.stored import Stored

NAME = "organism:planted"


class Killed(BaseException):
    """What no handler of an error catches, as nothing catches a kill."""


class Mortal(Store):
    """A store whose process dies at its n-th change."""

    left = 10**9

    def put(self, *given, **more):
        self.count()
        done = super().put(*given, **more)
        self.count()
        return done

    def drop(self, *given):
        self.count()
        super().drop(*given)

    def count(self):
        type(self).left -= 1
        if self.left < 0:
            raise Killed


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """A task for every wave, and a part for every task."""
    monkeypatch.setattr(batch, "TASK_WEIGHTS_CPU", 1)
    monkeypatch.setattr(parts, "EVERY_S", 0.0)
    monkeypatch.setattr(Mortal, "left", 10**9)


def asked(pairs: Pairs) -> list[Experiment]:
    """Experiments that differ in how they are run: given answers, generated ones, patterns, an edge."""
    halves = pairs[:4], pairs[2:]

    def of(pairs, at, metric, quantity="recovery", direction="denoise", edges=()):
        sites = tuple(at) if isinstance(at, tuple) else (at,)
        return Experiment(Patching(NAME, direction, pairs, sites, edges=edges), quantity, metric, True, 2)

    path = edge(head(0, 1, last()), q(2, 1, last()))
    return [
        of(halves[0], resid_post(1, last()), logit_diff),
        of(halves[0], pattern(1, 2, last()), logit_diff),
        of(halves[0], path.sites, logit_diff, edges=(path,)),
        of(halves[0], resid_post(0, step(1)), logit_diff(range=(-50, 50)), "drop", "noise"),
        of(halves[1], resid_post(1, last()), logit_diff, "drop", "noise"),
        of(halves[1], head(1, (0, 2), last()), logit_diff, "drop", "noise"),
        of(halves[1], resid_post(1, last()), accuracy, "change"),
    ]


def answers(model, tokenizer, folder, experiments, store=None) -> tuple[list[str], dict]:
    """Every answer as it would be written, and what was computed for them."""
    opened = lambda kept: ModelBackend(wrap(model, tokenizer, NAME), Settings(), kept)  # noqa: E731
    stored = Stored(NAME, Settings(), store or Mortal(folder), opened)
    stored.expect(experiments)
    told = []
    for one in experiments:
        try:
            plain = plain_effect(stored.measure(one))
        except CausaltestError as error:
            plain = plain_error(error)
        # A float's text is as long as it needs to be the same float again.
        told.append(json.dumps(plain, sort_keys=True, default=list))
    return told, stored.counted()


def changes(model, tokenizer, folder, experiments) -> int:
    Mortal.left = 10**6
    answers(model, tokenizer, folder, experiments)
    made, Mortal.left = 10**6 - Mortal.left, 10**9
    return made


MODELS = ["tiny_gpt2", "tiny_llama"]


@pytest.mark.parametrize("name", MODELS)
def test_a_run_killed_at_any_write_goes_on_to_the_same_bits(request, name, tmp_path):
    tiny = request.getfixturevalue(name)
    experiments = asked(tiny.pairs)
    wanted, counted = answers(tiny.model, tiny.tokenizer, tmp_path / "undisturbed", experiments)
    made = changes(tiny.model, tiny.tokenizer, tmp_path / "counted", experiments)
    assert made > 40
    for n in random.Random(name).sample(range(made), 4):
        folder = tmp_path / str(n)
        Mortal.left = n
        with pytest.raises(Killed):
            answers(tiny.model, tiny.tokenizer, folder, experiments)
        Mortal.left = 10**9
        told, again = answers(tiny.model, tiny.tokenizer, folder, experiments)
        assert told == wanted, n
        assert again.get("patched_runs", 0) <= counted["patched_runs"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_runs_that_are_read_give_the_bits_of_runs_that_were_computed(request, name, dtype, tmp_path):
    make = request.getfixturevalue(f"new_{name}")
    tiny = request.getfixturevalue("tiny_gpt2")
    model = make().to(dtype)
    experiments = asked(tiny.pairs)
    computed, counted = answers(model, tiny.tokenizer, tmp_path / "store", experiments)
    for kind in ("effects", "answers", "parts", "plans"):
        shutil.rmtree(tmp_path / "store" / kind, ignore_errors=True)
    read, again = answers(model, tiny.tokenizer, tmp_path / "store", experiments)
    assert again["reference_runs"] == 0 < counted["reference_runs"]
    assert again["patched_runs"] == counted["patched_runs"]
    assert read == computed


@pytest.fixture
def experiments(random_pairs):
    """Experiments on pairs of five lengths: a chunk, and so a task, of each."""
    pairs = random_pairs(15, (4, 5, 6, 7, 8))
    sites = [resid_post(0, last()), resid_post(1, last()), head(1, 2, last())]
    return [Experiment(Patching(NAME, "denoise", pairs, (at,)), "recovery", logit_diff, True, 2) for at in sites]


def begun(tiny, folder, experiments, changes) -> None:
    """A run that dies after so many changes of its store."""
    Mortal.left = changes
    with pytest.raises(Killed):
        answers(tiny.model, tiny.tokenizer, folder, experiments)
    Mortal.left = 10**9


def files(folder, kind):
    return sorted((folder / kind).rglob("*.safetensors"))


def test_a_damaged_part_costs_its_own_tasks_and_no_others(tiny_gpt2, experiments, tmp_path):
    wanted, counted = answers(tiny_gpt2.model, tiny_gpt2.tokenizer, tmp_path / "undisturbed", experiments)
    computed = []
    for damage in (False, True):
        folder = tmp_path / f"{damage}"
        begun(tiny_gpt2, folder, experiments, changes=20)
        parts = files(folder, "parts")
        assert len(parts) >= 3
        if damage:
            data = bytearray(parts[1].read_bytes())
            data[-1] ^= 1
            parts[1].write_bytes(data)
        told, again = answers(tiny_gpt2.model, tiny_gpt2.tokenizer, folder, experiments)
        assert told == wanted
        assert bool(list((folder / "damaged").glob("*"))) == damage
        computed.append(again["patched_runs"])
    assert computed[0] < computed[1] < counted["patched_runs"]


def test_a_run_of_some_leaves_what_was_begun_to_a_run_of_all(tiny_gpt2, experiments, tmp_path):
    model, tokenizer = tiny_gpt2.model, tiny_gpt2.tokenizer
    wanted, counted = answers(model, tokenizer, tmp_path / "undisturbed", experiments)
    begun(tiny_gpt2, tmp_path / "store", experiments, changes=20)
    some, _ = answers(model, tokenizer, tmp_path / "store", experiments[:1])
    assert files(tmp_path / "store", "plans")
    told, again = answers(model, tokenizer, tmp_path / "store", experiments)
    # What was stored stays; the others come of the company in which they were begun.
    assert told == [*some, *wanted[1:]]
    assert again["patched_runs"] < counted["patched_runs"]
    assert not files(tmp_path / "store", "plans") and not files(tmp_path / "store", "parts")


def test_ctrl_c_keeps_what_was_run(tiny_gpt2, experiments, tmp_path, monkeypatch):
    model, tokenizer = tiny_gpt2.model, tiny_gpt2.tokenizer
    wanted, counted = answers(model, tokenizer, tmp_path / "undisturbed", experiments)
    monkeypatch.setattr(parts, "EVERY_S", 1e9)
    run_task, ran = batch.Batch.run_task, []

    def interrupted(self, task, *given):
        ran.append(task)
        if len(ran) == 4:
            raise KeyboardInterrupt
        return run_task(self, task, *given)

    with monkeypatch.context() as patched:
        patched.setattr(batch.Batch, "run_task", interrupted)
        with pytest.raises(KeyboardInterrupt):
            answers(model, tokenizer, tmp_path / "store", experiments)
    assert len(files(tmp_path / "store", "parts")) == 1
    told, again = answers(model, tokenizer, tmp_path / "store", experiments)
    assert told == wanted and again["patched_runs"] < counted["patched_runs"]


def test_what_may_be_left_out_is_proven_once(tiny_gpt2, tmp_path, monkeypatch):
    """On whichever pairs a run begins: one that goes on begins with others."""
    experiments = asked(tiny_gpt2.pairs)
    model, tokenizer = tiny_gpt2.model, tiny_gpt2.tokenizer
    wanted, _ = answers(model, tokenizer, tmp_path, experiments[:1])
    monkeypatch.setattr("causaltest.measuring.backend.prove", lambda *_: pytest.fail("proven again"))
    told, again = answers(model, tokenizer, tmp_path, experiments[4:5])
    assert again["patched_runs"] and told != wanted
