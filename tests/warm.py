"""A process that has imported what is slow to import, and forks for each command: `python tests/warm.py`.

A walk-through has a dozen runs of pytest, and torch, transformers and scipy take most of the time of each. Nothing of
causaltest is imported beforehand. A request is a line of JSON with the command's `words`, `folder`, `environment` and
the file for its `output`; the answer is its exit status.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

MODULES = {"pytest": "pytest", "causaltest": "causaltest.cli"}


class Warm:
    """The other end: runs `pytest`, `causaltest` and `python FILE` in forks of one warm process."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def run(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], output: Path) -> int:
        """The exit status; standard output and error go to one file, in the order in which they were written."""
        asked = {"words": words, "folder": str(folder), "environment": dict(environment), "output": str(output)}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


def serve() -> None:
    import numpy  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            carry_out(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def carry_out(asked: Mapping[str, Any]) -> None:
    """Becomes the command, and ends the process as the command would."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    handle = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    program, *arguments = asked["words"]
    status: object = 0
    try:
        if program == "python":
            sys.argv = list(arguments)
            sys.path[0] = str(Path(arguments[0]).parent.resolve())
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            sys.argv = [program, *arguments]
            # as `python -m` does it
            sys.path[0] = asked["folder"]
            runpy.run_module(MODULES[program], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))  # type: ignore[call-overload]


if __name__ == "__main__":
    serve()
