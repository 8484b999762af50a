"""Reviewed: whether every verdict, hash and status of a bundle stands, without the model, the prompts or git.

reviewed -> the chains of the lock and the ledger, and whether they belong together
         -> per look:
            -> is_of        the effects that the look was made of, known by their hash
            -> rejudged     its verdict again
            -> overstated   whether the record could give it its status
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from causaltest.errors import MISREAD, RecordError
from causaltest.judging.version import STATISTICS
from causaltest.recording.bundle import Bundle
from causaltest.recording.fingerprint import is_of
from causaltest.recording.git import Committed
from causaltest.recording.overstated import WORTH, Ground, Look, overstated
from causaltest.recording.saved import SavedClaim
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Status
from causaltest.recording.verification import broken_texts
from causaltest.rejudged import differing, rejudged
from causaltest.writing.canonical import digest_of

READ = ("claim", "spec", "data", "seed", "status", "verdict", "lock")
"""Of a look, as texts."""
ON_GIT = (Status.CONFIRMATORY, Status.REPLICATION, Status.REPRODUCED)
"""What rests on the lock having been committed before the look."""


@dataclass(frozen=True)
class LookReview:
    """What was found of one look."""

    claim: str
    sentence: str
    at: str
    verdict: str
    status: str
    judged: str = ""
    """"the same", "differs", or why it was not judged again."""
    problems: tuple[str, ...] = ()
    """What does not stand, a sentence each."""
    open: tuple[str, ...] = ()
    """What could not be checked, a sentence each."""

    @property
    def stands(self) -> bool:
        return not self.problems and not self.open


@dataclass(frozen=True)
class Review:
    """What was found of a bundle."""

    looks: tuple[LookReview, ...]
    problems: tuple[str, ...] = ()
    """What does not hold of the lock and the ledger, a sentence each."""
    open: tuple[str, ...] = ()
    """What else could not be checked, a sentence each."""
    not_looked_at: tuple[str, ...] = ()
    """Claims that are registered and were not measured yet."""
    claims: int = 0
    lines: int = 0
    committed: Committed = field(default_factory=Committed)

    @property
    def tampered(self) -> bool:
        return bool(self.problems) or any(look.problems for look in self.looks)

    @property
    def complete(self) -> bool:
        """Whether nothing was left unchecked."""
        return not self.open and not any(look.open for look in self.looks)


def reviewed(bundle: Bundle) -> Review:
    """Checks all that can be checked of a bundle by itself. Raises RecordError where its parts cannot be read."""
    try:
        return review_of(bundle)
    except MISREAD as error:
        # a stranger's file may hold anything where causaltest writes something else
        raise RecordError(f"The bundle holds what no causaltest writes: {error!r:.200}.") from error


def review_of(bundle: Bundle) -> Review:
    lock, lines = bundle.lock, checked(bundle.lines)
    ground = Ground(lock, lines)
    shown = shown_looks(ground, bundle.effects.claims)
    reviews = [look_review(place, ground, saved) for place, saved in shown]
    return Review(
        looks=tuple(sorted(reviews, key=lambda look: (look.claim, look.at))),
        problems=tuple(dict.fromkeys((*broken_texts(lock, lines), *strangers(lines, bundle)))),
        not_looked_at=tuple(id for id in sorted(lock.entries) if ground.looks.keys().isdisjoint(lock.names(id))),
        claims=len(lock.entries),
        lines=len(lines),
        committed=bundle.committed,
    )


def checked(lines: Sequence[Look]) -> Sequence[Look]:
    """The lines, of which every look has what is read of it. Raises RecordError for another."""
    for i, line in enumerate(lines, 1):
        wrong = next((name for name in READ if not isinstance(line.get(name), str)), None)
        if line["kind"] == "look" and wrong is not None:
            raise RecordError(f"Line {i} of the ledger has {line.get(wrong)!r:.60} for {wrong}, and it is a text.")
    return lines


def shown_looks(ground: Ground, saved: Mapping[str, SavedClaim]) -> list[tuple[int, SavedClaim | None]]:
    """The looks to review, in the ledger's order: of each claim the one that counts, and all that have effects."""
    shown: dict[int, SavedClaim | None] = {}
    for claim, places in ground.looks.items():
        effects = saved.get(claim)
        shown[counting(ground.lines, places)] = None
        shown |= {i: effects for i in places if effects is not None and is_of(effects, ground.lines[i])}
    return sorted(shown.items())


