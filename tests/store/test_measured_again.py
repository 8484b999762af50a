"""With a warm store: what changes a number is measured again, and what does not is not. Whole processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import causaltest

PACKAGE = Path(causaltest.__file__).parent
ASKS = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import causaltest
assert causaltest.__file__.startswith(sys.path[0]), causaltest.__file__
from causaltest import Lab, logit_diff
from causaltest.asking.settings import Settings, StorePlace
from causaltest.organisms import planted

lab = Lab.load(sys.argv[2], settings=Settings(store=StorePlace(sys.argv[3]), progress=False))
pairs, sites = planted.pairs(per_cluster=1)[:6], (planted.decoys()[0], planted.on_path()[-1])
values = [lab.denoise(pairs, at=site).change(logit_diff).measured.values for site in sites]
print(json.dumps([values, lab.counts["stored"], lab.counts["anew"]]))
"""


class Said(NamedTuple):
    """What a process has printed of two effects, and its warnings."""

    values: list[list[float]]
    stored: int
    anew: int
    told: list[str]


@pytest.fixture
def ask(tmp_path, warm) -> Callable[..., Said]:
    """Asks for two effects in a process of its own: with a package, a model, a place, and a cache of the user's."""
    (tmp_path / "asks.py").write_text(ASKS)
    numbers = iter(range(100))

    def run(package: Path = PACKAGE, *, model="organism:planted", place=None, cache="cache", more=()) -> Said:
        out = tmp_path / f"out {next(numbers)}"
        paths = json.dumps([str(package.parent), *map(str, more)])
        environment = {"OMP_NUM_THREADS": "1", "CAUSALTEST_CACHE_DIR": str(tmp_path / cache), "PATH": "/usr/bin:/bin"}
        words = ["python", "asks.py", paths, model, str(place or tmp_path / "store")]
        status = warm.run(words, tmp_path, environment, out)
        assert status == 0, out.read_text()
        *others, last = out.read_text().splitlines()
        return Said(*json.loads(last), [line for line in others if "CausaltestWarning" in line])

    return run


def copied(tmp_path: Path, name: str, file: str = "", was: str = "", now: str = "") -> Path:
    """The package elsewhere, with some source changed."""
    made = shutil.copytree(PACKAGE, tmp_path / name / "causaltest", ignore=shutil.ignore_patterns("__pycache__"))
    if file:
        text = (made / file).read_text("utf-8")
        assert was in text
        (made / file).write_text(text.replace(was, now), "utf-8")
    return made


def test_an_engine_that_is_broken_under_a_warm_store_shows(ask, tmp_path):
    """Denoising that begins from the clean run is no denoising: it would give the clean run's own answer."""
    first = ask()
    assert (first.stored, first.anew) == (0, 2) and set(first.values[0]) == {0.0}
    broken = copied(tmp_path, "broken", "measuring/vectors.py", 'return "corrupt" if', 'return "clean" if')
    shown = ask(broken)
    assert (shown.stored, shown.anew) == (0, 2) and shown.values != first.values
    same = ask(copied(tmp_path, "same", "judging/judge.py", '"""', '"""A comment.'))
    assert (same.values, same.stored, same.anew) == (first.values, 2, 0), "the same engine, elsewhere"


def test_an_organism_whose_code_changes_is_measured_again(ask, tmp_path):
    """Its weights do not tell: what makes it is in the key as well."""
    theirs = tmp_path / "theirs"
    (theirs / "somebody").mkdir(parents=True)
    (theirs / "somebody-1.0.dist-info").mkdir()
    (theirs / "somebody-1.0.dist-info" / "METADATA").write_text("Name: somebody\nVersion: 1.0\n")
    points = "[causaltest.organisms]\nscaled = somebody.model:load\n"
    (theirs / "somebody-1.0.dist-info" / "entry_points.txt").write_text(points)
    (theirs / "somebody" / "__init__.py").write_text("")
    (theirs / "somebody" / "size.py").write_text("SIZE = 1.0\n")
    (theirs / "somebody" / "model.py").write_text(
        "def load():\n"
        "    from causaltest.organisms import bypass, planted\n"
        "    from somebody.size import SIZE\n"
        "    return planted.load() if SIZE == 1.0 else bypass.load()\n"
    )
    first, again = (ask(model="organism:scaled", more=[theirs]) for _ in range(2))
    assert (first.anew, again.stored, again.anew) == (2, 2, 0) and first.values == again.values
    (theirs / "somebody" / "size.py").write_text("SIZE = 3.0\n")
    changed = ask(model="organism:scaled", more=[theirs])
    assert (changed.stored, changed.anew) == (0, 2) and changed.values != first.values


def test_a_second_machine_takes_what_the_first_has_put_at_an_address(ask, tmp_path):
    place = f"file://{tmp_path}/share"
    first = ask(place=place, cache="one")
    second = ask(place=place, cache="two")
    assert (first.stored, first.anew, second.stored, second.anew) == (0, 2, 2, 0) and first.values == second.values
    assert not first.told and not second.told
    kinds = {path.relative_to(tmp_path / "share").parts[0] for path in (tmp_path / "share").rglob("*.safetensors")}
    assert kinds == {"effects", "runs"}
    shutil.rmtree(tmp_path / "share")
    assert ask(place=place, cache="two").stored == 2, "what was found there lies here"


def test_an_address_that_cannot_be_reached_costs_no_verdict_and_shows_no_password(ask, tmp_path):
    found = ask(place="ftp://me:hunter2@127.0.0.1:9/x")
    assert found.anew == 2 and len(found.told) == 1
    assert "cannot be reached" in found.told[0] and "hunter2" not in found.told[0] + repr(found)
    assert ask(place="ftp://me:hunter2@127.0.0.1:9/x").stored == 2, "it was kept here"
