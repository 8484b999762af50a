"""Every figure of docs/calibration.md lies within its limits, and the page says what this code measures."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import draws, page, verdicts
from calibration.row import band, level
from causaltest.asking.predictions import at_least, at_most, negligible
from causaltest.judging.judge import judge

PARTS = tuple(page.PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_every_figure_lies_within_its_limits_and_stands_on_the_page(part):
    """One test per part, so that workers do not measure it three times."""
    rows = [row for module in page.PARTS[part] for row in module.rows()]
    assert {row.part for row in rows} == {part}
    assert [row for row in rows if not row.holds] == []
    # without a negative control it could not be told from a check that never fails
    assert any(row.kind == "negative control" for row in rows)
    on_page, measured = page.read()[0][part], [page.cells(row) for row in rows]
    told = f"docs/calibration.md says something else: run make calibration PARTS={part}"
    assert [without_measured(line) for line in on_page] == [without_measured(line) for line in measured], told
    # another processor may round one sample of a thousand to the other side
    figures = [float(line[1]) for line in measured]
    assert [float(line[1]) for line in on_page] == pytest.approx(figures, abs=0.003, rel=1e-3), told


def without_measured(line):
    what, _, *rest = line
    return what, rest


def test_every_line_of_the_page_lies_within_its_limits():
    short, long, _ = page.read()
    assert set(short) == set(PARTS)
    assert not [line for half in (short, long) for lines in half.values() for line in lines if "outside" in line[4]]
    assert any(what.startswith("A/A suites") and repeats == "10 000" for what, _, _, repeats, _ in long[2])


def test_a_page_that_is_read_and_written_again_is_the_same():
    assert page.half_of("\n" + "\n".join(page.sections(page.read()[0]))) == page.read()[0]


def test_bands_are_those_of_the_99_9_percent():
    assert band(0.05, 2_000) == pytest.approx((0.0345, 0.0665), abs=6e-4)
    assert band(0.05, 10_000) == pytest.approx((0.043, 0.0573), abs=3e-4)
    assert not level(2, "twice alpha", 0.1, 1_000).holds
    assert level(2, "half of alpha", 0.02, 1_000).holds
    assert not level(2, "half of alpha", 0.02, 1_000, conservative=False).holds


@pytest.mark.parametrize("prediction", [at_least(0.6), at_most(0.6), negligible(within=0.7)])
def test_proportions_are_judged_as_the_judge_does(prediction):
    design = draws.Design(12, 6, 0.2)
    effects = list(draws.effects(draws.coins(design, 0.6, 60, seed=5), design, kind="binary"))
    alone = [judge(effect, prediction, family_size=2, minimum_units=0).outcome for effect in effects]
    fast = [verdicts.by_korn_graubard(effect, prediction, 0.025, {}) for effect in effects]
    assert fast == alone
    assert len(set(alone)) > 1


def test_simulated_samples_are_what_they_say():
    design = draws.Design(40, 10, 0.3)
    values = np.stack(list(draws.normal(design, 200, seed=1)))
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.var() == pytest.approx(1, abs=0.05)
    grouped = values.reshape(200, 40, 10)
    assert grouped.mean(axis=2).var() == pytest.approx(0.3 + 0.7 / 10, abs=0.03)
    coins = np.stack(list(draws.coins(design, 0.8, 200, seed=2)))
    assert coins.mean() == pytest.approx(0.8, abs=0.02)
    assert coins.reshape(200, 40, 10).mean(axis=2).var() == pytest.approx(0.16 * (0.3 + 0.7 / 10), abs=0.01)
    sized = [(values.sum(), len(values)) for values, _ in draws.informative(400, clusters=30, slope=-0.04, seed=3)]
    assert sum(total for total, _ in sized) / sum(n for _, n in sized) == pytest.approx(0, abs=0.02)
    above, below = map(np.concatenate, zip(*draws.ratios(design, 0.5, 100, seed=4), strict=True))
    assert above.sum() / below.sum() == pytest.approx(0.5, abs=0.02)
