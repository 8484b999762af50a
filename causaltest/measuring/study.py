"""A study: one experiment's arms in a batch, and the effect that they give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from causaltest.asking.experiment import Experiment, Patching, Quantity
from causaltest.asking.interventions import replace as other_run
from causaltest.asking.interventions import zero
from causaltest.asking.metrics import Metric
from causaltest.asking.positions import Position
from causaltest.asking.sites import STREAM
from causaltest.asking.wrong_places import WrongPlace
from causaltest.effect import Controls, Effect, Elsewhere, FullComponent, PositiveControl, SelfPatch, Waived
from causaltest.errors import MeasurementError
from causaltest.measuring.arms import Arm
from causaltest.measuring.batch import Batch, Readings
from causaltest.measuring.chunk_runs import SIDES, Side
from causaltest.measuring.controls import everywhere, refuse_alike, refuse_late_steps, self_patch
from causaltest.measuring.edges import received
from causaltest.measuring.eligibility import reasons
from causaltest.measuring.meetings import Meeting, worst
from causaltest.measuring.numbers import Compared, numbers_of, quantities
from causaltest.measuring.patches import refuse_overlap
from causaltest.measuring.positions import layout
from causaltest.measuring.readings import Comparison
from causaltest.measuring.scores import tokens_needed
from causaltest.measuring.sites import Sites
from causaltest.measuring.trajectory import not_finite
from causaltest.measuring.vectors import Vectors

POSITIVE_CONTROL_NEEDS = 0.5
OWN_CONTROL = "the patch is at every position of the stream, so it recovers by construction"


@dataclass(frozen=True)
class Patched:
    """A patching in a batch: its vectors, and the arm that writes what was asked."""

    patching: Patching
    vectors: Vectors
    arm: int | Side
    """The runs that are read: an arm's, or the unpatched ones that it meets."""
    new_tokens: int


def key_of(patched: Patched, role: str) -> tuple[object, ...]:
    """What tells arms apart: one of the same patching and role serves every metric."""
    patching = patched.patching
    drawn = patched.vectors.seed if patching.intervention.draws else ""
    return (role, patching.direction, patching.intervention, patching.sites, patching.edges, patched.new_tokens, drawn)


def named(patching: Patching) -> str:
    return patching.site


