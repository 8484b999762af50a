"""The retracted pilot as three claims: the report says what the pilot did not."""

from __future__ import annotations

import pytest

PILOT = """
from causaltest.effect import SelfPatch

DUCKS = Pairs([Pair(clean=f"{i} ducks", corrupt="no ducks", answer=str(i), cluster=f"d{i}") for i in range(45)])
CODI = Lab.load("org/codi-gpt2").rehearsal()

@claim("The first [THINK] carries the running total.", at_least(0.50, expecting=0.70))
@pytest.mark.parametrize(("layer", "recovered"), [(3, 4), (6, 5), (11, 4)])
def test_think(layer, recovered):
    asked = CODI.denoise(DUCKS, at=resid_post(layer, thought(0))).recovery(accuracy)
    return Effect.from_values(
        [1] * recovered + [0] * (9 - recovered), kind="binary", clusters=range(9), question=asked.question,
        placebo=[1] * 4 + [0] * 5, pairs_total=45, distance=7.3, self_patch=SelfPatch(moved=0.0, tolerance=0.0),
    )
"""
SECTION = [
    "CLAIM test_pilot.py::test_think[[]6-5]  INCONCLUSIVE  [[]EXPLORATORY: not registered]",
    '  "The first [[]THINK] carries the running total."',
    "  recovery(accuracy), denoise resid_post L6 @ thought 0  >= 0.5",
    "  observed    5/9 = 0.556   bounds [[]0.193, 0.878] (exact binomial, alpha .05/3: family test_pilot.py, 3 claims)",
    "  p           0.50, corrected 1.00",
    "  eligible    9 of 45 pairs (clean right, corrupt wrong, answers differ), 9 clusters",
    "  controls    self-patch neutral * · placebo 4/9: not beaten ·*",
    "              *patch distance 7.3",
    "  to decide   716 pairs if the truth is 0.556; 55 if you expect 0.70 (80 % power, this family)",
    "              (634: the published figure, two-sided normal formula, no family)",
    "  because     Observed 5 of 9 independent pairs (0.556): the bounds [[]0.193, 0.878] do not settle *",
    "  warning     accuracy-only: *",
    "  warning     few-eligible: 9 of 45 pairs are eligible, under half: *",
    "  reproduce   pytest 'test_pilot.py::test_think[[]6-5]' --causal-seed=0",
]


def test_the_pilot_reads_as_it_should_have(claims):
    result = claims(PILOT, name="test_pilot")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(SECTION)
    result.stdout.fnmatch_lines(
        [
            "claim * estimate * n (clusters) * p corr * p holm * placebo * verdict * status",
            "*test_think[[]6-5] * 0.556 * [[]0.193, 0.878] * >= 0.5 * 9 (9) * 1.000 * 0.444 * INCONCLUSIVE *",
            "warnings: accuracy-only 3, few-eligible 3 (each is told in its claim's section, with -v)",
            "3 inconclusive",
        ]
    )


@pytest.mark.parametrize(("layer", "outcomes"), [(3, 4), (11, 4)])
def test_the_other_layers_say_the_same(claims, layer, outcomes):
    result = claims(PILOT, "-k", f"{layer}-{outcomes}", name="test_pilot")
    result.stdout.fnmatch_lines(["*4/9 = 0.444   bounds [[]0.122, 0.807] (exact binomial, alpha .05/3: *"])
    result.stdout.fnmatch_lines(["p holm: 2 claims of these families did not run, and count as p = 1; *"])
