"""The options about baselines: what they are, what they ask, and what of it cannot be meant."""

from __future__ import annotations

import math
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

USUAL = "baseline"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAMED = ("--causal-save", "--causal-compare")


def add_baseline_options(group: pytest.OptionGroup, parser: pytest.Parser) -> None:
    """Enters the options and the ini value."""
    group.addoption(
        "--causal-save",
        nargs="?",
        const=USUAL,
        metavar="NAME",
        help="keep what is measured in baselines/NAME.safetensors beside the claims (default: baseline)",
    )
    group.addoption(
        "--causal-compare",
        nargs="?",
        const=USUAL,
        metavar="NAME",
        help="compare each claim with that baseline: HOLDS, REGRESSED, IMPROVED or INCONCLUSIVE; where there is none, "
        "create it",
    )
    group.addoption("--causal-compare-fail", action="store_true", help="fail a claim that has REGRESSED; compares")
    group.addoption(
        "--causal-update",
        choices=("new", "changed"),
        help="add claims that the baseline has not; changed: replace those that moved, too; compares",
    )
    group.addoption(
        "--causal-across-models",
        action="store_true",
        help="compare although the model is another than the baseline's; compares",
    )
    group.addoption(
        "--causal-baselines",
        type=Path,
        metavar="FOLDER",
        help="the folder of all baselines, in place of baselines/ beside the claims",
    )
    group.addoption(
        "--causal-margin",
        type=float,
        metavar="SIZE",
        help="the largest change since the baseline that counts as none, where a claim declares no margin of its own",
    )
    parser.addini("causaltest_margin", "the same as --causal-margin")


@dataclass(frozen=True)
class Asked:
    """What a run is asked to do about baselines."""

    save: str | None = None
    """The baseline that takes whatever is measured."""
    compare: str | None = None
    fail: bool = False
    update: str | None = None
    margin: float | None = None
    """For claims that declare none."""
    across_models: bool = False
    folder: Path | None = None
    """Of all baselines; None for one beside the claims."""

    @property
    def anything(self) -> bool:
        return self.save is not None or self.compare is not None

    @classmethod
    def of(cls, config: pytest.Config) -> Asked:
        """What the options and the ini file say."""
        compare, update = config.getoption("causal_compare"), config.getoption("causal_update")
        fail, across = (bool(config.getoption(f"causal_{name}")) for name in ("compare_fail", "across_models"))
        if compare is None and (update is not None or fail or across):
            compare = USUAL
        folder = config.getoption("causal_baselines")
        return cls(
            save=config.getoption("causal_save"),
            compare=compare,
            fail=fail,
            update=update,
            margin=margin_of(config),
            across_models=across,
            folder=None if folder is None else config.invocation_params.dir / folder,
        )


def wants_baselines(config: pytest.Config) -> bool:
    """Whether any option asks for a baseline."""
    return Asked.of(config).anything


def check_baseline_options(config: pytest.Config) -> None:
    """Raises UsageError for a name that is none, a margin that is no size, and an update where nobody would see it."""
    for option in NAMED:
        check_name(config, option)
    margin_of(config)
    folder = config.getoption("causal_baselines")
    if folder is not None and (config.invocation_params.dir / folder).is_file():
        raise pytest.UsageError(
            f"--causal-baselines {folder} is a file; give the folder, and the baseline's name by --causal-save=NAME or "
            "--causal-compare=NAME."
        )
    if config.getoption("causal_update") is None:
        return
    if config.getoption("causal_save") is not None:
        raise pytest.UsageError(
            "--causal-save replaces every claim that is measured, and --causal-update only some of them: give one."
        )
    if in_ci():
        raise pytest.UsageError(
            "--causal-update is refused where CI is set: a baseline is changed by a person, who reads what moved and "
            "commits it. Run it on your own machine."
        )


def check_name(config: pytest.Config, option: str) -> None:
    """Raises UsageError for a name that no file should have, and for a path that the option has swallowed."""
    name = config.getoption(option.removeprefix("--").replace("-", "_"))
    if name is None or (NAME.fullmatch(name) and (f"{option}={name}" in arguments(config) or not Path(name).exists())):
        return
    raise pytest.UsageError(
        f"{option} {name}: {name!r} was taken for the baseline's name. A name has letters, digits, dots, dashes and "
        f"underscores, and is written {option}=NAME. If it is the path of your claims, put it in front "
        f"(pytest {name} {option}), or name the baseline ({option}={USUAL} {name})."
    )


def arguments(config: pytest.Config) -> list[str]:
    """All arguments as they were written: on the command line, in the ini file and in PYTEST_ADDOPTS."""
    ours = [str(argument) for argument in config.invocation_params.args]
    return [*ours, *config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]


def margin_of(config: pytest.Config) -> float | None:
    """The suite's margin. Raises UsageError for one that is no size."""
    given = config.getoption("causal_margin")
    where, written = (
        ("--causal-margin", given) if given is not None else ("causaltest_margin =", config.getini("causaltest_margin"))
    )
    if written in (None, ""):
        return None
    try:
        margin = float(written)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise pytest.UsageError(
            f"{where} {written}: give the largest change that still counts as none, a number above 0 such as 0.1."
        )
    return margin


def in_ci() -> bool:
    """Whether this is a machine of continuous integration, by the variable that all of them set."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
