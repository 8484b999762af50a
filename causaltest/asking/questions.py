"""Questions taken apart: the experiments that an effect, a difference, or several effects rest on."""

from __future__ import annotations

from causaltest.asking.experiment import Experiment
from causaltest.effect import Difference, Question
from causaltest.effects import Together


def experiments_of(question: Question | None) -> tuple[Experiment, ...]:
    """Its experiments, in order; none where values were given."""
    if isinstance(question, Experiment):
        return (question,)
    if isinstance(question, Difference):
        return experiments_of(question.first) + experiments_of(question.second)
    if isinstance(question, Together):
        return tuple(e for member in question.questions.values() for e in experiments_of(member))
    return ()


def has_values(question: Question | None) -> bool:
    """Whether any part of it is values that were given, of which nobody asked anything here."""
    if isinstance(question, Difference):
        return has_values(question.first) or has_values(question.second)
    if isinstance(question, Together):
        return any(map(has_values, question.questions.values()))
    return not isinstance(question, Experiment)
