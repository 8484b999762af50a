"""SeenLog: which pairs were looked at before, by what; kept between runs, so that typing a site again hides nothing.

The file only grows: one JSON object a line, in the order in which things were looked at. It holds hashes of prompts,
and no prompt. Where it cannot be written, the log lasts as long as the run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from causaltest.asking.lab import Lab
from causaltest.asking.pair import PAIR_DIGITS
from causaltest.asking.sightings import looked_at, seen_by, told
from causaltest.effects import Measured
from causaltest.kept import cache_folder
from causaltest.seen import Kind, Seen

LARGEST = 32 << 20
"""Bytes of the file, beyond which it neither grows nor is read."""
HASHES = re.compile(f"([0-9a-f]{{{PAIR_DIGITS}}})*")

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

    def note(self, lab: Lab) -> None:
        """Takes up the sweeps and searches of a lab: those that could not be kept, too."""
        for seen in lab.seen:
            # Objects have only the name of their class, which is another model's tomorrow.
            self.add(seen, keep=lab.named)

    def label(self, labs: Iterable[Lab], effects: Iterable[Measured | None]) -> list[str]:
        """What a claim must say of what was seen before it, a sentence each; then the claim itself is noted.

        A claim that is measured in several variants has several effects.
        """
        labs = list(labs)
        for lab in labs:
            self.note(lab)
        questions = [effect.question for effect in effects if effect is not None]
        claims = [seen for question in questions if (seen := looked_at(question)) is not None]
        before = [*(seen for question in questions for seen in seen_by(question)), *self.looks()]
        labels = dict.fromkeys(sentence for claim in claims for sentence in told(claim, before, beside=claims))
        for claim in claims:
            self.add(claim, keep=all(lab.named for lab in labs))
        return list(labels)

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
            with self.file.open("rb") as stream:
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
            seen = parsed(json.loads(line), self._pairs)
        except (ValueError, KeyError, TypeError, RecursionError):
            self.unreadable += 1
            return
        self._pairs.setdefault(seen.pairs, seen.each)
        self._kept.setdefault(key_of(seen), seen)

    def _write(self, seen: Seen) -> bool:
        """Appends one line in one write, so that no two processes tear each other's; False where that fails."""
        if self.file is None:
            return False
        # The newline in front ends a line that somebody's full disk has cut.
        line = f"\n{json.dumps(plain(seen, with_pairs=seen.pairs not in self._pairs))}\n".encode()
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


def plain(seen: Seen, *, with_pairs: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": seen.kind,
        "models": list(seen.models),
        "what": seen.what,
        "question": seen.question,
        "pairs": seen.pairs,
    }
    return {**data, "each": "".join(sorted(seen.each))} if with_pairs else data


def parsed(data: Any, known: dict[str, frozenset[str]]) -> Seen:
    """The inverse of `plain`. Raises ValueError, KeyError or TypeError for anything else."""
    kind, models, what, question, pairs = (data[name] for name in ("kind", "models", "what", "question", "pairs"))
    if kind not in get_args(Kind) or not all(isinstance(text, str) for text in [*models, what, question, pairs]):
        raise ValueError(kind)
    each = known[pairs] if "each" not in data else split(data["each"])
    return Seen(kind, tuple(models), what, question, pairs, each)


def split(hashes: str) -> frozenset[str]:
    if not HASHES.fullmatch(hashes):
        raise ValueError("no hashes")
    return frozenset(hashes[at : at + PAIR_DIGITS] for at in range(0, len(hashes), PAIR_DIGITS))
