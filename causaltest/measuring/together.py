"""Together: experiments as they are announced and asked for; those that are alike are measured in one plan, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from causaltest.asking.company import company
from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment
from causaltest.effect import Effect
from causaltest.errors import CausaltestError, WorkersError
from causaltest.measuring.plans import Plan
from causaltest.sweep import SweepMap


class Together:
    """What a backend was asked, and what it has measured. Whoever extends it says how a plan is run."""

    def __init__(self) -> None:
        self._expected: dict[str, Experiment] = {}
        self._measured: dict[str, Effect | CausaltestError] = {}
        self._maps: dict[tuple[str, ...], SweepMap] = {}

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Announces experiments: they are planned together with the first of their pairs that is asked for."""
        self._expected.update({e.digest: e for e in experiments})

    def measure(self, experiment: Experiment) -> Effect:
        """The effect of an experiment, with its controls. The same experiment is measured once.

        Raises MeasurementError when no pair is eligible, a patch did not fire, or a run gave NaN.
        """
        self._refuse_changed()
        if experiment.digest not in self._measured:
            self._measured.update(self.together(self._company(experiment)))
        measured = self._measured[experiment.digest]
        if isinstance(measured, CausaltestError):
            raise measured
        return measured

    def together(self, experiments: Iterable[Experiment]) -> dict[str, Effect | CausaltestError]:
        """By their digests, what experiments give that are measured in one plan and with no others.

        They are not remembered: whoever asks so keeps what they give. What cannot be measured fails alone.
        """
        self._refuse_changed()
        return self._one_plan(sorted(experiments, key=lambda e: e.digest))

    def cost(self) -> Cost:
        """What measuring all expected experiments takes."""
        return self.cost_of(self._expected.values())

    def cost_of(self, experiments: Iterable[Experiment]) -> Cost:
        """What measuring them takes, by the plans that they would be measured by; none is announced by that."""
        raise NotImplementedError

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        """One estimate per cell, without controls."""
        self._refuse_changed()
        asked = tuple(cell.digest for cell in cells)
        if asked not in self._maps:
            self._maps[asked] = self._map(cells, rows, columns)
        return self._maps[asked]

    def _company(self, experiment: Experiment) -> list[Experiment]:
        """The experiment and all expected ones like it that were not measured yet."""
        if experiment.digest not in self._expected:
            # In their company it would change the shapes of their forwards, and with them the last bits.
            return [experiment]
        return [
            other
            for digest, other in self._expected.items()
            if company(other) == company(experiment) and digest not in self._measured
        ]

    def _one_plan(self, experiments: Sequence[Experiment]) -> dict[str, Effect | CausaltestError]:
        try:
            effects = self._effects_of(Plan(tuple(experiments)))
        except WorkersError:
            raise  # it says nothing of the experiments
        except CausaltestError as error:
            if len(experiments) == 1:
                return {experiments[0].digest: error}
            # One of them cannot be planned or run; alone, each of the others can.
            return {digest: found for one in experiments for digest, found in self._one_plan([one]).items()}
        return {experiment.digest: effect for experiment, effect in zip(experiments, effects, strict=True)}

    def _effects_of(self, plan: Plan) -> list[Effect | CausaltestError]:
        """Per experiment of a plan, what was measured, or why nothing was."""
        raise NotImplementedError

    def _map(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        raise NotImplementedError

    def _refuse_changed(self) -> None:
        """Raises ModelError when the model is not as it was loaded."""
