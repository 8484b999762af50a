"""Runs of a suite are killed at random moments and run again: nothing is lost, nothing is wrong, little is done twice.

The suite measures on the shipped ducks: claims on two sets of pairs, a sweep, a search in a fixture, a claim that
stops early, and claims that are registered, so that a ledger is written. Half of the kills come after a random time,
half at a random write. What is compared with the undisturbed run is everything that it reports, but for what history
decides: a claim that was looked at before its process died is REPRODUCED when it is looked at again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.faults.forked import Forked, Kill, forked_pytest, import_all
from benchmarks.faults.result import Result

KILLS = 200
SHARDS = 2
CLAIMS = 7
CHAIN = 5
"""At most so many kills before a run may end."""
CONFTEST = """
import pytest
from causaltest.organisms import ducks

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:ducks")

@pytest.fixture(scope="session")
def twins():
    return ducks.twins(sentence=1, clusters=20, per_cluster=1, seed=7)

@pytest.fixture(scope="session")
def others():
    return ducks.twins(sentence=3, clusters=20, per_cluster=1, seed=8)
"""
REGISTERED = """
import pytest
from causaltest import accuracy, at_least, at_most, claim, exact_match, resid_post, thought

@claim("The first thought carries the total.", at_least(0.30, expecting=0.60))
@pytest.mark.parametrize("layer", [3, 6])
def test_total(lab, twins, layer):
    return lab.denoise(twins, at=resid_post(layer, thought(0))).recovery(accuracy)

@claim("Nothing is left in the third thought at layer 2.", at_most(0.5))
def test_nothing(lab, twins):
    return lab.denoise(twins, at=resid_post(2, thought(2))).recovery(exact_match(max_new_tokens=1))
"""
EXPLORED = """
import pytest
from causaltest import accuracy, at_least, claim, head, index, logit_diff, resid_post, thought

@pytest.fixture(scope="module")
def site(lab, others):
    return lab.search(others, at=resid_post(6, thought([1, 2]))).recovery(accuracy)

def test_map(lab, twins):
    assert lab.sweep(twins, at=resid_post([2, 6], thought(range(2)))).recovery(accuracy)

@claim("What was found carries the total.", at_least(0.30))
def test_found(lab, twins, site):
    return lab.denoise(twins, at=site).recovery(accuracy)

@claim("It does so early.", at_least(0.2), stopping="obrien-fleming", looks=2)
def test_early(lab, others):
    return lab.denoise(others, at=resid_post(6, thought(2))).recovery(accuracy)

@claim("The logits move.", at_least(0.2))
@pytest.mark.parametrize("layer", [5, 7])
def test_logits(lab, others, layer):
    return lab.noise(others, at=resid_post(layer, thought(2))).drop(logit_diff(range=(-30, 30)))
"""
HISTORY = ("seen", "status", "status_reason", "runs", "notes", "at", "standing")
"""Fields of a report that tell of earlier runs."""
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | {
    f"GIT_{who}_{what}": "suite" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


@dataclass(frozen=True)
class Tally:
    """What trials came to."""

    kills: int
    trials: int
    wrong: int
    """Trials whose report is another than the undisturbed one's, or that leave something damaged."""
    repeated: int
    """Patched runs that were computed twice, over all trials."""
    patched_runs: int
    """Those of one undisturbed run."""
    writes: int


