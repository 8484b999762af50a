"""Filled: a form, from the claims of a lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from causaltest.errors import RecordError
from causaltest.recording.lock import Lock
from causaltest.reporting.export.aspredicted import aspredicted
from causaltest.reporting.export.forms import Form
from causaltest.reporting.export.osf import osf
from causaltest.reporting.export.outline import outline
from causaltest.reporting.export.study import Fields, study_of

FORMS = {"osf": osf, "aspredicted": aspredicted, "markdown": outline}


def filled(form: str, lock: Lock, *, ids: Iterable[str], looks: Sequence[Fields], lock_hash: str) -> Form:
    """The form of this name, for these claims; `looks` are the ledger's lines, `lock_hash` is that of the lock's file.

    Raises RecordError for a spec that this version cannot read.
    """
    try:
        made = FORMS[form](study_of(lock, ids=ids, looks=looks, lock_hash=lock_hash))
        made.text()
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        StopIteration,
        RecursionError,
    ) as error:
        # a lock checks its hashes and not what its specs say
        raise RecordError(
            f"A spec of this lock is not as this causaltest writes them ({type(error).__name__}: {error}): it was "
            "written by another version, or by hand. Use the version that registered the claims."
        ) from error
    return made
