"""Features of a sparse autoencoder, patched in a model, against the formula written out in a hook."""

from dataclasses import replace as changed
from functools import cache, partial

import pytest
import torch
from safetensors.torch import save_file

from causaltest import SAE, add, index, logit_diff, mean, mlp_out, replace, resample, resid_mid, resid_post, scale, zero
from causaltest.asking.experiment import Experiment, Patching
from causaltest.errors import SiteError
from causaltest.measuring.engine import WHOLE

WIDTH, FEATURES = 16, 24
SITES = {
    "resid_post": resid_post((0, 1), index(1, -1)),
    "resid_mid": resid_mid(1, index(-1)),
    "mlp_out": mlp_out(1, index(2)),
}
WAYS = {
    "denoise": ("denoise", replace),
    "noise": ("noise", replace),
    "zero": ("ablate", zero),
    "mean": ("ablate", mean),
    "resample": ("ablate", resample),
    "scale": ("ablate", scale(3.0)),
    "add": ("steer", add(2.5)),
}
INDEX = (3, 17)


@pytest.fixture(scope="module")
def arrays():
    generator = torch.Generator().manual_seed(1)
    shapes = {"W_enc": (WIDTH, FEATURES), "W_dec": (FEATURES, WIDTH), "b_enc": (FEATURES,), "b_dec": (WIDTH,)}
    made = {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    return made | {
        "threshold": torch.rand(FEATURES, generator=generator) * 2,
        "encoder.weight": made["W_enc"].T.contiguous(),
    }


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("sae") / "layer1.safetensors"
    save_file(arrays, path)
    return path


CONVENTIONS = {
    "centred": {"subtract_decoder_bias": True},
    "as it is": {"subtract_decoder_bias": False},
    "JumpReLU": {"subtract_decoder_bias": False, "threshold": "threshold"},
    "top k": {"subtract_decoder_bias": True, "top_k": 6, "encoder": "encoder.weight", "feature_rows": True},
    "no bias": {"subtract_decoder_bias": True, "encoder_bias": None},
}


def activations(arrays, convention, x):
    """[feature], of all features."""
    told = CONVENTIONS[convention]
    x = x - arrays["b_dec"] if told["subtract_decoder_bias"] else x
    before = arrays["W_enc"].T @ x
    if "encoder_bias" not in told:
        before = before + arrays["b_enc"]
    if "threshold" in told:
        return before * (before > arrays["threshold"])
    out = before.clamp(min=0)
    if "top_k" in told:
        out[before.argsort(descending=True)[told["top_k"] :]] = 0
    return out


def wanted(plain, tiny, arrays, convention, way, pair, pairs, partners, site):
    """The last logits of a run in which x moves along the decoder rows."""

    @cache
    def unpatched(text):
        return plain.forward(tiny.model, tiny.tokenizer(text)["input_ids"])

    def spots(each):
        length = len(each.clean.split())
        return [(site.component, layer, at % length) for layer in site.layers for at in site.position.numbers]

    def read(text, spot):
        return activations(arrays, convention, unpatched(text).vector(*spot))[list(INDEX)]

    def aim_of(n, spot):
        if way in ("denoise", "noise"):
            return read(pair.clean if way == "denoise" else pair.corrupt, spot)
        if way == "mean":
            return sum(read(p.clean, spots(p)[n]) for p in pairs) / len(pairs)
        if way == "resample":
            return read(partners[pair.id].clean, spots(partners[pair.id])[n])
        return {"zero": torch.zeros(2), "scale": 3.0, "add": 2.5}[way]

    def of(aim, there):
        f = activations(arrays, convention, there)[list(INDEX)]
        new = {"scale": f * aim, "add": f + aim}.get(way, aim)
        return there + (new - f) @ arrays["W_dec"][list(INDEX)]

    changes = []
    for n, (component, layer, position) in enumerate(spots(pair)):
        made = partial(of, aim_of(n, (component, layer, position)))
        changes.append(plain.Change(component, layer, position, None, None, made))
    text = pair.corrupt if way == "denoise" else pair.clean
    return plain.forward(tiny.model, tiny.tokenizer(text)["input_ids"], changes).logits[-1]


def compare(plain, planned, tiny, arrays, file, convention, way, site, **more):
    go, by = WAYS[way]
    pairs = tiny.pairs[:4]
    sae = SAE.from_safetensors(file, **CONVENTIONS[convention])
    patching = Patching("t", go, pairs, (site.features(sae, INDEX),), by)
    batch = planned(tiny.backend.loaded, [Experiment(patching, "change", logit_diff, controls=False)], **more)
    (study,) = batch.studies
    vectors, by_id = study.patched.vectors, {p.id: p for p in pairs}
    partners = None
    if way == "resample":
        partners = {mine: by_id[vectors.ids[j]] for mine, j in zip(vectors.ids, vectors.partners, strict=True)}
    moved = 0.0
    for pair in pairs:
        given = batch.gave[study.patched.arm, pair.id].logits[0]
        told = wanted(plain, tiny, arrays, convention, way, pair, pairs, partners, site)
        assert torch.allclose(given, told, atol=2e-5 * max(1.0, float(told.abs().max())), rtol=0)
        moved = max(
            moved, float((given - batch.gave["corrupt" if go == "denoise" else "clean", pair.id].logits[0]).abs().max())
        )
    return moved


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SITES)
def test_a_feature_moves_along_its_decoder_row(plain, planned, tiny_llama, arrays, file, way, name):
    assert compare(plain, planned, tiny_llama, arrays, file, "centred", way, SITES[name]) > 1e-3


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("way", ["denoise", "zero", "mean"])
def test_every_convention_is_read_as_it_was_told(plain, planned, tiny_gpt2, arrays, file, convention, way):
    compare(plain, planned, tiny_gpt2, arrays, file, convention, way, SITES["resid_post"])


