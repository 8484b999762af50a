"""A folder with many claims, to see how long it takes to register and verify them: `python benchmarks/many_claims.py`.

The claims are one parametrised test over layers and positions, about the planted organism's pairs. Most of them name
layers that it has not: they are never measured.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLAIMS = """
import pytest

from causaltest import at_least, claim, index, logit_diff, resid_post
from causaltest.organisms import planted


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")


@pytest.fixture(scope="module")
def pairs():
    return planted.pairs()


@claim("The value passes through.", at_least(0.3))
@pytest.mark.parametrize("position", range({positions}))
@pytest.mark.parametrize("layer", range({layers}))
def test_value_passes(lab, pairs, layer, position):
    return lab.denoise(pairs, at=resid_post(layer, index(position))).recovery(logit_diff)
"""


def write_claims(folder: Path, number: int) -> Path:
    """Writes a folder of that many claims, or a few more where they make no rectangle. Returns the folder."""
    layers = max(1, math.isqrt(number))
    folder.mkdir(parents=True, exist_ok=True)
    text = CLAIMS.format(layers=layers, positions=math.ceil(number / layers))
    (folder / "test_many.py").write_text(text, encoding="utf-8")
    return folder


def main() -> None:
    """Registers many claims in a temporary folder, and prints the seconds of each whole command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=10_000)
    number = parser.parse_args().claims
    with tempfile.TemporaryDirectory() as top:
        claims = write_claims(Path(top) / "claims", number)
        for command in ("register", "verify"):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "causaltest.cli", command, str(claims)], check=True, cwd=top)
            print(f"{command} {number:,} claims: {time.perf_counter() - began:.2f} s")
        print(f"the lock has {(claims / 'claims.lock').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
