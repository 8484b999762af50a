"""The ducks in CODI's published layout: the same weights once merged, and other ones before."""

import pytest
import torch

from causaltest.errors import ModelError
from causaltest.measuring.adapters.load import load_model
from causaltest.organisms import ducks
from causaltest.organisms.ducks.published import ADAPTED, publish


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("published") / "ducks")


@pytest.fixture(scope="module")
def state(folder):
    return torch.load(folder / "pytorch_model.bin", weights_only=True)


def test_merged_it_is_the_ducks_bit_for_bit(folder):
    ours, theirs = ducks.load(), load_model(str(folder))
    pairs = zip(ours.model.state_dict().items(), theirs.model.state_dict().items(), strict=True)
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)
    projections = (model.reasoning.project.state_dict() for model in (ours, theirs))
    assert all(torch.equal(a, b) for a, b in zip(*(p.values() for p in projections), strict=True))


def test_its_names_are_the_published_ones(folder, state):
    """Every projection has its base in bfloat16 and both factors; nothing else is adapted."""
    assert {path.name for path in folder.glob("*model*")} == {"pytorch_model.bin"}
    for layer in range(ducks.LAYERS):
        for projection in ADAPTED:
            stem = f"codi.base_model.model.transformer.h.{layer}.{projection}"
            assert state[f"{stem}.base_layer.weight"].dtype == torch.bfloat16
            assert {
                f"{stem}.{n}" for n in ("base_layer.bias", "lora_A.default.weight", "lora_B.default.weight")
            } <= set(state)
            assert f"{stem}.weight" not in state
    assert sum("lora_A" in name for name in state) == ducks.LAYERS * len(ADAPTED)
    assert {"codi.base_model.model.lm_head.weight", "prj.1.weight", "prj.3.bias", "prj.ln.weight"} <= set(state)


def test_without_its_lora_it_is_another_model(folder, state):
    stem = "codi.base_model.model.transformer.h.6.attn.c_attn"
    base = state[f"{stem}.base_layer.weight"].float()
    own = ducks.load().model.state_dict()["transformer.h.6.attn.c_attn.weight"]
    assert torch.dist(base, own) > 0.3 * own.norm()


def test_a_folder_that_is_there_is_not_written_over(folder):
    with pytest.raises(FileExistsError):
        publish(folder)


def test_a_checkpoint_that_lost_a_factor_is_refused(state, tmp_path):
    copy = publish(tmp_path / "ducks")
    lost = "codi.base_model.model.transformer.h.3.mlp.c_fc.lora_B.default.weight"
    torch.save({name: tensor for name, tensor in state.items() if name != lost}, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"a part of transformer\.h\.3\.mlp\.c_fc, and not .*lora_B\.default\.weight"):
        load_model(str(copy))
