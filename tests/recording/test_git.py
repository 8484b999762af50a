"""Git's state in words: only a lock that stands in the history of a branch says that it was there before."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from records import commit, git

from causaltest.recording import git as room
from causaltest.recording.git import Committed, committed

LOCK, LEDGER = "claims.lock", "claims.ledger"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit, and a folder of claims in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "work"
    (folder / "claims").mkdir(parents=True)
    (folder / "code.py").write_text("pass\n")
    git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


@pytest.fixture
def claims(repository: Path) -> Path:
    """The folder of claims, with a lock that is not committed yet."""
    (repository / "claims" / LOCK).write_text("{}\n")
    return repository / "claims"


def asked(claims: Path) -> Committed:
    return committed(claims / LOCK, beside=(LEDGER,))


def why(claims: Path) -> str:
    answer = asked(claims)
    assert not answer.commit and answer.why_not
    return answer.why_not


def test_a_lock_in_the_history_of_a_branch_is_committed(claims: Path) -> None:
    first = commit(claims)
    assert asked(claims) == Committed(first, first)
    (claims / "more.py").write_text("")
    second = commit(claims)
    assert asked(claims) == Committed(first, second), "the commit is the one that last changed it"


def test_without_a_repository(tmp_path: Path) -> None:
    assert "there is no git repository here" in why(tmp_path) and "git init" in why(tmp_path)


def test_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / LOCK).write_text("{}")
    assert "has no commit yet: git add claims.lock" in why(tmp_path)


def test_that_is_not_committed(claims: Path) -> None:
    assert why(claims) == "claims.lock is not committed: git add claims.lock, and commit"
    assert asked(claims).head, "the commit that was looked at is known all the same"


def test_that_is_staged(claims: Path) -> None:
    git(claims, "add", LOCK)
    assert why(claims) == "claims.lock is new and staged, and not committed: git commit"
    commit(claims)
    (claims / LOCK).write_text("{ }\n")
    assert why(claims) == "claims.lock was changed since it was committed: commit it, or git checkout -- claims.lock"
    git(claims, "add", LOCK)
    assert "is changed and staged" in why(claims)
    (claims / LOCK).unlink()
    assert "was taken out since" in why(claims)
    git(claims, "rm", "-q", "--cached", LOCK)
    (claims / LOCK).write_text("{}\n")
    assert "was taken out since" in why(claims)


def test_that_was_moved_here(claims: Path) -> None:
    commit(claims)
    other = claims.parent / "other"
    other.mkdir()
    git(claims, "mv", LOCK, str(other / LOCK))
    assert "not committed" in why(other)
    commit(claims)
    assert asked(other).commit == git(other, "rev-parse", "HEAD")


def test_that_stands_where_one_was_moved_away(claims: Path) -> None:
    """The moved one is known to git, and the one in its place is not."""
    commit(claims)
    git(claims, "mv", LOCK, "old.lock")
    (claims / LOCK).write_text("{ }\n")
    assert "was taken out since" in why(claims)


def test_that_is_ignored(claims: Path) -> None:
    (claims / ".gitignore").write_text("*.lock\n")
    commit(claims)
    assert "git ignores claims.lock" in why(claims) and "take it out of .gitignore" in why(claims)


def test_that_stands_on_another_branch(claims: Path) -> None:
    git(claims, "switch", "-q", "-c", "other")
    there = commit(claims)
    text = (claims / LOCK).read_text()
    git(claims.parent, "switch", "-q", "main")
    claims.mkdir(exist_ok=True)
    (claims / LOCK).write_text(text)
    assert f"was committed in {there[:7]}" in why(claims) and "not in the history of HEAD: merge it" in why(claims)
    git(claims, "checkout", "-q", "other", "--", LOCK)
    assert "new and staged" in why(claims)
    git(claims, "rm", "-q", "-f", LOCK)
    git(claims.parent, "merge", "-q", "other")
    assert asked(claims).commit == there


def test_that_stands_in_a_merge_that_is_not_finished(claims: Path) -> None:
    commit(claims)
    for branch in ("one", "two"):
        git(claims, "switch", "-q", "-c", branch, "main")
        (claims / LOCK).write_text(f'"{branch}"\n')
        commit(claims)
    with pytest.raises(AssertionError):
        git(claims, "merge", "one")
    assert why(claims) == "claims.lock stands in a merge that is not finished: resolve it, and commit"


def test_a_detached_head(claims: Path) -> None:
    first = commit(claims)
    git(claims, "checkout", "-q", "--detach")
    assert why(claims).startswith(f"HEAD is detached at {first[:8]}") and "git switch" in why(claims)


def test_a_shallow_clone(claims: Path, tmp_path: Path) -> None:
    first = commit(claims)
    (claims / "more.py").write_text("")
    commit(claims)
    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    git(tmp_path, "clone", "-q", f"file://{claims.parent}", str(whole))
    assert asked(whole / "claims").commit == first
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{claims.parent}", str(shallow))
    told = why(shallow / "claims")
    day = git(claims, "log", "-1", "--format=%cs")
    assert f" of {day}," in told and "git fetch --unshallow, or fetch-depth: 0" in told
    git(shallow, "fetch", "-q", "--depth=2")
    assert "shallow" in why(shallow / "claims"), "the lock's commit is the boundary"
    git(shallow, "fetch", "-q", "--unshallow")
    assert asked(shallow / "claims").commit == first


def test_a_shallow_clone_that_has_the_commit_and_the_one_before(claims: Path, tmp_path: Path) -> None:
    first = commit(claims)
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{claims.parent}", str(tmp_path / "c"))
    (claims / "more.py").write_text("")
    commit(claims)
    git(tmp_path / "c", "pull", "-q")
    git(tmp_path / "c", "fetch", "-q", "--depth=3")
    assert asked(tmp_path / "c" / "claims").commit == first


def test_worktrees_and_submodules_have_histories_of_their_own(claims: Path, tmp_path: Path) -> None:
    first = commit(claims)
    git(claims, "worktree", "add", "-q", "-b", "beside", str(tmp_path / "tree"))
    assert asked(tmp_path / "tree" / "claims") == Committed(first, first)
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{claims.parent}", "inner")
    assert asked(outer / "inner" / "claims").commit == first, "the outer one has no commit at all"


def test_changes_elsewhere_make_the_tree_dirty_and_those_of_the_ledger_do_not(claims: Path) -> None:
    (claims / LEDGER).write_text("one\n")
    first = commit(claims)
    (claims / LEDGER).write_text("one\ntwo\n")
    assert asked(claims) == Committed(first, first)
    (claims.parent / "code.py").write_text("raise\n")
    assert asked(claims) == Committed(first, first, dirty=True)


def test_what_a_hook_sets_leads_to_no_other_repository(
    claims: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pre-commit runs tests with the git folder and the index of the commit that is being made."""
    first = commit(claims)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert asked(claims) == Committed(first, first)


