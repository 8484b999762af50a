"""A page that is walked: its files are written, its commands run in order, and what they print is what it shows.

    <!-- file claims/test_it.py -->     the block below is written to that file
    ```console                          `$ command` lines are run, and print the lines that follow them
    <!-- numbers vary -->               the commands of the console below print other numbers on another processor
    <!-- not run: why -->               the block below is shown only

Dates, durations and hashes are another on every run; what is compared is the text without them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from warm import Warm

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
VOLATILE = {
    r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,64}\b": "HASH",
    r"\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?( ?UTC|Z)?)?": "DATE",
    r"\bin \d+\.\d+s\b( \(\d+:\d\d:\d\d\))?": "in N s",
    r"\b[\d,]+ bytes\b": "N bytes",
}
NUMBERS = {r"-?\b\d+(\.\d+)?(e-\d+)?\b": "N", r" +": " "}
ALONE = ("pytest", "causaltest", "python")
SHELL = set("|&;<>$`*")


@dataclass(frozen=True)
class Command:
    """A command of a page: the line without its prompt, what the page shows below it, and where that stands."""

    line: str
    shown: str
    span: tuple[int, int]
    vary: bool = False
    """Its numbers are not the same on every processor."""


@dataclass(frozen=True)
class File:
    """A file that a page shows."""

    name: str
    text: str


def steps(page: str) -> Iterator[Command | File]:
    """What a page does, in order. Raises ValueError for a block that is neither run, nor a file, nor marked."""
    for found in BLOCK.finditer(page):
        mark, text = found["mark"] or "", found["text"]
        if mark.startswith("file "):
            yield File(mark.removeprefix("file ").strip(), text)
        elif found["language"] == "console" and not mark.startswith("not run: "):
            yield from commands(text, found.start("text"), vary=mark == "numbers vary")
        elif not mark.startswith("not run: "):
            raise ValueError(f"A block is neither a file nor a console, and not marked as not run: {text[:80]!r}")


def commands(text: str, start: int, *, vary: bool) -> Iterator[Command]:
    at, lines = start, text.splitlines(keepends=True)
    while lines:
        line = lines.pop(0)
        assert line.startswith("$ "), line
        shown = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        begin = at + len(line)
        at = begin + sum(map(len, shown))
        yield Command(line[2:].strip(), "".join(shown), (begin, at), vary)


def same(one: str, other: str, *, vary: bool = False) -> bool:
    """Whether two outputs say the same, but for dates, durations and hashes; `vary`: and but for all numbers."""
    return settled(one, vary) == settled(other, vary)


def settled(text: str, vary: bool) -> str:
    for pattern, name in (VOLATILE | NUMBERS if vary else VOLATILE).items():
        text = re.sub(pattern, name, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


class Walk:
    """A folder in which a page's steps are done, with a git of its own and nothing of the user's."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self.folder = folder / "study"
        self.folder.mkdir()
        self.output = folder / "output.txt"
        (folder / "bin").mkdir()
        for name, module in {"pytest": "-m pytest", "causaltest": "-m causaltest.cli", "python": ""}.items():
            shim = folder / "bin" / name
            shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
            shim.chmod(0o755)
        self.environment = environment(folder)
        self._warm = warm

    def write(self, file: File) -> None:
        path = self.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")

    def run(self, line: str) -> str:
        """What a command prints; shells run what needs one. Into a pipe goes what it says of errors, too."""
        first, _, then = line.partition(" | ")
        words = shlex.split(first)
        if words[0] in ALONE and not SHELL & set(first):
            self._warm.run(words, self.folder, self.environment, self.output)
            printed = self.shell(then, given=self.output.read_bytes()) if then else self.output.read_bytes()
        else:
            printed = self.shell(line)
        said = printed.decode().replace(str(self.folder), "~/study")
        return "\n".join(line.rstrip() for line in said.strip("\n").splitlines())

    def shell(self, line: str, *, given: bytes = b"") -> bytes:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.stdout


def environment(folder: Path) -> Mapping[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST_", "CAUSALTEST_"))
    }
    kept.pop("CI", None)
    return kept | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "COLUMNS": "80",
        "OMP_NUM_THREADS": "1",
        "CAUSALTEST_CACHE_DIR": str(folder / "cache"),
        # Whatever other plugins somebody has installed, they have no part in it.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p causaltest.pytest_plugin",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(folder),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()},
    }


PERSON = {"NAME": "You", "EMAIL": "you@example.org"}
