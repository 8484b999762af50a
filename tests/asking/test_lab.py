"""The lab: its verbs build experiments, and in rehearsal nothing else happens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from causaltest.asking import interventions
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy, logit_diff
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import every, index, last, span, thought
from causaltest.asking.predictions import at_least
from causaltest.asking.sites import Site, embed, head, neuron, resid_post
from causaltest.effect import Difference, Effect, SelfPatch
from causaltest.errors import ClaimError, MeasurementError, RehearsalRead, SiteError
from causaltest.judging.judge import judge
from causaltest.recording.seen import usual_log
from causaltest.sweep import SweepMap

PAIR = Pair(clean="2 ducks", corrupt="3 ducks", answer="2", corrupt_answer="3", cluster="a")
PAIRS = Pairs([PAIR, Pair(clean="4 ducks", corrupt="5 ducks", answer="4", cluster="b")])
SITE = resid_post(6, thought(0))


class Recorder:
    """A backend that answers 0.5 and remembers what it was asked."""

    model = "recorded"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def measure(self, experiment: Experiment) -> Effect:
        self.asked.append(experiment)
        return Effect.from_values([0.5, 0.5], kind="continuous", iid=True, question=experiment)

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        self.asked.append((tuple(cells), tuple(rows), tuple(columns)))
        estimates = tuple(n / len(cells) for n in range(len(cells)))
        sites = tuple(cell.patching.sites[0] for cell in cells)
        return SweepMap("recorded", tuple(rows), tuple(columns), estimates, self.distances(cells), 2, 2, sites)

    def distances(self, cells: Sequence[Experiment]) -> tuple[float, ...]:
        return (1.0,) * len(cells)

    def spread(self, site: Site, pairs: Pairs) -> Site:
        if site.position != every():
            return site
        return Site(site.component, site.layers, site.parts, index(0, 1, 2))

    def moved(self, patching: Patching) -> SelfPatch:
        self.asked.append(patching)
        return SelfPatch(0.0, 0.0)

    def clean(self, pairs: Pairs, *_: Any) -> Any:
        return pairs

    def expect(self, experiments):
        self.expected = list(experiments)

    def counted(self) -> dict[str, int]:
        return {"patched_runs": len(self.asked)}


@pytest.fixture
def backend() -> Recorder:
    return Recorder()


@pytest.fixture
def lab(backend: Recorder) -> Lab:
    return Lab(backend=backend, seed="7")  # type: ignore[arg-type]


@pytest.fixture
def rehearsed() -> Lab:
    """A lab on a model that does not exist: touching it would fail."""
    return Lab.load("/no/such/model").rehearsal()


# verbs


@pytest.mark.parametrize(
    ("verb", "read", "by"),
    [
        ("denoise", "recovery", interventions.replace),
        ("denoise", "change", interventions.replace),
        ("noise", "drop", interventions.replace),
        ("noise", "change", interventions.replace),
        ("ablate", "drop", interventions.zero),
        ("ablate", "change", interventions.zero),
        ("steer", "change", interventions.add([1.0], times=4)),
        ("steer", "drop", interventions.add([1.0])),
    ],
)
def test_a_verb_and_a_reading_make_one_experiment(
    lab: Lab, backend: Recorder, verb: str, read: str, by: interventions.Intervention
) -> None:
    options = {"by": by} if verb == "steer" else {}
    effect = getattr(getattr(lab, verb)(PAIRS, at=SITE, **options), read)(logit_diff)
    expected = Experiment(Patching("recorded", verb, PAIRS, (SITE,), by), read, logit_diff, seed="7")  # type: ignore[arg-type]
    assert backend.asked == [expected] == list(lab.experiments)
    assert effect.question == expected
    assert effect.estimate == 0.5


def test_an_ablation_is_by_zeros_or_by_means_and_by_nothing_else(lab: Lab, backend: Recorder) -> None:
    lab.ablate(PAIRS, at=SITE, by=interventions.mean).drop(accuracy)
    assert backend.asked[0].patching.intervention == interventions.mean
    with pytest.raises(ClaimError, match=r"ablate takes by=zero, mean, .*; lab\.noise puts the corrupt"):
        lab.ablate(PAIRS, at=SITE, by=interventions.replace)


def test_without_a_placebo_none_is_drawn(lab: Lab, backend: Recorder) -> None:
    run = lab.denoise(PAIRS, at=SITE)
    run.recovery(accuracy)
    run.recovery(accuracy, placebo=False)
    assert [e.placebo_draws for e in backend.asked] == [8, 0]


def test_several_sites_are_patched_together(lab: Lab, backend: Recorder) -> None:
    lab.denoise(PAIRS, at=[SITE, head(9, 6)]).recovery(accuracy)
    assert backend.asked[0].patching.sites == (SITE, head(9, 6))


def test_one_pair_stands_for_pairs_of_one(lab: Lab, backend: Recorder) -> None:
    lab.denoise(PAIR, at=SITE).recovery(accuracy)
    assert list(backend.asked[0].patching.pairs) == list(Pairs([PAIR]))
    bare = Pair(clean="a", corrupt="b", answer="c")
    assert lab.clean(bare) == Pairs([bare], iid=True)


def test_neutrality_is_asked_of_the_patching_alone(lab: Lab, backend: Recorder) -> None:
    assert lab.denoise(PAIRS, at=SITE).is_neutral
    assert backend.asked == [Patching("recorded", "denoise", PAIRS, (SITE,))]


@pytest.mark.parametrize("given", [[PAIR], "pairs.jsonl", None])
def test_something_else_than_pairs_is_refused(lab: Lab, given: Any) -> None:
    with pytest.raises(ClaimError, match=rf"Pairs or one Pair, and got {type(given).__name__}: write Pairs\("):
        lab.denoise(given, at=SITE)


@pytest.mark.parametrize("at", [[], [SITE, "resid"], "resid_post", ()])
def test_something_else_than_sites_is_refused(lab: Lab, at: Any) -> None:
    with pytest.raises(SiteError, match=r"at= takes a site such as resid_post\(6, thought\(0\)\), or several"):
        lab.denoise(PAIRS, at=at)


# sweeps


def test_a_sweep_is_one_experiment_per_cell_row_by_row(lab: Lab, backend: Recorder) -> None:
    made = lab.sweep(PAIRS, at=resid_post([3, 5], thought(0, 1, 2))).recovery(accuracy)
    cells, rows, columns = backend.asked[0]
    assert (rows, columns) == (("L3", "L5"), ("thought 0", "thought 1", "thought 2"))
    assert [c.site for c in cells] == [f"resid_post L{layer} @ thought {k}" for layer in (3, 5) for k in range(3)]
    assert {(c.quantity, c.controls, c.placebo_draws, c.seed) for c in cells} == {("recovery", False, 0, "7")}
    assert made.shape == (2, 3)


def test_a_sweep_of_heads_has_a_row_per_head(lab: Lab, backend: Recorder) -> None:
    lab.sweep(PAIRS, at=head([1, 2], range(2), last())).recovery(accuracy)
    assert backend.asked[0][1] == ("L1H0", "L1H1", "L2H0", "L2H1")


def test_a_sweep_of_neurons_has_a_row_per_neuron(lab: Lab, backend: Recorder) -> None:
    lab.sweep(PAIRS, at=neuron([1, 2], [3, 17], last())).recovery(accuracy)
    assert backend.asked[0][1] == ("L1N3", "L1N17", "L2N3", "L2N17")


def test_a_sweep_of_embeddings_has_one_row(lab: Lab, backend: Recorder) -> None:
    lab.sweep(PAIRS, at=embed(thought(0, 1))).recovery(accuracy)
    assert backend.asked[0][1:] == (("embed",), ("thought 0", "thought 1"))


def test_every_position_of_a_sweep_is_a_column_of_its_own(lab: Lab, backend: Recorder) -> None:
    lab.sweep(PAIRS, at=resid_post(3, every())).recovery(accuracy)
    assert backend.asked[0][2] == ("index 0", "index 1", "index 2")


@pytest.mark.parametrize(
    ("direction", "read", "by"), [("noise", "drop", None), ("ablate", "drop", "mean"), ("denoise", "change", None)]
)
def test_a_sweep_goes_in_any_direction(lab: Lab, backend: Recorder, direction: Any, read: str, by: str | None) -> None:
    options = {} if by is None else {"by": getattr(interventions, by)}
    getattr(lab.sweep(PAIRS, at=SITE, direction=direction, **options), read)(accuracy)
    (cell,) = backend.asked[0][0]
    assert (cell.patching.direction, cell.quantity) == (direction, read)
    assert cell.patching.intervention.kind == (by or "replace")


def test_a_sweep_of_ablations_says_by_what(lab: Lab) -> None:
    with pytest.raises(ClaimError, match="ablate takes by=zero, mean, "):
        lab.sweep(PAIRS, at=SITE, direction="ablate")


def test_a_sweep_takes_one_site(lab: Lab) -> None:
    with pytest.raises(SiteError, match="A sweep takes one site with ranges as its axes, and got 2"):
        lab.sweep(PAIRS, at=[SITE, SITE]).recovery(accuracy)  # type: ignore[arg-type]


# searches, and what was seen


def test_a_search_is_a_sweep_whose_best_site_remembers_where_it_was_found(lab: Lab, backend: Recorder) -> None:
    at = resid_post([3, 5], thought(0, 1, 2))
    site = lab.search(PAIRS, at=at).recovery(accuracy)
    lab.sweep(PAIRS, at=at).recovery(accuracy)
    assert backend.asked[0] == backend.asked[1], "the same cells"
    assert site == resid_post(5, thought(2)), "the last has the largest"
    assert site.found is not None
    assert (site.found.sites, site.found.estimate, site.found.by.kind) == (6, 5 / 6, "search")
    assert (site.found.by.each, site.found.by.models) == (PAIRS.each, ("recorded",))
    assert str(site.found) == "found by the search recorded (6 sites) on 2 pairs, estimate 0.833"
    assert lab.sweep(PAIRS, at=at).recovery(accuracy).best.found.by.kind == "sweep"


def test_a_search_goes_in_any_direction(lab: Lab, backend: Recorder) -> None:
    lab.search(PAIRS, at=SITE, direction="noise").drop(accuracy)
    lab.search(PAIRS, at=SITE, direction="ablate", by=interventions.mean).change(accuracy)
    assert [(a[0][0].patching.direction, a[0][0].quantity) for a in backend.asked] == [
        ("noise", "drop"),
        ("ablate", "change"),
    ]


def test_a_search_that_moves_nothing_finds_nothing(lab: Lab, backend: Recorder) -> None:
    backend.distances = lambda cells: (0.0,) * len(cells)  # type: ignore[method-assign]
    with pytest.raises(MeasurementError, match="found nothing: at none of its 2 sites did the patch move anything"):
        lab.search(PAIRS, at=resid_post([1, 2], last())).recovery(accuracy)
    assert len(lab.seen) == 1, "it has looked all the same"


def test_a_search_takes_one_site(lab: Lab) -> None:
    with pytest.raises(SiteError, match="A search takes one site with ranges as its axes, and got 2"):
        lab.search(PAIRS, at=[SITE, SITE]).recovery(accuracy)  # type: ignore[arg-type]


def test_an_effect_on_swept_pairs_carries_it_and_the_judge_says_so(lab: Lab) -> None:
    other = Pairs([Pair(clean="8 ducks", corrupt="9 ducks", answer="8", cluster="z")])

    def effect(pairs: Pairs, layer: int = 6) -> Effect:
        return lab.denoise(pairs, at=resid_post(layer, thought(0))).recovery(accuracy)

    before = effect(PAIRS, 3)
    lab.sweep(PAIRS[:1], at=resid_post(range(4), last())).recovery(accuracy)
    lab.sweep(PAIRS[:1], at=resid_post(range(4), last())).recovery(accuracy)
    after = effect(PAIRS)
    sentence = "1 of its 2 pairs were seen by the sweep recorded (4 sites)"
    assert (before.measured.seen, after.measured.seen, effect(other).measured.seen) == ((), (sentence,), ())
    assert (after - before).measured.seen == (sentence,)
    assert effect(PAIRS, 3).measured.seen == (), "it was asked before the sweep"
    assert after == lab.backend.measure(after.question), "what was seen is no number"  # type: ignore[arg-type]
    assert f"exploratory: {sentence}" in judge(after, at_least(0.1)).notes
    assert not any("exploratory" in note for note in judge(before, at_least(0.1)).notes)
    assert len(lab.seen) == 1, "the same sweep is noted once"


def test_looking_again_with_more_pairs_is_told_in_a_script_too(lab: Lab) -> None:
    def notes(pairs: Pairs, site: Site = SITE) -> tuple[str, ...]:
        return judge(lab.denoise(pairs, at=site).recovery(accuracy), at_least(0.1)).notes

    assert not any("asked before" in note for note in notes(PAIRS[:1]) + notes(PAIRS[:1]))
    assert any(
        note.startswith("exploratory: the same was asked before of 1 pairs, 1 of these 2 among them: ")
        for note in notes(PAIRS)
    )
    assert not any("asked before" in note for note in notes(PAIRS, resid_post(1, last())))


def test_a_sweep_outside_of_pytest_is_logged(backend: Recorder) -> None:
    assert usual_log().looks() == []
    for lab in (Lab(name="m", backend=backend), Lab(backend=backend)):  # type: ignore[arg-type]
        lab.sweep(PAIRS, at=SITE).recovery(accuracy)
    (kept,) = usual_log().looks()
    assert (kept.kind, kept.models, kept.each) == ("sweep", ("m",), PAIRS.each)


def test_a_found_site_tells_another_lab_of_the_same_model(backend: Recorder) -> None:
    first, second = (Lab(name="m", backend=backend) for _ in range(2))  # type: ignore[arg-type]
    site = first.search(PAIRS, at=resid_post(range(4), last())).recovery(accuracy)
    assert second.denoise(PAIRS, at=site).recovery(accuracy).measured.seen
    other = Lab(name="another", backend=backend)  # type: ignore[arg-type]
    assert not other.denoise(PAIRS, at=site).recovery(accuracy).measured.seen


# names, and what is opened when


def test_a_lab_of_nothing_is_refused_with_the_way_in() -> None:
    for given in ((), ("model",), (None, "tokenizer")):
        with pytest.raises(ClaimError, match=r"a model and its tokenizer; Lab\.load\("):
            Lab(*given)


def test_a_lab_opens_its_model_only_when_a_number_is_asked_for() -> None:
    lab = Lab.load("/no/such/model", seed="3")
    assert (lab.name, lab.seed, lab.counts) == ("/no/such/model", "3", {})
    lab.denoise(PAIRS, at=SITE)
    lab.sweep(PAIRS, at=SITE)
    assert lab.rehearsal().denoise(PAIRS, at=SITE).recovery(accuracy).question is not None


def test_a_labs_name_does_not_change_when_its_model_is_opened() -> None:
    class Loaded:
        name = "organism:mine"

    class Plain: ...

    for model, name in ((Loaded(), "organism:mine"), (Plain(), "Plain")):
        lab = Lab(model, "tokenizer")
        assert lab.name == name
        lab._backend = Recorder()  # type: ignore[assignment]
        assert lab.name == name
    assert Lab(Plain(), "tokenizer", name="mine").name == "mine"


def test_counts_come_from_the_backend(lab: Lab) -> None:
    lab.denoise(PAIRS, at=SITE).recovery(accuracy)
    assert lab.counts == {"patched_runs": 1}


# rehearsal

READS: dict[str, Callable[[Lab], object]] = {
    "an estimate": lambda lab: lab.denoise(PAIRS, at=SITE).recovery(accuracy).estimate,
    "the number of pairs": lambda lab: lab.noise(PAIRS, at=SITE).drop(accuracy).n,
    "the values": lambda lab: lab.ablate(PAIRS, at=SITE).drop(accuracy).measured,
    "the neutrality of an effect": lambda lab: lab.denoise(PAIRS, at=SITE).recovery(accuracy).is_neutral,
    "the neutrality of a patch": lambda lab: lab.denoise(PAIRS, at=SITE).is_neutral,
    "a comparison": lambda lab: lab.denoise(PAIRS, at=SITE).recovery(accuracy) > 0.3,
    "a difference's estimate": lambda lab: (
        (lab.denoise(PAIRS, at=SITE).recovery(accuracy) - lab.denoise(PAIRS, at=SITE).recovery(accuracy)).estimate
    ),
    "a sweep": lambda lab: lab.sweep(PAIRS, at=resid_post(range(3), every())).recovery(accuracy),
    "a search": lambda lab: lab.search(PAIRS, at=resid_post(range(3), every())).recovery(accuracy),
    "the clean runs": lambda lab: lab.clean(PAIRS),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reading_a_number_in_rehearsal_raises(rehearsed: Lab, read: Callable[[Lab], object]) -> None:
    with pytest.raises(RehearsalRead, match=r"no numbers yet.*rehearsed.*exploratory and cannot be registered"):
        read(rehearsed)


def test_a_rehearsed_effect_answers_the_very_experiment_that_would_be_measured(lab: Lab, backend: Recorder) -> None:
    def body(lab: Lab) -> Effect:
        return lab.denoise(PAIRS, at=resid_post(9, last(span("subject")))).recovery(logit_diff)

    rehearsed = body(lab.rehearsal())
    assert not backend.asked
    assert rehearsed.question == body(lab).question
    assert isinstance(rehearsed.question, Experiment)
    assert rehearsed.question.digest == backend.asked[0].digest


def test_a_difference_is_known_in_rehearsal(rehearsed: Lab) -> None:
    late = rehearsed.denoise(PAIRS, at=resid_post(9, last())).recovery(accuracy)
    early = rehearsed.denoise(PAIRS, at=resid_post(2, last())).recovery(accuracy)
    difference = late - early
    assert difference.question == Difference(late.question, early.question)
    assert difference.question is not None
    assert difference.question.site == "resid_post L9 @ last() - resid_post L2 @ last()"
    assert difference.question.canonical() != (early - late).question.canonical()  # type: ignore[union-attr]
    assert [e.site for e in rehearsed.experiments] == ["resid_post L9 @ last()", "resid_post L2 @ last()"]


def test_a_rehearsal_costs_nothing_and_loads_nothing(rehearsed: Lab) -> None:
    before = set(sys.modules)
    rehearsed.denoise(PAIRS, at=SITE).recovery(accuracy)
    assert rehearsed.counts == {}
    assert set(sys.modules) == before
    assert rehearsed.rehearsal().name == "/no/such/model"


# another seed


def test_another_seed_is_the_same_model_and_expects_for_both(rehearsed: Lab) -> None:
    lab = Lab.load("/no/such/model", seed="1")
    other = lab.with_seed("2")
    assert (lab.seed, other.seed, other.name) == ("1", "2", lab.name)
    assert other.origin is lab and lab.origin is lab and other.with_seed("3").origin is lab
    asked = [one.rehearsal().denoise(PAIRS, at=SITE).recovery(accuracy).question for one in (lab, other)]
    assert [question.seed for question in asked] == ["1", "2"]  # type: ignore[union-attr]
    assert list(lab._expected.values()) == asked, "the lab that loads the model measures them together"
    assert other.counts == lab.counts == {}


def test_what_a_script_measures_is_noted_and_what_a_test_measures_is_left_to_the_suite(monkeypatch) -> None:
    def asked() -> int:
        lab = Lab(name="organism:recorded", backend=Recorder())
        lab.denoise(PAIRS, at=SITE).recovery(accuracy)
        lab.denoise(PAIRS, at=SITE).recovery(accuracy)
        assert len(lab.looked) == 1
        return len(usual_log().looks())

    assert asked() == 0
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert asked() == 1
    lab = Lab(name="organism:recorded", backend=Recorder()).rehearsal()
    lab.denoise(PAIRS, at=resid_post(1, last())).recovery(accuracy)
    assert len(usual_log().looks()) == 1, "nothing was measured"


def test_an_experiment_that_is_announced_again_is_held_once():
    lab = Lab.load("organism:planted")
    site = resid_post(1, last())
    for _ in range(3):
        pairs = Pairs([Pair(clean="a", corrupt="b", answer="c", cluster=str(n)) for n in range(2)])
        lab.rehearsal().denoise(pairs, at=site).recovery(accuracy)
    assert len(lab._expected) == 1
