"""Stored asks the store first and the model for what is missing, in plans that an interruption does not change."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from causaltest import Pair, Pairs, accuracy, every, last, logit_diff, resid_post
from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment, Patching, canonical_site
from causaltest.asking.lab import Lab
from causaltest.asking.positions import Position
from causaltest.asking.settings import Settings, StorePlace
from causaltest.clean_runs import CleanRuns
from causaltest.effect import Effect, Numbers, SelfPatch
from causaltest.errors import CausaltestError, MeasurementError, ModelError, RecordError
from causaltest.measuring.plans import Plan
from causaltest.measuring.together import Together
from causaltest.organisms import planted
from causaltest.store.answers import written
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.stored import ANSWER, EFFECT, Stored
from causaltest.store.surroundings import Surroundings
from causaltest.sweep import SweepMap
from causaltest.writing.canonical import digest_of

NAME = "organism:planted"
PAIRS = Pairs([Pair("a b", "a c", " x", " y")], iid=True)
OTHER = Pairs([Pair("a b", "a d", " x", " z")], iid=True)


def experiment(layer: int, pairs: Pairs = PAIRS) -> Experiment:
    return Experiment(Patching(NAME, "denoise", pairs, (resid_post(layer, last()),)), "recovery", accuracy)


def surrounded(weights: str, **more: object) -> Surroundings:
    return Surroundings({"called": NAME, "model": {"weights": weights}, **more})


class Fake(Together):
    """A backend whose numbers say with how many others they were measured."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.breaks: Callable[[Experiment], None] = lambda _: None

    @property
    def model(self) -> str:
        return NAME

    def _effects_of(self, plan: Plan) -> list[Effect | CausaltestError]:
        return [self._effect(one, len(plan.experiments)) for one in plan.experiments]

    def _effect(self, experiment: Experiment, together: int) -> Effect | CausaltestError:
        try:
            self.breaks(experiment)
        except CausaltestError as error:
            return error
        self.asked.append(experiment.site)
        return Effect(experiment, Numbers((float(together),), ("a",), None, "continuous"))

    def sweep(self, cells, rows, columns) -> SweepMap:
        self.asked.append("sweep")
        return SweepMap("a map", tuple(rows), tuple(columns), (0.5,), (1.0,), 1, 1, (cells[0].patching.sites[0],))

    def spread(self, site, pairs):
        self.asked.append("spread")
        return replace(site, position=Position("index", (0, 1))) if site.position.kind == "every" else site

    def moved(self, patching) -> SelfPatch:
        self.asked.append("moved")
        return SelfPatch(0.0, 1e-5)

    def clean(self, pairs, rule=accuracy, both_right=False) -> CleanRuns:
        self.asked.append(f"clean {rule}{' both' * both_right}")
        return CleanRuns(NAME, (), str(rule))

    def card(self, text) -> str:
        return "a card"

    def counted(self) -> dict[str, int]:
        return {"patched_runs": len(self.asked)}

    def cost_of(self, experiments) -> Cost:
        return Cost(experiments=len(list(experiments)))

    def patched_runs(self, experiments) -> int:
        self.asked.append("patched runs")
        return len(experiments)


@pytest.fixture
def opened(tmp_path):
    """A new process over the same store: a Stored, and the backend behind it."""

    def go(fake: Fake | None = None) -> tuple[Stored, Fake]:
        fake = fake or Fake()
        return Stored(NAME, Settings(), Store(tmp_path / "store"), lambda kept: fake), fake

    return go


def test_what_was_measured_is_read(opened):
    stored, fake = opened()
    first = stored.measure(experiment(1))
    again, other = opened()
    assert again.measure(experiment(1)) == first == stored.measure(experiment(1))
    assert len(fake.asked) == 1 and not other.asked
    assert stored.counted() == {"patched_runs": 1, "stored": 0, "anew": 2}
    assert again.counted() == {"stored": 1, "anew": 0}


def test_experiments_that_are_alike_are_measured_in_one_plan_and_others_are_not(opened):
    stored, fake = opened()
    stored.expect([experiment(1), experiment(2), experiment(3, OTHER)])
    # Nobody expected it, and in the company of others it would be another number.
    assert stored.measure(experiment(4)).estimate == 1.0
    assert stored.measure(experiment(1)).estimate == 2.0
    assert sorted(fake.asked[1:]) == [experiment(1).site, experiment(2).site]
    assert stored.measure(experiment(3, OTHER)).estimate == 1.0


