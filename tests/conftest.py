from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Its plugin imports it at the end of every run, and pytester would forget it each time: two seconds a run.
import hypothesis
import pytest
from warm import Warm

# Two threads on shared cores are many times slower than one; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is remembered between runs is not for tests: each process starts with none.
os.environ["CAUSALTEST_NO_CACHE"] = "1"
os.environ["CAUSALTEST_CACHE_DIR"] = tempfile.mkdtemp(prefix="causaltest-")

# A machine that does something else beside is slow, and no test is about that.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Where commands run that would each take seconds to import torch."""
    with Warm() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_seen_before() -> Iterator[None]:
    """What one test has swept or claimed labels no claim of another."""
    Path(os.environ["CAUSALTEST_CACHE_DIR"], "seen.jsonl").unlink(missing_ok=True)
    yield
