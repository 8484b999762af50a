"""Answers: effects and maps as entries of a store and back, to the last bit; and errors, which are answers too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from causaltest import errors
from causaltest.asking.experiment import Experiment
from causaltest.clean_runs import CleanRun, CleanRuns
from causaltest.effect import Effect
from causaltest.errors import CausaltestError, NothingEligible
from causaltest.store.entry import Entry
from causaltest.sweep import PerPair, SweepMap
from causaltest.writing.packed import Arrays, Texts, lifted, lowered
from causaltest.writing.plain_effects import Row, floats, number, numbers_of, plain_numbers, text, texts, whole
from causaltest.writing.raw_tensors import Damaged
from causaltest.writing.tensors import doubles, floats_of

T = TypeVar("T")
ANSWERS = ("MeasurementError", "NothingEligible", "SiteError", "PositionError", "PairsError", "ClaimError")
"""Errors that say something of the experiment, and would be raised again."""
MAPPINGS = ("references", "provenance")
"""What an effect has by name, in an order."""


def read(entry: Entry, decode: Callable[[Mapping[str, Any]], T]) -> T | CausaltestError:
    """What an entry answers. Raises Damaged for an entry of something else."""
    try:
        plain = lowered(
            entry.said["plain"],
            {name: Row(values) for name, values in floats_of(entry.arrays).items()},
            [texts(one) for one in entry.said["texts"]],
        )
        return error_of(plain["error"]) if "error" in plain else decode(plain)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, CausaltestError) as wrong:
        raise Damaged(f"it holds no answer ({type(wrong).__name__}: {wrong})") from wrong


def written(plain: Mapping[str, Any]) -> Entry:
    """Plain data as an entry, their numbers as arrays."""
    arrays, words = Arrays(), Texts()
    said = lifted(plain, "", arrays, words)
    return Entry({"plain": said, "texts": words.lists}, doubles(arrays.named))


def plain_error(error: CausaltestError) -> dict[str, Any]:
    excluded = [list(one) for one in error.excluded] if isinstance(error, NothingEligible) else None
    return {"error": {"class": type(error).__name__, "message": str(error), "excluded": excluded}}


def error_of(plain: Mapping[str, Any]) -> CausaltestError:
    name, message = plain["class"], text(plain["message"])
    if name not in ANSWERS:
        raise ValueError(f"{name} is no answer")
    if name == "NothingEligible":
        return NothingEligible(message, tuple((text(i), text(why)) for i, why in plain["excluded"] or ()))
    made: CausaltestError = getattr(errors, name)(message)
    return made


def plain_effect(effect: Effect) -> dict[str, Any]:
    numbers = plain_numbers(effect.measured)
    return {"numbers": {**numbers, **{name: in_order(numbers[name]) for name in MAPPINGS}}}


def effect_of(plain: Mapping[str, Any], experiment: Experiment) -> Effect:
    """The effect of an experiment that is known, with its numbers."""
    numbers = plain["numbers"]
    return Effect(experiment, numbers_of({**numbers, **{name: mapping_of(numbers[name]) for name in MAPPINGS}}))


def in_order(named: Mapping[str, Any]) -> list[Any]:
    """A mapping's names and its values: JSON as it is written here sorts names, and a report lists them as they were
    measured."""
    return [list(named), list(named.values())]


def mapping_of(plain: Any) -> dict[str, Any]:
    names, values = plain
    return dict(zip(texts(names), values, strict=True))


def plain_map(made: SweepMap) -> dict[str, Any]:
    per_pair = made.per_pair
    return {
        "summary": made.summary,
        "rows": list(made.rows),
        "columns": list(made.columns),
        "estimates": [float(e) for e in made.estimates],
        "distances": [float(d) for d in made.distances],
        "n": made.n,
        "pairs_total": made.pairs_total,
        "estimated_by": made.estimated_by,
        "per_pair": None
        if per_pair is None
        else {
            "values": [float(v) for v in per_pair.values.reshape(-1)],
            "pair_ids": list(per_pair.pair_ids),
            "clusters": None if per_pair.clusters is None else list(per_pair.clusters),
            "denominators": None if per_pair.denominators is None else [float(d) for d in per_pair.denominators],
            "rounding": float(per_pair.rounding),
        },
    }


def map_of(plain: Mapping[str, Any], cells: Sequence[Experiment]) -> SweepMap:
    count = len(cells)
    return SweepMap(
        summary=text(plain["summary"]),
        rows=texts(plain["rows"]),
        columns=texts(plain["columns"]),
        estimates=floats(plain["estimates"], count),
        distances=floats(plain["distances"], count),
        n=whole(plain["n"]),
        pairs_total=whole(plain["pairs_total"]),
        sites=tuple(cell.patching.sites[0] for cell in cells),
        estimated_by=None if plain["estimated_by"] is None else text(plain["estimated_by"]),
        per_pair=None if plain["per_pair"] is None else per_pair_of(plain["per_pair"], count),
    )


def per_pair_of(plain: Mapping[str, Any], cells: int) -> PerPair:
    import numpy  # late: a store of effects needs none

    ids = texts(plain["pair_ids"])
    n = len(ids)
    return PerPair(
        values=numpy.array(floats(plain["values"], cells * n), dtype=float).reshape(cells, n),
        pair_ids=ids,
        clusters=None if plain["clusters"] is None else texts(plain["clusters"], n),
        denominators=None if plain["denominators"] is None else floats(plain["denominators"], n),
        rounding=number(plain["rounding"]),
    )


def plain_clean(runs: CleanRuns) -> dict[str, Any]:
    return {"model": runs.model, "rule": runs.rule, "runs": [asdict(run) for run in runs.runs]}


def clean_of(plain: Mapping[str, Any]) -> CleanRuns:
    runs = (CleanRun(**{**run, "tokens": texts(run["tokens"]), "notes": texts(run["notes"])}) for run in plain["runs"])
    return CleanRuns(text(plain["model"]), tuple(runs), text(plain["rule"]))
