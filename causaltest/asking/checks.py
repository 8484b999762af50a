"""Checks: what is measured beside an effect, what is left out by name, and which pairs count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from causaltest.asking.edges import Edge
from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import Position
from causaltest.asking.sites import Site
from causaltest.asking.wrong_places import WrongPlace, wrong_layers, wrong_positions
from causaltest.effect import Waived
from causaltest.errors import ClaimError

ControlName = Literal["placebo", "positive", "self_patch"]


class Counting(TypedDict, total=False):
    """Which pairs count, as keywords of a sweep's reading."""

    eligible: Metric | None
    """For a continuous metric: pairs count by this right-or-wrong metric's rule. Without it all of them do."""
    both_right: bool
    """Whether the corrupt run must also give `corrupt_answer`, as twins do."""


class Beside(Counting, total=False):
    """What stands beside an effect, as keywords of a run's reading."""

    placebo: bool | Waived
    """Other pairs' differences at the same site. False: not measured, so that a claim that needs it cannot be
    SUPPORTED. `Waived("why")`: left out by name, and printed."""
    self_patch: bool | Waived
    """The site patched with its own value; left out by `Waived("why")` alone."""
    positive: bool | Waived
    """Every position patched; left out by `Waived("why")` alone."""
    wrong_layer: int | Iterable[int]
    """The same patch at another layer, or at several, each alone: a claim that something matters must beat each."""
    wrong_position: Position | Iterable[Position]
    """The same at another position, or at several."""


@dataclass(frozen=True)
class Checks:
    """The part of an experiment that says what is measured beside it and which pairs count."""

    waived: tuple[tuple[ControlName, str], ...] = ()
    """Controls that are not run, each with the reason."""
    wrong_places: tuple[WrongPlace, ...] = ()
    eligible: Metric | None = None
    both_right: bool = False

    def waiver(self, control: ControlName) -> Waived | None:
        """Why a control is left out, or None when it is not."""
        why = dict(self.waived).get(control)
        return None if why is None else Waived(why)

    def rule(self, metric: Metric) -> Metric:
        """The metric that says which pairs count."""
        return metric if self.eligible is None else self.eligible

    def counted_if(self, metric: Metric) -> str:
        """What a pair must be to count, in a report's words; empty where all pairs do."""
        if self.rule(metric).kind != "binary":
            return ""
        corrupt = "corrupt gives its own answer" if self.both_right else "corrupt wrong"
        by = "" if self.eligible is None else f"by {self.eligible}: "
        return f"{by}clean right, {corrupt}, answers differ"


AS_USUAL = Checks()


def checks_of(
    sites: Sequence[Site],
    edges: Sequence[Edge],
    metric: Metric,
    *,
    placebo: bool | Waived = True,
    self_patch: bool | Waived = True,
    positive: bool | Waived = True,
    wrong_layer: int | Iterable[int] = (),
    wrong_position: Position | Iterable[Position] = (),
    eligible: Metric | None = None,
    both_right: bool = False,
) -> Checks:
    """The checks of a patching, from a reading's keywords. Raises ClaimError for what has no meaning there."""
    given: dict[ControlName, Any] = {"placebo": placebo, "positive": positive, "self_patch": self_patch}
    for name, said in given.items():
        if not isinstance(said, bool | Waived) or (said is False and name != "placebo"):
            raise ClaimError(
                f'{name}={said!r} is not known. A control is on by itself, and left out by {name}=Waived("why"), which '
                "is printed beside the verdict."
            )
    return Checks(
        waived=tuple((name, said.why) for name, said in given.items() if isinstance(said, Waived)),
        wrong_places=(*wrong_layers(sites, edges, wrong_layer), *wrong_positions(sites, edges, wrong_position)),
        # The metric's own rule needs no name: with it, the experiment is the same one.
        eligible=None if eligible == metric else eligible,
        both_right=both_right,
    )


def refuse_unknown(reading: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises ClaimError for a keyword that a reading does not have."""
    known = sorted(known)
    odd = next((name for name in given if name not in known), None)
    if odd is not None:
        raise ClaimError(f"{reading}(metric, {odd}=...) is not known; beside the metric it takes {', '.join(known)}.")


def refuse_unfit(checks: Checks, metric: Metric, pairs: Pairs) -> None:
    """Raises ClaimError for a rule of eligibility that does not fit the metric or the pairs."""
    rule = checks.eligible
    if rule is not None and (not isinstance(rule, Metric) or rule.kind != "binary"):
        raise ClaimError(f"eligible= takes a right-or-wrong metric, accuracy or exact_match, and got {rule!r}.")
    if rule is not None and metric.kind == "binary":
        raise ClaimError(
            f"{metric} says itself which pairs count: those that it finds right when clean. Drop eligible={rule}, or "
            f"measure {rule}."
        )
    if not isinstance(checks.both_right, bool):
        raise ClaimError(f"both_right={checks.both_right!r} must be True or False.")
    if not checks.both_right:
        return
    if checks.rule(metric).kind != "binary":
        raise ClaimError(f"both_right asks what is right, which {metric} does not say: add eligible=accuracy.")
    without = [str(pair.id) for pair in pairs if pair.corrupt_answer is None]
    if without:
        raise ClaimError(
            f"both_right asks that the corrupt run gives its corrupt_answer, and {len(without)} of {len(pairs)} pairs "
            f"have none ({', '.join(without[:3])}): give it, or drop both_right."
        )
