"""Variants judged as one claim: "the effect is there in at least `needed` of `count` variants".

With u = needed of m = count, the claim is a partial conjunction (Benjamini and Heller 2008, Biometrics 64:1215). Where
it is false, at most u - 1 variants hold, so m - u + r do not, for some r >= 1. A false SUPPORTED takes r of those. Each
is judged at level a, so by Markov's inequality that has a probability of at most (m - u + r) a / r, which is largest at
r = 1: (m - u + 1) a. That holds however the variants depend on each other, and they do, as they share pairs. So each is
judged at a = alpha / (m - u + 1), and p is (m - u + 1) times the u-th smallest. For u = m that is the
intersection-union test: all at the full alpha, nothing spent.

To refute is to say that m - u + 1 variants do not hold: a partial conjunction as well, with m - u + 1 in the place of
u. So each is refuted at alpha / u. For "all", one refuted variant is enough, and it must be so at alpha / m.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.effects import Measured
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome, Verdict

FAVOUR = (Outcome.SUPPORTED, Outcome.INCONCLUSIVE, Outcome.INVALID, Outcome.REFUTED)
"""From the best that a variant can say for the claim to the worst."""
NAMED = 5
"""Variants that a reason names one by one."""


@dataclass(frozen=True)
class Share:
    """At least `needed` of `count` variants."""

    needed: int
    count: int

    @property
    def supporting(self) -> int:
        """What alpha is divided by to support one variant."""
        return self.count - self.needed + 1

    @property
    def refuting(self) -> int:
        """What alpha is divided by to refute one."""
        return self.needed

    def __str__(self) -> str:
        return f"all {self.count}" if self.needed == self.count else f"{self.needed} of {self.count}"


@dataclass(frozen=True)
class Together:
    """The verdict on all variants, and the variant whose numbers it shows: the one that decides."""

    verdict: Verdict
    deciding: int


def judge_variant(
    effect: Measured, prediction: Prediction | Ordering, share: Share, *, family_size: int = 1, seed: int | None = None
) -> Verdict:
    """One variant at the levels that its share asks: supported at one, refuted at the other."""

    def at(divisor: int) -> Verdict:
        return judge(effect, prediction, family_size=family_size * divisor, seed=seed)

    verdict = at(share.supporting)
    stricter = share.refuting > share.supporting
    if verdict.outcome is Outcome.REFUTED and stricter:
        return at(share.refuting)
    if verdict.outcome is Outcome.INCONCLUSIVE and share.refuting < share.supporting:
        other = at(share.refuting)
        return other if other.outcome is Outcome.REFUTED else verdict
    return verdict


def judge_together(
    names: Sequence[str], verdicts: Sequence[Verdict], share: Share, *, alpha: float, family_size: int = 1
) -> Together:
    """What the variants say of the claim as a whole. `alpha` is the claim's own, before its family.

    Ordered by what they say for the claim, the variant in place `needed` decides: with it, enough are SUPPORTED; or
    it is REFUTED, and too few are left. Its estimate and bounds are shown, so that they cannot contradict the verdict.
    """
    order = sorted(range(share.count), key=lambda i: (FAVOUR.index(verdicts[i].outcome), p_of(verdicts[i])))
    deciding = order[share.needed - 1]
    chosen = verdicts[deciding]
    p = min(1.0, share.supporting * sorted(map(p_of, verdicts))[share.needed - 1])
    if chosen.outcome is Outcome.SUPPORTED:
        p = min(p, alpha / family_size)  # equal but for the last digit of a product
    open_ones = [v.needed_n for i in order[: share.needed] if (v := verdicts[i]).outcome is Outcome.INCONCLUSIVE]
    whole = replace(
        chosen,
        reason=reason_of(names, verdicts, share, deciding),
        p_value=p,
        p_adjusted=min(1.0, p * family_size),
        family_size=family_size,
        needed_n=None if None in open_ones else max((n for n in open_ones if n is not None), default=None),
    )
    return Together(whole, deciding)


def p_of(verdict: Verdict) -> float:
    """The p-value; 1 where the numbers could not speak."""
    silent = verdict.outcome is Outcome.INVALID or math.isnan(verdict.p_value)
    return 1.0 if silent else verdict.p_value


def reason_of(names: Sequence[str], verdicts: Sequence[Verdict], share: Share, deciding: int) -> str:
    """How many hold, which do not, and what the variant that decides says."""
    held = [v.outcome is Outcome.SUPPORTED for v in verdicts]
    if all(name.startswith("model=") and ", " not in name for name in names):
        head = f"Confirmed in {sum(held)} of {share.count} models"
    else:
        head = f"SUPPORTED in {sum(held)} of {share.count} variants"
    asked = "" if share.needed == share.count else f" ({share.needed} are asked for)"
    others = [f"{name} is {v.outcome}" for name, v, yes in zip(names, verdicts, held, strict=True) if not yes]
    if len(others) > NAMED:
        more = len(others) - NAMED
        others[NAMED:] = [f"{more} more {'is' if more == 1 else 'are'} not SUPPORTED"]
    failed = f": {'; '.join(others)}" if others else ""
    estimates = [v.estimate for v in verdicts if math.isfinite(v.estimate)]
    middle = f" The median estimate is {statistics.median(estimates):.3g}." if len(estimates) > 1 else ""
    return f"{head}{asked}{failed}.{middle} The one that decides, {names[deciding]}: {verdicts[deciding].reason}"
