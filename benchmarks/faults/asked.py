"""A small suite on the ducks, asked as a script asks it: effects, a sweep and clean runs, and what they are judged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from causaltest import Effect, Lab, Pairs, accuracy, logit_diff, resid_post, thought
from causaltest.asking.settings import Settings, StorePlace
from causaltest.organisms import ducks
from causaltest.store.answers import plain_clean, plain_effect, plain_map


@dataclass(frozen=True)
class Answers:
    """What a suite has found, and what its store had to tell."""

    numbers: tuple[str, ...]
    """Every answer to the last bit, as text."""
    verdicts: tuple[str, ...]
    told: tuple[str, ...]
    anew: int
    """Patched runs that were made."""


def twins(clusters: int) -> Pairs:
    return ducks.twins(sentence=1, clusters=clusters, per_cluster=2, seed=7)


def effects(lab: Lab, pairs: Pairs, layers: Sequence[int]) -> list[Effect]:
    runs = [lab.denoise(pairs, at=resid_post(layer, thought(0))) for layer in layers]
    return [effect for run in runs for effect in (run.recovery(accuracy), run.change(logit_diff))]


def ask(folder: Path | None, pairs: Pairs, layers: Sequence[int], *, memory: int = 1 << 30) -> Answers:
    """Asks everything, as a process would that has just begun; without a folder nothing is kept."""
    place = None if folder is None else StorePlace(str(folder))
    lab = Lab.load("organism:ducks", settings=Settings(store=place, memory=memory, progress=False))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        effects(lab.rehearsal(), pairs, layers)  # so that all are measured in one plan
        found = effects(lab, pairs, layers)
        numbers = [json.dumps(plain_effect(effect), sort_keys=True) for effect in found]
        swept = lab.sweep(pairs, at=resid_post(tuple(layers), thought(0))).recovery(accuracy)
        others = [plain_map(swept), plain_clean(lab.clean(pairs))]
        numbers += [json.dumps(plain, sort_keys=True) for plain in others]
    told = [str(one.message) for one in warned if one.category.__name__ == "CausaltestWarning"]
    return Answers(
        tuple(numbers),
        tuple(str((effect > 0.3).outcome) for effect in found),
        (*told, *lab.told()),
        lab.counts.get("patched_runs", 0),
    )
