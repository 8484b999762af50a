"""Every intervention at every kind of site, against one hook in one full forward that is written by hand."""

import dataclasses
import hashlib
from functools import cache

import pytest
import torch

from causaltest import (
    Pairs,
    add,
    attn_out,
    embed,
    gaussian,
    head,
    index,
    logit_diff,
    mean,
    mlp_out,
    neuron,
    replace,
    resample,
    resid_mid,
    resid_post,
    resid_pre,
    scale,
    v,
    zero,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.measuring.engine import WHOLE
from causaltest.measuring.planner import Limits

FAMILIES = ("tiny_gpt2", "tiny_llama")
WIDTHS = {"head": 4, "v": 4, "neuron": 1}
SITES = {
    "embed": embed(index(1)),
    "resid_pre": resid_pre(1, index(2)),
    "resid_mid": resid_mid(1, index(1, -1)),
    "resid_post": resid_post(2, index(-1)),
    "attn_out": attn_out(0, index(2)),
    "mlp_out": mlp_out((0, 2), index(2, -1)),
    "head": head((0, 2), (1, 3), index(-1)),
    "v": v(1, (0, 1), index(0, 2)),
    "neuron": neuron((0, 1), (3, 7), index(-1)),
    "layers": resid_post((0, 1), index(1, -1)),
}
WAYS = ("denoise", "noise", "zero", "mean", "mean over", "resample", "gaussian", "scale", "add")
CLOSE = 2e-5


def rows(count, width, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def width_of(site):
    return WIDTHS.get(site.component, 16)


def along(site, count=1):
    """The site along drawn rows, and P onto their span, as A(AᵀA)⁻¹Aᵀ."""
    a = rows(min(count, width_of(site)), width_of(site), seed=7)
    return site.along(a), (a.T @ torch.linalg.inv(a @ a.T) @ a)


def question(way, pairs, sites, others=None, **more):
    width = width_of(sites[0])
    go, by = {
        "denoise": ("denoise", replace),
        "noise": ("noise", replace),
        "zero": ("ablate", zero),
        "mean": ("ablate", mean),
        "mean over": ("ablate", mean if others is None else mean(over=others)),
        "resample": ("ablate", resample),
        "gaussian": ("ablate", gaussian(sd=2.5)),
        "scale": ("ablate", scale(-0.5)),
        "add": ("steer", add(rows(1, width, seed=3), times=1.5)),
    }[way]
    return Experiment(Patching("t", go, pairs, sites, by), "change", logit_diff, **({"controls": False} | more))


class Plainly:
    """Runs of a tiny model with changes that are written down here, formula by formula."""

    def __init__(self, plain, tiny, pairs, others, partners=None):
        self.plain, self.tiny, self.pairs, self.others, self.partners = plain, tiny, pairs, others, partners
        self.unpatched = cache(lambda text: plain.forward(tiny.model, self.ids(text)))

    def ids(self, text):
        return self.tiny.tokenizer(text)["input_ids"]

    def vector(self, text, spot):
        component, layer, part, position = spot
        return self.unpatched(text).vector(component, layer, position, part).flatten()

    def spots(self, pair, site):
        return [
            (site.component, layer, part, at % len(self.ids(pair.clean)))
            for layer in site.layers or (0,)
            for part in site.parts or (None,)
            for at in site.position.numbers
        ]

    def noise(self, pair, spot, count):
        """2.5 standard deviations of the embedding's entries, drawn for each position of a layer and part."""
        name = f"gaussian s {pair.id} {spot[0]} {spot[1]} {spot[2]} {spot[3]}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        return 2.5 * self.tiny.model.get_input_embeddings().weight.std() * drawn

    def wanted(self, way, pair, site, n):
        """From what is there to what should be."""
        spot = self.spots(pair, site)[n]
        if way in ("denoise", "noise"):
            source = self.vector(pair.clean if way == "denoise" else pair.corrupt, spot)
            return lambda there: source
        if way in ("mean", "mean over"):
            held = self.pairs if way == "mean" else self.others
            average = sum(self.vector(p.clean, self.spots(p, site)[n]) for p in held) / len(held)
            return lambda there: average
        if way == "resample":
            partner = self.partners[pair.id]
            theirs = self.vector(partner.clean, self.spots(partner, site)[n])
            return lambda there: theirs
        return {
            "zero": lambda there: torch.zeros_like(there),
            "gaussian": lambda there: there + self.noise(pair, spot, len(there)),
            "scale": lambda there: -0.5 * there,
            "add": lambda there: there + 1.5 * rows(1, len(there), seed=3)[0],
        }[way]

    def logits(self, way, pair, sites, projections=None):
        changes = []
        for k, site in enumerate(sites):
            for n, (component, layer, part, position) in enumerate(self.spots(pair, site)):
                new = self.wanted(way, pair, site, n)
                if projections is not None:
                    p = projections[k]
                    new = lambda there, new=new, p=p: there + p @ (new(there) - there)  # noqa: E731
                changes.append(self.plain.Change(component, layer, position, None, part, new))
        return self.run(way, pair, changes)

    def run(self, way, pair, changes=()):
        text = pair.corrupt if way == "denoise" else pair.clean
        return self.plain.forward(self.tiny.model, self.ids(text), changes).logits[-1]


def partners_of(batch, study, pairs):
    """Who was drawn for whom."""
    vectors, by_id = study.patched.vectors, {p.id: p for p in pairs}
    return {mine: by_id[vectors.ids[j]] for mine, j in zip(vectors.ids, vectors.partners, strict=True)}


def compare(plain, planned, tiny, way, sites, projections=None, **more):
    """The engine's logits of every pair beside the plain ones; gives how far any logit was moved."""
    pairs = tiny.pairs[:4]  # two of each length
    others = Pairs([dataclasses.replace(p, id=f"other {i}") for i, p in enumerate(tiny.pairs[1:5])], iid=True)
    batch = planned(tiny.backend.loaded, [question(way, pairs, sites, others, seed="s")], **more)
    (study,) = batch.studies
    partners = partners_of(batch, study, pairs) if way == "resample" else None
    plainly, moved = Plainly(plain, tiny, pairs, others, partners), 0.0
    for pair in pairs:
        given = batch.gave[study.patched.arm, pair.id].logits[0]
        wanted = plainly.logits(way, pair, sites, projections)
        assert torch.allclose(given, wanted, atol=CLOSE * max(1.0, float(wanted.abs().max())), rtol=0)
        unpatched = plainly.unpatched(pair.corrupt if way == "denoise" else pair.clean)
        moved = max(moved, float((wanted - unpatched.logits[-1]).abs().max()))
    return moved


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SITES)
def test_an_intervention_equals_one_hook_in_one_full_forward(request, plain, planned, family, way, name):
    assert compare(plain, planned, request.getfixturevalue(family), way, (SITES[name],)) > 1e-3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["embed", "resid_mid", "head", "layers", "mlp_out"])
