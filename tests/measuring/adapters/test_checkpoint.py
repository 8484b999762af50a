"""Checkpoint folders: one file or shards, tensors only, and nothing outside of the folder."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from causaltest.errors import ModelError
from causaltest.measuring.adapters.checkpoint import load_into, parted, read_weights, weight_names
from causaltest.measuring.adapters.load import load_model

STATE = {name: torch.full((2, 2), float(n)) for n, name in enumerate(["a.weight", "b.weight", "c.weight"])}
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path):
    """Two shards and their index, whose map of names to files can be changed."""

    def make(**placed):
        folder = tmp_path / "it"
        folder.mkdir(exist_ok=True)
        one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
        save_file({"a.weight": STATE["a.weight"]}, folder / one)
        save_file({k: STATE[k] for k in ("b.weight", "c.weight")}, folder / two)
        files = {"a.weight": one, "b.weight": two, "c.weight": two} | {f"{k}.weight": v for k, v in placed.items()}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
        return folder

    return make


def same(given):
    return given.keys() == STATE.keys() and all(torch.equal(given[name], STATE[name]) for name in STATE)


def test_shards_are_read_as_one(sharded):
    folder = sharded()
    assert same(read_weights(folder))
    assert weight_names(folder) == set(STATE)


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "plain pickle"])
def test_a_bin_of_either_format_is_read(tmp_path, legacy):
    torch.save(STATE, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    assert same(read_weights(tmp_path))
    assert weight_names(tmp_path) == set(STATE)


@pytest.mark.parametrize(
    "file",
    ["../model.safetensors", "/tmp/model.safetensors", "deeper/model.safetensors", "..\\model.safetensors",
     "C:model.safetensors", "..", "model.bin", "", 3, None],
    ids=str,
)  # fmt: skip
def test_a_shard_outside_of_the_folder_is_not_read(sharded, tmp_path, file):
    save_file(STATE, tmp_path / "model.safetensors")
    folder = sharded(a=file)
    for read in (read_weights, weight_names):
        with pytest.raises(ModelError, match=r"says that a\.weight lies in .*of the same folder, named without a path"):
            read(folder)


def test_no_folder_is_loaded_whose_index_leads_out_of_it(sharded, tmp_path, tiny_gpt2):
    """An ordinary decoder's neither, though transformers would read its shards."""
    save_file(STATE, tmp_path / "model.safetensors")
    folder = sharded(a="../model.safetensors")
    tiny_gpt2.model.config.save_pretrained(folder)
    with pytest.raises(ModelError, match="named without a path"):
        load_model(str(folder))


def test_a_shard_that_is_not_there_is_named(sharded):
    with pytest.raises(ModelError, match=r"names gone\.safetensors, and the folder has no such file"):
        read_weights(sharded(a="gone.safetensors"))


def test_shards_that_hold_something_else_than_the_index_says_are_refused(sharded):
    folder = sharded()
    for held in ({"a.weight": STATE["a.weight"], "extra": torch.ones(1)}, {"extra": torch.ones(1)}):
        save_file(held, folder / "model-00001-of-00002.safetensors")
        with pytest.raises(ModelError, match=r"does not hold what .* says: .*extra"):
            read_weights(folder)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": ["a"]}', "[]", "no"], ids=str)
def test_an_index_without_a_map_is_refused(sharded, index):
    folder = sharded()
    (folder / INDEX).write_text(index)
    with pytest.raises(ModelError, match=INDEX):
        read_weights(folder)


@pytest.mark.parametrize("second", ["pytorch_model.bin", INDEX])
def test_more_than_one_weights_file_is_refused(sharded, second):
    folder = sharded()
    save_file(STATE, folder / "model.safetensors")
    if second != INDEX:
        (folder / INDEX).unlink()
        torch.save(STATE, folder / second)
    with pytest.raises(ModelError, match=rf"holds model\.safetensors and {second}, and which of them is the model"):
        read_weights(folder)


def test_a_folder_without_weights_says_which_it_could_hold(tmp_path):
    torch.save(STATE, tmp_path / "checkpoint_33")
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor pytorch_model\.bin.*checkpoint_33.*rename"):
        read_weights(tmp_path)
    assert weight_names(tmp_path) == set()


@pytest.mark.parametrize(
    "state", [{"model": STATE, "epoch": 3}, [STATE], STATE["a.weight"]], ids=["nested", "list", "one"]
)
def test_a_bin_that_is_no_state_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is not a model's state, one tensor per name"):
        read_weights(tmp_path)


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_bin_that_would_run_code_does_not_run_it(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "touched"), protocol=2))
    for read in (read_weights, weight_names):
        with pytest.raises(ModelError, match=r"pytorch_model\.bin holds more than tensors, or is damaged"):
            read(tmp_path)
    torch.save({"a": Touch(tmp_path / "touched")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds more than tensors"):
        read_weights(tmp_path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("length", [0, 20, 400])
def test_a_file_that_was_cut_off_is_refused(tmp_path, name, length):
    torch.save(STATE, tmp_path / "whole") if name.endswith("bin") else save_file(STATE, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / name).write_bytes(whole[: min(length, len(whole) - 1)])
    with pytest.raises(ModelError, match=r"damaged"):
        read_weights(tmp_path)


# Into a module


class Pair(nn.Module):
    """Two projections that can be tied."""

    def __init__(self, tie):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        if tie:
            self.b.weight = self.a.weight


ONE, OTHER = torch.ones(2, 2), torch.zeros(2, 2)


@pytest.mark.parametrize("state", [{"a.weight": ONE}, {"b.weight": ONE}, {"a.weight": ONE, "b.weight": ONE.clone()}])
def test_a_tied_tensor_may_be_given_once_or_twice(state):
    module = Pair(tie=True)
    load_into(module, state, "it")
    assert torch.equal(module.a.weight, ONE) and module.a.weight is module.b.weight


def test_tied_tensors_that_differ_are_refused():
    with pytest.raises(ModelError, match=r"ties a\.weight to b\.weight, and the checkpoint has two different tensors"):
        load_into(Pair(tie=True), {"a.weight": ONE, "b.weight": OTHER}, "it")
    module = Pair(tie=False)
    load_into(module, {"a.weight": ONE, "b.weight": OTHER}, "it")
    assert torch.equal(module.b.weight, OTHER)


def test_nothing_is_loaded_that_does_not_fit_whole():
    module = Pair(tie=False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for state, told in (
        ({"a.weight": ONE}, r"Missing \['b\.weight'\] \(1\)"),
        ({"a.weight": ONE, "b.weight": ONE, "c": ONE}, r"left over \['c'\] \(1\)"),
        ({"a.weight": ONE, "b.weight": torch.ones(3, 2)}, r"config: b\.weight is \[3, 2\], not \[2, 2\]\."),
    ):
        with pytest.raises(ModelError, match=told):
            load_into(module, state, "it")
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_state_is_parted_by_prefix_and_what_is_dropped_is_counted():
    state = {"m.a": ONE, "p.a": OTHER, "d.x": ONE, "d.y": ONE}
    (m, p), notes = parted(state, "it", kept=("m.", "p."), dropped=("d.", "e."))
    assert (list(m), list(p)) == (["a"], ["a"]) and m["a"] is ONE and p["a"] is OTHER
    assert notes == {"not used": "d.* (2): tensors of training, which inference has no use for"}
    with pytest.raises(ModelError, match=r"left over x\.a \(1\)\. Its layout has tensors under m\., p\., and d\. may"):
        parted(state | {"x.a": ONE}, "it", kept=("m.", "p."), dropped=("d.",))
