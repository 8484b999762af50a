"""The exception tree. Every message says what was given, what is accepted, and what to do next.

CausaltestError
├── ClaimError           a claim is written in a way that cannot be judged
│   └── RehearsalRead    a number was asked for where only the experiment is known
├── PairsError           prompts that cannot be compared, or a file that cannot be read
├── SiteError            a site that this model does not have
│   └── PositionError    a position that this prompt does not have, or has twice
├── ModelError           a model that cannot be loaded, or must not be measured
├── MeasurementError     a run that gave no usable number
│   └── NothingEligible  none of the pairs counts
├── WorkersError         workers that cannot be had, that are not alike, or that a task has ended
├── JudgementError       numbers that cannot be judged as asked
│   └── NoTruthValue     an INCONCLUSIVE or INVALID verdict used as true or false
└── RecordError          a lock, ledger or baseline that cannot be read or written as asked
    └── Tampered         a record that was changed by hand
"""

from __future__ import annotations

MISREAD = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading raises of a record or a claim that was not written by causaltest."""


class CausaltestError(Exception):
    """The root: catch this to catch everything that causaltest raises on purpose."""


class ClaimError(CausaltestError):
    """A claim is written in a way that cannot be judged."""


class RehearsalRead(ClaimError):
    """A number was asked for in rehearsal, where only the experiment is known."""


class PairsError(CausaltestError):
    """Prompts that cannot be compared, or a pairs file that cannot be read."""


class SiteError(CausaltestError):
    """A site that this model does not have."""


class PositionError(SiteError):
    """A position that this prompt does not have, or has more than once."""


class ModelError(CausaltestError):
    """A model that cannot be loaded, or that must not be measured as it is."""


class MeasurementError(CausaltestError):
    """A run that gave no usable number: a patch that did not fire, NaN, nothing eligible."""


class NothingEligible(MeasurementError):
    """None of the pairs counts; `excluded` holds each pair's id and the reason."""

    def __init__(self, message: str, excluded: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.excluded = excluded


class WorkersError(CausaltestError):
    """Workers of a cluster that cannot be had, that are not alike, or that a task has ended again and again."""


class JudgementError(CausaltestError):
    """Numbers that cannot be judged as asked."""


class NoTruthValue(JudgementError):
    """An INCONCLUSIVE or INVALID verdict is neither true nor false."""


class RecordError(CausaltestError):
    """A lock, ledger, baseline or bundle that cannot be read, or cannot be written as asked."""


class Tampered(RecordError):
    """A record whose hashes do not hold: somebody changed it by hand."""