def test_only_what_is_missing_is_measured(opened):
    stored, _ = opened()
    stored.expect([experiment(1), experiment(2)])
    stored.measure(experiment(1))
    again, fake = opened()
    again.expect([experiment(1), experiment(2), experiment(3)])
    assert [again.measure(experiment(n)).estimate for n in (1, 2, 3)] == [2.0, 2.0, 1.0]
    assert fake.asked == [experiment(3).site] and again.counted()["stored"] == 2


@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_plan_that_was_interrupted_is_measured_as_it_was(opened, same_process, after):
    def interrupt(_: Experiment) -> None:
        if len(fake.asked) == after:
            raise KeyboardInterrupt

    stored, fake = opened()
    stored.expect([experiment(n) for n in (1, 2, 3)])
    fake.breaks = interrupt
    with pytest.raises(KeyboardInterrupt):
        stored.measure(experiment(2))
    fake.breaks = lambda _: None
    if not same_process:
        stored, fake = opened()
        stored.expect([experiment(n) for n in (1, 2, 3)])
    assert [stored.measure(experiment(n)).estimate for n in (3, 1, 2)] == [3.0, 3.0, 3.0]
    again, other = opened()
    assert [again.measure(experiment(n)).estimate for n in (1, 2, 3)] == [3.0] * 3 and not other.asked


def test_where_nothing_can_be_written_an_interrupted_plan_is_measured_whole_too(opened, monkeypatch):
    def interrupt(_: Experiment) -> None:
        if len(fake.asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "put", lambda *_, **__: False)
    stored, fake = opened()
    stored.expect([experiment(n) for n in (1, 2, 3)])
    fake.breaks = interrupt
    with pytest.raises(KeyboardInterrupt):
        stored.measure(experiment(2))
    fake.breaks = lambda _: None
    assert [stored.measure(experiment(n)).estimate for n in (3, 1, 2)] == [3.0, 3.0, 3.0]


def test_a_plan_whose_answers_were_kept_in_part_is_measured_as_it_was(opened, monkeypatch):
    stored, _ = opened()
    stored.expect([experiment(n) for n in (1, 2, 3)])
    puts, put = [], Store.put

    def full(self: Store, kind: str, key: str, entry: Entry, **more: bool) -> bool:
        if kind == EFFECT:
            puts.append(key)
            if len(puts) == 2:
                raise KeyboardInterrupt
        return put(self, kind, key, entry, **more)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(KeyboardInterrupt):
        stored.measure(experiment(1))
    monkeypatch.undo()
    again, _ = opened()
    again.expect([experiment(n) for n in (1, 2, 3)])
    assert [again.measure(experiment(n)).estimate for n in (1, 2, 3)] == [3.0] * 3


def test_a_member_that_cannot_be_measured_is_an_answer_and_leaves_the_others(opened):
    def fail(one: Experiment) -> None:
        if one == experiment(2):
            raise MeasurementError("It gave NaN.")

    stored, fake = opened()
    fake.breaks = fail
    stored.expect([experiment(1), experiment(2)])
    assert stored.measure(experiment(1)).estimate == 2.0
    for backend in (stored, opened()[0]):
        with pytest.raises(MeasurementError, match=r"It gave NaN\."):
            backend.measure(experiment(2))
    assert opened()[0].measure(experiment(1)).estimate == 2.0


def test_an_error_of_the_model_is_no_answer(opened):
    def fail(_: Experiment) -> None:
        raise ModelError("Its weights changed.")

    stored, fake = opened()
    fake.breaks = fail
    with pytest.raises(ModelError):
        stored.measure(experiment(1))
    fake.breaks = lambda _: None
    assert opened(fake)[0].measure(experiment(1)).estimate == 1.0


def test_a_model_that_cannot_be_opened_is_tried_once_and_leaves_no_plan(tmp_path):
    tried = []

    def refuse(_: object) -> Fake:
        tried.append(1)
        raise ModelError("There is none.")

    stored = Stored(NAME, Settings(), Store(tmp_path / "store"), refuse)
    asks = [
        lambda: stored.measure(experiment(1)),
        lambda: stored.measure(experiment(2)),
        lambda: stored.clean(PAIRS),
        lambda: stored.cost(),
    ]
    stored.expect([experiment(1)])
    for ask in asks:
        with pytest.raises(ModelError, match="There is none"):
            ask()
    assert tried == [1] and not list((tmp_path / "store").rglob("*.safetensors"))