def counting(lines: Sequence[Look], places: Sequence[int]) -> int:
    """The look that a claim is known by: the first of those that say most, or of those that say little the last."""
    worth = {i: WORTH.get(str(lines[i]["status"]), 0) for i in places}
    best = max(worth.values())
    return places[-1] if best < WORTH[Status.REPLICATION] else next(i for i in places if worth[i] == best)


def strangers(lines: Sequence[Look], bundle: Bundle) -> Iterator[str]:
    """Effects of no look: a bundle is packed without them."""
    looks: dict[str, list[Look]] = {}
    for line in lines:
        looks.setdefault(str(line.get("claim")), []).append(line)
    for id, saved in sorted(bundle.effects.claims.items()):
        if not any(is_of(saved, look) for look in looks.get(id, ())):
            yield (
                f"{id}: the effects in the bundle are those of no look in its ledger: one or the other was changed "
                "after it was written"
            )


def look_review(place: int, ground: Ground, saved: SavedClaim | None) -> LookReview:
    """What can be said of one look."""
    look = ground.lines[place]
    claim, at = str(look["claim"]), str(look["at"])
    spec = spec_of_look(look, ground, saved)
    too_much = overstated(place, ground, spec)
    review = LookReview(
        claim=claim,
        sentence="" if spec is None else str(spec.fields.get("sentence", "")),
        at=at,
        verdict=str(look["verdict"]),
        status=str(look["status"]),
        problems=(too_much,) if too_much else (),
    )
    if saved is None and look.get("effects"):
        missing = f"{claim}: the effects of the look of {at} are not in the bundle"
        return replace(review, judged="no effects", open=(missing,))
    if spec is None:
        missing = f"{claim}: neither the lock nor the effects have the spec of the look of {at}"
        return replace(review, judged="no spec", open=(missing,))
    return judged_again(review, look, spec, saved)


def judged_again(review: LookReview, look: Look, spec: Spec, saved: SavedClaim | None) -> LookReview:
    """The look's verdict beside the one that its effects give; without effects it can only be INVALID."""
    effects = () if saved is None else saved.effects
    played = None if saved is None else saved.played
    try:
        verdict = rejudged(SavedClaim(spec.id, spec.fields, str(look["seed"]), look, effects, played))
    except RecordError as error:
        return replace(review, judged="cannot be", problems=(*review.problems, str(error)))
    wrong = differing(verdict, look)
    if not wrong:
        return replace(review, judged="the same")
    told = f"{review.claim}: judged again, the look of {review.at} gives another verdict: {'; '.join(wrong)}"
    by = spec.fields.get("statistics")
    if by != STATISTICS:
        other = f"{told}. It was judged by version {by} of the statistics, and this is version {STATISTICS}"
        return replace(review, judged="by another version", open=(other,))
    return replace(review, judged="differs", problems=(*review.problems, told))


def spec_of_look(look: Look, ground: Ground, saved: SavedClaim | None) -> Spec | None:
    """The spec that a look was at, by its hash; None where it is not known."""
    entry = ground.entry(str(look["claim"]))
    candidates = [] if entry is None else [entry.spec, *entry.prior]
    if saved is not None:
        candidates.append(saved.spec)
    return next((Spec(str(look["claim"]), fields) for fields in candidates if digest_of(fields) == look["spec"]), None)
