"""Altered: what this process has set in torch and transformers that changes numbers. Neither is imported here.

A conftest can ask for TF32, another default dtype or a device, and put a class of its own in the place of one of
transformers'. While torch is not imported, nothing can be set. What is set back to what it is in a fresh process
counts as not set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

ENVIRONMENT = (
    "ACCELERATE_TORCH_DEVICE",
    "ACCELERATE_USE_CPU",
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DISABLE_KERNEL_MAPPING",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "FLASH_ATTENTION_DETERMINISTIC",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "PYTORCH_JIT",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_BLAS_PREFER_HIPBLASLT",
    "TORCH_CUDNN_SDPA_ENABLED",
    "TORCH_LINALG_PREFER_CUSOLVER",
    "TRANSFORMERS_DISABLE_DEEPGEMM_LINEAR",
    "TRANSFORMERS_SDPA_FORCE_GQA",
    "USE_HUB_KERNELS",
)
"""Variables by which another kernel or another precision is chosen."""
UNTOUCHED: dict[str, Any] = {
    "get_default_dtype": "torch.float32",
    "get_default_device": "cpu",
    "get_float32_matmul_precision": "highest",
    "are_deterministic_algorithms_enabled": "False",
    "backends.fp32_precision": "none",
    "backends.mkldnn.enabled": "True",
    "backends.mkldnn.deterministic": "False",
    "backends.mkldnn.fp32_precision": "none",
    "backends.mkldnn.matmul.fp32_precision": "none",
    "backends.mkldnn.conv.fp32_precision": "none",
    "backends.mkldnn.rnn.fp32_precision": "none",
    "backends.cuda.matmul.fp32_precision": "none",
    "backends.cuda.matmul.allow_tf32": "False",
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction": "True",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction": "True",
    "backends.cuda.matmul.allow_fp16_accumulation": "False",
    "backends.cuda.preferred_blas_library": "_BlasBackend.Cublas",
    "backends.cuda.preferred_linalg_library": "_LinalgBackend.Default",
    "backends.cuda.flash_sdp_enabled": "True",
    "backends.cuda.mem_efficient_sdp_enabled": "True",
    "backends.cuda.math_sdp_enabled": "True",
    "backends.cuda.cudnn_sdp_enabled": "True",
    "backends.cuda.fp16_bf16_reduction_math_sdp_allowed": "False",
    "backends.cudnn.enabled": "True",
    "backends.cudnn.benchmark": "False",
    "backends.cudnn.deterministic": "False",
    "backends.cudnn.allow_tf32": "True",
    "backends.cudnn.fp32_precision": "none",
    "backends.cudnn.conv.fp32_precision": "tf32",
    "backends.cudnn.rnn.fp32_precision": "tf32",
    "backends.mha.get_fastpath_enabled": "True",
}
"""Torch's settings as they are in a fresh process; one that a release does not have is not looked at."""
BY_GPU = frozenset({"backends.cuda.preferred_blas_library"})
"""What a torch for AMD's GPUs sets by itself, by those that it finds."""
AUTOCAST = ("cpu", "cuda", "mps", "xpu")
REGISTERED = {
    "transformers.models.auto.modeling_auto": "MODEL_FOR_CAUSAL_LM_MAPPING",
    "transformers.models.auto.tokenization_auto": "TOKENIZER_MAPPING",
    "transformers.models.auto.configuration_auto": "CONFIG_MAPPING",
}
"""Where transformers keeps the classes that a user has registered."""
FUNCTIONS = {
    "attention": ("transformers.modeling_utils", "ALL_ATTENTION_FUNCTIONS"),
    "mask": ("transformers.masking_utils", "ALL_MASK_ATTENTION_FUNCTIONS"),
}
"""Where it keeps the functions that attention is computed with."""
OWN = ("transformers.", "causaltest.")
"""Packages whose release or source is in every key."""


def altered() -> list[list[str]]:
    """Names and values of what was set, in a fixed order."""
    found = [(name, os.environ[name]) for name in ENVIRONMENT if name in os.environ]
    torch = sys.modules.get("torch")
    if torch is not None:
        # Nobody says whether the smallest numbers are taken for 0, and every computation of this thread shows it.
        found += [
            (name, now)
            for name, usual in UNTOUCHED.items()
            if (now := setting(torch, name)) not in (usual, None) and not (name in BY_GPU and torch.version.hip)
        ]
        found += [("flush_denormal", "True")] if sys.float_info.min / 2 == 0 else []
        found += [(f"autocast {device}", to) for device in AUTOCAST if (to := autocast(torch, device)) is not None]
    return sorted([*map(list, found), *map(list, registered()), *map(list, own_functions().items())])


def setting(torch: Any, name: str) -> str | None:
    """A setting as a text, None where this torch has none of the name."""
    found = torch
    try:
        for part in name.split("."):
            found = getattr(found, part)
        return str(found() if callable(found) else found)
    except AttributeError:
        return None
    except RuntimeError as error:
        # Torch refuses to say it where it was set by its old and its new interface at once.
        return f"not told: {error}"


def autocast(torch: Any, device: str) -> str | None:
    """The dtype that products are computed in on a device, None where they are not cast."""
    try:
        return str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None
    except (AttributeError, RuntimeError, TypeError):
        return None


def registered() -> Iterator[tuple[str, str]]:
    """Classes that were put beside or in the place of transformers' own."""
    for module, name in REGISTERED.items():
        mapping = getattr(sys.modules.get(module), name, None)
        extra = getattr(mapping, "_extra_content", None) or {}
        for given in extra.values():
            classes = given if isinstance(given, tuple | list) else [given]
            yield name, " ".join(named(one) for one in classes)


def own_functions() -> dict[str, str]:
    """Attention and mask functions that this process has registered, such as "attention sdpa", and what they are
    called. A key has their names, and not what they compute."""
    found = {}
    for kind, (module, registry) in FUNCTIONS.items():
        for name, function in dict(getattr(sys.modules.get(module), registry, None) or {}).items():
            if not from_own_package(function):
                found[f"{kind} {name}"] = named(function)
    return found


def from_own_package(function: Any) -> bool:
    """Whether it is what its module has under its name; a wrapper can have the name of what it wraps."""
    module, name = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    return module.startswith(OWN) and getattr(sys.modules.get(module), name, None) is function


def named(one: Any) -> str:
    return f"{getattr(one, '__module__', '')}.{getattr(one, '__qualname__', type(one).__name__)}"
