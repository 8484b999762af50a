"""Which model a name stands for: another for other files, and the same for the same ones, wherever they lie."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from causaltest.effect import Effect, Waived
from causaltest.effects import Effects
from causaltest.errors import RecordError
from causaltest.identity import organism_files
from causaltest.identity.models import identity_of, other_model
from causaltest.organisms import ducks

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    """The ducks as a checkpoint folder of one's own, with all the files that a folder may have."""
    made = shutil.copytree(ducks.CHECKPOINT, tmp_path / "ducks")
    (made / "generation_config.json").write_text('{"max_new_tokens": 20, "transformers_version": "5.0"}', "utf-8")
    (made / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    (made / "special_tokens_map.json").write_text("{}", "utf-8")
    return made


def changed(folder: Path, name: str, **entries: object) -> None:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **entries}), "utf-8")


def differing(before: dict, after: dict) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b" "), {"weights"}),
        (lambda f: changed(f, "config.json", layer_norm_epsilon=1e-6), {"config"}),
        (lambda f: changed(f, "config.json", reasoning={"layout": "codi", "thoughts": 5}), {"reasoning"}),
        (lambda f: changed(f, "tokenizer_config.json", unk_token="[X]"), {"tokenizer"}),
        (lambda f: changed(f, "tokenizer_config.json", chat_template="{{ x }}"), {"chat_template"}),
        (lambda f: changed(f, "tokenizer.json", version="2.0"), {"tokenizer"}),
        (lambda f: changed(f, "special_tokens_map.json", pad_token="[P]"), {"tokenizer"}),
        (lambda f: (f / "vocab.txt").write_text("a", "utf-8"), {"tokenizer"}),
        (lambda f: (f / "chat_template.jinja").write_text("{{ y }}", "utf-8"), {"chat_template"}),
        (lambda f: changed(f, "generation_config.json", max_new_tokens=21), {"generation"}),
        (lambda f: (f / "adapter_config.json").write_text("{}", "utf-8"), {"adapter"}),
        (lambda f: f.rename(f.with_name("geese")) and shutil.copytree(f.with_name("geese"), f), set()),
        (lambda f: changed(f, "config.json", transformers_version="9.9", _name_or_path="/home/me"), set()),
        (lambda f: changed(f, "generation_config.json", transformers_version="9.9"), set()),
        (lambda f: (f / "README.md").write_text("Ducks.", "utf-8"), set()),
        (
            lambda f: (f / "config.json").write_text(json.dumps(json.loads((f / "config.json").read_text("utf-8")))),
            set(),
        ),
    ],
)
def test_each_file_shows_in_its_own_field(folder, change, fields):
    before = identity_of(str(folder))
    change(folder)
    assert differing(before, identity_of(str(folder))) == fields


def test_a_folder_is_known_by_its_own_name_wherever_it_lies(folder, tmp_path, monkeypatch):
    whole = identity_of(str(folder))
    assert whole["name"] == "ducks"
    monkeypatch.chdir(tmp_path)
    assert identity_of("./ducks") == identity_of("ducks/") == whole
    shutil.copytree(folder, tmp_path / "elsewhere" / "ducks")
    assert identity_of("elsewhere/ducks") == whole


def test_the_organism_of_a_checkpoint_is_that_checkpoint(folder):
    organism = identity_of("organism:ducks")
    assert organism["name"] == "organism:ducks"
    assert organism["weights"] == (ducks.CHECKPOINT / "model.sha256").read_text("utf-8").split()[0]
    assert organism["reasoning"]["thoughts"] == 6
    assert organism["weights"] == identity_of(str(folder))["weights"]


def test_code_of_a_checkpoint_counts_where_its_config_names_it(folder):
    (folder / "modeling.py").write_text("A = 1", "utf-8")
    assert "code" not in identity_of(str(folder))
    changed(folder, "config.json", auto_map={"AutoModel": "modeling.A"})
    before = identity_of(str(folder))
    (folder / "modeling.py").write_text("A = 2", "utf-8")
    assert differing(before, identity_of(str(folder))) == {"code"}


def test_what_cannot_be_identified_is_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"no weights that a hash could name.*save_pretrained"):
        identity_of(str(tmp_path / "empty"))
    with pytest.raises(RecordError, match=r"There is no folder \./nothing"):
        identity_of("./nothing")
    (folder / "config.json").write_text("{", "utf-8")
    with pytest.raises(RecordError, match=r"config\.json cannot be read as JSON"):
        identity_of(str(folder))
    (folder / "config.json").write_text("[]", "utf-8")
    with pytest.raises(RecordError, match="holds a list"):
        identity_of(str(folder))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    refs = tmp_path / "hf" / "hub" / "models--org--ducks" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT, "utf-8")
    return refs


