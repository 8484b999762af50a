"""Installed: the releases of the packages that compute numbers, learnt from file names, without importing one."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from causaltest.writing.canonical import digest_of, sha256_of

PACKAGES = (
    "accelerate",
    "aqlm",
    "auto-round",
    "autoawq",
    "bitsandbytes",
    "causal-conv1d",
    "causaltest",
    "compressed-tensors",
    "fbgemm-gpu",
    "flash-attn",
    "flash-attn-3",
    "flash-attn-4",
    "flash-linear-attention",
    "gptqmodel",
    "hqq",
    "jinja2",
    "kernels",
    "mamba-ssm",
    "mambapy",
    "mistral-common",
    "numpy",
    "optimum",
    "optimum-quanto",
    "peft",
    "protobuf",
    "sentencepiece",
    "tiktoken",
    "tokenizers",
    "torch",
    "torchao",
    "transformers",
    "triton",
    "vptq",
    "xlstm",
)
"""What computes, quantizes, or makes tokens of a text; transformers takes some of them because they are there."""
BUILD = "version.py"
"""Where torch says for which device it was built; the name of a wheel does not always."""
DISTRIBUTION = re.compile(r"([A-Za-z0-9._]+)-([^-]+)(-.*)?\.(dist-info|egg-info)")


def versions() -> dict[str, str]:
    """The release of each package that is installed; of torch its build, and of transformers and torch what they are
    known by where they run from a folder of sources."""
    return dict(versions_at(tuple(sys.path)))


@lru_cache(maxsize=4)
def versions_at(path: tuple[str, ...]) -> dict[str, str]:
    there = on(path)
    found = {name: there[name] for name in PACKAGES if name in there}
    build = folder_of("torch") / BUILD
    if build.is_file():
        found["torch build"] = sha256_of(build.read_text(encoding="utf-8", errors="replace"))
    found |= {f"{name} sources": stamp for name in ("torch", "transformers") if (stamp := sources(name)) is not None}
    return found


def on(path: tuple[str, ...]) -> dict[str, str]:
    """Every distribution that lies on a path, with its release; the first one that Python finds counts."""
    found: dict[str, str] = {}
    for place in path:
        try:
            names = os.listdir(place or os.curdir)
        except OSError:
            continue
        for name in names:
            if (told := DISTRIBUTION.fullmatch(name)) is not None:
                found.setdefault(re.sub(r"[-_.]+", "-", told[1]).lower(), told[2])
    return found


def folder_of(package: str) -> Path:
    """Where a package lies; a folder that is not there where it is not installed."""
    try:
        spec = find_spec(package)
    except ValueError:
        spec = None  # something stands in its place in this process
    return Path(os.devnull) if spec is None or spec.origin is None else Path(spec.origin).parent


def sources(package: str) -> str | None:
    """What a package that runs from a folder of sources is known by: sizes and times of its files, for its release
    stays the same while it is worked on. None for one that was installed."""
    folder = folder_of(package)
    if not folder.is_dir() or package in on((str(folder.parent),)):
        return None
    files = sorted(folder.rglob("*.py"))
    stamps = [(str(file.relative_to(folder)), s.st_size, s.st_mtime_ns) for file in files if (s := file.stat())]
    return digest_of(stamps)
