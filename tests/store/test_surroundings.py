"""The key: another one for everything that can change a number, alone; the same for what cannot."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import causaltest
from causaltest.asking.settings import Cluster, Settings, StorePlace
from causaltest.errors import RecordError
from causaltest.identity import organism_files, whole_model
from causaltest.organisms import ducks
from causaltest.store import installed, surroundings
from causaltest.store.surroundings import MEASURES, NO_SAY, source_digest, surroundings_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PACKAGE = Path(causaltest.__file__).parent
DUCKS = "organism:ducks"


def key(name: str = DUCKS, **settings: object) -> str:
    return surroundings_of(name, Settings(**settings)).digest


OTHER_SETTINGS = {
    "memory": 2 << 30,
    "dtype": "bfloat16",
    "device_map": "auto",
    "max_memory": ((0, "1GB"),),
    "quantize": "nf4",
    "trust_remote_code": True,
    "offload_folder": "elsewhere",
    "store": StorePlace("elsewhere"),
    "cluster": Cluster(2),
    "progress": False,
}


def test_every_setting_is_tried():
    assert {field.name for field in fields(Settings)} == OTHER_SETTINGS.keys()


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_each_setting_but_those_without_a_say_changes_the_key(name):
    changed = key(**{name: OTHER_SETTINGS[name]}) != key()
    assert changed is (name not in NO_SAY)


def test_how_much_each_device_may_take_is_told_apart():
    places = [((0, "1GB"), ("cpu", "2GB")), ((0, "2GB"), ("cpu", "1GB")), (("0", "1GB"), ("cpu", "2GB"))]
    assert len({key(max_memory=one) for one in places}) == 3
    assert key(max_memory=places[0]) == key(max_memory=places[0][::-1])


@pytest.fixture
def folder(tmp_path):
    made = shutil.copytree(ducks.CHECKPOINT, tmp_path / "ducks")
    (made / "generation_config.json").write_text("{}", "utf-8")
    (made / "modeling.py").write_text("A = 1", "utf-8")
    (made / "deep").mkdir()
    (made / "deep" / "layers.py").write_text("A = 1", "utf-8")
    return made


def entry(name: str, **entries: object):
    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **entries}), "utf-8")

    return change


def written(name: str, text: str):
    def change(folder: Path) -> None:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")

    return change


CHANGES = {
    "weights": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b" "),
    "an index of shards": written("model.safetensors.index.json", "{}"),
    "weights of another name": written("consolidated.safetensors", "x"),
    "config": entry("config.json", layer_norm_epsilon=1e-6),
    "attention": entry("config.json", attn_implementation="eager"),
    "masks of a reasoner": entry("config.json", reasoning={"layout": "codi", "thoughts": 5}),
    "tokenizer": entry("tokenizer.json", version="2.0"),
    "tokenizer's settings": entry("tokenizer_config.json", unk_token="[X]"),
    "a tokenizer of another kind": written("tekken.json", "{}"),
    "chat template": written("chat_template.jinja", "{{ x }}"),
    "one of several chat templates": written("additional_chat_templates/tools.jinja", "{{ x }}"),
    "generation": entry("generation_config.json", max_new_tokens=21),
    "adapter": written("adapter_config.json", "{}"),
    "code": written("modeling.py", "A = 2"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_file_that_is_read_changes_the_key(folder, what):
    before = key(str(folder))
    CHANGES[what](folder)
    assert key(str(folder)) != before


NO_CHANGES = {
    "nothing": lambda _: None,
    "times": lambda f: [os.utime(file, (1, 1)) for file in f.iterdir()],
    "a page about it": written("README.md", "Ducks."),
    "the optimizer": written("optimizer.pt", "x"),
    "another copy": lambda f: (f.rename(f.with_name("geese")), shutil.copytree(f.with_name("geese"), f)),
    "code in a folder that nobody allowed": written("deep/layers.py", "A = 2"),
}


@pytest.mark.parametrize("what", NO_CHANGES)
def test_what_is_not_read_does_not(folder, what):
    before = key(str(folder))
    NO_CHANGES[what](folder)
    assert key(str(folder)) == before


def test_code_below_a_checkpoint_counts_where_it_may_run(folder):
    before = key(str(folder), trust_remote_code=True)
    written("deep/layers.py", "A = 2")(folder)
    assert key(str(folder), trust_remote_code=True) != before


def test_code_of_another_repository_counts_where_it_may_run(folder, hub):
    entry("config.json", auto_map={"AutoModel": "org/code--modeling.A"})(folder)
    hub("org/code", COMMIT)
    without, before = key(str(folder)), key(str(folder), trust_remote_code=True)
    hub("org/code", COMMIT[::-1])
    assert key(str(folder), trust_remote_code=True) != before
    assert key(str(folder)) == without


def test_the_base_of_an_adapter_counts_where_it_is_what_is_loaded(folder, hub):
    written("adapter_config.json", '{"base_model_name_or_path": "org/base"}')(folder)
    with_its_own = key(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(RecordError, match="org/base"):
        key(str(folder))
    hub("org/base", COMMIT)
    before = key(str(folder))
    hub("org/base", COMMIT[::-1])
    assert len({with_its_own, before, key(str(folder))}) == 3


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Puts a repository into a cache of the hub, its branch main at a commit."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository: str, commit: str, **files: str) -> None:
        there = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (there / "refs").mkdir(parents=True, exist_ok=True)
        (there / "refs" / "main").write_text(commit, "utf-8")
        (there / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (there / "snapshots" / commit / name).write_text(text, "utf-8")

    return put


def test_a_model_of_the_hub_is_known_by_its_commit_and_not_before_it_is_there(hub):
    with pytest.raises(RecordError, match="org/ducks"):
        key("org/ducks")
    with pytest.raises(RecordError, match="loading puts it there"):
        key(f"org/ducks@{COMMIT}")
    hub("org/ducks", COMMIT)
    before = key("org/ducks")
    hub("org/ducks", COMMIT[::-1])
    assert key("org/ducks") != before, "its branch has moved"


def test_an_adapter_of_the_hub_counts_with_its_base(hub):
    hub("org/lora", COMMIT, **{"adapter_config.json": '{"base_model_name_or_path": "org/base"}'})
    hub("org/base", COMMIT)
    before = key("org/lora")
    hub("org/base", COMMIT[::-1])
    assert key("org/lora") != before


@pytest.fixture
def organism(tmp_path, monkeypatch):
    """Somebody's organism, with one checkpoint beside its module."""
    package = tmp_path / "somebody" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
    (package.parent / "masks.py").write_text("WIDTH = 1\n", "utf-8")
    (package / "__init__.py").write_text("def load(): ...\n", "utf-8")
    (package / "routes.json").write_text("[1]", "utf-8")
    shutil.copytree(ducks.CHECKPOINT, package / "checkpoint")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("theirs", "somebody.models:load", organism_files.GROUP)
    monkeypatch.setattr(organism_files, "entry_points", lambda **_: [point])
    return package


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("__init__.py", True),
        ("routes.json", True),
        ("../masks.py", True),
        ("checkpoint/config.json", True),
        ("weights.msgpack", True),
        ("weights.h5", True),
        ("deep/weights.onnx", True),
        ("weights.gguf", True),
        ("optimizer.pt", True),
        ("license", True),
        ("notes.md", False),
        ("run.log", False),
        (".hidden", False),
        ("__pycache__/models.pyc", False),
    ],
)
def test_an_organism_is_its_checkpoint_and_all_code_of_its_package(organism, file, changes):
    before = key("organism:theirs")
    place = organism / file
    place.parent.mkdir(exist_ok=True)
    place.write_text((place.read_text("utf-8") if place.exists() else "") + "\n", "utf-8")
    assert (key("organism:theirs") != before) is changes
    assert "somebody" not in sys.modules


