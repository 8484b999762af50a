"""What git knows of the lock: whether it was committed, in which history, and has not changed since."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 30.0
OF_ANOTHER_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""What git sets for its hooks, and what would make it look elsewhere than at the folder that is asked about."""


QUIET = (
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "log.showSignature=false",
    "-c",
    f"core.hooksPath={os.devnull}",
)
"""A repository's own settings can name programs that these would run, and the repository may be a stranger's."""
NOTHING_FETCHED = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
"""Of a partial clone git would fetch what is missing, with the program that the repository names for it."""
FILTER = re.compile(r"filter\..*\.(clean|smudge|process)", re.DOTALL)
OLD_GIT = "it was not asked, as it would run filters that the repository may define: git 2.31 or newer need not"


@dataclass(frozen=True)
class Committed:
    """The commit that the lock stands in; empty, with the reason, where it stands in none that counts."""

    commit: str = ""
    head: str = ""
    why_not: str = ""
    dirty: bool = False
    """Whether a file that git knows, other than the ledger, has changes that are not committed."""


def committed(file: Path, *, beside: tuple[str, ...] = ()) -> Committed:
    """Whether a file is as it was committed, in the history of HEAD.

    Changes of the files of these names `beside` it make no tree dirty: a ledger grows with every look.
    """
    file = file.resolve()  # of a link git keeps where it leads, and not what stands there
    folder, name = file.parent, file.name
    top = top_of(folder)
    if top is None:
        return Committed(
            why_not=f"there is no git repository here, and only a commit says when {name} was written: git init, and "
            "commit it"
        )
    # In a submodule git runs itself again, under the settings of that one.
    looking = ("--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty", "-z")
    unfiltered = without_filters(folder)
    if unfiltered.why_not:
        return Committed(why_not=f"git says nothing of {name}: {unfiltered.why_not}")
    status = asked(folder, "status", *looking, more=unfiltered.variables)
    if status.failed:
        return Committed(why_not=f"git says nothing of {name}: {status.failed}")
    state = State.of(status.text)
    path = (folder / name).relative_to(top).as_posix()
    dirty = bool(set(state.changed) - {(folder / other).relative_to(top).as_posix() for other in beside})
    if not state.head:
        return Committed(why_not=f"the git repository has no commit yet: git add {name}, and commit", dirty=dirty)

    def not_yet(why: str) -> Committed:
        return Committed(head=state.head, why_not=why, dirty=dirty)

    changed = state.changed.get(path)
    if changed is not None:
        return not_yet(why_changed(name, changed))
    if hidden(folder, name):
        return not_yet(
            f"git was told not to look whether {name} changed: git update-index --no-assume-unchanged "
            f"--no-skip-worktree {name}"
        )
    log = asked(folder, "log", "-1", "-c", "--name-status", "--format=%H %cs %D", "--", name)
    if log.failed:
        return not_yet(f"git says nothing of {name}: {log.failed}")
    if not log.text:
        return not_yet(why_unknown(folder, name))
    said, *how = log.text.splitlines()
    commit, date, decorated = f"{said} ".split(" ", 2)
    if how and how[-1].startswith("D"):
        return not_yet(f"{name} was taken out in {commit[:8]}: git add {name}, and commit")
    if not state.branch:
        return not_yet(
            f"HEAD is detached at {state.head[:8]}, so no branch keeps what was looked at: check out a branch (git "
            "switch NAME)"
        )
    if "grafted" in decorated.split(", ")[0].split():
        return not_yet(
            f"the clone is shallow: its history begins at {commit[:8]} of {date}, and whether {name} is older cannot "
            "be seen. Fetch all of it: git fetch --unshallow, or fetch-depth: 0 in actions/checkout"
        )
    return Committed(commit, state.head, dirty=dirty)


def hidden(folder: Path, name: str) -> bool:
    """Whether git takes a file as unchanged without looking."""
    tag = asked(folder, "ls-files", "-v", "--", name).text[:1]
    return tag == "S" or tag.islower()


@dataclass(frozen=True)
class State:
    """What `git status` says."""

    head: str
    """The commit; empty before the first."""
    branch: str
    """Its name; empty where HEAD is detached."""
    changed: dict[str, str]
    """By path, how a file differs: a letter for the index and one for the working tree, or U where a merge is open."""

    @classmethod
    def of(cls, text: str) -> State:
        head = branch = ""
        changed: dict[str, str] = {}
        entries = iter(text.split("\0"))
        for entry in entries:
            kind, _, rest = entry.partition(" ")
            if rest.startswith("branch.oid "):
                head = rest.removeprefix("branch.oid ").replace("(initial)", "")
            elif rest.startswith("branch.head "):
                branch = rest.removeprefix("branch.head ").replace("(detached)", "")
            elif kind == "1":
                fields = rest.split(" ", 7)
                changed[fields[7]] = fields[0]
            elif kind == "2":
                fields = rest.split(" ", 8)
                changed[fields[8]] = fields[0]
                changed[next(entries)] = "D."
            elif kind == "u":
                changed[rest.split(" ", 9)[9]] = "U"
        return cls(head, branch, changed)


