"""What a process has set in torch and transformers: seen while it is set, and only then."""

from __future__ import annotations

import json
import sys
from functools import wraps
from pathlib import Path

import pytest

from causaltest.store.altered import ENVIRONMENT, FUNCTIONS, UNTOUCHED, altered, own_functions

UNTOUCHED_PROCESS = """
import json, sys
from causaltest.store.altered import altered
from causaltest import Lab, Pairs, resid_post, thought, accuracy
from causaltest.organisms import ducks
before = altered()
Lab.load("organism:ducks").denoise(ducks.twins(1, clusters=1), at=resid_post(6, thought(0))).is_neutral
print(json.dumps([before, altered(), "torch" in sys.modules]))
"""


def test_a_process_that_sets_nothing_has_set_nothing_after_measuring_either(tmp_path, warm, monkeypatch):
    """The table of what is usual holds for this torch; and no import and no model sets anything."""
    (tmp_path / "measures.py").write_text(UNTOUCHED_PROCESS)
    environment = {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "CAUSALTEST_CACHE_DIR": str(tmp_path),
    }
    assert warm.run(["python", "measures.py"], tmp_path, environment, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out").read_text().splitlines()[-1]) == [[], [], True]


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_each_variable_is_seen(monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    without = altered()
    monkeypatch.setenv(name, "17")
    assert [one for one in altered() if one not in without] == [[name, "17"]]


def settings():
    import torch

    b = torch.backends
    return {
        "default dtype": lambda: torch.set_default_dtype(torch.float64),
        "default device": lambda: torch.set_default_device("meta"),
        "precision of products": lambda: torch.set_float32_matmul_precision("medium"),
        "deterministic": lambda: torch.use_deterministic_algorithms(True),
        "TF32": lambda: setattr(b.cuda.matmul, "allow_tf32", True),
        "TF32 of cudnn": lambda: setattr(b.cudnn, "allow_tf32", False),
        "sums in half precision": lambda: setattr(b.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
        "cudnn's choice": lambda: setattr(b.cudnn, "benchmark", True),
        "attention": lambda: b.cuda.enable_flash_sdp(False),
        "fast path": lambda: b.mha.set_fastpath_enabled(False),
        "convolutions": lambda: setattr(b.mkldnn.conv, "fp32_precision", "bf16"),
        "recurrence": lambda: setattr(b.mkldnn.rnn, "fp32_precision", "bf16"),
        "convolutions of cudnn": lambda: setattr(b.cudnn.conv, "fp32_precision", "ieee"),
        "recurrence of cudnn": lambda: setattr(b.cudnn.rnn, "fp32_precision", "ieee"),
        "smallest numbers": lambda: torch.set_flush_denormal(True),
    }


SET = ["default dtype", "default device", "precision of products", "deterministic", "TF32", "TF32 of cudnn"]
SET += ["sums in half precision", "cudnn's choice", "attention", "fast path"]
SET += ["convolutions", "recurrence", "convolutions of cudnn", "recurrence of cudnn", "smallest numbers"]


@pytest.fixture
def set_back():
    import torch

    b = torch.backends
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    b.cuda.matmul.allow_tf32 = False
    b.cudnn.allow_tf32 = True
    b.cuda.matmul.allow_fp16_reduced_precision_reduction = True
    b.cudnn.benchmark = False
    b.cuda.enable_flash_sdp(True)
    b.mha.set_fastpath_enabled(True)
    b.cuda.matmul.fp32_precision = b.mkldnn.matmul.fp32_precision = b.cudnn.fp32_precision = "none"
    b.mkldnn.conv.fp32_precision = b.mkldnn.rnn.fp32_precision = "none"
    b.cudnn.conv.fp32_precision = b.cudnn.rnn.fp32_precision = "tf32"
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("what", SET)
def test_each_setting_of_torch_is_seen_and_is_gone_when_it_is_set_back(set_back, what):
    import torch

    before = altered()
    settings()[what]()
    assert len(altered()) > len(before)
    assert {name for name, _ in altered() if [name, _] not in before} <= {*UNTOUCHED, "flush_denormal"}
    torch.set_default_device(None)


@pytest.mark.parametrize("what", ["blas", "linalg"])
def test_a_library_that_the_process_prefers_is_seen(monkeypatch, what):
    """A torch without CUDA refuses to prefer another."""
    import torch

    name, before = f"preferred_{what}_library", altered()
    monkeypatch.setattr(torch.backends.cuda, name, lambda: "another")
    assert [one for one in altered() if one not in before] == [[f"backends.cuda.{name}", "another"]]
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert (altered() == before) is (what == "blas")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_is_seen_inside_of_it_with_its_dtype(dtype):
    import torch

    before = altered()
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        assert [one for one in altered() if one not in before] == [["autocast cpu", f"torch.{dtype}"]]
    assert altered() == before


def test_a_class_that_is_put_in_the_place_of_transformers_own_is_seen():
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    class Mine(GPT2LMHeadModel):
        config_class = GPT2Config

    before = altered()
    AutoModelForCausalLM.register(GPT2Config, Mine, exist_ok=True)
    try:
        (found,) = (one for one in altered() if one not in before)
        assert found[0] == "MODEL_FOR_CAUSAL_LM_MAPPING" and found[1].endswith("Mine")
    finally:
        MODEL_FOR_CAUSAL_LM_MAPPING._extra_content.clear()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_an_attention_function_of_ones_own_is_seen(kind, wrapped):
    """Also one that has the name of the one that it wraps."""
    import transformers.masking_utils
    import transformers.modeling_utils  # noqa: F401

    functions = getattr(sys.modules[FUNCTIONS[kind][0]], FUNCTIONS[kind][1])

    def mine():
        raise NotImplementedError

    before = altered()
    assert not own_functions()
    functions["sdpa"] = wraps(functions["sdpa"])(mine) if wrapped else mine
    try:
        assert [one[0] for one in altered() if one not in before] == [f"{kind} sdpa"]
    finally:
        del functions["sdpa"]
    assert altered() == before
