"""Portions: whole clusters in an order drawn beforehand, and a lab that measures one of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.experiment import Experiment
from causaltest.asking.interventions import mean
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy, logit_diff
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.portions import in_portion, play_order, portions_of
from causaltest.asking.positions import last
from causaltest.asking.questions import experiments_of
from causaltest.asking.sites import resid_post
from causaltest.asking.stopping import Stopping
from causaltest.effect import Effect, Numbers
from causaltest.effects import Effects
from causaltest.errors import ClaimError


def pairs_in(clusters: list[str]) -> Pairs:
    return Pairs(Pair(clean=f"{i} a", corrupt="b", answer="c", cluster=c) for i, c in enumerate(clusters))


def independent(n: int) -> Pairs:
    return Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c") for i in range(n)], iid=True)


class Recording:
    """A backend that says which pairs it was asked about."""

    model = "recording"

    def __init__(self) -> None:
        self.measured: list[Experiment] = []
        self.expected: list[Experiment] = []

    def measure(self, experiment: Experiment) -> Effect:
        self.measured.append(experiment)
        pairs = experiment.patching.pairs
        numbers = Numbers((1.0,) * len(pairs), pairs.ids, pairs.clusters, "binary", provenance={"experiment": "?"})
        return Effect(experiment, numbers)

    def expect(self, experiments) -> None:
        self.expected = list(experiments)

    def patched_runs(self, experiments) -> int:
        return sum(len(e.patching.pairs) for e in experiments)

    def counted(self) -> dict[str, int]:
        return {}


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=4, max_size=30), looks=st.integers(2, 6), seed=st.text(max_size=3))
def test_portions_are_whole_clusters_and_together_all_pairs(sizes: list[int], looks: int, seed: str) -> None:
    pairs = pairs_in([f"c{i}" for i, size in enumerate(sizes) for _ in range(size)])
    if len(sizes) < 2 * looks:
        return
    portions = portions_of(pairs, Stopping("anytime", looks), seed)
    assert sorted(p for part in portions for p in part.ids) == sorted(pairs.ids)
    clusters = [set(part.clusters or ()) for part in portions]
    assert sum(map(len, clusters)) == len(set().union(*clusters)) == len(sizes)
    counts = [len(c) for c in clusters]
    assert max(counts) - min(counts) <= 1
    order = play_order(pairs, seed)
    assert [set(order[sum(counts[:k]) : sum(counts[: k + 1])]) for k in range(looks)] == clusters


def test_the_order_follows_the_seed_and_the_pairs_and_nothing_else() -> None:
    pairs = independent(40)
    order = play_order(pairs, "7")
    assert order == play_order(independent(40), "7") != sorted(order)
    assert order != play_order(pairs, "8")
    assert play_order(pairs_in([f"c{i}" for i in range(40)]), "7") != [f"c{i}" for i in range(40)]


def test_too_few_clusters_for_the_looks_says_how_many_there_are() -> None:
    with pytest.raises(ClaimError, match=r"looks=4 needs 8 clusters.*these 30 pairs have 6\. Write looks=3 or fewer"):
        portions_of(pairs_in([f"c{i % 6}" for i in range(30)]), Stopping("obrien-fleming", 4), "")
    with pytest.raises(ClaimError, match=r"needs 4 independent pairs.*have 3\. Leave stopping= out"):
        portions_of(independent(3), Stopping("obrien-fleming", 2), "")


# a lab in portions


def body(lab: Lab, pairs: Pairs) -> Effect:
    return lab.denoise(pairs, at=resid_post(3, last())).recovery(accuracy)


def test_a_lab_in_a_portion_measures_it_and_answers_the_whole_question() -> None:
    backend, pairs, stopping = Recording(), independent(12), Stopping("anytime", 3)
    lab = Lab(backend=backend, seed="7")  # type: ignore[arg-type]
    whole = body(lab.rehearsal(), pairs)
    for look, portion in enumerate(portions_of(pairs, stopping, "7")):
        effect = body(lab.in_portion(stopping, look), pairs)
        assert backend.measured[-1].patching.pairs == portion
        assert effect.measured.pair_ids == portion.ids
        assert effect.question == whole.question
        assert effect.measured.provenance["experiment"] == whole.question.digest  # type: ignore[union-attr]


def test_a_rehearsal_in_a_portion_announces_that_portion_alone() -> None:
    backend, pairs, stopping = Recording(), independent(12), Stopping("anytime", 3)
    lab = Lab(backend=backend)  # type: ignore[arg-type]
    body(lab.in_portion(stopping, 1).rehearsal(), pairs)
    assert [e.patching.pairs for e in backend.expected] == [portions_of(pairs, stopping, "")[1]]
    body(lab.in_portion(stopping, 1).rehearsal(), independent(3))
    assert len(backend.expected) == 1, "what cannot be cut is told when it is measured, and not in rehearsal"


def test_a_mean_over_the_pairs_stays_one_over_all_of_them() -> None:
    backend, pairs, stopping = Recording(), independent(12), Stopping("anytime", 3)
    lab = Lab(backend=backend).in_portion(stopping, 0)  # type: ignore[arg-type]
    effect = lab.ablate(pairs, at=resid_post(1, last()), by=mean).drop(logit_diff)
    assert backend.measured[-1].patching.intervention == mean(over=pairs)
    assert effect.question.patching.intervention == mean  # type: ignore[union-attr]


def test_arguments_that_are_no_labs_stay_what_they_are() -> None:
    pairs, lab = independent(12), Lab(backend=Recording(), seed="7")  # type: ignore[arg-type]
    given_ = in_portion({"lab": lab, "pairs": pairs, "floor": 0.5}, Stopping("anytime", 3), 0)
    assert given_["pairs"] is pairs and given_["floor"] == 0.5
    assert given_["lab"] is not lab and given_["lab"].seed == "7" and given_["lab"].name == lab.name


def test_the_experiments_of_an_expression_are_found_however_it_nests() -> None:
    lab = Lab(name="m", backend=Recording()).rehearsal()  # type: ignore[arg-type]
    pairs = independent(4)
    one, two, three = (lab.denoise(pairs, at=resid_post(n, last())).recovery(accuracy) for n in (1, 2, 3))
    questions = [one.question, two.question, three.question]
    assert list(experiments_of(((one - two) - three).question)) == questions
    assert list(experiments_of(None)) == []
    assert list(experiments_of(Effects({"one": one, "rest": two - three}).question)) == questions
