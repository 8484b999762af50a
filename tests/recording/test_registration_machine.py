"""Whatever is done to a record, in any order: nothing unregistered, altered or seen becomes CONFIRMATORY.

The machine registers, edits, amends, renames, commits, looks, sweeps, and tampers with both files, in a real
repository. Beside it stands a plain account of what was done, from which it is said what may be confirmed. What the
account does not know of is what nobody can: a look that was never committed, and that no event of the lock came after,
can be taken out of the ledger unseen. The log in the user's cache is for that, and is left out here.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from records import GIT, git

from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import accuracy
from causaltest.asking.pair import Pair
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import last
from causaltest.asking.sightings import looked_at, swept_over
from causaltest.asking.sites import resid_post
from causaltest.errors import RecordError
from causaltest.recording.amendment import amend
from causaltest.recording.lock import Entry, Lock, batch_digest, batch_name, chained, parse_lock, write_lock
from causaltest.recording.record import Asked, Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Standing

TOLD = {"verdict": "SUPPORTED", "estimate": 0.5, "lower": 0.4, "upper": 0.6, "n": 4, "alpha": 0.05}
GOOD = {"CONFIRMATORY", "REPRODUCED", "REPLICATION"}
LAYERS = {"a": 6, "better": 6, "twin": 6, "b": 7}
"""By id, the question. `better` is another name of `a`; `twin` asks the same in other words."""
THRESHOLDS, SEEDS = ("0.3", "0.2"), ("0", "1")
DATA = {
    name: Pairs([Pair(clean=f"{name} {n}", corrupt="no", answer=str(n), cluster=f"c{n}") for n in range(4)])
    for name in ("these", "those")
}


@dataclass(frozen=True)
class Written:
    """What the code says of a claim."""

    threshold: str
    data: str


def asked(id: str, data: str) -> Experiment:
    return Experiment(Patching("m", "denoise", DATA[data], (resid_post(LAYERS[id], last()),)), "recovery", accuracy)


def spec_of(id: str, said: Written) -> Spec:
    fields = {
        "body": id,
        "family": {"name": "f", "size": 2},
        "models": [{"name": "m"}],
        "pairs": [{"hash": DATA[said.data].digest}],
        "sentence": "a" if id == "better" else id,
        "threshold": said.threshold,
    }
    return Spec(id, fields)


@dataclass
class Registered:
    """An entry of the lock."""

    said: Written
    after: int
    """The lines that the ledger had when it was registered."""
    amended: bool = False


@dataclass(frozen=True)
class Looked:
    """A line of the ledger: a look at a claim, or with no id a sweep."""

    id: str
    said: Written
    seed: str
    status: str
    had: bool
    """Whether there was a lock."""


@dataclass
class Account:
    """What was done, as somebody would write it down who saw all of it."""

    code: dict[str, Written] = field(
        default_factory=lambda: {"a": Written("0.3", "these"), "b": Written("0.3", "these")}
    )
    entries: dict[str, Registered] = field(default_factory=dict)
    lines: list[Looked] = field(default_factory=list)
    lock: bytes | None = None
    """The text of the lock that was written last."""
    head: bytes | None = None
    """The text of the lock that HEAD has."""
    ever: bool = False
    """Whether a lock was committed."""
    ledger: bytes = b""
    kept: int = 0
    """Lines that a commit or an event of the lock knows of."""
    tampered: bool = False


class Records(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()

    @initialize(registered=st.booleans())
    def begin(self, registered: bool) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.folder = Path(shutil.copytree(self.template, self.top / "claims"))
        if registered:
            self.register()
            self.commit()

    def teardown(self) -> None:
        shutil.rmtree(self.top, ignore_errors=True)

    @property
    def lock(self) -> Path:
        return self.folder / "claims.lock"

    @property
    def ledger(self) -> Path:
        return self.folder / "claims.ledger"

    def read(self) -> None:
        """Takes down what a lawful act has written."""
        self.account.lock = self.lock.read_bytes() if self.lock.exists() else None
        self.account.ledger = self.ledger.read_bytes() if self.ledger.exists() else b""

    def candidates(self) -> list[Candidate]:
        return [Candidate(spec_of(id, said)) for id, said in self.account.code.items()]

    @rule()
    def register(self) -> None:
        account = self.account
        if account.tampered:
            with pytest.raises(RecordError):
                register(Record(self.folder), self.candidates())
            return
        done = register(Record(self.folder), self.candidates())
        assert set(done.new).isdisjoint(account.entries)
        for id in done.new:
            account.entries[id] = Registered(account.code[id], len(account.lines))
        if done.new:
            account.kept = len(account.lines)
        self.read()

    @rule(id=st.sampled_from(("a", "b")), threshold=st.sampled_from(THRESHOLDS), data=st.sampled_from(tuple(DATA)))
    def edit_the_code(self, id: str, threshold: str, data: str) -> None:
        names = {"a": ("a", "better")}.get(id, (id,))
        for name in names:
            if name in self.account.code:
                self.account.code[name] = Written(threshold, data)

    @rule()
    def rename(self) -> None:
        code = self.account.code
        one, other = ("a", "better") if "a" in code else ("better", "a")
        code[other] = code.pop(one)

    @rule(threshold=st.sampled_from(THRESHOLDS))
    def ask_the_same_in_other_words(self, threshold: str) -> None:
        self.account.code["twin"] = Written(threshold, "these")

    @rule(id=st.sampled_from(tuple(LAYERS)))
    def amend(self, id: str) -> None:
        account = self.account
        was = {"a": "better", "better": "a"}.get(id) if id not in account.entries else None
        entry = account.entries.get(was or id)
        said = account.code.get(id)
        lawful = not account.tampered and entry and said and (was or said != entry.said)
        try:
            amend(Record(self.folder), self.candidates(), [id], why="so", was=was)
        except RecordError:
            assert not lawful
            return
        assert lawful
        del account.entries[was or id]
        account.entries[id] = Registered(said, entry.after, amended=True)
        account.kept = len(account.lines)
        self.read()

    @rule()
    def commit(self) -> None:
        account = self.account
        git(self.folder, "add", "-A")
        subprocess.run(["git", "commit", "-q", "-m", "so"], cwd=self.folder, env=GIT, capture_output=True, check=False)
        account.head = self.lock.read_bytes() if self.lock.exists() else None
        account.ever |= account.head is not None and account.head == account.lock
        if self.ledger.exists() and self.ledger.read_bytes() == account.ledger:
            account.kept = max(account.kept, len(account.lines))

    @rule(id=st.sampled_from(tuple(LAYERS)), seed=st.sampled_from(SEEDS))
    def look(self, id: str, seed: str) -> None:
        account = self.account
        said = account.code.get(id)
        if said is None:
            return
        sighting = looked_at(asked(id, said.data))
        assert sighting is not None
        before = self.ledger.read_bytes() if self.ledger.exists() else None
        standing = Record(self.folder).look(spec_of(id, said), seed=seed, seen=(), told=TOLD, claims=(sighting,))
        status = str(standing.status)
        self.check(id, said, seed, standing)
        if account.tampered:
            # what is written into a record that does not hold is put back with the rest
            self.ledger.write_bytes(before) if before is not None else self.ledger.unlink(missing_ok=True)
            return
        if not any((line.id, line.said, line.seed) == (id, said, seed) for line in account.lines):
            account.lines.append(Looked(id, said, seed, status, account.lock is not None))
        self.read()
        assert self.account.ledger.count(b"\n") == len(account.lines)

    @invariant()
    def what_a_look_would_say_is_right(self) -> None:
        """After every act, of every claim that the code has; nothing is written down."""
        if not hasattr(self, "folder"):
            return
        record = Record(self.folder)
        for id, said in self.account.code.items():
            sighting = looked_at(asked(id, said.data))
            assert sighting is not None
            self.check(id, said, "0", record.standing(Asked(spec_of(id, said), "0", (sighting,))))

    def check(self, id: str, said: Written, seed: str, standing: Standing) -> None:
        status = str(standing.status)
        if self.account.tampered:
            assert status not in GOOD, standing
            return
        assert (status == "CONFIRMATORY") == self.may_confirm(id, said), standing
        assert (status == "REPRODUCED") == self.may_reproduce(id, said, seed), standing
        assert status != "REPLICATION" or self.may_replicate(id, said, seed), standing

    @rule()
    def look_as_ever(self) -> None:
        self.look("a", "0")

    @rule()
    def change_amend_and_commit(self) -> None:
        said = self.account.code["b"]
        self.edit_the_code("b", THRESHOLDS[said.threshold == THRESHOLDS[0]], said.data)
        self.amend("b")
        self.commit()

    @rule()
    def register_and_commit(self) -> None:
        self.register()
        self.commit()

    def committed(self) -> bool:
        return self.account.lock is not None and self.account.lock == self.account.head

    def unseen(self, id: str, said: Written) -> bool:
        """Whether nobody has looked at what a claim asks, and at what it asks it of."""
        entry = self.account.entries[id]
        for i, line in enumerate(self.account.lines):
            if line.said.data != said.data:
                continue
            if not line.id or line.id == id:
                return False
            beside = line.status in ("CONFIRMATORY", "REPLICATION") and i >= entry.after
            if LAYERS[line.id] == LAYERS[id] and not beside:
                return False
        return True

    def may_confirm(self, id: str, said: Written) -> bool:
        entry = self.account.entries.get(id)
        return (
            entry is not None
            and entry.said == said
            and not entry.amended
            and self.committed()
            and self.unseen(id, said)
        )

    def may_reproduce(self, id: str, said: Written, seed: str) -> bool:
        entry = self.account.entries.get(id)
        return (
            entry is not None
            and entry.said == said
            and Looked(id, said, seed, "CONFIRMATORY", True) in self.account.lines
        )

    def may_replicate(self, id: str, said: Written, seed: str) -> bool:
        entry = self.account.entries.get(id)
        if entry is None or entry.amended or entry.said.threshold != said.threshold or entry.said == said:
            return False
        looks = [line for line in self.account.lines if line.id == id]
        confirmed = any(line.said == entry.said and line.status == "CONFIRMATORY" for line in looks)
        again = Looked(id, said, seed, "REPLICATION", True) in looks
        return confirmed and self.committed() and (again or self.unseen(id, said))

    @precondition(lambda self: not self.account.tampered)
    @rule(data=st.sampled_from(tuple(DATA)))
    def sweep(self, data: str) -> None:
        account = self.account
        Record(self.folder).note([swept_over(asked("a", data), "sweep", f"a map of {data}")])
        line = Looked("", Written("", data), "", "", account.lock is not None)
        if line.said not in [one.said for one in account.lines]:
            account.lines.append(line)
        self.read()

    @precondition(lambda self: self.account.lock is not None and not self.account.tampered)
    @rule(how=st.sampled_from(("threshold", "entry", "event", "seen")))
    def tamper_with_the_lock(self, how: str) -> None:
        """By an editor: hashes are left as they are."""
        lock = parse_lock(self.account.lock, named="it")
        if how == "threshold":
            text = self.account.lock.decode()
            self.lock.write_text(text.replace('"threshold": "0.3"', '"threshold": "0.2"', 1))
        elif how == "seen":
            text = self.account.lock.decode()
            self.lock.write_text(text.replace('"seen": []', '"seen": ["x"]', 1))
        elif how == "entry":
            write_lock(self.lock, Lock(dict(list(lock.entries.items())[1:]), lock.events))
        else:
            write_lock(self.lock, Lock(lock.entries, lock.events[:-1]))
        self.account.tampered = self.lock.read_bytes() != self.account.lock

    @precondition(lambda self: self.account.ever and not self.account.tampered and self.committed())
    @rule()
    def forge_the_lock(self) -> None:
        """By a program: all claims as the code has them now, never amended, with all hashes in order."""
        lock = parse_lock(self.account.lock, named="it")
        ids = {id: spec_of(id, self.account.code[id]) for id in lock.entries if id in self.account.code}
        if not ids or all(lock.entries[id].history == (one.digest,) for id, one in ids.items()):
            return
        digest = batch_digest((id, one.digest, ()) for id, one in ids.items())
        event = {**lock.events[0], "claims": len(ids), "digest": digest}
        del event["hash"]
        entries = {id: Entry(id, one.fields, batch_name(digest)) for id, one in ids.items()}
        write_lock(self.lock, Lock(entries, (chained(event, previous=""),)))
        self.account.tampered = True

    @precondition(lambda self: self.account.lock is not None and not self.account.tampered)
    @rule()
    def delete_the_lock(self) -> None:
        """Where nobody can know of it, this is a new beginning."""
        account = self.account
        self.lock.unlink()
        if account.ever or any(line.had for line in account.lines):
            account.tampered = True
        else:
            account.lock, account.entries = None, {}
            account.kept = 0

    @precondition(lambda self: self.account.lines and not self.account.tampered)
    @rule(left=st.integers(0, 5))
    def cut_the_ledger(self, left: int) -> None:
        account = self.account
        if left >= len(account.lines):
            return
        text = b"".join(account.ledger.splitlines(keepends=True)[:left])
        self.ledger.write_bytes(text) if left else self.ledger.unlink()
        if left < account.kept:
            account.tampered = True
        else:
            del account.lines[left:]
            account.ledger = text

    @precondition(lambda self: self.account.lines and not self.account.tampered)
    @rule(line=st.integers(0, 5))
    def tamper_with_the_ledger(self, line: int) -> None:
        account = self.account
        lines = account.ledger.splitlines(keepends=True)
        line %= len(lines)
        lines[line] = lines[line].replace(b"EXPLORATORY", b"CONFIRMATORY").replace(b'"seed":"0"', b'"seed":"1"')
        self.ledger.write_bytes(b"".join(lines))
        account.tampered = b"".join(lines) != account.ledger

    @precondition(lambda self: self.account.tampered)
    @rule()
    def put_back(self) -> None:
        account = self.account
        self.lock.write_bytes(account.lock) if account.lock is not None else self.lock.unlink(missing_ok=True)
        self.ledger.write_bytes(account.ledger) if account.ledger else self.ledger.unlink(missing_ok=True)
        account.tampered = False


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    git(folder, "init", "-q", "-b", "main", "--template=")
    git(folder, "commit", "-q", "--allow-empty", "-m", "begun")
    return folder


def test_no_order_of_acts_confirms_what_was_not_registered_or_was_altered_or_seen(template: Path) -> None:
    machine: Any = type("Here", (Records,), {"template": template})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