def test_so_it_does_inside_a_subspace(plain, planned, tiny_llama, way, name):
    site, projection = along(SITES[name], 2)
    assert compare(plain, planned, tiny_llama, way, (site,), (projection,)) > 1e-4


@pytest.mark.parametrize("way", WAYS)
def test_sites_that_are_patched_together_see_what_those_below_them_did(plain, planned, tiny_gpt2, way):
    sites = (resid_post(0, index(1)), mlp_out(1, index(1, -1)), resid_pre(2, index(-1)))
    if way != "add":
        (one, p), (other, q) = along(sites[0], 3), along(sites[1], 1)
        compare(plain, planned, tiny_gpt2, way, (one, other), (p, q))
    compare(plain, planned, tiny_gpt2, way, sites)


@pytest.mark.parametrize("way", WAYS)
def test_runs_that_do_not_fork_give_the_same(plain, planned, tiny_llama, way):
    site, projection = along(SITES["layers"], 2)
    compare(plain, planned, tiny_llama, way, (site,), (projection,), shortcuts=WHOLE)
    compare(plain, planned, tiny_llama, way, (SITES["resid_mid"], SITES["embed"]), shortcuts=WHOLE)


@pytest.mark.parametrize("way", WAYS)
def test_so_do_small_chunks_and_forwards(plain, planned, tight, tiny_gpt2, way):
    site, projection = along(SITES["layers"], 2)
    compare(plain, planned, tiny_gpt2, way, (site,), (projection,), budget=tight(2, Limits(9, 2, 0)))
    compare(plain, planned, tiny_gpt2, way, (SITES["head"],), budget=tight(1, Limits(1, 1, 0)))
