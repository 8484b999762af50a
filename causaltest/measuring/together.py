"""Together: experiments as they are announced and asked for; those that are alike are measured in one plan, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from causaltest.asking.company import company
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
            self._measure_together(self._company(experiment))
        measured = self._measured[experiment.digest]
        if isinstance(measured, CausaltestError):
            raise measured
        return measured

    def forget(self, experiment: Experiment) -> None:
        """Lets an effect go that is kept elsewhere; it is expected no more, or it would be measured with the next."""
        self._measured.pop(experiment.digest, None)
        self._expected.pop(experiment.digest, None)

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        """One estimate per cell, without controls."""
        self._refuse_changed()
        asked = tuple(cell.digest for cell in cells)
        if asked not in self._maps:
            self._maps[asked] = self._map(cells, rows, columns)
        return self._maps[asked]

    def _company(self, experiment: Experiment) -> list[Experiment]:
        """The experiment and all expected ones like it, in an order that nobody's asking changes."""
        if experiment.digest not in self._expected:
            # In their company it would change the shapes of their forwards, and with them the last bits.
            return [experiment]
        together = {
            digest: other
            for digest, other in self._expected.items()
            if company(other) == company(experiment) and digest not in self._measured
        }
        return [together[digest] for digest in sorted(together)]

    def _measure_together(self, experiments: Sequence[Experiment]) -> None:
        """Measures experiments in one plan; what cannot be measured fails alone."""
        plan = Plan(tuple(experiments))
        try:
            effects = self._effects_of(plan)
        except WorkersError:
            raise  # it says nothing of the experiments
        except CausaltestError as error:
            if len(experiments) == 1:
                self._measured[experiments[0].digest] = error
                return
            # One of them cannot be planned or run; alone, each of the others can.
            for experiment in experiments:
                self._measure_together([experiment])
            return
        for experiment, effect in zip(experiments, effects, strict=True):
            self._measured[experiment.digest] = effect

    def _effects_of(self, plan: Plan) -> list[Effect | CausaltestError]:
        """Per experiment of a plan, what was measured, or why nothing was."""
        raise NotImplementedError

    def _map(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        raise NotImplementedError

    def _refuse_changed(self) -> None:
        """Raises ModelError when the model is not as it was loaded."""
