"""Questions taken apart: the experiments that an effect, or a difference of effects, rests on."""

from __future__ import annotations

from collections.abc import Mapping

from causaltest.asking.experiment import Experiment
from causaltest.effect import Difference, Question


def experiments_of(question: Question | None) -> tuple[Experiment, ...]:
    """Its experiments, in order; none where values were given."""
    if isinstance(question, Experiment):
        return (question,)
    if isinstance(question, Difference):
        return experiments_of(question.first) + experiments_of(question.second)
    # Several effects by name, for a claim about their order.
    members = getattr(question, "questions", None)
    if isinstance(members, Mapping):
        return tuple(e for member in members.values() for e in experiments_of(member))
    return ()