def test_an_organism_in_a_module_that_stands_alone_has_no_key(tmp_path, monkeypatch):
    """Nobody says which of the files beside it are its own, and it may be in the folder of all packages."""
    (tmp_path / "alone.py").write_text("import beside\ndef load(): ...\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("theirs", "alone:load", organism_files.GROUP)
    monkeypatch.setattr(organism_files, "entry_points", lambda **_: [point])
    with pytest.raises(RecordError, match="Put it in a package"):
        key("organism:theirs")


def test_an_organism_counts_with_its_release_and_with_those_that_it_asks_for(organism, monkeypatch):
    class Dist:
        name, version = "somebody", "1.0"
        requires = ("numpy>=1", "nothing-of-the-kind", "pytest; extra == 'dev'")

    monkeypatch.setattr(EntryPoint, "dist", Dist)
    told = whole_model.whole_model("organism:theirs")["organism"]
    assert told["distribution"] == ["somebody", "1.0"]
    assert [name for name, _ in told["needs"]] == ["nothing-of-the-kind", "numpy"]
    before = key("organism:theirs")
    monkeypatch.setattr(whole_model, "release_of", lambda name: "9.9")
    middle = key("organism:theirs")
    monkeypatch.setattr(Dist, "version", "1.1")
    assert len({before, middle, key("organism:theirs")}) == 3


def test_a_release_of_a_package_that_computes_changes_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = key()
    seen = {before}
    for n, package in enumerate(["flash_attn-2.8", "torch-9.9", "transformers-9.9", "kernels-0.9", "Jinja2-9.9"]):
        monkeypatch.syspath_prepend(tmp_path / str(n))
        (tmp_path / str(n) / f"{package}.dist-info").mkdir(parents=True)
        seen.add(key())
    assert len(seen) == 6
    last = key()
    (tmp_path / "pytest_socks-1.0.dist-info").mkdir()
    installed.versions_at.cache_clear()
    assert key() == last, "a package that computes nothing"


def test_the_build_of_torch_and_a_folder_of_sources_change_the_key(tmp_path, monkeypatch):
    assert "torch build" in installed.versions() and "torch sources" not in installed.versions()
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "version.py").write_text("cuda = None", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    seen = set()
    for text in ("cuda = None", "cuda = '13'"):
        (package / "version.py").write_text(text, "utf-8")
        installed.versions_at.cache_clear()
        found = installed.versions()
        seen |= {found["torch build"], found["torch sources"]}
    installed.versions_at.cache_clear()
    assert len(seen) == 4


def test_the_machine_the_python_and_accelerators_change_the_key(tmp_path, monkeypatch):
    plain = surroundings_of(DUCKS, Settings(device_map="auto")).plain
    assert plain["machine"][2] in ("little", "big") and plain["python"] == [*sys.version_info[:2]]
    seen = {key(device_map="auto")}
    for name in surroundings.DEVICES:
        monkeypatch.setenv(name, "1")
        seen.add(key(device_map="auto"))
    files = {"DRIVER": "0/information", "CARDS": "card0/device/vendor", "NODES": "nvidia0"}
    for folder, file in files.items():
        place = tmp_path / folder / file
        place.parent.mkdir(parents=True)
        place.with_name("device").write_text("0x1234\n", "utf-8")
        for name in ("Model: A", "Model: B"):
            monkeypatch.setattr(surroundings, folder, Path("/nowhere"))
            place.write_text(f"{name}\nIRQ: 3\n", "utf-8")
            on_cpu = key()
            monkeypatch.setattr(surroundings, folder, tmp_path / folder)
            seen.add(key(device_map="auto"))
            assert key() == on_cpu, "a processor computes whatever lies beside it"
    assert len(seen) == 1 + len(surroundings.DEVICES) + 5
    monkeypatch.setattr(surroundings.platform, "machine", lambda: "arm64")
    assert key() != on_cpu


def test_accelerators_count_where_the_process_has_moved_models_there(tmp_path, monkeypatch):
    (tmp_path / "0").mkdir()
    monkeypatch.setattr(surroundings, "DRIVER", tmp_path)
    for moved in ("get_default_device", "ACCELERATE_TORCH_DEVICE"):
        seen = set()
        monkeypatch.setattr(surroundings, "altered", lambda moved=moved: [[moved, "cuda"]])
        for name in ("Model: A", "Model: B"):
            (tmp_path / "0" / "information").write_text(name, "utf-8")
            seen.add(key())
        assert len(seen) == 2


def test_names_of_modules_change_the_key_and_the_working_folder_does_not(tmp_path, monkeypatch):
    before = key()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert key() == before
    (tmp_path / "pyproject.toml").write_text('[tool.causaltest]\nalpha = "x"\n', "utf-8")
    assert key() == before
    (tmp_path / "pyproject.toml").write_text('[tool.causaltest.models."A"]\nblocks = "b"\n', "utf-8")
    assert key() != before


def test_what_the_process_has_set_changes_the_key(monkeypatch):
    import torch

    before = key()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    middle = key()
    torch.set_default_dtype(torch.float64)
    try:
        assert len({before, middle, key()}) == 3
    finally:
        torch.set_default_dtype(torch.float32)
    assert key() == middle


def test_each_part_of_the_source_that_measures_changes_the_key(tmp_path):
    """And a part without a say does not."""
    shutil.copytree(PACKAGE, tmp_path / "0", ignore=shutil.ignore_patterns("__pycache__", "checkpoint"))
    seen = [source_digest(tmp_path / "0")]
    assert seen[0] == source_digest(PACKAGE)
    for n, part in enumerate([*MEASURES, "judging", "reporting", "cli"], start=1):
        (tmp_path / str(n - 1)).rename(tmp_path / str(n))  # a digest is remembered by its folder
        place = tmp_path / str(n) / part
        file = sorted(place.rglob("*.py"))[-1] if place.is_dir() else place
        file.write_text(file.read_text("utf-8") + "\n", "utf-8")
        seen.append(source_digest(tmp_path / str(n)))
    changed = len(MEASURES) + 1
    assert len(set(seen[:changed])) == changed and len(set(seen[changed - 1 :])) == 1


WITHOUT_A_SAY = {
    "__init__.py": "names",
    "bounded.py": "how much of a file is read",
    "effects.py": "differences of effects, made anew from effects",
    "errors.py": "sentences",
    "identity": "what is in the key itself",
    "judging": "verdicts, which are never kept",
    "kept.py": "where proofs and hashes lie",
    "printable.py": "how a sentence is printed",
    "recording": "who has seen what",
    "seen.py": "who has seen what",
    "store": "what answers look like is in its two files that count; the rest is where they lie",
    "survivors.py": "judged anew",
    "verdict.py": "never kept",
    "weights.py": "what is in the key itself",
}


def test_whatever_measuring_imports_counts_or_is_known_to_have_no_say():
    """Found in the source: imports inside of functions are there, too."""
    todo, seen = [PACKAGE / "measuring" / "backend.py"], set()
    todo += [file for part in ("asking", "organisms") for file in (PACKAGE / part).rglob("*.py")]
    while todo:
        file = todo.pop()
        told = file.relative_to(PACKAGE).as_posix()
        if file in seen or (told.split("/")[0] in WITHOUT_A_SAY and not told.startswith(MEASURES)):
            continue
        seen.add(file)
        assert told.startswith(MEASURES), f"{told} is imported by what measures: it counts, or has no say"
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [f"{node.module}.{a.name}" for a in node.names] if names else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in (n for n in names if n.startswith("causaltest.")):
                path = PACKAGE.joinpath(*name.split(".")[1:])
                todo += [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    assert len(seen) > 80


def test_a_key_needs_neither_torch_nor_numpy_nor_the_models_module():
    code = (
        "import sys\nfrom causaltest.store.surroundings import surroundings_of\n"
        "from causaltest.asking.settings import Cluster, Settings\n"
        "for name in ('ducks', 'planted', 'bypass'): assert surroundings_of(f'organism:{name}', Settings()).digest\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'causaltest.organisms.planted'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adapters_that_name_one_another_have_no_key(folder):
    (folder / "config.json").unlink()
    written("adapter_config.json", json.dumps({"base_model_name_or_path": str(folder)}))(folder)
    with pytest.raises(RecordError, match="they name one another"):
        key(str(folder))


def test_a_link_that_leads_back_is_followed_once(folder):
    before = key(str(folder), trust_remote_code=True)
    (folder / "deep" / "back").symlink_to(folder, target_is_directory=True)
    assert key(str(folder), trust_remote_code=True) == before


def test_files_that_cannot_be_read_give_no_key(folder, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError("model.safetensors")

    monkeypatch.setattr(surroundings, "whole_model", gone)
    with pytest.raises(RecordError, match=r"cannot be read, so it has no key: model\.safetensors"):
        key(str(folder))


def test_two_names_of_one_model_are_two_keys(folder, monkeypatch):
    """An answer says its model's name, and draws derive from it."""
    monkeypatch.chdir(folder.parent)
    assert key("ducks") != key("./ducks")


def test_a_model_that_nothing_identifies_has_no_key(tmp_path):
    with pytest.raises(RecordError, match="holds no weights"):
        key(str(tmp_path))


def test_settings_that_are_equal_have_one_key():
    assert key() == surroundings_of(DUCKS, replace(Settings(memory=5), memory=Settings().memory)).digest
