"""What the options of a run say of measuring: settings, where things are kept, and which models are meant."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from typing import TextIO

import pytest

from causaltest.asking.settings import Cluster, Settings, StorePlace, memory_bytes
from causaltest.kept import cache_folder
from causaltest.writing.sizes import bytes_of_size

NO_STORE = "CAUSALTEST_NO_CACHE"
"""What does the same as --causal-no-cache."""
THE_ONE = "*"
"""In --causal-model, the one model that the claims name, whichever it is."""


def settings_of(config: pytest.Config) -> Settings:
    """What the options say of measuring; progress goes to the terminal behind pytest's capture."""
    quiet = config.option.verbose < 0 or hasattr(config, "workerinput")
    return Settings(
        memory=memory_bytes(str(config.getoption("causal_memory"))),
        dtype=config.getoption("causal_dtype"),
        device_map=config.getoption("causal_device_map"),
        offload_folder=config.getoption("causal_offload"),
        quantize=config.getoption("causal_quantize"),
        trust_remote_code=bool(config.getoption("causal_trust_remote_code")),
        store=store_of(config),
        cluster=cluster_of(config),
        progress=False if quiet else real_stderr(config),
    )


def cluster_of(config: pytest.Config) -> Cluster | None:
    """The workers that measure, where the options name some."""
    if config.getoption("causal_executor") == "serial":
        return None
    return Cluster(config.getoption("causal_workers"), config.getoption("causal_gpus_per_worker") or 0.0)


def store_of(config: pytest.Config) -> StorePlace | None:
    """Where what was measured is kept: where the option says, or in the user's cache."""
    if config.getoption("causal_no_cache") or os.environ.get(NO_STORE):
        return None
    place = config.getoption("causal_cache_dir") or str(cache_folder() / "store")
    most = bytes_of_size(str(config.getoption("causal_cache_size")))
    # Given by pytest-xdist to all workers.
    run = str(getattr(config, "workerinput", {}).get("testrunuid", ""))
    return StorePlace(place, most, run) if most else None


def real_stderr(config: pytest.Config) -> TextIO | bool:
    """Stderr as it is outside of pytest's capture, where it is a terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return sys.stderr.isatty()
    with capture.global_and_fixture_disabled():
        if not sys.stderr.isatty():
            return False
        stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
    config.add_cleanup(stream.close)
    return stream


def models_of(config: pytest.Config) -> tuple[str | None, str | None, dict[str, str]]:
    """The model given by option, the lab fixture's model, and the models to put in place of others."""
    given: list[str] = config.getoption("causal_model")
    swaps = dict(g.split("=", 1) for g in given if "=" in g)
    names = [g for g in given if "=" not in g]
    option = names[-1] if names else None
    return option, option or str(config.getini("causaltest_model") or "") or None, swaps


def unused_swaps(swaps: Mapping[str, str], named: Collection[str]) -> str | None:
    """A sentence about a model that was to be replaced and that nobody named, once labs were made."""
    unused = sorted(set(swaps) - set(named) - {THE_ONE})
    if not unused or not named:
        return None
    old = unused[0]
    return f"--causal-model {old}={swaps[old]}: no claim names {old!r}; the models named are {sorted(named)}."
