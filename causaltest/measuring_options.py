"""The options about measuring, judging and registering: what they are, and what of it cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

SIZES = ("memory", "cache-size")


def add_measuring_options(group: pytest.OptionGroup, parser: pytest.Parser) -> None:
    """Enters the options and the ini values."""
    group.addoption(
        "--causal-model",
        action="append",
        default=[],
        metavar="NAME",
        help="the model of the lab fixture; OLD=NEW to measure NEW wherever a claim names OLD; *=NEW for the one model "
        "that the claims name",
    )
    group.addoption("--causal-seed", default="0", metavar="SEED", help="enters every random draw (default: 0)")
    group.addoption(
        "--causal-memory",
        default="1GB",
        metavar="SIZE",
        help="memory for measuring, above the model's own: 800MB, 4GB (default: 1GB)",
    )
    group.addoption("--causal-no-cache", action="store_true", help="measure everything, and keep nothing")
    group.addoption(
        "--causal-cache-dir",
        metavar="PLACE",
        help="where what was measured is kept (default: the user's cache): a folder, or an address that several "
        "machines share, such as s3://bucket/x or file:///mnt/share",
    )
    group.addoption(
        "--causal-cache-size",
        default="10GB",
        metavar="SIZE",
        help="beyond this, what was used longest ago goes; 0 keeps nothing (default: 10GB)",
    )
    group.addoption(
        "--causal-dtype",
        choices=("float32", "bfloat16", "float16", "float64"),
        default="float32",
        help="what models named by a string are loaded in (default: float32)",
    )
    group.addoption(
        "--causal-device-map", metavar="MAP", help='how models named by a string are spread over devices: "auto"'
    )
    group.addoption("--causal-offload", metavar="FOLDER", help="where weights go that fit no device")
    group.addoption(
        "--causal-quantize", choices=("int8", "nf4"), help="load models named by a string in 8 or 4 bits a weight"
    )
    group.addoption(
        "--causal-trust-remote-code",
        action="store_true",
        help="let code that comes with a checkpoint run; it is recorded",
    )
    group.addoption(
        "--causal-executor",
        choices=("serial", "ray"),
        default="serial",
        help="who measures: this process, or workers of the Ray cluster at RAY_ADDRESS, or of one on this machine "
        "(default: serial)",
    )
    group.addoption(
        "--causal-workers", type=int, metavar="N", help="with ray: how many workers (default: as many as fit)"
    )
    group.addoption(
        "--causal-gpus-per-worker", type=float, metavar="X", help="with ray: the share of a GPU that each worker has"
    )
    group.addoption(
        "--causal-plan", action="store_true", help="print what measuring the claims takes, and measure nothing"
    )
    group.addoption(
        "--causal-power", action="store_true", help="print the pairs that each claim needs; no model is opened"
    )
    group.addoption(
        "--causal-assume",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the pairs needed are worked out under: effect, sd, icc, placebo, simulations",
    )
    group.addoption(
        "--causal-register", action="store_true", help="enter the claims in claims.lock; no model is opened"
    )
    group.addoption(
        "--causal-amend",
        action="append",
        default=[],
        metavar="ID",
        help="with --causal-register: put this claim's new spec in place of the one registered",
    )
    group.addoption("--causal-why", default="", metavar="TEXT", help="why it is amended")
    group.addoption("--causal-was", metavar="ID", help="the id that it is registered under, where it has another now")
    group.addoption(
        "--causal-confirmatory-only",
        action="store_true",
        help="pass only claims that were registered before their data were seen: CONFIRMATORY or REPRODUCED",
    )
    group.addoption("--causal-json", type=Path, metavar="PATH", help="write one object per claim to this file")
    parser.addini("causaltest_model", "the model of the lab fixture")
    parser.addini("causaltest_inconclusive", "what an INCONCLUSIVE claim does: fail or skip", default="fail")


def check_measuring_options(config: pytest.Config) -> None:
    """Raises UsageError for what cannot be meant."""
    path = config.getoption("causal_json")
    if path is not None and path.is_dir():
        raise pytest.UsageError(f"--causal-json {path} is a folder; name a file in it.")
    choice = config.getini("causaltest_inconclusive")
    if choice not in ("fail", "skip"):
        raise pytest.UsageError(f"causaltest_inconclusive = {choice} is not known; it is one of fail and skip.")
    for option in SIZES:
        check_size(config, option)
    check_place(config)
    check_power_options(config)
    check_workers(config)


def check_size(config: pytest.Config, option: str) -> None:
    """Raises UsageError for what is no size."""
    from causaltest.writing.sizes import bytes_of_size

    size = str(config.getoption(f"causal_{option.replace('-', '_')}"))
    try:
        bytes_of_size(size)
    except ValueError:
        none = ", or 0 to keep nothing" if option == "cache-size" else ""
        raise pytest.UsageError(
            f"--causal-{option} {size:.60} is no size; write 800MB, 4GB or a number of bytes{none}."
        ) from None


def check_place(config: pytest.Config) -> None:
    """Raises UsageError for an address of a kind that nothing here can open."""
    place = config.getoption("causal_cache_dir")
    if place is None or "://" not in place:
        return
    from causaltest.errors import RecordError
    from causaltest.store.address import check

    try:
        check(place)
    except RecordError as error:
        raise pytest.UsageError(f"--causal-cache-dir: {error}") from error


def check_power_options(config: pytest.Config) -> None:
    """Raises UsageError for an assumption that no sample could meet, and for workers, which would each know a part."""
    if config.getoption("causal_assume"):
        from causaltest.asking.assumptions import assumptions_of
        from causaltest.errors import ClaimError

        try:
            assumptions_of(config.getoption("causal_assume"))
        except ClaimError as error:
            raise pytest.UsageError(f"--causal-assume: {error}") from error
    for option in ("power", "plan"):
        if config.getoption(f"causal_{option}") and config.getoption("numprocesses", None):
            raise pytest.UsageError(f"--causal-{option} is worked out in one process: leave out -n, or give -n 0.")


def check_workers(config: pytest.Config) -> None:
    """Raises UsageError for workers that nobody would ask, and for two ways at once to spread work."""
    ray = config.getoption("causal_executor") == "ray"
    for option in ("--causal-workers", "--causal-gpus-per-worker"):
        if config.getoption(option) is not None and not ray:
            raise pytest.UsageError(f"{option} is for --causal-executor ray, which was not given.")
    if ray and (hasattr(config, "workerinput") or config.getoption("numprocesses", None)):
        raise pytest.UsageError(
            "--causal-executor ray spreads the work itself, and -n would begin a cluster per process: leave out -n."
        )
