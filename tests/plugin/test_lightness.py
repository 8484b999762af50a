"""Until a claim is set up, nobody notices the plugin."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "scipy", "numpy")

PROBE = f"""
import sys

def pytest_sessionfinish():
    print("LOADED", [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "body",
    [
        "def test_a():\n    pass\n",
        "from causaltest import Lab, at_least, claim\n@claim('x', at_least(0.1))\ndef test_a(lab):\n    return lab\n",
    ],
    ids=["no claims", "a claim that is only collected"],
)
def test_the_plugin_loads_nothing_heavy(pytester, body):
    pytester.makeconftest(PROBE)
    pytester.makepyfile(body)
    only = ["--collect-only"] if "claim" in body else []
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", *only], capture_output=True, text=True, check=False
    )
    assert "LOADED []" in run.stdout, run.stdout + run.stderr


def test_a_judged_claim_does_load_them(pytester):
    """The check above can fail."""
    pytester.makeconftest(PROBE)
    pytester.makepyfile(
        "from causaltest import *\n@claim('x', at_least(0.1))\ndef test_a():\n"
        "    return Effect.from_values([1] * 50, kind='binary', iid=True, placebo=Waived('a test'))\n"
    )
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-s"], capture_output=True, text=True, check=False)
    assert "scipy" in run.stdout and "torch" not in run.stdout, run.stdout + run.stderr


def test_mocks_and_proxies_in_a_test_module_are_left_alone(pytester):
    """A mock answers any attribute, and a lazy proxy may raise on one."""
    pytester.makepyfile(
        """
from unittest.mock import MagicMock, call

class Proxy:
    def __getattr__(self, name):
        raise RuntimeError("working outside of a request")

request_of_something = Proxy()
test_mock = MagicMock()

def test_a():
    assert call
"""
    )
    alone = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:causaltest"], capture_output=True, text=True
    )
    ours = subprocess.run([sys.executable, "-m", "pytest", "-q"], capture_output=True, text=True)
    assert ours.returncode == alone.returncode
    assert "causaltest" not in ours.stdout
