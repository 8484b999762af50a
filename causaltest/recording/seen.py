"""SeenLog: which pairs were looked at before, by what; kept between runs, so that typing a site again hides nothing.

The file only grows: one JSON object a line, in the order in which things were looked at. It holds hashes of prompts,
and no prompt. Where it cannot be written, the log lasts as long as the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from causaltest.asking.lab import Lab
from causaltest.asking.sightings import claim_key, looked_at, seen_by, told
from causaltest.bounded import open_plain
from causaltest.effect import Question
from causaltest.effects import Measured
from causaltest.kept import cache_folder
from causaltest.recording.clock import now
from causaltest.recording.noted import parsed, plain
from causaltest.seen import Kind, Seen

LARGEST = 32 << 20
"""Bytes of the file, beyond which it neither grows nor is read."""

Entry = tuple[Kind, tuple[str, ...], str, str, str]


class SeenLog:
    """Looks at pairs, in order, those of earlier runs first."""

    def __init__(self, file: Path | None) -> None:
        """`file` is where looks are kept; None keeps them for this run alone."""
        self.file = file
        self.unreadable = 0
        """Lines of the file that were skipped."""
        self.full = False
        self._read_to = 0
        self._pairs: dict[str, frozenset[str]] = {}
        """The pairs of each digest, which stand in the first line that names it."""
        self._kept: dict[Entry, Seen] = {}
        self._unkept: dict[Entry, Seen] = {}
        self._asked: set[tuple[str, str, frozenset[str]]] = set()
        """What claims have asked, of which pairs."""
        self._at: dict[Entry, str] = {}
        """When each was written, where its line says so."""

    def note(self, lab: Lab) -> None:
        """Takes up the sweeps and searches of a lab: those that could not be kept, too."""
        for seen in lab.seen:
            # Objects have only the name of their class, which is another model's tomorrow.
            self.add(seen, keep=lab.named)

    def before(
        self, labs: Iterable[Lab], effects: Iterable[Measured | None], *, looked: str | None = None
    ) -> list[str]:
        """What a claim must say of what was seen before it, a sentence each.

        A claim of a record was first looked at when its ledger says so, `looked`, or has not been where that is
        empty; another was when it stands in this log.
        """
        for lab in labs:
            self.note(lab)
        questions, claims = questions_of(effects), sightings_of(effects)
        found = [seen for question in questions for seen in seen_by(question)]
        logged = self.looks()
        if looked is not None:
            own = {claim_key(claim) for claim in claims}
            logged = [seen for seen in logged if claim_key(seen) not in own and self._earlier(seen, looked)]
        sentences = (s for claim in claims for s in told(claim, [*found, *logged], beside=claims))
        return list(dict.fromkeys(sentences))

    def _earlier(self, seen: Seen, time: str) -> bool:
        return not time or self._at.get(key_of(seen), "") < time

    def note_claim(self, labs: Iterable[Lab], effects: Iterable[Measured | None]) -> None:
        """Notes what a claim has looked at."""
        keep = all(lab.named for lab in labs)
        for claim in sightings_of(effects):
            self.add(claim, keep=keep)

    def asked(self, claim: Seen) -> bool:
        """Whether a claim has asked the same of the same pairs."""
        self._read()
        return claim_key(claim) in self._asked

    def looks(self) -> list[Seen]:
        """All looks, in order; what other processes have written since is read too."""
        self._read()
        return [*self._kept.values(), *self._unkept.values()]

    def add(self, seen: Seen, *, keep: bool = True) -> None:
        """Notes a look. The same one is noted once."""
        self._read()
        if key_of(seen) in self._kept or key_of(seen) in self._unkept:
            return
        if not (keep and self._write(seen)):
            self._unkept[key_of(seen)] = seen
            self._asked.add(claim_key(seen))

    def problem(self) -> str | None:
        """A sentence where the log is not whole: a sweep may be missing from it."""
        if self.unreadable:
            return (
                f"{self.file} has lines that cannot be read ({self.unreadable}), which were skipped: something that "
                "saw these pairs may be among them. Delete the file to begin it anew."
            )
        if self.full:
            return f"{self.file} is full ({LARGEST >> 20} MB) and notes nothing more. Delete it to begin it anew."
        return None

    def _read(self) -> None:
        """Takes up the lines that were written since."""
        if self.file is None:
            return
        try:
            with open_plain(self.file) as stream:
                if stream.seek(0, os.SEEK_END) < self._read_to:
                    self._forget()
                stream.seek(self._read_to)
                new = stream.read(max(0, LARGEST - self._read_to))
        except OSError:
            return
        # A line that has no end yet is still being written.
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.split(b"\n"):
            if line.strip():
                self._take(line)

    def _forget(self) -> None:
        """Begins again: the file was deleted or cut while this run went on."""
        self._read_to, self.unreadable = 0, 0
        self._unkept = self._kept | self._unkept
        self._kept, self._pairs = {}, {}

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            seen = parsed(data, self._pairs)
        except (ValueError, KeyError, TypeError, RecursionError):
            self.unreadable += 1
            return
        self._pairs.setdefault(seen.pairs, seen.each)
        self._kept.setdefault(key_of(seen), seen)
        self._asked.add(claim_key(seen))
        self._at.setdefault(key_of(seen), str(data.get("at", "")))

    def _write(self, seen: Seen) -> bool:
        """Appends one line in one write, so that no two processes tear each other's; False where that fails."""
        if self.file is None:
            return False
        # The newline in front ends a line that somebody's full disk has cut.
        said = {"at": now(), **plain(seen, with_pairs=seen.pairs not in self._pairs)}
        line = f"\n{json.dumps(said)}\n".encode()
        try:
            if size_of(self.file) + len(line) > LARGEST:
                self.full = True
                return False
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                written = os.write(handle, line)
            finally:
                os.close(handle)
        except OSError:
            return False
        self._read()
        return written == len(line) and key_of(seen) in self._kept


def questions_of(effects: Iterable[Measured | None]) -> list[Question | None]:
    return [effect.question for effect in effects if effect is not None]


def sightings_of(effects: Iterable[Measured | None]) -> list[Seen]:
    """What a claim looks at: one note for each of its effects that asks something of a model."""
    return [seen for question in questions_of(effects) if (seen := looked_at(question)) is not None]


def usual_log() -> SeenLog:
    """The log in the user's cache."""
    return SeenLog(cache_folder() / "seen.jsonl")


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def key_of(seen: Seen) -> Entry:
    return (seen.kind, seen.models, seen.what, seen.question, seen.pairs)