@pytest.mark.parametrize("read", [True, False])
def test_a_model_whose_files_change_while_it_is_opened_is_not_mixed_with_what_was_read(tmp_path, monkeypatch, read):
    there = Stored(NAME, Settings(), Store(tmp_path), lambda _: Fake())
    monkeypatch.setattr("causaltest.store.stored.surroundings_of", lambda *_: surrounded("before"))
    there.measure(experiment(1))
    made, opened = iter(["before", "after"]), []
    monkeypatch.setattr("causaltest.store.stored.surroundings_of", lambda *_: surrounded(next(made)))
    stored = Stored(NAME, Settings(), Store(tmp_path), lambda kept: opened.append(kept) or Fake())
    if read:
        stored.measure(experiment(1))
        with pytest.raises(ModelError, match="changed while it was being opened"):
            stored.measure(experiment(2))
        return
    # As of a branch of the hub that has moved: it is the newer one that is measured and kept.
    stored.measure(experiment(2))
    assert opened[-1].surroundings == surrounded("after") == stored.kept.surroundings
    monkeypatch.setattr("causaltest.store.stored.surroundings_of", lambda *_: surrounded("after"))
    again = Stored(NAME, Settings(), Store(tmp_path), lambda _: pytest.fail("it was opened"))
    assert again.measure(experiment(2)).estimate == 1.0


def test_what_is_set_while_a_model_is_opened_closes_the_store_and_is_no_change_of_its_files(tmp_path, monkeypatch):
    now = [["get_default_dtype", "torch.float64"]]
    monkeypatch.setattr("causaltest.store.kept.altered", lambda: list(now))
    monkeypatch.setattr("causaltest.store.stored.surroundings_of", lambda *_: surrounded("same", altered=list(now)))
    store = Store(tmp_path)
    Stored(NAME, Settings(), store, lambda _: Fake()).measure(experiment(1))
    stored = Stored(NAME, Settings(), store, lambda _: now.clear() or Fake())
    stored.measure(experiment(1))
    assert stored.measure(experiment(2)).estimate == 1.0
    assert "get_default_dtype was set after the first question" in store.problems[0]
    monkeypatch.setattr("causaltest.store.stored.surroundings_of", lambda *_: surrounded("same", altered=[]))
    opened = []
    Stored(NAME, Settings(), store, lambda _: opened.append(1) or Fake()).measure(experiment(2))
    assert opened, "it was not kept"


def test_what_is_measured_of_a_model_that_was_just_downloaded_is_kept(tmp_path, monkeypatch):
    downloads, fakes = [], []

    def open_(kept: object) -> Fake:
        downloads.append(kept)
        fakes.append(Fake())
        return fakes[-1]

    def known(*_: object) -> object:
        if not downloads:
            raise RecordError("It is not in the cache of the hub.")
        return surrounded("downloaded")

    monkeypatch.setattr("causaltest.store.stored.surroundings_of", known)
    stored = Stored(NAME, Settings(), Store(tmp_path), open_)
    stored.expect([experiment(1), experiment(2)])
    assert stored.measure(experiment(1)).estimate == 2.0
    assert downloads[0] is None and downloads[1] is not None and not fakes[0].asked
    again = Stored(NAME, Settings(), Store(tmp_path), open_)
    assert again.measure(experiment(2)).estimate == 2.0 and len(downloads) == 2


def test_a_model_that_no_file_identifies_is_measured_and_not_kept(tmp_path, monkeypatch):
    def unknown(*_: object) -> object:
        raise RecordError("It has no weights.")

    monkeypatch.setattr("causaltest.store.stored.surroundings_of", unknown)
    fake = Fake()
    stored = Stored(NAME, Settings(), Store(tmp_path / "store"), lambda _: fake)
    stored.expect([experiment(1), experiment(2)])
    assert stored.measure(experiment(1)).estimate == 2.0 and stored.clean(PAIRS).model == NAME
    assert not (tmp_path / "store").exists() and stored.counted()["anew"] == 2


