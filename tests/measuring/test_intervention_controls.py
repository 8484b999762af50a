"""What stands beside an intervention: its self-patch, its placebo, the whole component; what is drawn, and refused."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from causaltest import (
    Lab,
    Pair,
    Pairs,
    accuracy,
    add,
    at_least,
    direction,
    embed,
    gaussian,
    head,
    index,
    judge,
    logit_diff,
    mean,
    mlp_out,
    replace,
    resample,
    resid_mid,
    resid_post,
    resid_pre,
    scale,
    thought,
    zero,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.positions import Position, every, step
from causaltest.effect import PositiveControl
from causaltest.errors import MeasurementError, SiteError
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.moves import Toward
from causaltest.measuring.planner import Limits

WIDTH = 16


def rows(count, width=WIDTH, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


WAYS = {
    "denoise": ("denoise", replace),
    "noise": ("noise", replace),
    "zero": ("ablate", zero),
    "mean": ("ablate", mean),
    "resample": ("ablate", resample),
    "gaussian": ("ablate", gaussian(sd=2)),
    "scale": ("ablate", scale(0.25)),
    "add": ("steer", add(rows(1, seed=3))),
}
SITE = resid_post(1, index(-1))
SUBSPACE = rows(3, seed=9)


def asked(way, pairs, *sites, metric=logit_diff, **more):
    go, by = WAYS[way] if isinstance(way, str) else way
    return Experiment(Patching("t", go, pairs, sites, by), "change", metric, **({"seed": "s"} | more))


# The self-patch


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("site", [SITE, resid_mid(1, index(1, -1)), embed(index(0))])
def test_a_site_patched_with_its_own_value_inside_a_subspace_is_neutral(tiny_gpt2, way, site):
    for within in (site, site.along(SUBSPACE)):
        controls = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, within)).measured.controls
        assert controls.self_patch.neutral
        assert controls.self_patch.moved < 1e-5
        assert controls.positive.what == f"{site.component}{' L1' if site.layers else ''} @ everywhere"


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_neox"])
def test_equal_runs_stay_equal_to_the_last_bit_inside_a_subspace(request, planned, family):
    """A pair with itself, beside the same rows with nothing written: the shapes are alike, so the bits are."""
    tiny = request.getfixturevalue(family)
    width = tiny.backend.loaded.model.config.hidden_size
    same = Pairs([p.with_itself() for p in tiny.pairs], iid=True)
    for site in (resid_pre(1, index(2)), mlp_out(1, index(2))):
        subspace = asked("denoise", same, site.along(rows(2, width)), controls=False)
        batch = planned(tiny.backend.loaded, [subspace])
        (study,) = batch.studies
        whole = planned(tiny.backend.loaded, [asked("denoise", same, site, controls=False)])
        for pair in same:
            given = batch.gave[study.patched.arm, pair.id].logits
            assert torch.equal(given, whole.gave[whole.studies[0].patched.arm, pair.id].logits)


@pytest.mark.parametrize("by", [("steer", add([0.0] * WIDTH)), ("ablate", scale(1))])
@pytest.mark.parametrize("site", [SITE, resid_mid(1, every()), resid_post((0, 1, 2), index(1)).along(SUBSPACE)])
def test_adding_nothing_and_scaling_by_one_are_neutral(tiny_llama, by, site):
    numbers = tiny_llama.backend.measure(asked(by, tiny_llama.pairs, site)).measured
    assert set(numbers.controls.distance) == {0.0}
    assert max(map(abs, numbers.values)) <= numbers.rounding + 1e-6
    assert tiny_llama.backend.moved(Patching("t", by[0], tiny_llama.pairs, (site,), by[1])).neutral


def test_a_subspace_that_is_all_of_its_space_is_the_whole_component(tiny_gpt2):
    for way in WAYS:
        part = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, SITE.along(rows(WIDTH, seed=4)))).measured
        whole = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, SITE)).measured
        assert part.values == pytest.approx(whole.values, abs=1e-4)
        assert part.controls.full.estimate == pytest.approx(part.controls.full.part, abs=1e-4)
        assert part.controls.distance == pytest.approx(whole.controls.distance, abs=1e-4)


# The whole component beside it


@pytest.mark.parametrize("way", WAYS)
def test_a_part_carries_the_effect_of_the_whole_component(tiny_gpt2, way):
    part = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, SITE.along(SUBSPACE)))
    whole = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, SITE))
    full = part.measured.controls.full
    assert full.estimate == pytest.approx(whole.estimate, abs=1e-5)
    assert full.part == part.estimate and full.what == "resid_post L1 @ index -1"
    assert whole.measured.controls.full is None


def test_what_is_only_a_number_along_a_direction_has_no_whole(tiny_gpt2):
    along = SITE.along(rows(1))
    number = tiny_gpt2.backend.measure(asked(("steer", add(3.0)), tiny_gpt2.pairs, along)).measured
    vector = tiny_gpt2.backend.measure(
        asked(("steer", add(rows(1), times=float(3 / rows(1).norm()))), tiny_gpt2.pairs, SITE)
    )
    assert number.controls.full is None
    assert number.values == pytest.approx(vector.measured.values, abs=1e-5)
    assert number.controls.distance == pytest.approx([3.0] * len(tiny_gpt2.pairs), abs=1e-5)


def test_without_controls_no_whole_component_is_run(tiny_gpt2):
    bare = asked("denoise", tiny_gpt2.pairs, SITE.along(SUBSPACE), controls=False)
    batch, (study,) = tiny_gpt2.backend.batch([bare])
    assert study.full is None and len(batch.arms) == 1


def test_a_part_that_does_more_than_its_whole_is_noted_beside_the_verdict(tiny_gpt2):
    """Of drawn directions some push the answer further than the whole component does."""
    seen = set()
    for seed in range(12):
        effect = tiny_gpt2.backend.measure(asked("noise", tiny_gpt2.pairs, SITE.along(rows(2, seed=seed))))
        full = effect.measured.controls.full
        noted = any("than the whole component" in note for note in judge(effect, at_least(0.1)).notes)
        assert noted == (abs(full.part) > 1.002 * abs(full.estimate))
        seen.add(noted)
    assert seen == {True, False}


# The placebo


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", [False, True])
def test_a_placebo_moves_what_is_there_as_far_along_another_pairs_whole_difference(
    plain, planned, tiny_gpt2, way, part
):
    tiny, pairs = tiny_gpt2, tiny_gpt2.pairs
    site = resid_post((0, 1), index(-1))
    site = site.along(SUBSPACE) if part else site
    batch = planned(tiny.backend.loaded, [asked(way, pairs, site, placebo_draws=2)])
    (study,) = batch.studies
    side = "corrupt" if way == "denoise" else "clean"

    def seen(pair, side):
        ids = tiny.tokenizer(getattr(pair, side))["input_ids"]
        run = plain.forward(tiny.model, ids)
        return torch.cat([run.vector("resid_post", layer, len(ids) - 1) for layer in (0, 1)])

    own = {p.id: seen(p, side) for p in pairs}
    if way in ("denoise", "noise"):
        other = {p.id: seen(p, "clean" if side == "corrupt" else "corrupt") for p in pairs}
        nature = {p.id: [other[q.id] - own[q.id] for q in pairs if q.id != p.id] for p in pairs}
    else:
        nature = {p.id: [own[r.id] - own[q.id] for q in pairs for r in pairs if p.id != q.id != r.id] for p in pairs}
    far = batch_distances(study, tiny, pairs)
    for arm in study.placebos:
        changed = study.batch.arms[arm]
        for number, chunk in enumerate(batch.chunks):
            runs = batch.references.get(pairs, number, 1, {"resid_post"})
            everyone = torch.arange(len(chunk.pairs)).numpy()
            blocks = [changed.values(number, spot, everyone, runs) for spot in (0, 1)]
            for n, token_pair in enumerate(chunk.pairs):
                pair = token_pair.pair
                step_ = torch.cat([block[n] for block in blocks])
                if not study.patched.vectors.is_move:
                    step_ = step_ - own[pair.id]
                assert float(step_.norm()) == pytest.approx(far[pair.id], rel=1e-3)
                likeness = max(float(torch.cosine_similarity(step_, d, dim=0)) for d in nature[pair.id])
                assert likeness == pytest.approx(1, abs=1e-4)
                lower, upper = step_.split(WIDTH)
                ids = tiny.tokenizer(getattr(pair, side))["input_ids"]

                def put(layer, vector, ids=ids, pair=pair):
                    if study.patched.vectors.is_move:
                        return plain.Change("resid_post", layer, len(ids) - 1, None, None, lambda there: there + vector)
                    at = own[pair.id].split(WIDTH)[layer] + vector
                    return plain.Change("resid_post", layer, len(ids) - 1, at)

                logits = plain.forward(tiny.model, ids, [put(0, lower), put(1, upper)]).logits[-1]
                assert torch.allclose(batch.gave[arm, pair.id].logits[0], logits, atol=1e-4, rtol=0)


def batch_distances(study, tiny, pairs):
    """By pair, how far the patch moves what the unpatched run recorded; right by the test below."""
    out = {}
    for number, chunk in enumerate(study.batch.chunks):
        runs = study.batch.references.get(pairs, number, 1, {"resid_post"})
        for pair, far in zip(chunk.pairs, study.patched.vectors.distances(number, runs).tolist(), strict=True):
            out[pair.pair.id] = far
    return out


def test_the_distance_of_a_move_is_that_of_its_formula(plain, tiny_gpt2):
    p = torch.linalg.qr(SUBSPACE.T).Q
    for way, formula in {
        "denoise": lambda x, s: (s - x) @ p,
        "zero": lambda x, s: x @ p,
        "scale": lambda x, s: 0.75 * x @ p,
        "add": lambda x, s: rows(1, seed=3)[0] @ p,
    }.items():
        numbers = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, SITE.along(SUBSPACE))).measured
        for pair, far in zip(
            tiny_gpt2.pairs,
            (numbers.controls.distance[numbers.pair_ids.index(i)] for i in tiny_gpt2.pairs.ids),
            strict=True,
        ):
            clean, corrupt = (
                plain.forward(tiny_gpt2.model, ids).vector("resid_post", 1, len(ids) - 1)
                for ids in (tiny_gpt2.tokenizer(text)["input_ids"] for text in (pair.clean, pair.corrupt))
            )
            x, s = (corrupt, clean) if way == "denoise" else (clean, corrupt)
            assert far == pytest.approx(float(formula(x, s).norm()), rel=1e-4)


# What is drawn


@pytest.mark.parametrize("way", ["gaussian", "resample"])
def test_what_is_drawn_depends_on_the_seed_and_the_pair_and_on_nothing_else(planned, tight, tiny_gpt2, way):
    pairs, site = tiny_gpt2.pairs, resid_post((0, 2), index(1, -1))

    def values(pairs, *more, seed="s", **cut):
        batch = planned(tiny_gpt2.backend.loaded, [asked(way, pairs, site, seed=seed), *more], **cut)
        arm = batch.studies[0].patched.arm
        return {i: batch.gave[arm, i].logits for i in pairs.ids}

    first = values(pairs)
    turned = Pairs(list(pairs)[::-1], iid=True)
    others = [asked(way, pairs, SITE, seed="s"), asked(way, pairs, site, seed="t")]
    for again in (values(turned), values(pairs, budget=tight(1, Limits(5, 2, 0))), values(pairs, *others)):
        for name, logits in first.items():
            assert torch.allclose(again[name], logits, atol=1e-4, rtol=0)
    other_seed = values(pairs, seed="another")
    assert any(not torch.allclose(other_seed[name], first[name], atol=1e-3) for name in first)


@pytest.mark.parametrize("way", ["gaussian", "resample"])
def test_two_seeds_in_one_plan_are_two_draws(planned, tiny_gpt2, way):
    both = [asked(way, tiny_gpt2.pairs, SITE, seed=seed, controls=False) for seed in ("s", "t")]
    batch = planned(tiny_gpt2.backend.loaded, both)
    first, second = (study.patched.arm for study in batch.studies)
    assert any(not torch.equal(batch.gave[first, i].logits, batch.gave[second, i].logits) for i in tiny_gpt2.pairs.ids)


def test_noise_beside_other_sites_is_the_noise_alone(tiny_gpt2):
    batch, studies = tiny_gpt2.backend.batch(
        [asked("gaussian", tiny_gpt2.pairs, *sites) for sites in ((SITE,), (head(0, 1, index(0)), SITE))]
    )
    runs = tiny_gpt2.backend.references.get(batch.pairs, 0, 1, {"head"})
    pairs = torch.arange(len(batch.chunks[0].pairs)).numpy()
    alone, beside = (
        study.patched.vectors.asked(0, spot, pairs, runs) for study, spot in zip(studies, (0, 1), strict=True)
    )
    assert torch.equal(alone, beside)


def test_positions_named_one_by_one_have_the_noise_of_those_named_together(tiny_gpt2):
    together, apart = (resid_post(1, index(1, 2)),), (resid_post(1, index(1)), resid_post(1, index(2)))
    batch, studies = tiny_gpt2.backend.batch([asked("gaussian", tiny_gpt2.pairs, *s) for s in (together, apart)])
    runs = tiny_gpt2.backend.references.get(batch.pairs, 0, 1, {"resid_post"})
    pairs = torch.arange(len(batch.chunks[0].pairs)).numpy()
    both, one, other = (studies[n].patched.vectors.asked(0, spot, pairs, runs) for n, spot in ((0, 0), (1, 0), (1, 1)))
    assert torch.equal(both[::2], one) and torch.equal(both[1::2], other)
    assert not torch.equal(one, other)


def test_noise_is_as_wide_as_the_embeddings_entries_spread(tiny_gpt2):
    many = Pairs([dataclasses.replace(tiny_gpt2.pairs[0], id=f"p{n}") for n in range(200)], iid=True)
    batch, (study,) = tiny_gpt2.backend.batch([asked("gaussian", many, embed(index(0)))])
    runs = tiny_gpt2.backend.references.get(many, 0, 1)
    drawn = study.patched.vectors.asked(0, 0, torch.arange(len(batch.chunks[0].pairs)).numpy(), runs)
    spread = float(tiny_gpt2.model.get_input_embeddings().weight.detach().std())
    assert float(drawn.std() / spread) == pytest.approx(2, rel=0.05)
    assert len({row.sum().item() for row in drawn}) == len(drawn)


def pairs_in_clusters(tiny, clusters):
    return Pairs([dataclasses.replace(tiny.pairs[0], id=f"p{n}", cluster=name) for n, name in enumerate(clusters)])


def partners(tiny, pairs, site, seed="s"):
    _, (study,) = tiny.backend.batch([asked("resample", pairs, site, seed=seed)])
    vectors = study.patched.vectors
    return {mine: vectors.ids[j] for mine, j in zip(vectors.ids, vectors.partners, strict=True)}


def test_a_partner_is_another_pair_of_another_cluster_and_of_the_same_shape(tiny_gpt2):
    pairs = pairs_in_clusters(tiny_gpt2, "aaabc")
    seen = {name: set() for name in pairs.ids}
    for seed in range(40):
        for mine, other in partners(tiny_gpt2, pairs, SITE, str(seed)).items():
            seen[mine].add(other)
    assert seen == {"p0": {"p3", "p4"}, "p1": {"p3", "p4"}, "p2": {"p3", "p4"},
                    "p3": {"p0", "p1", "p2", "p4"}, "p4": {"p0", "p1", "p2", "p3"}}  # fmt: skip
    one_cluster = partners(tiny_gpt2, pairs_in_clusters(tiny_gpt2, "aa"), SITE)
    assert one_cluster == {"p0": "p1", "p1": "p0"}
    lengths = {p.id: len(p.clean.split()) for p in tiny_gpt2.pairs}
    for mine, other in partners(tiny_gpt2, tiny_gpt2.pairs, resid_post(1, every())).items():
        assert mine != other and lengths[mine] == lengths[other]


def test_without_another_pair_there_is_nothing_to_resample(tiny_gpt2):
    with pytest.raises(MeasurementError, match="no other pair has as many positions as pair 1"):
        tiny_gpt2.backend.measure(asked("resample", tiny_gpt2.pairs[1:2], SITE))


# A mean over other pairs


def test_a_mean_over_other_pairs_needs_as_many_positions_as_these_have(tiny_gpt2):
    same, longer = tiny_gpt2.pairs[::2], tiny_gpt2.pairs[1::2]
    with pytest.raises(MeasurementError, match=r"as many positions in every pair, and this site has \[5, 7\]"):
        tiny_gpt2.backend.measure(asked(("ablate", mean(over=longer)), same, resid_post(1, every())))
    numbers = tiny_gpt2.backend.measure(asked(("ablate", mean(over=longer)), same, SITE)).measured
    assert numbers.values != tiny_gpt2.backend.measure(asked("mean", same, SITE)).measured.values
    own = tiny_gpt2.backend.measure(asked(("ablate", mean(over=same)), same, SITE)).measured
    assert own.values == pytest.approx(tiny_gpt2.backend.measure(asked("mean", same, SITE)).measured.values, abs=1e-5)


def test_runs_of_other_pairs_are_counted_in_the_plan(tiny_gpt2):
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    over = asked(("ablate", mean(over=tiny_gpt2.pairs[:4])), tiny_gpt2.pairs[4:], SITE)
    backend.expect([over])
    assert backend.cost().reference_runs == 2 * 6
    backend.measure(over)
    assert backend.counted()["reference_runs"] == 2 * 6


# What is refused


@pytest.mark.parametrize(
    "sites",
    [
        (SITE.along(rows(1)), SITE.along(rows(1, seed=1))),
        (SITE.along(rows(1)), resid_pre(2, index(-1))),
        (resid_post(1, index(2, -3)).along(rows(1)),),
    ],
)
def test_a_vector_that_is_changed_twice_is_refused(tiny_gpt2, sites):
    pairs = tiny_gpt2.pairs[::2]
    with pytest.raises(SiteError, match=r"changes one vector twice, at position .*rows of one subspace"):
        tiny_gpt2.backend.measure(asked("denoise", pairs, *sites))


@pytest.mark.parametrize(
    ("site", "by", "told"),
    [
        (SITE.along([1.0, 2.0]), ("denoise", replace), r"direction \w+ has 2 numbers, and resid_post of tiny GPT-2 is"),
        (head(0, 1).along(rows(1)), ("denoise", replace), r"has 16 numbers, and head 1 of tiny GPT-2 is 4 wide in"),
        (SITE, ("steer", add([1.0] * 4)), r"has 4 numbers, and resid_post"),
        (SITE.along(rows(2)), ("steer", add(1.0)), r"add\(1\) goes along one direction, and 2 directions \w+ spans 2"),
        (SITE.along([[1.0] + [0.0] * 15, [2.0] + [0.0] * 15]), ("noise", replace), "Row 1 of .* depends on those"),
        (SITE.along([0.0] * 16), ("noise", replace), "Row 0 of .* is zero, so it spans nothing"),
        (SITE.along(rows(17)), ("noise", replace), "has 17 rows of 16 numbers; a subspace has at most 16"),
    ],
)  # fmt: skip
def test_vectors_that_do_not_fit_are_refused(tiny_gpt2, site, by, told):
    with pytest.raises(SiteError, match=told):
        tiny_gpt2.backend.measure(asked(by, tiny_gpt2.pairs, site))


def test_a_file_with_a_number_that_is_none_is_refused(tiny_gpt2, tmp_path):
    save_file({"d": torch.tensor([1.0] * 15 + [float("nan")])}, tmp_path / "d.safetensors")
    with pytest.raises(SiteError, match=r"d of d\.safetensors has a number that is NaN or infinite"):
        tiny_gpt2.backend.measure(
            asked("noise", tiny_gpt2.pairs, SITE.along(direction(tmp_path / "d.safetensors", key="d")))
        )


# Types


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_vectors_are_cast_to_the_models_type_and_the_report_says_so(
    new_gpt2, word_tokenizer, tiny_gpt2, tmp_path, dtype
):
    save_file({"d": rows(2)}, tmp_path / "d.safetensors")
    backend = Lab(new_gpt2().to(dtype), word_tokenizer()).backend
    site = SITE.along(direction(tmp_path / "d.safetensors", key="d"))
    name = str(dtype).removeprefix("torch.")
    for way in WAYS:
        numbers = backend.measure(asked(way, tiny_gpt2.pairs, site)).measured
        single = tiny_gpt2.backend.measure(asked(way, tiny_gpt2.pairs, site)).measured
        assert numbers.controls.self_patch.neutral
        wide = dict(zip(single.pair_ids, single.values, strict=True))
        assert numbers.values == pytest.approx(
            [wide[i] for i in numbers.pair_ids], abs=1e-4 if dtype == torch.float64 else 0.3
        )
        between = "" if dtype == torch.float64 else "computed with in float32, "
        given = "float32 and float64" if way == "add" else "float32"
        assert numbers.provenance["vectors"] == f"given in {given}, {between}added in {name}"
        assert single.provenance.get("vectors") == (f"given in {given}, added in float32" if way == "add" else None)


# A latent reasoner, generation


def test_a_thought_is_patched_along_a_direction(ducks, twins):
    """At the ducks' cut set the whole stream carries the answer, and so do all of its directions together."""
    pairs = twins[:4]
    site = resid_post(6, thought(0))
    full = ducks.denoise(pairs, at=site).recovery(accuracy, placebo=False)
    width = ducks.backend.loaded.model.config.hidden_size
    part = ducks.denoise(pairs, at=site.along(torch.eye(width)[: width // 2])).recovery(accuracy, placebo=False)
    assert part.measured.controls.full.estimate == full.estimate == 1.0
    every_direction = ducks.denoise(pairs, at=site.along(torch.eye(width))).recovery(accuracy, placebo=False)
    assert every_direction.estimate == 1.0
    pushed = ducks.steer(pairs, at=site, by=add(rows(1, width), times=50)).drop(accuracy, placebo=False)
    assert pushed.estimate > 0 and ducks.ablate(pairs, at=site, by=gaussian(sd=0.01)).drop(accuracy).estimate == 0


def test_a_generated_step_is_scaled_once(plain, planned, tiny_gpt2):
    from causaltest import exact_match

    tiny, pairs = tiny_gpt2, tiny_gpt2.pairs[:3]
    site = mlp_out((0, 1), step(0, 1))
    batch = planned(
        tiny.backend.loaded, [asked("scale", pairs, site, metric=exact_match(max_new_tokens=3), controls=False)]
    )
    for pair in pairs:
        ids = tiny.tokenizer(pair.clean)["input_ids"]
        changes = [
            plain.Change("mlp_out", layer, len(ids) - 1 + k, None, None, lambda there: 0.25 * there)
            for layer in (0, 1)
            for k in (0, 1)
        ]
        tokens, logits, _ = plain.generate(tiny.model, ids, 3, changes)
        given = batch.gave[batch.studies[0].patched.arm, pair.id]
        assert given.tokens == tokens and torch.allclose(given.logits, logits, atol=1e-4, rtol=0)


def test_one_pair_alone_can_be_steered(tiny_gpt2):
    one = Pairs([Pair(clean="the cat sat", corrupt="the dog sat", answer="on", corrupt_answer="by")], iid=True)
    numbers = tiny_gpt2.backend.measure(asked("add", one, SITE)).measured
    assert numbers.controls.placebo is None and len(numbers.values) == 1


def test_a_subspace_that_moves_what_is_equal_is_found_out(tiny_gpt2, monkeypatch):
    """The self-patch is written as the patch is: through the subspace."""
    monkeypatch.setattr(Toward, "step", lambda self, current, values: values - current + 1e-3)
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    with pytest.raises(MeasurementError, match=r"holds back where it was read changes it, by up to 0\.00"):
        backend.measure(asked("denoise", tiny_gpt2.pairs, SITE.along(SUBSPACE)))


@pytest.mark.parametrize("by", [("steer", add(rows(1))), ("ablate", scale(0.5)), ("denoise", replace)])
def test_a_change_of_the_whole_stream_is_not_its_own_positive_control(tiny_gpt2, by):
    """Only the other run's stream, all of it, makes one run the other by construction."""
    everywhere = dataclasses.replace(SITE, position=Position("everywhere"))
    site = everywhere if by[0] != "denoise" else everywhere.along(SUBSPACE)
    controls = tiny_gpt2.backend.measure(asked(by, tiny_gpt2.pairs, site)).measured.controls
    assert isinstance(controls.positive, PositiveControl)