class Study:
    """One experiment. Made before the batch runs, read after it."""

    def __init__(self, experiment: Experiment, batch: Batch, sites: Sites) -> None:
        self.experiment, self.batch, self.sites = experiment, batch, sites
        metric, controls = experiment.metric, experiment.controls
        self.pairs = sites.pairs
        self.patched = self._patched(experiment.patching, metric, keeps=controls and experiment.placebo_draws > 0)
        self.rule = experiment.checks.rule(metric)
        for side in SIDES:
            batch.metrics[side].update({metric: None, self.rule: None})
        both = experiment.checks.both_right
        if both:
            batch.owned[self.rule] = None
        if self.rule != metric or both:
            batch.least_tokens = max(batch.least_tokens, tokens_needed(self.rule, self.pairs, both=both))
        self.distance = self._distance(self.patched)
        self.compared: dict[int | Side | None, int] = {}
        """Per arm whose answer logits were compared with those of unpatched runs, which of the comparisons it is."""
        self.placebos: list[int] = []
        self.elsewhere: list[tuple[str, Patched, int]] = []
        """Per wrong place: what it is called, what is patched there, and its distances."""
        self.everywhere: Patched | None = None
        self.full: Patched | None = None
        self.own: int | None = None
        self.kept: int | None = None
        self.met: int | None = None
        if controls:
            if experiment.checks.waiver("self_patch") is None:
                self.own = self._arm(self.patched, "own")
                self.kept = self._meeting(self.patched, "own")
            self.compare(self.own)
            seeds = [f"{experiment.digest} placebo {draw}" for draw in range(experiment.placebo_draws)]
            self.placebos = [self._arm(self.patched, seed, (metric,)) for seed in seeds]
            wanted = experiment.checks.waiver("positive") is None
            if wanted and (experiment.patching.edges or not whole_stream(self.patched, batch)):
                self._add_positive(self._positive())
            for place in experiment.checks.wrong_places:
                self._add_elsewhere(place)
            if (full := self._full()) is not None:
                self.full = self._patched(full, metric)

    def effect(self, readings: Readings, provenance: dict[str, str]) -> Effect:
        """The effect that the batch measured. Raises what a metric raised, and MeasurementError."""
        compared = self._compared(readings, self.patched.arm)
        controls, rounding = Controls(), 0.0
        if self.experiment.controls:
            neutral = self.neutral(readings, self.own)
            rounding = 2 * neutral.tolerance if self.experiment.metric.kind == "continuous" else 0.0
            distances = readings.distances[self.distance].tolist()
            controls = Controls(
                self_patch=self.experiment.checks.waiver("self_patch") or neutral,
                placebo=self._placebo(readings, compared),
                positive=self._positive_control(readings),
                distance=tuple(compared.eligible(distances)),
                full=self._full_component(readings, compared),
                elsewhere=self._elsewhere(readings, compared),
            )
        numbers = numbers_of(
            self.experiment, self.pairs, compared, controls, rounding=rounding, provenance=provenance | self._made_of()
        )
        return Effect(self.experiment, numbers)

    def mean_distance(self, readings: Readings) -> float:
        return float(readings.distances[self.distance].mean())

    def compare(self, arm: int | Side | None) -> None:
        """Keeps the answers' logits of an arm, if any, and of runs that begin there unpatched."""
        vectors = self.patched.vectors
        self.unpatched = self.batch.unpatched(vectors.side, vectors.spots, self.patched.new_tokens)
        comparison = Comparison(self.unpatched if arm is None else arm, self.unpatched, vectors.side)
        self.compared[arm] = self.batch.compare(comparison)

    def compare_roughly(self) -> None:
        """Has a few runs begin where the patched ones do, unpatched: enough to see how far rounding goes."""
        if self.experiment.metric.kind == "continuous":
            vectors, tokens = self.patched.vectors, self.patched.new_tokens
            key = ("unpatched, few", vectors.side, tokens)
            few = self.batch.arm(key, lambda: Arm(vectors.side, vectors.spots, None, tokens, few=True))
            self.few = self.batch.compare(Comparison(few, few, vectors.side))

    def roughly(self, readings: Readings) -> float:
        """How far rounding may move a value of the metric, as those few runs show it."""
        return 2 * self_patch(readings.apart[self.few], self.batch.model.model.dtype).tolerance

    def neutral(self, readings: Readings, arm: int | Side | None) -> SelfPatch:
        """How far an arm that was compared moves any answer logit, and how far rounding alone may.

        Raises MeasurementError when writing a run's own vectors back changes what was recorded there.
        """
        if self.kept is not None and (missed := worst(readings.missed[self.kept])) > 0:
            raise MeasurementError(
                f"Writing what {named(self.patched.patching)} holds back where it was read changes it, by up to "
                f"{missed:.3g}: vectors are read at other places than they are written to. Nothing can be concluded "
                "from such a patch; please report it with the model's name."
            )
        return self_patch(readings.apart[self.compared[arm]], self.batch.model.model.dtype)

    def _patched(self, patching: Patching, metric: Metric, *, keeps: bool = False) -> Patched:
        out = self._read_at(patching, metric, keeps=keeps)
        return replace(out, arm=self._arm(out, "patched", (metric,)))

    def _read_at(self, patching: Patching, metric: Metric, *, keeps: bool = False) -> Patched:
        """A patching with its vectors, and no arm yet."""
        model = self.batch.model
        for site in patching.sites:
            model.check(site)
        new_tokens = self.sites.tokens(metric)
        refuse_late_steps(patching, metric, new_tokens)
        sites = self.sites
        vectors = self.batch.vectors_of(
            (patching, new_tokens, self.experiment.seed),
            lambda: Vectors(
                model,
                patching,
                sites.spots(patching, new_tokens),
                sites.clusters,
                ids=sites.ids,
                seed=self.experiment.seed,
                spaces=sites.spaces,
                elsewhere=sites.elsewhere(patching, new_tokens),
                arrivals=sites.arrivals(patching, new_tokens),
                room=self.batch.references.room,
            ),
            keeps=keeps,
        )
        if vectors.is_move:
            refuse_overlap(vectors.spots, named(patching))
        return Patched(patching, vectors, vectors.other_side, new_tokens)

    def _distance(self, patched: Patched) -> int:
        return self.batch.measure(patched.vectors)

    def _add_elsewhere(self, place: WrongPlace) -> None:
        patched = self._patched(replace(self.experiment.patching, sites=place.sites), self.experiment.metric)
        if place.position is not None:
            self._refuse_overlap(place.position)
        self.elsewhere.append((place.what, patched, self._distance(patched)))

    def _refuse_overlap(self, wrong: Position) -> None:
        """Raises PositionError where the wrong position is the claim's own in some pair."""
        own, new_tokens = self.experiment.patching.sites[0].position, self.patched.new_tokens
        places = [self.sites.where(position, new_tokens) for position in (own, wrong)]
        mine, theirs = ([at for where in place for at in where.positions] for place in places)
        refuse_alike(own, wrong, mine, theirs, self.sites.ids)

    def _add_positive(self, patching: Patching) -> None:
        """The positive control. Where it makes one run the other, the other is there already."""
        if patching.intervention != other_run or any(s.component not in STREAM for s in patching.sites):
            self.everywhere = self._patched(patching, self.experiment.metric)
            return
        self.everywhere = self._read_at(patching, self.experiment.metric)
        self.met = self._meeting(self.everywhere, "other")

    def _meeting(self, patched: Patched, role: Literal["own", "other"]) -> int:
        vectors = patched.vectors
        values, side = (vectors.own, vectors.side) if role == "own" else (vectors.other, vectors.other_side)
        moves = vectors.own_moves
        return self.batch.meet(key_of(patched, role), lambda: Meeting(vectors, values, side, patched.new_tokens, moves))

    def _arm(self, patched: Patched, role: str, metrics: tuple[Metric, ...] = ()) -> int:
        """An arm of the patching."""
        vectors = patched.vectors
        values, moves = {
            "patched": (vectors.asked, vectors.moves),
            "own": (vectors.own, vectors.own_moves),
        }.get(role) or (vectors.placebo(role), vectors.placebo_moves)
        return self.batch.arm(
            key_of(patched, role),
            lambda: Arm(vectors.side, vectors.spots, values, patched.new_tokens, few=role == "own", moves=moves),
            metrics,
        )

    def _compared(self, readings: Readings, arm: int | Side) -> Compared:
        metric = self.experiment.metric
        for key in (("clean", metric), ("corrupt", metric), (arm, metric)):
            if key in readings.refused:
                raise readings.refused[key]
        finite = readings.finite[arm] if isinstance(arm, int) else np.ones(1, dtype=bool)
        if not finite.all():
            bad = int((~finite).nonzero()[0][0])
            raise MeasurementError(not_finite(self.batch.model, bad, len(finite), patched=True))
        clean, corrupt, patched = (
            readings.scores[key] for key in (("clean", metric), ("corrupt", metric), (arm, metric))
        )
        return Compared.of(metric, clean, corrupt, patched, self._excluded(readings))

    def _excluded(self, readings: Readings) -> list[str | None]:
        """Why each pair does not count: read off the unpatched runs, whichever arm asks."""
        rule, own = self.rule, None
        for side in SIDES:
            if (side, rule) in readings.refused:
                raise readings.refused[side, rule]
        if self.experiment.checks.both_right:
            own = readings.owned[rule].tolist()
        clean, corrupt = (readings.scores[side, rule].tolist() for side in SIDES)
        return reasons(rule, self.pairs, clean, corrupt, own)

    def _placebo(self, readings: Readings, compared: Compared) -> tuple[float, ...] | Waived | None:
        """Per pair, the effect of other pairs' differences put at the same site, averaged over draws."""
        if not self.placebos:
            return self.experiment.checks.waiver("placebo")
        moves = self.patched.vectors.displacement
        assert moves is not None  # a batch settles its vectors before it runs an arm
        if any(moves.alone[i] for i in compared.keep):
            # A pair left as it is would let the effect beat its placebo for free.
            return None
        total = [0.0] * len(compared.keep)
        for arm in self.placebos:
            values = quantities(self.experiment, replace(compared, patched=self._compared(readings, arm).patched))
            total = [t + v for t, v in zip(total, values, strict=True)]
        return tuple(t / len(self.placebos) for t in total)

    def _elsewhere(self, readings: Readings, compared: Compared) -> tuple[Elsewhere, ...]:
        """The effects of the same patch at the wrong places."""
        out = []
        for what, patched, distance in self.elsewhere:
            there = replace(compared, patched=self._compared(readings, patched.arm).patched)
            moved = compared.eligible(readings.distances[distance].tolist())
            out.append(Elsewhere(what, tuple(quantities(self.experiment, there)), tuple(moved)))
        return tuple(out)

    def _positive(self) -> Patching:
        """The same patch at every position; components of a block at every layer too."""
        patching, model = self.experiment.patching, self.batch.model
        patched = received(patching.edges, model) if patching.edges else patching.sites
        sites = tuple(dict.fromkeys(everywhere(site.whole(), model) for site in patched))
        if patching.intervention == other_run:
            return replace(patching, sites=sites, edges=())
        # Prompts of several lengths have no mean at every position; zeros ask the same of the hook.
        return replace(patching, sites=sites, direction="ablate", intervention=zero)

    def _full(self) -> Patching | None:
        """The same patch of the whole component; None where it is that, or where a number has no vector there."""
        patching = self.experiment.patching
        alone = patching.intervention.kind == "add" and patching.intervention.vector is None
        if alone or all(site.within is None for site in patching.sites):
            return None
        return replace(patching, sites=tuple(dict.fromkeys(site.whole() for site in patching.sites)))

    def _full_component(self, readings: Readings, part: Compared) -> FullComponent | None:
        if self.full is None:
            return None
        whole = replace(self.experiment, patching=self.full.patching)
        estimate, mine = (
            Effect(asked, numbers_of(asked, self.pairs, given, Controls(), rounding=0.0, provenance={})).estimate
            for asked, given in ((whole, self._compared(readings, self.full.arm)), (self.experiment, part))
        )
        return FullComponent(estimate, mine, named(self.full.patching))

    def _made_of(self) -> dict[str, str]:
        """For the provenance: in which types named vectors were given and used, and how wide noise is."""
        patching, by = self.experiment.patching, self.experiment.patching.intervention
        named_there = [site.within for site in patching.sites] + [by.vector]
        out = self.sites.spaces.cast([one for one in named_there if one is not None])
        if by.kind == "gaussian" and by.amount is not None:
            out["noise"] = f"standard deviation {by.amount * self.sites.spaces.embedding_sd:.6g}"
        return out

    def _positive_control(self, readings: Readings) -> PositiveControl | Waived:
        if self.everywhere is None:
            return self.experiment.checks.waiver("positive") or Waived(OWN_CONTROL)
        patching, metric = self.everywhere.patching, self.experiment.metric
        what = named(patching)
        if self.met is not None and (missed := worst(readings.missed[self.met])) > 0:
            raise MeasurementError(
                f"Writing every position of {what} should make one run the other, and is off by up to {missed:.3g}: "
                "the patch does not reach where it says. Please report it with the model's name."
            )
        compared = self._compared(readings, self.everywhere.arm)
        if patching.direction == "ablate" and metric.kind == "continuous":
            # Zeros everywhere bring a logit to about zero and no further: ask how far of the way it went.
            went = sum(abs(compared.clean[i] - compared.patched[i]) for i in compared.keep)
            whole = sum(abs(compared.clean[i]) for i in compared.keep) or 1.0
            return PositiveControl(went / whole, POSITIVE_CONTROL_NEEDS, what)
        quantity: Quantity = "recovery" if patching.direction == "denoise" else "drop"
        whole_effect = replace(self.experiment, patching=patching, quantity=quantity)
        numbers = numbers_of(whole_effect, self.pairs, compared, Controls(), rounding=0.0, provenance={})
        return PositiveControl(Effect(whole_effect, numbers).estimate, POSITIVE_CONTROL_NEEDS, what)


def whole_stream(patched: Patched, batch: Batch) -> bool:
    """Whether the patch covers every position of a residual stream or embedding: its own positive control."""
    if patched.vectors.is_move:
        return False
    for chunk, spots_of in zip(batch.chunks, patched.vectors.spots, strict=True):
        total = layout(batch.model, chunk.prompt_tokens, patched.new_tokens).total
        for spot in spots_of:
            if spot.component not in STREAM or any(len(set(at)) < total for at in spot.where.positions):
                return False
    return True
