"""The public names: frozen, and cheap to import."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import causaltest

PUBLIC = [
    "CausaltestError", "Direction", "Edge", "Effect", "Effects", "Experiment", "Lab", "Outcome", "Pair", "Pairs",
    "Prediction", "SAE", "Site", "SweepMap", "Verdict", "Waived", "accuracy", "add", "at_least", "at_most", "attn_out",
    "between", "claim", "direction", "edge", "embed", "every", "exact_match", "final_norm", "first", "gaussian",
    "greater_than", "head", "index", "judge", "k", "last", "logit", "logit_diff", "logits", "mean", "mlp_out",
    "monotone", "negligible", "neuron", "nth", "pattern", "probability", "q", "replace", "resample", "resid_mid",
    "resid_post", "resid_pre", "scale", "span", "step", "thought", "top", "unchanged", "v", "zero",
]  # fmt: skip
HEAVY = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers", "matplotlib", "pyarrow")


def loaded_by(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after some code."""
    report = f"import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return told.stdout.split()


def test_the_public_names_are_these() -> None:
    assert causaltest.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_opens_and_is_what_it_says(name: str) -> None:
    opened = getattr(causaltest, name)
    assert getattr(opened, "__name__", None) == name or str(opened) == name
    assert name in dir(causaltest)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(causaltest))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    imports = [(n.module, alias.name, alias.asname) for n in block.body for alias in n.names]  # type: ignore[attr-defined]
    assert sorted(name for _, name, _ in imports) == PUBLIC
    for module, name, alias in imports:
        assert alias == name, "exported on purpose"
        assert module == f"causaltest.{causaltest._HOME_OF[name]}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'causaltest' has no attribute 'recovery'"):
        _ = causaltest.recovery
    with pytest.raises(ImportError, match="cannot import name 'recovery'"):
        from causaltest import recovery  # noqa: F401


def test_asking_loads_nothing_heavy() -> None:
    assert loaded_by("import causaltest") == []
    assert loaded_by("from causaltest import Lab, resid_post") == []
    everything_but_the_judge = ", ".join(n for n in PUBLIC if n != "judge")
    assert loaded_by(f"from causaltest import {everything_but_the_judge}") == []


def test_a_suite_is_rehearsed_without_anything_heavy() -> None:
    code = (
        "from causaltest import Lab, Pair, Pairs, accuracy, resid_post, thought\n"
        "lab = Lab.load('organism:ducks').rehearsal()\n"
        "pairs = Pairs([Pair(clean='a', corrupt='b', answer='c')], iid=True)\n"
        "print(lab.denoise(pairs, at=resid_post(6, thought(0))).recovery(accuracy).question.digest)"
    )
    assert len(loaded_by(code)) == 1, "the digest that was printed, and no package"


def test_the_plugin_loads_nothing_heavy() -> None:
    assert loaded_by("import causaltest.pytest_plugin") == []


def test_judging_loads_no_torch() -> None:
    code = (
        "from causaltest import Effect, Waived, at_least, judge\n"
        "effect = Effect.from_values([1] * 9, kind='binary', iid=True, placebo=Waived('none'))\n"
        "assert judge(effect, at_least(0.5)).outcome == 'SUPPORTED'"
    )
    assert not {"torch", "transformers", "safetensors", "tokenizers"} & set(loaded_by(code))
