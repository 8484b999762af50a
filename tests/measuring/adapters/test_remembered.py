"""A proof is made once for the same weights, configuration and versions, and never taken for another's."""

import json
import os
import time

import pytest

from causaltest.measuring.adapters import remembered
from causaltest.measuring.adapters.load import load_model
from causaltest.measuring.adapters.remembered import as_numbers, as_ranges
from causaltest.weights import remembered_sha256, sha256

FAMILIES = ["tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def saved(tmp_path, request):
    def save(family):
        tiny = request.getfixturevalue(family)
        tiny.model.save_pretrained(tmp_path / family)
        tiny.tokenizer.save_pretrained(tmp_path / family)
        return tmp_path / family

    return save


@pytest.fixture
def runs(monkeypatch):
    """Counts how often a model from a file is resolved and proven by running it."""
    counted = []
    real = remembered.remember

    def remember(model, prompt):
        counted.extend([1] * ("weights" in model.provenance))
        real(model, prompt)

    monkeypatch.setattr("causaltest.measuring.adapters.proof.remember", remember)
    return counted


def said(loaded):
    """What is offered and where, by the modules' paths."""
    norm = next((path for path, part in loaded.model.named_modules() if part is loaded.norm), None)
    return [remembered.plain(block) for block in loaded.blocks], dict(loaded.disabled), norm


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_recalled_is_what_was_proven(saved, cache, runs, family):
    folder = str(saved(family))
    first, second = load_model(folder), load_model(folder)
    assert len(runs) == 1
    assert said(first) == said(second)
    for mine, theirs in zip(first.blocks, second.blocks, strict=True):
        assert {c: (tap.parts, tap.columns()) for c, tap in mine.taps.items()} == {
            c: (tap.parts, tap.columns()) for c, tap in theirs.taps.items()
        }
    assert len(list((cache / "proofs").iterdir())) == 1


def test_other_weights_another_config_and_other_names_are_proven_anew(saved, cache, runs, tmp_path, monkeypatch):
    folder = saved("tiny_llama")
    load_model(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    load_model(str(folder))
    assert len(runs) == 2
    changed = load_model(str(folder)).model
    changed.model.layers[0].mlp.down_proj.weight.data.add_(1)
    changed.save_pretrained(folder)
    load_model(str(folder))
    assert len(runs) == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.causaltest.models."LlamaForCausalLM"]\nq = "self_attn.q_proj"\n')
    load_model(str(folder))
    assert len(runs) == 4
    monkeypatch.setattr(remembered, "source_digest", lambda: "another source")
    load_model(str(folder))
    assert len(runs) == 5
    load_model(str(folder))
    assert len(runs) == 5


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"blocks": [], "disabled": {}}', '{"blocks": [1, 2, 3], "disabled": {}}']
)
def test_a_damaged_proof_is_made_again(saved, cache, runs, damage):
    folder = str(saved("tiny_gpt2"))
    first = load_model(folder)
    (file,) = (cache / "proofs").iterdir()
    file.write_text(damage)
    assert said(load_model(folder)) == said(first)
    assert len(runs) == 2


def test_a_proof_whose_modules_are_not_there_is_made_again(saved, cache, runs):
    folder = str(saved("tiny_gpt2"))
    load_model(folder)
    (file,) = (cache / "proofs").iterdir()
    file.write_text(file.read_text().replace("attn.c_proj", "attn.c_prof"))
    assert load_model(folder).disabled == {}
    assert len(runs) == 2


def test_where_nothing_can_be_written_a_model_is_proven_each_time(saved, tmp_path, runs, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path / "file"))
    folder = str(saved("tiny_gpt2"))
    for _ in range(2):
        assert load_model(folder).disabled == {}
    assert len(runs) == 2


def test_a_model_without_a_file_is_not_remembered(new_gpt2, word_tokenizer, cache):
    from causaltest.measuring.adapters.load import wrap

    wrap(new_gpt2(), word_tokenizer(), "object")
    assert not (cache / "proofs").exists()


@pytest.mark.parametrize(
    "parts",
    [
        (range(16),),
        tuple(range(n, n + 1) for n in range(24)),
        tuple(range(8 + 24 * n, 16 + 24 * n) for n in range(4)),
        (range(0, 4), range(4, 8), range(16, 20)),
    ],
)
def test_parts_as_numbers_and_back(parts):
    assert as_ranges(json.loads(json.dumps(as_numbers(parts)))) == parts


def test_a_file_is_hashed_once_until_it_changes(tmp_path, cache, monkeypatch):
    from causaltest import weights

    file, counted = tmp_path / "w", []
    monkeypatch.setattr(weights, "sha256", lambda path: (counted.append(1), sha256(path))[1])
    file.write_bytes(b"abc")
    assert remembered_sha256(file) == remembered_sha256(file) == sha256(file)
    assert len(counted) == 1
    file.write_bytes(b"abcd")
    assert remembered_sha256(file) == sha256(file)
    assert len(counted) == 2


def test_a_file_that_is_changed_under_the_same_size_and_time_is_hashed_again(tmp_path, cache):
    file = tmp_path / "w"
    file.write_bytes(b"abc")
    before = file.stat()
    assert remembered_sha256(file) == sha256(file)
    time.sleep(0.02)  # the clock of a file system ticks in milliseconds
    with file.open("r+b") as same:
        same.write(b"xyz")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert remembered_sha256(file) == sha256(file)


def test_a_file_that_was_just_written_is_hashed_after_its_clock_has_ticked(tmp_path, cache, monkeypatch):
    """What is written before that would have the same time, and be taken for what was hashed."""
    from causaltest import weights

    waited = []
    monkeypatch.setattr(weights.time, "sleep", waited.append)
    for name, later in (("a", 0.0), ("b", 1.0), ("c", -3600.0)):
        (tmp_path / name).write_bytes(b"abc")
        now = (tmp_path / name).stat().st_ctime + later
        monkeypatch.setattr(weights.time, "time", lambda now=now: now)
        remembered_sha256(tmp_path / name)
    assert waited == [weights.TICK_S]


def test_a_class_of_somebody_elses_is_proven_every_time(saved, cache):
    """Its source may be changed, and its weights stay what they were."""
    loaded = load_model(str(saved("tiny_llama")))
    prompt = loaded.probe_prompt
    assert remembered.file_of(loaded, prompt) is not None
    theirs = type(type(loaded.model).__name__, (type(loaded.model),), {"__module__": "transformers_modules.x"})
    loaded.model.__class__ = theirs
    assert remembered.file_of(loaded, prompt) is None


def test_a_user_without_a_home_remembers_nothing(saved, tmp_path, monkeypatch):
    folder = str(saved("tiny_llama"))
    for name in ("CAUSALTEST_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(remembered.Path, "home", homeless)
    assert load_model(folder).provenance["weights"] == sha256(tmp_path / "tiny_llama" / "model.safetensors")