def why_changed(name: str, how: str) -> str:
    if how == "U":
        return f"{name} stands in a merge that is not finished: resolve it, and commit"
    index, tree = how[0], how[1]
    if "D" in how:
        return f"{name} is committed and was taken out since: commit it as it is, or git checkout -- {name}"
    if tree != ".":
        return f"{name} was changed since it was committed: commit it, or git checkout -- {name}"
    told = "new" if index == "A" else "changed"
    return f"{name} is {told} and staged, and not committed: git commit"


def why_unknown(folder: Path, name: str) -> str:
    """Why no commit before HEAD has the file."""
    if not asked(folder, "check-ignore", "-q", "--", name).failed:
        return f"git ignores {name}, so it stands in no commit: take it out of .gitignore, and commit it"
    other = asked(folder, "log", "--all", "-1", "--format=%h", "--", name).text
    if other:
        return f"{name} was committed in {other}, which is not in the history of HEAD: merge it, or commit it here"
    return f"{name} is not committed: git add {name}, and commit"


@dataclass(frozen=True)
class Answer:
    """What git prints, or in a few words why it does not."""

    text: str = ""
    failed: str = ""


def git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    answer = asked(folder, *arguments)
    return None if answer.failed else answer.text


def asked(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> Answer:
    """Asks git about a folder: in its own repository, in English, and without touching it.

    `more` are variables of its environment.
    """
    try:
        done = subprocess.run(
            ["git", *QUIET, *arguments],
            cwd=folder,
            env={**surroundings(), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return Answer(failed="the program git is not installed")
    except subprocess.TimeoutExpired:
        return Answer(failed=f"it gave no answer in {TIMEOUT_S:.0f} s")
    except OSError as error:
        return Answer(failed=str(error))
    if done.returncode == 0:
        return Answer(done.stdout.strip())
    if "dubious ownership" in done.stderr:
        return Answer(
            failed="the repository belongs to another user. If you trust it: git config --global --add safe.directory "
            f"{top_of(folder)}"
        )
    told = next(iter(done.stderr.strip().splitlines()), "")
    return Answer(failed=told.removeprefix("fatal: ") or f"it ended with status {done.returncode}")


def git_bytes(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """What git prints, to the byte; None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *QUIET, *arguments],
            cwd=folder,
            env=surroundings(),
            input=given,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def surroundings() -> dict[str, str]:
    """The environment that git is asked in."""
    own = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    return {**own, **NOTHING_FETCHED, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True)
class Unfiltered:
    """Variables under which git runs no filter of the repository's own; or why it cannot be kept from it."""

    variables: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""


def without_filters(folder: Path) -> Unfiltered:
    """Empties the filters which the repository's own settings define: to see whether a file has changed, git would
    run them. Those of the user stay."""
    told = asked(folder, "config", "--list", "--show-scope", "--name-only", "-z")
    if told.failed:  # as before git 2.26, which cannot tell whose a filter is
        every = asked(folder, "config", "--list", "--name-only", "-z")
        some = any(map(FILTER.fullmatch, every.text.split("\0")))
        return Unfiltered(why_not=every.failed or (OLD_GIT if some else ""))
    words = told.text.split("\0")
    own = [name for scope, name in zip(words[::2], words[1::2], strict=False) if scope in ("local", "worktree")]
    said = {name: "" for name in own if FILTER.fullmatch(name)}
    if not said:
        return Unfiltered()
    # One that is required and empty would make git fail.
    said |= {f"{name.rpartition('.')[0]}.required": "false" for name in said}
    given = os.environ.get("GIT_CONFIG_COUNT", "0")
    first = int(given) if given.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(said))}
    for number, (name, value) in enumerate(sorted(said.items()), start=first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    # Before git 2.31 nothing would come of them, and nothing would be said.
    heard = asked(folder, "config", "--list", "-z", more=variables)
    now = dict(entry.partition("\n")[::2] for entry in heard.text.split("\0"))
    emptied = not heard.failed and all(now.get(name) == value for name, value in said.items())
    return Unfiltered(variables) if emptied else Unfiltered(why_not=heard.failed or OLD_GIT)


def top_of(folder: Path) -> Path | None:
    """The folder of the repository, a worktree's or a submodule's own; None outside of any."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)
