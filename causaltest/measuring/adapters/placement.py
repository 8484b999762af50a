"""Placement: in what dtype a model's weights are loaded, on which devices, and in how many bits."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, get_args

import torch
from transformers import BitsAndBytesConfig

from causaltest.asking.settings import Dtype, Settings
from causaltest.errors import ModelError

QUANTIZED = ("int8", "nf4")
EXTRA = 'pip install "causaltest[big]"'


def placement(settings: Settings) -> dict[str, Any]:
    """What `from_pretrained` is told. Raises ModelError when what it needs is not installed."""
    for name, kinds in (("dtype", get_args(Dtype)), ("quantize", (None, *QUANTIZED))):
        if getattr(settings, name) not in kinds:
            raise ModelError(f"{name}={getattr(settings, name)!r} is not known; it is {', '.join(map(repr, kinds))}.")
    told: dict[str, Any] = {"dtype": getattr(torch, settings.dtype)}
    if settings.device_map is not None:
        needs("accelerate", f"device_map={settings.device_map!r}")
        told["device_map"] = settings.device_map
        if settings.offload_folder is not None:
            told["offload_folder"] = settings.offload_folder
        if settings.max_memory is not None:
            told["max_memory"] = dict(settings.max_memory)
    if settings.quantize is not None:
        needs("bitsandbytes", f"quantize={settings.quantize!r}")
        told["quantization_config"] = quantization(settings.quantize, told["dtype"])
        told.setdefault("device_map", "auto" if torch.cuda.is_available() else "cpu")
    return told


def quantization(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Weights in 8 or 4 bits by bitsandbytes (arXiv 2208.07339, 2305.14314). The stream keeps its dtype, so that
    sites are read and written as ever."""
    if kind == "int8":
        # With a threshold, a column that is large in one row is computed otherwise in every row of the batch: a
        # token would move its neighbours by another way than the model's own.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def quantized(kind: str) -> str:
    """What is recorded of it."""
    return f"{kind} by bitsandbytes{', all columns alike (llm_int8_threshold=0)' if kind == 'int8' else ''}"


def needs(package: str, what: str) -> None:
    if find_spec(package) is None:
        raise ModelError(f"{what} needs {package}, which is not installed: {EXTRA}.")
