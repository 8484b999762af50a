"""What `causaltest verify claims.zip` prints of a bundle."""

from __future__ import annotations

import json
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import click

from causaltest import __version__
from causaltest.cli.exit_status import HOLDS, TAMPERED, UNCHECKED
from causaltest.cli.proofs import Tried
from causaltest.errors import MISREAD, RecordError, Tampered
from causaltest.printable import printable
from causaltest.recording import lock
from causaltest.recording.bundle import PAGE, Bundle, read_bundle
from causaltest.recording.wording import counted
from causaltest.reporting.bundle_page import page
from causaltest.reporting.columns import aligned
from causaltest.reviewed import ON_GIT, Review, reviewed

NAMED = 5
"""Claims that are named one by one."""


def verify_bundle(file: Path, *, stamps: Callable[[Path], Sequence[Tried]] | None = None, as_json: bool = False) -> int:
    """Judges a bundle again and says what stands: the exit status. `stamps` tries the time stamps of a lock."""
    try:
        bundle = read_bundle(file)
        review = with_page(reviewed(bundle), bundle)
    except RecordError as error:
        status = TAMPERED if isinstance(error, Tampered) else UNCHECKED
        if as_json:
            told_of = {"problems": [str(error)]} if status == TAMPERED else {"unreadable": str(error)}
            click.echo(json.dumps({"holds": False, **told_of}))
        else:
            click.echo(printable(f"{'TAMPERED' if status == TAMPERED else 'Error'}: {error}"), err=True)
        return status
    stamped = [] if stamps is None else stamped_by(stamps, bundle)
    if as_json:
        proofs = {"proofs": [stamp.as_dict() for stamp in stamped]} if stamped else {}
        click.echo(json.dumps({**as_data(review), **proofs}))
    else:
        digest = sha256(bundle.lock_text).hexdigest()
        for line in (*told(str(file), review, digest=digest), *(line for stamp in stamped for line in stamp.lines())):
            click.echo(printable(line))
    return status_of(review) or (HOLDS if all(stamp.holds for stamp in stamped) else UNCHECKED)


def stamped_by(stamps: Callable[[Path], Sequence[Tried]], bundle: Bundle) -> Sequence[Tried]:
    """What time stamps show of the bundle's lock, which they want as a file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, lock.NAME)
        copy.write_bytes(bundle.lock_text)
        return stamps(copy)


def with_page(review: Review, bundle: Bundle) -> Review:
    """The review, with what is to be said of the page: it must be the one that is made of the record."""
    try:
        if page(bundle).encode() == bundle.page:
            return review
    except MISREAD as error:
        raise RecordError(f"No page can be made of the record: {error!r:.200}.") from error
    by = "" if bundle.version == __version__ else f" (the bundle was made by {bundle.version})"
    told = f"{PAGE} is not the page that causaltest {__version__} makes of this record{by}: believe this table, not it"
    return replace(review, open=(*review.open, told))


def status_of(review: Review) -> int:
    if review.tampered:
        return TAMPERED
    return HOLDS if review.complete else UNCHECKED


def told(name: str, review: Review, *, digest: str) -> Iterator[str]:
    """A person's account of a review: a table of looks, what does not stand, and what nobody can see from the file."""
    yield f"{name}: {counted(review.claims, 'registered claim')}, {counted(review.lines, 'line')} in the ledger"
    yield ""
    yield from table(review)
    if review.not_looked_at:
        yield ""
        yield from textwrap.wrap(not_measured(review.not_looked_at), 110, break_long_words=False)
    problems = [*review.problems, *(p for look in review.looks for p in look.problems)]
    unseen = [*review.open, *(o for look in review.looks for o in look.open)]
    for words, sentences in (("Does not stand:", problems), ("Not checked:", unseen)):
        if sentences:
            yield f"\n{words}"
            yield from (f"  {sentence.rstrip('.')}." for sentence in sentences)
    yield ""
    yield from on_git(review, digest)
    yield verdict_on(name, review)


def not_measured(claims: Sequence[str]) -> str:
    """The claims that were promised and are not there, some by name."""
    rest = [f"{counted(len(claims) - NAMED, 'other')}"] if len(claims) > NAMED else []
    return f"Registered, and not measured yet: {', '.join([*claims[:NAMED], *rest])}."


def table(review: Review) -> Iterator[str]:
    rows = [("claim", "looked at", "verdict", "judged again", "status", "stands")]
    rows += [
        (
            look.claim,
            look.at[:10],
            look.verdict,
            look.judged,
            look.status,
            "no" if look.problems else "not checked" if look.open else "yes",
        )
        for look in review.looks
    ]
    yield from aligned(rows)


def on_git(review: Review, digest: str) -> Iterator[str]:
    """What a file alone cannot show."""
    resting = sum(look.status in ON_GIT for look in review.looks)
    if not resting:
        return
    at = review.committed
    if at.commit:
        yield (
            f"Only git can show that the lock was committed before {counted(resting, 'look')} of status "
            f"{' or '.join(dict.fromkeys(k.status for k in review.looks if k.status in ON_GIT))}:"
        )
        yield f"  in the repository, `git show {at.commit[:12]}:./claims.lock | sha256sum`, run in the record's folder,"
        yield f"  must print {digest}."
        yield "Git's dates can be forged; a time stamp of the lock cannot (`causaltest verify --proof`)."
    else:
        yield f"When the bundle was made no commit had this lock: {at.why_not}."
    yield ""


def verdict_on(name: str, review: Review) -> str:
    if review.tampered:
        return f"TAMPERED: {name} is not what was measured and registered."
    looks = counted(len(review.looks), "look")
    if not review.complete:
        left = sum(bool(look.open) for look in review.looks)
        return f"{name} holds as far as it could be checked: {left} of {looks} could not be."
    return f"{name} holds: the verdict, hashes and status of {looks} stand."


def as_data(review: Review) -> dict[str, object]:
    return {
        "holds": status_of(review) == HOLDS,
        "tampered": review.tampered,
        "problems": list(review.problems),
        "open": list(review.open),
        "claims": review.claims,
        "lines": review.lines,
        "not_looked_at": list(review.not_looked_at),
        "commit": {
            "lock": review.committed.commit,
            "head": review.committed.head,
            "why_not": review.committed.why_not,
        },
        "looks": [
            {
                "claim": look.claim,
                "sentence": look.sentence,
                "at": look.at,
                "verdict": look.verdict,
                "status": look.status,
                "judged": look.judged,
                "stands": look.stands,
                "rests_on_git": look.status in ON_GIT,
                "problems": list(look.problems),
                "open": list(look.open),
            }
            for look in review.looks
        ],
    }
