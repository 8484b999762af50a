"""Looking early is paid for: by O'Brien-Fleming's boundaries, and by the e-process."""

from __future__ import annotations

import pytest

from calibration import peeking

# the 99.9 % band of a rate of .05 in 2 000 repeats
LOWER, UPPER = 0.0345, 0.0665


def test_looking_every_ten_units_at_the_whole_alpha_finds_effects_that_are_not_there() -> None:
    assert peeking.naive() > 0.12


def test_obrien_fleming_spends_its_alpha() -> None:
    assert LOWER <= peeking.obrien_fleming() <= UPPER


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_the_e_process_of_coins_stays_within_alpha(threshold: float) -> None:
    assert peeking.anytime(threshold=threshold) <= UPPER


def test_the_e_process_of_means_stays_within_alpha_where_losses_are_rare() -> None:
    assert peeking.anytime_of_rare_losses() <= UPPER


def test_obrien_fleming_stops_early_enough_on_average() -> None:
    assert 0.80 <= peeking.obrien_fleming_expected() <= 0.85


@pytest.mark.parametrize(("threshold", "truth"), [(0.5, 0.6), (0.5, 0.7), (0.3, 0.4), (0.8, 0.9)])
def test_the_price_of_looking_at_any_time(threshold: float, truth: float) -> None:
    assert 1.0 <= peeking.anytime_price(threshold, truth) <= 1.2
