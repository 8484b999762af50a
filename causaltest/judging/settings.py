"""Settings: what the caller of the judge fixed, resolved once for every claim."""

from __future__ import annotations

import math
from dataclasses import dataclass

from causaltest.asking.predictions import Prediction
from causaltest.errors import JudgementError
from causaltest.judging import wording
from causaltest.judging.multiplicity import bonferroni

TAIL_RESAMPLES = 50
DEFAULT_RESAMPLES = 10_000
# any number that does not come from the effects: those that share it share their resamples
DEFAULT_SEED = 0


def settings_for(prediction: Prediction, asked: Asked) -> Settings:
    alpha, seed, resamples = bonferroni(prediction.alpha, asked.family_size), asked.seed, asked.resamples
    if seed is not None and seed < 0:
        raise JudgementError(f"seed={seed}: a seed is 0 or more.")
    if resamples is not None and resamples < 1:
        raise JudgementError(f"resamples={resamples}: give at least {math.ceil(TAIL_RESAMPLES / alpha)}, or none.")
    return Settings(
        prediction=prediction,
        family_size=asked.family_size,
        alpha=alpha,
        resamples=max(DEFAULT_RESAMPLES, math.ceil(TAIL_RESAMPLES / alpha)) if resamples is None else resamples,
        seed=DEFAULT_SEED if seed is None else seed,
    )


@dataclass(frozen=True)
class Asked:
    """What the caller said of all claims."""

    family_size: int
    seed: int | None
    resamples: int | None
    minimum_units: int | None


@dataclass(frozen=True)
class Settings:
    """What the caller fixed, resolved once: alpha after the family, the resamples and the seed."""

    prediction: Prediction
    family_size: int
    alpha: float
    resamples: int
    seed: int

    @property
    def resamples_wanted(self) -> int:
        """Enough that the tail of size alpha holds fifty."""
        return math.ceil(TAIL_RESAMPLES / self.alpha)

    @property
    def alpha_in_words(self) -> str:
        return wording.alpha_in_words(self.prediction.alpha, self.family_size)