def test_names_that_git_would_quote_are_read(claims: Path) -> None:
    odd = claims / 'ä "b"\tc'
    odd.mkdir()
    (odd / LOCK).write_text("{}\n")
    commit(claims)
    assert asked(odd).commit
    (odd / LOCK).write_text("{ }\n")
    assert "was changed" in why(odd)


def test_without_git(claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(claims)
    monkeypatch.setenv("PATH", "")
    assert why(claims) == "git says nothing of claims.lock: the program git is not installed"


def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts a program in place of git."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_folder_of_another_user(claims: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(claims)
    answering(tmp_path, monkeypatch, "echo \"fatal: detected dubious ownership in repository at 'x'\" >&2; exit 128")
    assert f"git config --global --add safe.directory {claims.parent}" in why(claims)


def test_a_git_that_fails_or_hangs(claims: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(claims)
    answering(tmp_path, monkeypatch, 'echo "fatal: bad object HEAD" >&2; exit 128')
    assert why(claims) == "git says nothing of claims.lock: bad object HEAD"
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(room, "TIMEOUT_S", 0.05)
    assert "gave no answer" in why(claims)


def test_four_processes_are_enough(claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(claims)
    started, run = list[object](), subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **more: (started.append(a), run(*a, **more))[1])
    assert asked(claims).commit
    assert len(started) == 4


@pytest.mark.parametrize("merged", [False, True])
def test_a_lock_that_was_taken_out_and_put_back_is_not_committed(claims: Path, merged: bool) -> None:
    commit(claims)
    if merged:
        git(claims, "checkout", "-q", "-b", "other")
        (claims.parent / "code.py").write_text("other\n")
        commit(claims)
        git(claims, "checkout", "-q", "main")
        git(claims, "merge", "-q", "--no-ff", "--no-commit", "other")
    text = (claims / LOCK).read_text()
    (claims / LOCK).unlink()
    at = commit(claims)
    claims.mkdir(exist_ok=True)
    (claims / LOCK).write_text(text)
    assert why(claims) == f"claims.lock was taken out in {at[:8]}: git add claims.lock, and commit"
    commit(claims)
    assert asked(claims).commit


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_git_that_was_told_not_to_look_says_nothing(claims: Path, how: str) -> None:
    commit(claims)
    git(claims, "update-index", how, LOCK)
    (claims / LOCK).write_text("another")
    assert why(claims).startswith("git was told not to look whether claims.lock changed: git update-index --no-assume")


def test_a_link_is_committed_where_it_leads(claims: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "shared.lock"
    (claims / LOCK).rename(elsewhere)
    (claims / LOCK).symlink_to(elsewhere)
    commit(claims)
    assert "there is no git repository here" in why(claims)
    inside = claims / "real.lock"
    (claims / LOCK).unlink()
    elsewhere.rename(inside)
    (claims / LOCK).symlink_to("real.lock")
    commit(claims)
    assert asked(claims).commit
    inside.write_text("another")
    assert why(claims).startswith("real.lock was changed since it was committed")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of a stranger's, that leaves a trace where it is run."""
    file = tmp_path / "program"
    file.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\ncat\n")
    file.chmod(0o755)
    return file


def ran(program: Path) -> bool:
    return (program.parent / "ran").exists()


@pytest.mark.parametrize("kind", ["clean", "process", "smudge"])
@pytest.mark.parametrize("required", ["true", "false"])
def test_a_filter_that_a_repository_defines_is_not_run(
    repository: Path, claims: Path, program: Path, kind: str, required: str
) -> None:
    (repository / ".gitattributes").write_text("* filter=a.b=c\n")
    commit(claims)
    git(repository, "config", f"filter.a.b=c.{kind}", str(program))
    git(repository, "config", "filter.a.b=c.required", required)
    (repository / "code.py").write_text("fail\n")  # of another text and the same length: git must read it
    answer = asked(claims)
    assert not ran(program) and answer.commit and answer.dirty


OLD = {
    # before 2.31 the variables are not looked at, and before 2.26 the scope of a setting is not known
    "2.30": 'unset GIT_CONFIG_COUNT; exec {git} "$@"',
    "2.25": 'unset GIT_CONFIG_COUNT; case " $* " in *" --show-scope "*) exit 129;; esac; exec {git} "$@"',
    "deaf": 'case " $* " in *" config --list -z "*) exit 1;; esac; exec {git} "$@"',
}


@pytest.mark.parametrize("age", OLD)
def test_an_old_git_is_not_asked_where_it_would_run_a_filter(
    claims: Path, program: Path, age: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (claims / ".gitattributes").write_text("* filter=theirs\n")
    commit(claims)
    git(claims, "config", "filter.theirs.clean", str(program))
    (claims / LOCK).write_text("[]\n")  # of the same length: git must read it
    answering(tmp_path, monkeypatch, OLD[age].format(git=shutil.which("git")))
    told = why(claims)
    assert not ran(program) and told.startswith(f"git says nothing of {LOCK}: ")
    assert "git 2.31 or newer" in told or age == "deaf"


@pytest.mark.parametrize("age", OLD)
def test_an_old_git_is_asked_where_there_is_no_filter(
    claims: Path, age: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(claims)
    answering(tmp_path, monkeypatch, OLD[age].format(git=shutil.which("git")))
    assert asked(claims).commit


def test_a_filter_of_the_users_own_is_run(repository: Path, claims: Path, program: Path, tmp_path: Path) -> None:
    (repository / ".gitattributes").write_text("* filter=mine\n")
    commit(claims)
    (tmp_path / ".gitconfig").write_text(f'[filter "mine"]\n\tclean = {program}\n')
    (repository / "code.py").write_text("fail\n")
    assert asked(claims).dirty and ran(program)


def test_a_hook_and_a_monitor_that_a_repository_names_are_not_run(
    repository: Path, claims: Path, program: Path
) -> None:
    commit(claims)
    hooks = repository / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "post-checkout"):
        (hooks / name).symlink_to(program)
    git(repository, "config", "core.hooksPath", str(hooks))
    git(repository, "config", "core.fsmonitor", str(program))
    (repository / "code.py").write_text("fail\n")
    assert asked(claims).dirty and not ran(program)


def test_git_is_not_run_in_a_submodule(repository: Path, claims: Path, program: Path) -> None:
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    (inner / "code.py").write_text("pass\n")
    commit(inner)
    git(repository, "-c", "advice.addEmbeddedRepo=false", "add", "-A")
    commit(claims)
    (inner / ".git" / "info" / "attributes").write_text("* filter=theirs\n")
    git(inner, "config", "filter.theirs.clean", str(program))
    (inner / "code.py").write_text("fail\n")
    assert asked(claims).commit and not ran(program)


def test_nothing_is_fetched_of_a_partial_clone(repository: Path, claims: Path, program: Path) -> None:
    commit(claims)
    blob = git(repository, "rev-parse", "HEAD:code.py")
    git(repository, "config", "core.repositoryFormatVersion", "1")
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.url", str(repository))
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.uploadpack", str(program))
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert room.git_bytes(repository, "cat-file", "blob", blob) is None
    assert not ran(program)