def test_every_other_question_is_answered_from_the_store_too(opened):
    site, cell = resid_post(range(2), every()), experiment(1)

    def ask(backend: Stored) -> list[object]:
        return [
            backend.sweep([cell], ["L1"], ["last"]),
            backend.sweep([cell], ["another name"], ["last"]),
            backend.spread(site, PAIRS),
            backend.spread(resid_post(1, last()), PAIRS),
            backend.moved(cell.patching),
            backend.clean(PAIRS),
            backend.clean(PAIRS, logit_diff),
            backend.clean(PAIRS, accuracy, True),
            backend.clean(OTHER),
            backend.patched_runs([cell, experiment(2)]),
            backend.patched_runs([cell]),
        ]

    stored, fake = opened()
    first = ask(stored)
    assert len(fake.asked) == len(first)
    assert stored.counted() == {"patched_runs": len(first), "stored": 0, "anew": 7}
    again, other = opened()
    assert ask(again) == first and not other.asked and again.counted() == {"stored": 7, "anew": 0}


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("plain", [{}, nested(900), {"numbers": nested(900)}])
def test_an_answer_that_cannot_be_read_is_set_aside_and_measured(opened, plain):
    stored, _ = opened()
    stored.measure(experiment(1))
    stored.store.put(EFFECT, stored.kept.key(EFFECT, experiment(1).digest), Entry({"plain": plain, "texts": []}))
    again, fake = opened()
    assert again.measure(experiment(1)).estimate == 1.0
    (told,) = again.store.damaged
    assert "it holds no answer" in told and len(fake.asked) == 1


def test_a_prompt_of_more_tokens_than_any_has_is_set_aside_and_nothing_is_made_of_it(opened):
    site = resid_post(1, every())
    stored, _ = opened()
    right = stored.spread(site, PAIRS)
    question = digest_of(["spread", canonical_site(site), PAIRS.digest])
    assert stored.kept.get(ANSWER, question) is not None
    stored.kept.put(ANSWER, question, written({"tokens": 10**9}))
    again, fake = opened()
    tracemalloc.start()
    assert again.spread(site, PAIRS) == right and fake.asked == ["spread"] and len(again.store.damaged) == 1
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 26


def test_an_answer_at_an_address_that_cannot_be_read_is_brought_once_and_put_anew(tmp_path):
    settings = Settings(store=StorePlace(f"file://{tmp_path}/share"))
    first = Stored(NAME, settings, Store(tmp_path / "1"), lambda _: Fake())
    first.kept.put(EFFECT, experiment(1).digest, Entry({"plain": {}, "texts": []}))
    first.kept.let_go()
    second = Stored(NAME, settings, Store(tmp_path / "2"), lambda _: Fake())
    second.expect([experiment(1)])
    assert second.measure(experiment(1)).estimate == 1.0
    assert len(second.store.damaged) == len(list((tmp_path / "2" / "damaged").iterdir())) == 1
    third = Stored(NAME, settings, Store(tmp_path / "3"), lambda _: pytest.fail("it was opened"))
    assert third.measure(experiment(1)).estimate == 1.0


def test_what_is_left_to_measure_is_what_the_store_lacks(opened):
    stored, _ = opened()
    stored.measure(experiment(1))
    again, fake = opened()
    again.expect([experiment(1), experiment(2)])
    assert again.cost() == Cost(experiments=1, stored=1) and not fake.asked
    all_there = Stored(NAME, Settings(), again.store, lambda _: pytest.fail("it was opened"))
    all_there.expect([experiment(1)])
    assert all_there.cost() == Cost(stored=1)


def test_a_lab_asks_the_store_where_it_has_a_place_and_a_name(tmp_path):
    settings = Settings(store=StorePlace(str(tmp_path)))
    assert isinstance(Lab.load(NAME, settings=settings).backend, Stored)
    assert isinstance(Lab.load(NAME, store=tmp_path).backend, Stored)
    assert not isinstance(Lab.load(NAME).backend, Stored)


def test_what_another_process_of_the_run_has_measured_counts_as_measured_in_the_run(tmp_path):
    def of_run(run: str) -> tuple[Stored, Fake]:
        fake, place = Fake(), StorePlace(str(tmp_path), run=run)
        return Stored(NAME, Settings(store=place), Store(tmp_path), lambda kept: fake), fake

    (first, _), (second, other), (later, _), (alone, _) = map(of_run, ("a", "a", "b", ""))
    given = [(stored.measure(experiment(1)), stored.clean(PAIRS)) for stored in (first, second, later, alone)]
    assert len(set(map(str, given))) == 1 and not other.asked
    counts = [stored.counted() for stored in (first, second, later, alone)]
    assert [(count["stored"], count["anew"]) for count in counts] == [(0, 2), (0, 2), (2, 0), (2, 0)]