@pytest.mark.parametrize("way", ["noise", "add"])
def test_runs_that_do_not_fork_give_the_same(plain, planned, tiny_gpt2, arrays, file, way):
    compare(plain, planned, tiny_gpt2, arrays, file, "top k", way, SITES["resid_mid"], shortcuts=WHOLE)


def test_a_claim_about_a_feature_has_all_its_controls(tiny_gpt2, file):
    sae = SAE.from_safetensors(file, subtract_decoder_bias=True)
    site = resid_post(1, index(-1)).features(sae, 5)
    for go, by in WAYS.values():
        asked = Experiment(Patching("t", go, tiny_gpt2.pairs, (site,), by), "change", logit_diff)
        numbers = tiny_gpt2.backend.measure(asked).measured
        assert numbers.controls.self_patch.neutral and numbers.controls.self_patch.moved < 1e-5
        assert len(numbers.controls.placebo) == numbers.pairs_total
        assert (numbers.controls.full is None) == (by.kind == "add")


# What does not fit


def test_an_autoencoder_of_another_width_is_refused(tiny_gpt2, tmp_path):
    save_file(
        {"W_enc": torch.ones(9, 4), "W_dec": torch.ones(4, 9), "b_enc": torch.ones(4)}, tmp_path / "other.safetensors"
    )
    sae = SAE.from_safetensors(tmp_path / "other.safetensors", subtract_decoder_bias=False)
    asked = Experiment(
        Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(1, index(-1)).features(sae, 0),)), "change", logit_diff
    )
    with pytest.raises(SiteError, match=r"feature 0 of other.* has 9 numbers, and resid_post of tiny GPT-2 is 16 wide"):
        tiny_gpt2.backend.measure(asked)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"encoder": "encoder.weight"},
            r"'encoder.weight' of .* has the shape \[24, 16\], so no feature 17 lies along its axis 1; .*feature_rows",
        ),
        ({"encoder": "nothing"}, r"has no array 'nothing'; it has \['W_dec', 'W_enc'"),
        ({"encoder_bias": "b_dec"}, r"'b_dec' of .* has the shape \[16\], so no feature 17 lies along its axis 0"),
        ({"decoder_bias": "b_enc"}, r"'b_enc' of .* gives \[24\] where its decoder 'W_dec' asks for \[16\]"),
        ({"decoder": "b_enc"}, r"'b_enc' of .* has the shape \[1\], and not \[feature, width\]"),
        ({"top_k": 25}, r"has 24 features, and \[17\] of top 25 are asked"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(file, change, told):
    sae = changed(SAE.from_safetensors(file, subtract_decoder_bias=True), **change)
    with pytest.raises(SiteError, match=told):
        _ = resid_post(1).features(sae, 17).within.digest


def test_a_threshold_that_is_a_logarithm_is_refused(tiny_llama, arrays, tmp_path):
    path = tmp_path / "logarithms.safetensors"
    save_file(arrays | {"log_threshold": -1 - arrays["threshold"]}, path)
    sae = SAE.from_safetensors(path, subtract_decoder_bias=True, threshold="log_threshold")
    patching = Patching("tiny", "denoise", tiny_llama.pairs, (resid_post(1, index(1)).features(sae, 3),))
    with pytest.raises(SiteError, match=r"threshold below 0.*keep its logarithm"):
        tiny_llama.backend.measure(Experiment(patching, "change", logit_diff, controls=False, placebo_draws=0))
