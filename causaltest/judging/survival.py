"""Which sites of a sweep survive the correction for looking at all of them."""

from __future__ import annotations

import math

import numpy as np

from causaltest.effect import Numbers
from causaltest.errors import JudgementError
from causaltest.judging.max_t import SiteTests, max_t
from causaltest.judging.paired import units_needed_for
from causaltest.judging.resampling import ENUMERATED_UNITS
from causaltest.judging.sample import Floats, layout_of, sample_of
from causaltest.judging.validity import weak_denominators
from causaltest.survivors import Correction, FalseDiscovery, Survivors
from causaltest.sweep import PerPair, SweepMap

FAMILY_WISE_FLIPS = 10_000
MOST_FLIPS = 250_000
TAIL_FLIPS = 10
"""How many flips the tail holds that a single discovery needs."""


def survivors_of(
    sweep: SweepMap, *, alpha: float, two_sided: bool, flips: int | None = None, seed: int = 0
) -> Survivors:
    """The sites that survive at a family-wise error of `alpha`: max-T over all of them.

    Raises JudgementError for an estimated sweep, for values that cannot be judged, and for an alpha that is none.
    """
    per_pair = judged(sweep, "alpha", alpha)
    tests = tested(sweep, per_pair, two_sided, FAMILY_WISE_FLIPS if flips is None else flips, seed)
    return made(sweep, tests, tests.p_adjusted, "max-t", alpha, two_sided, seed, needs=alpha)


def discoveries_of(
    sweep: SweepMap,
    *,
    rate: float,
    method: FalseDiscovery,
    two_sided: bool,
    flips: int | None = None,
    seed: int = 0,
) -> Survivors:
    """The sites discovered at a false discovery rate (Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001).

    BH holds for sites that are independent or positively dependent, BY under any dependence. Raises what
    `survivors_of` raises.
    """
    if method not in ("bh", "by"):
        raise JudgementError(f"method={method!r} is not known; it is 'bh' or 'by'.")
    from scipy.stats import false_discovery_control  # late: it takes longer than to judge a suite

    per_pair = judged(sweep, "rate", rate)
    sites = len(per_pair.values)
    # what the smallest p of all must reach, where it is the only small one
    needs = rate / sites / (1.0 if method == "bh" else sum(1 / k for k in range(1, sites + 1)))
    enough = min(MOST_FLIPS, max(FAMILY_WISE_FLIPS, math.ceil(TAIL_FLIPS / needs)))
    tests = tested(sweep, per_pair, two_sided, enough if flips is None else flips, seed)
    adjusted: Floats = np.asarray(false_discovery_control(tests.p_values, method=method), dtype=np.float64)
    return made(sweep, tests, adjusted, method, rate, two_sided, seed, needs=needs)


def judged(sweep: SweepMap, name: str, level: float) -> PerPair:
    """The values of a sweep that can be judged. Raises JudgementError."""
    if not 0 < level < 1:
        raise JudgementError(f"{name}={level!r} must lie between 0 and 1, such as 0.05.")
    if sweep.estimated_by is not None:
        raise JudgementError(
            f"This map is an estimate by {sweep.estimated_by}, for screening only: its error is not one of sampling, "
            "so no test knows which sites survive. Sweep without method=, or confirm the best site on other pairs."
        )
    if sweep.per_pair is None:
        raise JudgementError("This map holds no values per pair, so its sites cannot be tested; sweep them with a lab.")
    if not np.isfinite(sweep.per_pair.values).all():
        raise JudgementError("Some value of this map is not finite, so its sites cannot be compared.")
    return sweep.per_pair


def tested(sweep: SweepMap, per_pair: PerPair, two_sided: bool, flips: int, seed: int) -> SiteTests:
    if flips < 1:
        raise JudgementError(f"flips={flips}: at least one sign-flip is needed, and 10000 are usual.")
    layout = layout_of(per_pair.pair_ids, per_pair.clusters)
    refuse_weak(per_pair)
    # in canonical order the pairs of a cluster stand together
    begins = np.flatnonzero(np.diff(layout.unit_of, prepend=-1))
    totals = np.add.reduceat(per_pair.values[:, layout.order], begins, axis=1)
    # a patch that moved nothing has no effect, whatever rounding has made of it
    totals[np.array(sweep.distances) == 0] = 0.0
    return max_t(totals, slack=per_pair.rounding * layout.sizes, two_sided=two_sided, resamples=flips, seed=seed)


def refuse_weak(per_pair: PerPair) -> None:
    """Raises JudgementError where the denominators, which all sites share, are not clearly above zero."""
    if per_pair.denominators is None:
        return
    shared = Numbers(
        values=(0.0,) * len(per_pair.pair_ids),
        pair_ids=per_pair.pair_ids,
        clusters=per_pair.clusters,
        kind="ratio",
        denominators=per_pair.denominators,
        rounding=per_pair.rounding,
    )
    if (why := weak_denominators(sample_of(shared))) is not None:
        raise JudgementError(why)


def made(
    sweep: SweepMap,
    tests: SiteTests,
    adjusted: Floats,
    method: Correction,
    level: float,
    two_sided: bool,
    seed: int,
    *,
    needs: float,
) -> Survivors:
    assert sweep.per_pair is not None  # looked at by `judged`
    units = sweep.per_pair.units
    return Survivors(
        sweep=sweep,
        method=method,
        level=level,
        two_sided=two_sided,
        p_values=tuple(tests.p_values.tolist()),
        p_adjusted=tuple(adjusted.tolist()),
        units=units,
        flips=tests.flips,
        enumerated=tests.enumerated,
        seed=seed,
        note=out_of_reach(units, tests, two_sided, level, needs),
    )


def out_of_reach(units: int, tests: SiteTests, two_sided: bool, level: float, needs: float) -> str:
    """Why no single site could survive, whatever its values; empty where it could."""
    if (2.0 if two_sided else 1.0) * 2.0**-units > needs:
        more = units_needed_for(needs / (2 if two_sided else 1))
        return (
            f"{units} cluster{'s' * (units > 1)} cannot reach {level:g}: no sign-flip of so few has a p-value that "
            f"small. Give at least {more} clusters."
        )
    if units > ENUMERATED_UNITS and 1 / (1 + tests.flips) > needs:
        return f"{tests.flips} flips cannot reach {level:g}: ask for flips={math.ceil(TAIL_FLIPS / needs)}."
    return ""
