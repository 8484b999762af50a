"""Kept: an entry is found under its own key alone, and nothing is kept under a key that may be another model's."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest import Pair, Pairs, edge, head, index, last, logit, logit_diff, resid_post, span, thought
from causaltest.asking.chats import Chat
from causaltest.asking.checks import Checks
from causaltest.asking.directions import direction
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import Intervention, add, gaussian, mean, scale, zero
from causaltest.asking.interventions import replace as by_replacing
from causaltest.asking.methods import Method
from causaltest.asking.metrics import Metric, accuracy, exact_match
from causaltest.asking.positions import Position, first, nth
from causaltest.asking.sites import Site
from causaltest.asking.wrong_places import wrong_layers
from causaltest.store import kept as kept_module
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.kept import Kept
from causaltest.store.surroundings import Surroundings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ONE = Pair("a b", "a c", "x", "y", cluster="k", id="1", spans={"s": (0, 1)}, corrupt_spans={"s": (0, 1)})
OTHER_PAIR = {
    "clean": "a d",
    "corrupt": "a d",
    "answer": "z",
    "corrupt_answer": "z",
    "cluster": "l",
    "id": "2",
    "spans": {"s": (0, 2)},
    "corrupt_spans": {"s": (0, 2)},
    "chat": Chat(system="Be brief."),
}
OTHER_CHAT = {"system": "b", "turns": (("u", "a"),), "prefill": "p", "options": {"enable_thinking": True}}


def asked(pairs=None, **changes: object) -> Experiment:
    patching = Patching("m", "denoise", Pairs([ONE]) if pairs is None else pairs, (resid_post(3, last()),))
    mine = {name: changes.pop(name) for name in [*changes] if name in {f.name for f in fields(Patching)}}
    return Experiment(replace(patching, **mine), **{"quantity": "change", "metric": logit_diff, **changes})


def key(experiment: Experiment) -> str:
    return Kept(Store("unused"), Surroundings({})).key("effects", experiment.canonical())


def test_every_part_of_a_pair_and_of_its_chat_is_in_the_key():
    assert OTHER_PAIR.keys() == {field.name for field in fields(Pair)}
    assert OTHER_CHAT.keys() == {field.name for field in fields(Chat)}
    pairs = [ONE, *(replace(ONE, **{name: other}) for name, other in OTHER_PAIR.items())]
    pairs += [replace(ONE, chat=Chat(**{"system": "Be brief.", name: other})) for name, other in OTHER_CHAT.items()]
    keys = {key(asked(Pairs([pair]))) for pair in pairs} | {key(asked(Pairs([replace(ONE, cluster=None)], iid=True)))}
    assert len(keys) == len(pairs) + 1


def test_the_order_of_pairs_is_in_the_key():
    """It decides which of them share a forward."""
    two = [ONE, replace(ONE, id="2")]
    assert key(asked(Pairs(two))) != key(asked(Pairs(two[::-1])))


OTHER_PATCHING = {
    "model": "n",
    "direction": "noise",
    "pairs": Pairs([replace(ONE, answer="z")]),
    "sites": (resid_post(4, last()),),
    "intervention": zero,
    "method": Method("attribution"),
    "edges": (edge(head(1, 1, last()), head(2, 1, last())),),
}
OTHER_EXPERIMENT = {
    "patching": asked(model="n").patching,
    "quantity": "recovery",
    "metric": logit,
    "controls": False,
    "placebo_draws": 7,
    "seed": "9",
    "checks": Checks(eligible=accuracy),
}
OTHER_CHECKS = {
    "waived": (("placebo", "why"),),
    "wrong_places": wrong_layers((resid_post(3, last()),), (), 1),
    "eligible": accuracy,
    "both_right": True,
}


def test_every_part_of_an_experiment_is_in_the_key():
    assert OTHER_PATCHING.keys() == {field.name for field in fields(Patching)}
    assert OTHER_EXPERIMENT.keys() == {field.name for field in fields(Experiment)}
    assert OTHER_CHECKS.keys() == {field.name for field in fields(Checks)}
    plain = {"controls": False, "placebo_draws": 0}
    ablated = asked(direction="ablate", intervention=mean, metric=logit, **plain)
    experiments = [ablated, replace(ablated, patching=replace(ablated.patching, intervention=zero))]
    for name in ("model", "pairs", "sites", "method", "edges"):
        experiments.append(asked(**plain, **{name: OTHER_PATCHING[name]}))
    experiments += [asked(direction="noise"), asked(**plain)]
    experiments += [replace(asked(), **{name: other}) for name, other in OTHER_EXPERIMENT.items()]
    experiments += [asked(metric=accuracy, checks=Checks(both_right=True)), asked(metric=accuracy)]
    experiments += [asked(checks=Checks(**{name: OTHER_CHECKS[name]})) for name in ("waived", "wrong_places")]
    assert len({key(one) for one in experiments}) == len(experiments)


METRICS = [logit, logit(first_token=True), logit_diff, logit_diff(range=(-1, 1)), logit_diff(range=(-1, 2)), accuracy]
METRICS += [exact_match, exact_match(extract="last_number"), exact_match(max_new_tokens=3)]
POSITIONS = [last(), index(1), index(1, 2), index(2), first("a"), last("a"), nth("a", 1), nth("a", 0), span("s")]
POSITIONS += [first(span("s")), last(span("s")), thought(0), thought([0, 1])]
WITHIN = [None, direction([1.0, 2.0]), direction([1.0, 3.0]), direction([[1.0, 2.0], [1.0, 3.0]])]
INTERVENTIONS = [by_replacing, zero, mean, mean(over=Pairs([ONE])), mean(over=Pairs([replace(ONE, answer="z")]))]
INTERVENTIONS += [scale(0.5), scale(0.25), gaussian(sd=1), gaussian(sd=2), add([1.0, 2.0]), add([1.0, 3.0])]
INTERVENTIONS += [add([1.0, 2.0], times=2)]
TRIED = {
    Metric: {"name", "kind", "range", "first_token", "extract", "max_new_tokens"},
    Position: {"kind", "numbers", "text", "of", "occurrence"},
    Site: {"component", "layers", "parts", "position", "within", "found"},
    Intervention: {"kind", "amount", "over", "vector"},
}


@pytest.mark.parametrize("kind", TRIED)
def test_no_part_was_added_that_these_tests_do_not_know(kind):
    """Whoever adds one: it belongs in `Experiment.canonical`, and in the lists above."""
    assert {field.name for field in fields(kind)} == TRIED[kind]


def direction_of(by: Intervention) -> str | None:
    """The direction that takes an intervention, None where two do."""
    return {"replace": None, "add": "steer"}.get(by.kind, "ablate")


def sites():
    place = st.tuples(st.sampled_from(["resid_post", "resid_pre", "head"]), st.sampled_from([(1,), (2,), (1, 2)]))
    parts = st.sampled_from([(0,), (1,), (0, 1)])
    rest = st.tuples(parts, st.sampled_from(POSITIONS), st.sampled_from(WITHIN))
    return st.builds(lambda p, r: Site(p[0], p[1], r[0] if p[0] == "head" else (), *r[1:]), place, rest)


def experiments():
    pairs = st.sampled_from(
        [Pairs([ONE]), Pairs([replace(ONE, cluster=None)], iid=True), Pairs([replace(ONE, answer="z")])]
    )
    by = st.sampled_from(INTERVENTIONS)
    more = st.tuples(st.sampled_from(METRICS), st.booleans(), st.sampled_from([0, 2]), st.sampled_from(["0", "1"]))

    def made(pairs, where, by, more, direction):
        metric, controls, draws, seed = more
        patching = Patching("m", direction_of(by) or direction, pairs, tuple(where), by)
        return Experiment(patching, "change", metric, controls, draws, seed)

    directions = st.sampled_from(["denoise", "noise"])
    return st.builds(made, pairs, st.lists(sites(), min_size=1, max_size=2), by, more, directions)


@settings(max_examples=300, deadline=None)
@given(experiments(), experiments())
def test_two_experiments_have_one_key_where_they_are_equal_and_only_there(one, other):
    assert (key(one) == key(other)) is (one == other)
    assert key(one) == key(replace(one))


@settings(max_examples=300, deadline=None)
@given(experiments(), st.data())
def test_an_experiment_that_differs_in_one_place_has_another_key(one, data):
    patching, site = one.patching, one.patching.sites[0]
    parts = {"position": POSITIONS, "within": WITHIN, "layers": [(1,), (2,)], "component": ["mlp_out", "attn_out"]}
    others = [
        replace(patching, sites=(replace(site, **{name: data.draw(st.sampled_from(values))}), *patching.sites[1:]))
        for name, values in parts.items()
    ]
    by = data.draw(
        st.sampled_from([by for by in INTERVENTIONS if direction_of(by) == direction_of(patching.intervention)])
    )
    others += [replace(patching, intervention=by), replace(patching, model="n")]
    read = data.draw(st.sampled_from(METRICS))
    for other in [replace(one, patching=other) for other in others] + [replace(one, metric=read)]:
        assert (key(one) == key(other)) is (one == other)
    assert key(replace(one, seed=one.seed + "x")) != key(one)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def surrounded(**plain: object) -> Surroundings:
    return Surroundings({"called": "org/m", "model": {"name": "org/m", "commit": COMMIT, "weights": "aa"}, **plain})


def test_an_entry_is_found_by_its_kind_its_question_and_what_surrounds_it(store):
    mine = Kept(store, surrounded())
    mine.put("effects", {"a": 1}, Entry({"n": 1}))
    assert mine.get("effects", {"a": 1}).said == {"n": 1}
    assert mine.key("answers", {"a": 1}) != mine.key("effects", {"a": 1})
    assert mine.get("answers", {"a": 1}) is None and mine.get("effects", {"a": 2}) is None
    assert Kept(store, surrounded(memory=1)).get("effects", {"a": 1}) is None
    assert Kept(store, surrounded()).get("effects", {"a": 1}) is not None


@pytest.mark.parametrize(
    ("provenance", "told"),
    [
        ({"weights": "bb"}, "loaded with weights bb, and its files said aa"),
        ({"commit": COMMIT[::-1]}, "loaded with commit 76543210, and its files said 01234567"),
        ({"own class": "conftest.Mine"}, "made by conftest.Mine"),
    ],
)
def test_nothing_is_read_or_kept_of_a_model_that_is_not_the_keys_own(store, provenance, told):
    Kept(store, surrounded()).put("effects", 1, Entry({"n": 1}))
    kept = Kept(store, surrounded())
    kept.loaded(provenance)
    assert kept.get("effects", 1) is None and kept.put("effects", 2, Entry({})) is False
    (sentence,) = store.problems
    assert told in sentence and "org/m" in sentence
    assert Kept(store, surrounded()).get("effects", 2) is None


@pytest.mark.parametrize("name", ["attention sdpa", "mask sdpa"])
def test_nothing_is_read_or_kept_where_a_function_computes_that_no_key_describes(store, monkeypatch, name):
    """Its name is in the key, and a name stays the same when its body is edited."""
    now = [[name, "conftest.mine"]]
    monkeypatch.setattr(kept_module, "altered", lambda: list(now))
    kept = Kept(store, surrounded(altered=now))
    assert not kept.put("effects", 1, Entry({})) and kept.get("effects", 1) is None
    (sentence,) = store.problems
    assert f"conftest.mine ({name}) was registered" in sentence


@pytest.mark.parametrize("rewritten", [False, True])
def test_what_nobody_can_use_is_set_aside_unless_another_process_has_written_it_anew(store, rewritten):
    kept = Kept(store, surrounded())
    kept.put("effects", 1, Entry({"n": 1}))
    read = kept.get("effects", 1)
    if rewritten:
        Kept(Store(store.folder), surrounded()).put("effects", 1, Entry({"n": 2}))
    kept.set_aside("effects", 1, read, "it holds no answer")
    found = kept.get("effects", 1)
    assert (found is not None and found.said == {"n": 2} and not store.damaged) if rewritten else found is None


def test_a_model_that_is_the_keys_own_is_read_and_kept(store):
    kept = Kept(store, surrounded())
    kept.loaded({"weights": "aa", "commit": COMMIT, "revision": "main", "not loaded": "3 arrays"})
    assert kept.put("effects", 1, Entry({"n": 1})) and kept.get("effects", 1) is not None and not store.problems
    wired = Kept(store, Surroundings({"called": "organism:x", "model": {"source": "aa"}}))
    wired.loaded({"wired": "by formula"})
    assert wired.put("effects", 1, Entry({}))


def test_what_a_process_sets_after_the_key_closes_the_store_for_good(store, monkeypatch):
    now = [["autocast", "cpu"]]
    monkeypatch.setattr(kept_module, "altered", lambda: list(now))
    kept = Kept(store, surrounded(altered=[["autocast", "cpu"]]))
    assert kept.put("effects", 1, Entry({}))
    now.append(["get_default_dtype", "torch.float64"])
    assert kept.get("effects", 1) is None and not kept.put("effects", 2, Entry({}))
    now.pop()
    assert kept.get("effects", 1) is None, "clean runs of the time between are still held"
    assert "get_default_dtype was set after the first question to org/m" in store.problems[0]
    assert "autocast" not in store.problems[0]
