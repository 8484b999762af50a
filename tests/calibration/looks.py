"""Part 6: looking before the end. `peeking` simulates it; here are the limits."""

from __future__ import annotations

from calibration import peeking
from calibration.row import Row, at_fault, level

REPEATS, LONG = 2_000, 10_000


def rows() -> list[Row]:
    return measured(REPEATS)


def long_rows() -> list[Row]:
    prices = [(x, truth, peeking.anytime_price(x, truth)) for x, truth in ((0.5, 0.6), (0.5, 0.7), (0.8, 0.9))]
    return [
        *measured(LONG),
        *(
            Row(
                6,
                f"e-process, {truth:g} against {x:g}: pairs for power .8, by those of the exact test",
                price,
                1.0,
                1.27,
                repeats=4_000,
            )
            for x, truth, price in prices
        ),
    ]


def measured(repeats: int) -> list[Row]:
    null, looks = "an effect just at X", "4 looks at up to 200 units"
    fleming, rare = peeking.obrien_fleming(repeats=repeats), peeking.anytime_of_rare_losses(repeats=repeats)
    coins = [(x, peeking.anytime(repeats=repeats, threshold=x)) for x in (0.2, 0.5, 0.8)]
    return [
        level(6, f"O'Brien-Fleming, {looks}, {null}: SUPPORTED at any", fleming, repeats, conservative=False),
        *(
            level(6, f"e-process of coins after each of 200 units, X = {x:g}: ever crossed", r, repeats)
            for x, r in coins
        ),
        level(6, "e-process of means with 3 % rare losses, after each of 200 units: ever crossed", rare, repeats),
        Row(
            6,
            "O'Brien-Fleming, power .8: units taken on average, by those of a fixed test",
            peeking.obrien_fleming_expected(),
            0.78,
            0.85,
            repeats=40_000,
        ),
        at_fault(
            6,
            "t every 10 units up to 200, each at the whole alpha: SUPPORTED at any",
            peeking.naive(repeats=repeats),
            above=0.12,
            repeats=repeats,
        ),
    ]