def test_a_script_that_keeps_what_it_measures_reads_it_the_next_time(tmp_path):
    def asked() -> tuple[Effect, dict[str, int]]:
        lab = Lab.load(NAME, store=tmp_path)
        return lab.denoise(planted.pairs(per_cluster=1), at=resid_post(1, last())).recovery(accuracy), lab.counts

    (first, before), (again, after) = asked(), asked()
    assert first == again and before["anew"] == after["stored"] == 1 and "patched_runs" not in after


def test_what_is_expected_is_brought_from_an_address_at_once(tmp_path, monkeypatch):
    from causaltest.asking.settings import StorePlace
    from causaltest.store.remote import Remote

    settings = Settings(store=StorePlace(f"file://{tmp_path}/share"))
    first = Stored(NAME, settings, Store(tmp_path / "1"), lambda _: Fake())
    first.expect([experiment(1), experiment(2)])
    first.measure(experiment(1))
    asked, several = [], Remote.several

    def counted(self: Remote, kind: str, keys: list[str]) -> object:
        asked.append((kind, len(keys)))
        return several(self, kind, keys)

    monkeypatch.setattr(Remote, "several", counted)
    second = Stored(NAME, settings, Store(tmp_path / "2"), lambda _: pytest.fail("it was opened"))
    second.expect([experiment(1), experiment(2)])
    assert [second.measure(experiment(n)).estimate for n in (1, 2)] == [2.0, 2.0]
    assert asked == [("effects", 2)]


def test_of_thousands_of_effects_those_that_can_be_read_again_are_not_held(opened, monkeypatch):
    monkeypatch.setattr("causaltest.store.stored.MOST_HELD", 2)
    stored, fake = opened()
    asked = [experiment(n) for n in range(6)]
    stored.expect(asked)
    assert [stored.measure(one).estimate for one in asked] == [6.0] * 6
    assert len(stored._answers) <= 2 and not fake._measured
    assert [stored.measure(one).estimate for one in reversed(asked)] == [6.0] * 6
    assert len(fake.asked) == 6 and stored.counted()["anew"] == 12


def test_what_could_not_be_kept_is_held(opened, monkeypatch):
    monkeypatch.setattr("causaltest.store.stored.MOST_HELD", 1)
    monkeypatch.setattr(Store, "put", lambda *_, **__: False)
    stored, fake = opened()
    asked = [experiment(n) for n in range(4)]
    for one in (*asked, *asked):
        stored.measure(one)
    assert len(fake.asked) == 4


def test_to_ask_what_it_costs_makes_no_company(opened):
    """The journal knows of none, and a run that is killed could not measure it again."""
    stored, _ = opened()
    stored.expect([experiment(1), experiment(2)])
    stored.cost()
    assert [stored.measure(experiment(n)).estimate for n in (4, 1)] == [1.0, 2.0]


def test_a_company_that_was_begun_has_no_other_members_whoever_asked_what_it_costs(opened):
    interrupted(opened)
    again, _ = opened()
    again.expect([experiment(n) for n in (1, 2, 3)])
    again.cost()
    assert [again.measure(experiment(n)).estimate for n in (1, 2, 3)] == [2.0, 2.0, 1.0]


def test_a_company_that_was_interrupted_and_finished_elsewhere_is_not_measured_with_the_next(opened):
    stored, fake = interrupted(opened)
    elsewhere, _ = opened()
    elsewhere.expect([experiment(1), experiment(2)])
    elsewhere.measure(experiment(1))
    fake.breaks = lambda _: None
    stored.expect([experiment(3)])
    assert [stored.measure(experiment(n)).estimate for n in (3, 1)] == [1.0, 2.0]


def interrupted(opened):
    """A store and what measures behind it, after a company of two was begun and broken off."""

    def interrupt(_: Experiment) -> None:
        raise KeyboardInterrupt

    stored, fake = opened()
    stored.expect([experiment(1), experiment(2)])
    fake.breaks = interrupt
    with pytest.raises(KeyboardInterrupt):
        stored.measure(experiment(1))
    return stored, fake