def run() -> Sequence[Result]:
    """The figure, from processes side by side; each imports torch once and forks."""
    tallies = in_processes([KILLS // SHARDS] * SHARDS)
    kills, trials, wrong, repeated = (
        sum(getattr(tally, name) for tally in tallies) for name in ("kills", "trials", "wrong", "repeated")
    )
    one = tallies[0]
    how = (
        f"{trials} runs of a suite on the ducks ({one.patched_runs} patched runs, {one.writes} writes), each killed up "
        f"to {CHAIN} times, by the clock or at a write, and then run to the end; a kill cost {repeated / kills:.0f} "
        "patched runs that had to be computed again"
    )
    figure = f"{KILLS} kills at random moments of a run with writes: lost or wrong results"
    return [Result(figure, "0", "0", str(wrong), wrong == 0, how)]


def in_processes(kills: Sequence[int]) -> list[Tally]:
    """Tallies of so many kills each, side by side."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(count), str(seed)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for seed, count in enumerate(kills)
    ]
    told = [one.communicate()[0].splitlines()[-1] for one in running]
    return [Tally(**json.loads(line)) for line in told]


def often_and_small() -> None:
    """Tasks of some milliseconds, and parts kept nearly as often: more moments at which something is half done.

    How work is cut changes no bit of what comes out.
    """
    from causaltest.measuring import batch, parts

    batch.TASK_WEIGHTS_CPU = 1_000_000_000
    parts.EVERY_S = 0.05


class Trials:
    """A suite, what it reports when nobody disturbs it, and what it reports after kills."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draws = folder, random.Random(f"kills {seed}")
        self.template = folder / "template"
        made(self.template)
        # What the model proves of itself as it is loaded is remembered: it is not what is killed here.
        self.whole(self.fresh())
        for file in (self.folder / "trial" / "cache").glob("*"):
            if file.name != "seen.jsonl" and not (self.template / "cache" / file.name).exists():
                copied = shutil.copytree if file.is_dir() else shutil.copy
                copied(file, self.template / "cache" / file.name)
        self.undisturbed = self.whole(self.fresh())
        self.report = told_by(self.folder / "trial")
        if len(self.report) != CLAIMS:
            raise RuntimeError(f"the undisturbed run reports {len(self.report)} claims: {self.undisturbed.output}")
        self.tally = Tally(0, 0, 0, 0, self.undisturbed.patched_runs, self.undisturbed.writes)
        self.problems: list[str] = []

    def fresh(self) -> Path:
        place = self.folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.template, place)
        return place

    def whole(self, place: Path, kill: Kill | None = None) -> Forked:
        """Runs the suite, to its end or to its kill."""
        words = ["-q", "-p", "no:cacheprovider", "--rootdir=.", "--causal-json=report.json", "--causal-memory=64MB"]
        words.append(f"--causal-cache-dir={place / 'store'}")
        environment = {**GIT, "CAUSALTEST_CACHE_DIR": str(place / "cache"), "CAUSALTEST_NO_CACHE": ""}
        # A run that was killed just after its report has left one, which is not this run's.
        (place / "suite" / "report.json").unlink(missing_ok=True)
        return forked_pytest(words, place, environment, often_and_small, kill or Kill())

    def kill(self) -> Kill:
        """A random moment: of the time that a run takes, or of what it writes."""
        if self.draws.random() < 0.5:
            return Kill(after_s=self.draws.uniform(0.02, 1.0) * self.undisturbed.seconds)
        return Kill(at_write=self.draws.randrange(self.undisturbed.writes))

    def trial(self, most: int = CHAIN) -> None:
        """Kills a run once or a few times, and lets it end."""
        place, computed, kills, ran = self.fresh(), 0, 0, None
        for _ in range(self.draws.randint(1, min(most, CHAIN))):
            ran = self.whole(place, self.kill())
            computed += ran.patched_runs
            if not ran.killed:
                break
            kills += 1
        else:
            computed += self.whole(place).patched_runs
        found = [*differences(self.report, told_by(place)), *left_over(place), *standing_lost(place)]
        self.problems += found
        before = self.tally
        self.tally = replace(
            before,
            kills=before.kills + kills,
            trials=before.trials + 1,
            wrong=before.wrong + bool(found),
            repeated=before.repeated + computed - before.patched_runs,
        )


def made(place: Path) -> None:
    """The suite, registered and committed; what models prove of themselves is remembered."""
    suite = place / "suite"
    suite.mkdir(parents=True)
    (place / "cache").mkdir()
    (suite / "conftest.py").write_text(CONFTEST)
    (suite / "pytest.ini").write_text("[pytest]\naddopts = --assert=plain\n")
    (suite / "test_claimed.py").write_text(REGISTERED)
    environment = {**os.environ, **GIT, "CAUSALTEST_CACHE_DIR": str(place / "cache"), "CAUSALTEST_NO_CACHE": "1"}
    words = [[sys.executable, "-m", "causaltest.cli", "register", "."], ["git", "init", "-q"], ["git", "add", "."]]
    words += [["git", "commit", "-qm", "registered"]]
    for command in words:
        subprocess.run(command, cwd=suite, env=environment, check=True, stdout=subprocess.DEVNULL)
    (suite / "test_explored.py").write_text(EXPLORED)


def told_by(place: Path) -> list[dict[str, Any]]:
    """What a run has reported of each claim, without what its history decides."""
    return [{n: v for n, v in one.items() if n not in HISTORY} for one in report_of(place)]


def report_of(place: Path) -> list[dict[str, Any]]:
    """A run's report; without claims where it wrote none."""
    file = place / "suite" / "report.json"
    return json.loads(file.read_text()) if file.exists() else []


def differences(wanted: Sequence[dict[str, Any]], told: Sequence[dict[str, Any]]) -> list[str]:
    """In what two reports differ, to the last bit."""
    if len(wanted) != len(told):
        return [f"{len(told)} claims of {len(wanted)} are reported"]
    return [
        f"{one['id']}: {name} is {other.get(name)!r} and was {one[name]!r}"
        for one, other in zip(wanted, told, strict=True)
        for name in one
        if json.dumps(one[name], sort_keys=True) != json.dumps(other.get(name), sort_keys=True)
    ]


def standing_lost(place: Path) -> list[str]:
    """Registered claims that are no longer called so, though nobody had seen their pairs before."""
    return [
        f"{one['id']} is {one['status']}"
        for one in report_of(place)
        if one["id"].startswith("test_claimed.py") and one["status"] not in ("CONFIRMATORY", "REPRODUCED")
    ]


def left_over(place: Path) -> list[str]:
    """What should not be there after a run to the end: damage, and torn lines.

    What a run that is killed between an answer and its tidying leaves of the way there goes in time, as all that is
    not used.
    """
    from causaltest.recording.ledger import broken, parse_ledger
    from causaltest.store.folder import Store

    store, found = place / "store", list[str]()
    reader = Store(store)
    for file in sorted(store.glob("*/??/*.safetensors")):
        if reader.get(file.parent.parent.name, file.stem) is None:
            found.append(f"{file.name} cannot be read")
    found += [f"{file.name} was set aside" for file in (store / "damaged").glob("*")]
    lines = parse_ledger((place / "suite" / "claims.ledger").read_text())
    found += broken(lines)
    looked = {line["claim"] for line in lines if line["kind"] == "look"}
    return found + ([] if len(looked) == CLAIMS else [f"the ledger has looks at {sorted(looked)}"])


def main(kills: int, seed: int) -> Tally:
    import_all()
    with tempfile.TemporaryDirectory(prefix="causaltest-kills-") as folder:
        trials = Trials(Path(folder).resolve(), seed)
        while trials.tally.kills < kills:
            trials.trial(kills - trials.tally.kills)
            print(trials.tally, *trials.problems, sep="\n", file=sys.stderr, flush=True)
            trials.problems.clear()
        return trials.tally


if __name__ == "__main__":
    print(json.dumps(asdict(main(int(sys.argv[1]), int(sys.argv[2])))))