def test_a_name_of_the_hub_is_its_commit_in_the_cache(cache):
    known = {"name": "org/ducks", "commit": COMMIT}
    assert identity_of("org/ducks") == identity_of("org/ducks@main") == identity_of(f"org/ducks@{COMMIT}") == known
    (cache / "main").write_text(COMMIT[::-1], "utf-8")
    assert identity_of("org/ducks@main")["commit"] == COMMIT[::-1], "a branch moves, also within one process"
    (cache / "pr").mkdir()
    (cache / "pr" / "3").write_text(COMMIT, "utf-8")
    assert identity_of("org/ducks@pr/3") == known


@pytest.mark.parametrize(
    "name", ["org/geese", "org/ducks@v2", "org/ducks@../../x", "org/../ducks", "org/ducks@0123abc"]
)
def test_a_name_that_is_not_in_the_cache_is_refused_with_what_to_do(cache, name):
    (cache.parents[1] / "x").write_text(COMMIT, "utf-8")
    with pytest.raises(RecordError, match=r"not in the cache of the hub .*hf download .* 40 hexadecimal digits"):
        identity_of(name)


def test_a_ref_that_is_no_commit_is_none(cache):
    (cache / "main").write_text("somewhere", "utf-8")
    with pytest.raises(RecordError, match="not in the cache"):
        identity_of("org/ducks")


def test_the_cache_is_where_huggingface_hub_has_it(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(RecordError, match="elsewhere"):
        identity_of("org/ducks")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    shutil.copytree(cache.parents[1], tmp_path / "xdg" / "huggingface" / "hub" / "", dirs_exist_ok=True)
    assert identity_of("org/ducks")["commit"] == COMMIT


@pytest.fixture
def organism(tmp_path, monkeypatch):
    """An organism of somebody's package, which must not be imported."""
    package = tmp_path / "somebody" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
    (package / "__init__.py").write_text("", "utf-8")
    (package / "wired.py").write_text(
        textwrap.dedent('''
            """An organism."""
            import os
            raise SystemExit("imported")

            def load():
                from somebody.models.parts import part  # late
                from . import tail
                return part() + tail.VALUE
        '''),
        "utf-8",
    )
    for name in ("parts", "tail", "other"):
        (package / f"{name}.py").write_text("VALUE = 1\ndef part(): return 1\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("wired", "somebody.models.wired:load", organism_files.GROUP)
    monkeypatch.setattr(organism_files, "entry_points", lambda **_: [point])
    return package


@pytest.mark.parametrize(
    ("name", "text", "another"),
    [
        ("parts", '"""Parts."""\n', False),
        ("wired", "# a comment\n", False),
        ("wired", "A = 1\n", True),
        ("parts", "A = 1\n", True),
        ("tail", "A = 1\n", True),
        ("tail", "# a comment\n", False),
        ("other", "A = 1\n", False),
    ],
)
def test_a_wired_organism_is_its_source_and_what_that_imports(organism, name, text, another):
    before = identity_of("organism:wired")
    file = organism / f"{name}.py"
    file.write_text(text + file.read_text("utf-8"), "utf-8")
    after = identity_of("organism:wired")
    assert (differing(before, after) == {"source"}) is another
    assert "somebody" not in sys.modules


def test_an_organism_that_is_not_there_or_cannot_be_read_is_refused(organism):
    with pytest.raises(RecordError, match=r"no organism 'geese'; there are \['wired'\]"):
        identity_of("organism:geese")
    (organism / "wired.py").write_text("def", "utf-8")
    with pytest.raises(RecordError, match=r"wired\.py cannot be read as Python"):
        identity_of("organism:wired")


def test_the_shipped_organisms_are_known_without_torch_numpy_or_their_import():
    code = (
        "import sys\nfrom causaltest.identity.models import identity_of\n"
        "for name in ('ducks', 'planted', 'bypass'): assert identity_of(f'organism:{name}')\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'causaltest.organisms.planted'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_wired_organisms_are_two():
    assert identity_of("organism:planted")["source"] != identity_of("organism:bypass")["source"]


def effect(**provenance: str) -> Effect:
    return Effect.from_values([1.0, 2.0], kind="continuous", iid=True, placebo=Waived("a test"), provenance=provenance)


def test_a_model_that_was_loaded_must_be_the_one_of_the_spec():
    models = [{"name": "a", "weights": "aa"}, {"name": "org/b", "commit": COMMIT}, {"name": "c", "source": "cc"}]
    assert other_model(models, [effect(weights="aa"), None, effect(commit=COMMIT), effect(wired="by formula")]) is None
    assert other_model(models, [Effects({1: effect(weights="aa"), 2: effect()})]) is None
    assert other_model(models, [effect(weights="aa; aa")]) is None
    told = other_model(models, [effect(weights="bb", model="a")])
    assert told is not None and told.startswith("a was measured with weights bb")
    assert other_model(models, [Effects({1: effect(weights="aa"), 2: effect(weights="bb")})])
    assert other_model(models, [effect(commit=COMMIT[::-1])])
    assert other_model(models, [effect(weights="aa; bb")])
