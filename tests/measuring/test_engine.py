"""The engine: what fires where, what is neutral, what is refused, and what is left behind."""

import copy
import math

import numpy as np
import pytest
import torch

from causaltest import Lab, accuracy, embed, exact_match, head, index, logit_diff, resid_post, thought
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import zero
from causaltest.asking.positions import Position, step
from causaltest.asking.sites import attn_out, mlp_out, resid_pre
from causaltest.errors import MeasurementError
from causaltest.measuring import engine
from causaltest.measuring.backend import ModelBackend
from causaltest.measuring.engine import WHOLE, Columns, Patch, Shortcuts
from causaltest.measuring.planner import EMBEDDING, Limits, Rows, plan
from causaltest.measuring.timeline import timeline
from causaltest.measuring.trajectory import run, run_wave

EVERYTHING = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "head")
EVERYWHERE = Position("everywhere")
SITES = {
    "embed": lambda layer, at: embed(at),
    "resid_pre": resid_pre,
    "resid_post": resid_post,
    "attn_out": attn_out,
    "mlp_out": mlp_out,
    "head": lambda layer, at: head(layer, range(4), at),
}


LIMITS = Limits(1 << 20, 1 << 10, 0)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
"""Forks and whole runs compute in batches of other shapes, so their last bits differ."""


def left_behind(model):
    """Hooks, and `forward` methods that were put on single modules."""
    return [
        name
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    ]


def forked(model, ids, patch, new_tokens, base, *, limits=LIMITS, shortcuts=None):
    """A patch with an entry per row, each row from where it forks off the unpatched run. Runs in the patch's order.

    A block's output is patched as the input of the block above, at which its rows join.
    """
    component, layer = patch.component, patch.layer
    if component == "resid_post":
        component, layer = "resid_pre", layer + 1
    segments, entries = timeline(model, ids.shape[1], new_tokens), np.arange(len(patch.rows))
    join = EMBEDDING if component == "embed" else layer
    rows = Rows(entries, patch.rows.numpy(), patch.positions.numpy(), entries * 0 + join)
    columns = Columns(torch.arange(model.model.config.vocab_size), all_computed=True)
    parts, order, forwards = [], [], 0
    for wave in plan(rows, segments, len(model.blocks), limits):
        mine = torch.from_numpy(wave.rows.arm)
        here = Patch(component, layer, patch.part, torch.arange(len(mine)), patch.positions[mine], patch.values[mine])
        given = run_wave(
            model,
            ids,
            wave,
            segments,
            columns=columns,
            base=base,
            patches=[here],
            shortcuts=shortcuts or Shortcuts(),
        )
        parts.append(given)
        order += mine.tolist()
        forwards += given.forwards
    back = torch.tensor(order).argsort()
    return torch.cat([p.tokens for p in parts])[back], torch.cat([p.logits for p in parts])[back], forwards


def one_patch(component="resid_post", layer=1, *, rows=(0,), positions=(0,), width=16, part=None):
    return Patch(
        component, layer, part, torch.tensor(rows), torch.tensor(positions), torch.full((len(rows), width), 7.0)
    )


def prompts(tiny, length=5):
    return next(c for c in tiny.backend.references.chunks(tiny.pairs) if c.prompt_tokens == length).clean


# What fires


@pytest.mark.parametrize("position", [5, 6, 100, -1])
def test_a_patch_outside_the_run_is_an_error_and_not_a_null(tiny_gpt2, position):
    with pytest.raises(MeasurementError, match=r"resid_post at layer 1 fired 0 times where 1 were asked"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[one_patch(positions=(position,))])


def test_a_patch_that_fires_for_some_rows_only_is_an_error(tiny_gpt2):
    patch = one_patch(rows=(0, 1, 2), positions=(4, 4, 5))
    with pytest.raises(MeasurementError, match="fired 2 times where 3 were asked"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[patch])


def test_a_layer_that_the_model_lacks_is_an_error_in_the_engine_too(tiny_gpt2):
    with pytest.raises(MeasurementError, match="fired 0 times"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[one_patch(layer=9)])


@pytest.mark.parametrize("k", [0, 3, 5])
def test_a_patch_at_a_thought_fires_there_and_nowhere_else(ducks, twins, k):
    """Seen by the test's own hook on the input of the next block, in every forward of the run."""
    model = ducks.backend.loaded
    chunk = ducks.backend.references.chunks(twins)[0]
    prompt, rows = chunk.prompt_tokens, len(chunk.pairs)
    vector = torch.full((rows, 64), 3.0)
    at = torch.full((rows,), prompt + 1 + k)
    patch = Patch("resid_post", 4, None, torch.arange(rows), at, vector)

    def forwards_of(patches):
        seen = []
        handle = model.blocks[5].block.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        try:
            run(model, chunk.clean, new_tokens=3, patches=patches)
        finally:
            handle.remove()
        return seen

    unpatched, patched = forwards_of([]), forwards_of([patch])
    # The prompt with its begin token, six thoughts, the end token, two more answer tokens.
    assert [s.shape[1] for s in patched] == [prompt + 1, *[1] * 6, 1, 1, 1]
    for number, (before, after) in enumerate(zip(unpatched, patched, strict=True)):
        if number < 1 + k:
            assert torch.equal(before, after)
        fired = (after == 3.0).all(-1)
        assert bool(fired.all()) if number == 1 + k else not bool(fired.any())


def test_a_patch_writes_only_the_rows_that_it_names(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    plain = run(model, ids, new_tokens=1, record=EVERYTHING)
    patched = run(model, ids, new_tokens=1, record=EVERYTHING, patches=[one_patch(rows=(1,), positions=(2,))])
    changed = (plain.activations["resid_post", 1] != patched.activations["resid_post", 1]).any(-1)
    assert changed.nonzero().tolist() == [[1, 2]]
    assert torch.equal(plain.logits[[0, 2]], patched.logits[[0, 2]])
    assert not torch.equal(plain.logits[1], patched.logits[1])


def test_a_head_patch_writes_its_own_stretch_of_z(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    patch = one_patch("head", rows=(0,), positions=(3,), width=4, part=2)
    plain = run(model, ids, new_tokens=1, record=EVERYTHING)
    patched = run(model, ids, new_tokens=1, record=EVERYTHING, patches=[patch])
    changed = (plain.activations["head", 1] != patched.activations["head", 1]).nonzero().tolist()
    assert changed == [[0, 3, 8], [0, 3, 9], [0, 3, 10], [0, 3, 11]]


def test_what_a_patch_wrote_is_seen_by_a_later_hook_once_and_in_its_own_row(tiny_gpt2):
    """The batch grows on the way up, so a row is told by its pair and not by its place in the batch."""
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    base = run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True)
    sevens = []
    watch = model.blocks[2].block.ln_1.register_forward_pre_hook(
        lambda _, args: sevens.append((args[0] == 7.0).all(-1))
    )
    try:
        forked(model, ids, one_patch(rows=(2, 0, 1), positions=(3, 1, 1)), 1, base)
    finally:
        watch.remove()
    # The rows that begin at token 1 run first, those of token 3 after; of each its first position is patched.
    assert [fired.tolist() for fired in sevens] == [[[True, False, False, False]] * 2, [[True, False]]]


def test_a_patch_of_a_fork_that_does_not_fire_is_an_error(tiny_gpt2):
    """A row that begins behind its patch: the patch is never reached."""
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    base, segments = run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True), timeline(model, 5, 1)
    columns = Columns(torch.arange(30), all_computed=True)
    two, zero = np.arange(2), np.zeros(2, dtype=np.int64)
    (wave,) = plan(Rows(two, zero, two * 0 + 3, two * 0 + 1), segments, 3, LIMITS)
    for positions in ((2, 2), (3, 2)):
        patch = one_patch("resid_pre", rows=(0, 1), positions=positions)
        fired = positions.count(3)
        with pytest.raises(MeasurementError, match=f"resid_pre at layer 1 fired {fired} times where 2 were asked"):
            run_wave(model, ids, wave, segments, columns=columns, base=base, patches=[patch])


def test_a_patch_below_the_block_where_its_row_joins_is_an_error(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    base, segments = run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True), timeline(model, 5, 1)
    one = np.zeros(1, dtype=np.int64)
    (wave,) = plan(Rows(one, one, one + 3, one + 2), segments, 3, LIMITS)
    columns = Columns(torch.arange(30), all_computed=True)
    with pytest.raises(MeasurementError, match="mlp_out at layer 1 fired 0 times"):
        run_wave(model, ids, wave, segments, columns=columns, base=base, patches=[one_patch("mlp_out", positions=(3,))])


# What is neutral


def itself(pairs, site, metric):
    """An ablation, whose self-patch writes what the run has there by itself."""
    return Experiment(Patching("test", "ablate", pairs, (site,), intervention=zero), "change", metric, placebo_draws=0)


def neutral(batch):
    """How far any logit of any column moved by a self-patch, against the same rows unpatched; tokens are the same."""
    moved = 0.0
    for study in batch.studies:
        for pair in batch.pairs.ids:
            own, unpatched = batch.gave[study.own, pair], batch.gave[study.unpatched, pair]
            assert own.tokens == unpatched.tokens == batch.gave["clean", pair].tokens[: len(own.tokens)]
            moved = max(moved, float((own.logits - unpatched.logits).abs().max()))
    return moved


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
@pytest.mark.parametrize("component", EVERYTHING)
def test_a_self_patch_moves_no_logit_beyond_rounding(request, family, component, planned, tight):
    """Not bit for bit: the two are other rows of one forward. All sites in one plan, each pair a chunk's first."""
    tiny = request.getfixturevalue(family)
    places = (index(0), index(2, -1), step(0), step(2), EVERYWHERE)
    sites = dict.fromkeys(SITES[component](layer, at) for layer in range(3) for at in places)
    metric = exact_match(max_new_tokens=4)
    asked = [itself(tiny.pairs, site, metric) for site in sites]
    assert neutral(planned(tiny.backend.loaded, asked, budget=tight(1, LIMITS))) <= 1e-5


@pytest.mark.parametrize("component", EVERYTHING)
def test_a_self_patch_of_the_ducks_moves_no_logit_beyond_rounding(ducks, twins, component, planned, tight):
    places = (index(9), thought(0), thought(5), thought(range(6)), step(0), EVERYWHERE)
    sites = dict.fromkeys(SITES[component](layer, at) for layer in (0, 6, 11) for at in places)
    asked = [itself(twins[:3], site, accuracy) for site in sites]
    assert neutral(planned(ducks.backend.loaded, asked, budget=tight(1, LIMITS))) <= 1e-4  # of logits of about 20


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "ducks"])
def test_a_self_patch_is_within_a_tolerance_that_is_tiny(request, family, twins):
    """Rounding is measured, and is rounding: of logits of about 10, less than a ten-thousandth."""
    given = request.getfixturevalue(family)
    backend, pairs = given.backend, twins[:4] if family == "ducks" else given.pairs
    for site in (embed(index(1)), resid_pre(1, index(0)), mlp_out(2, index(3)), head(1, 2, index(-1)), attn_out(0)):
        for metric in (logit_diff, accuracy) if family == "ducks" else (logit_diff,):
            control = backend.measure(itself(pairs, site, metric)).measured.controls.self_patch
            assert control.neutral
            assert control.moved <= control.tolerance < 1e-4


def test_a_block_input_is_the_output_of_the_block_before(tiny_gpt2, tiny_llama):
    for tiny in (tiny_gpt2, tiny_llama):
        seen = run(tiny.backend.loaded, prompts(tiny), new_tokens=2, record=EVERYTHING).activations
        for layer in range(1, 3):
            assert torch.equal(seen["resid_pre", layer], seen["resid_post", layer - 1])
            assert not torch.equal(seen["resid_pre", layer], seen["resid_post", layer])


# Forking


@pytest.mark.parametrize("position", [0, 4, 5, 7])
@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox"])
def test_a_forked_run_gives_what_a_whole_one_gives(request, family, position):
    tiny = request.getfixturevalue(family)
    model, ids = tiny.backend.loaded, prompts(tiny)
    base = run(model, ids, new_tokens=4, record=("embed", "resid_pre", "resid_post"), keep_keys=True)
    width = model.model.config.hidden_size
    patch = one_patch(rows=(0, 2), positions=(position, position), width=width)
    whole = run(model, ids, new_tokens=4, patches=[patch])
    everything = run(model, ids, new_tokens=4, patches=[patch], shortcuts=WHOLE)
    tokens, logits, forwards = forked(model, ids, patch, 4, base)
    for other in (whole, everything):
        assert torch.allclose(logits, other.logits[[0, 2]], **CLOSE)
        assert torch.equal(tokens, other.tokens[[0, 2]])
    assert whole.forwards == everything.forwards == 4
    # The prompt is one forward; the token at position 5 + n is the one after it.
    assert forwards == 4 - max(0, position - 4)


@pytest.mark.parametrize("k", [0, 3, 5])
def test_a_forked_chain_of_thoughts_gives_what_a_whole_one_gives(ducks, twins, k):
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    base = run(model, chunk.clean, new_tokens=2, record=EVERYTHING, keep_keys=True)
    rows = len(chunk.pairs)
    at = torch.full((rows,), chunk.prompt_tokens + 1 + k)
    for component in ("embed", "resid_post"):
        patch = Patch(component, 0, None, torch.arange(rows), at, torch.randn(rows, 64))
        whole = run(model, chunk.clean, new_tokens=2, patches=[patch])
        tokens, logits, forwards = forked(model, chunk.clean, patch, 2, base)
        assert torch.allclose(logits, whole.logits, atol=1e-4, rtol=1e-5)
        assert torch.equal(tokens, whole.tokens)
        assert (whole.forwards, forwards) == (9, 9 - 1 - k)


def test_a_run_does_not_change_the_run_that_it_forks_off(ducks, twins):
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    base = run(model, chunk.clean, new_tokens=2, record=("embed", "resid_pre", "resid_post"), keep_keys=True)
    before = copy.deepcopy((base.keys, base.logits, base.tokens, dict(base.activations)))
    at = torch.tensor([chunk.prompt_tokens + 3, 4])
    patch = Patch("resid_post", 3, None, torch.tensor([0, 1]), at, torch.ones(2, 64))
    forked(model, chunk.clean, patch, 2, base)
    assert all(torch.equal(a, b) for x, y in zip(before[0], base.keys, strict=True) for a, b in zip(x, y, strict=True))
    assert torch.equal(before[1], base.logits) and torch.equal(before[2], base.tokens)
    assert all(torch.equal(whole, base.activations[place]) for place, whole in before[3].items())


def test_the_kept_keys_are_those_of_every_position_in_every_layer(tiny_gpt2, tiny_mistral):
    """Those behind a sliding window too: a run may fork off where the window was elsewhere."""
    for tiny in (tiny_gpt2, tiny_mistral):
        model, ids = tiny.backend.loaded, prompts(tiny, 7)
        given = run(model, ids, new_tokens=3, record=("v",), keep_keys=True)
        assert len(given.keys) == 3
        for layer, (keys, values) in enumerate(given.keys):
            assert keys.shape[2] == values.shape[2] == 7 + 2
            seen = given.activations["v", layer]
            assert torch.equal(values.transpose(1, 2).flatten(2), seen)


@pytest.mark.parametrize("family", ["tiny_mistral", "tiny_gemma2"])
def test_attention_in_a_sliding_window_forks_to_the_same_numbers(request, plain, family, random_pairs):
    """A window shorter than the prompt: what has left it must not come back changed."""
    tiny = request.getfixturevalue(family)
    model = tiny.backend.loaded
    ids = tiny.backend.references.chunks(random_pairs(4, (9,)))[0].clean
    base = run(model, ids, new_tokens=5, record=EVERYTHING, keep_keys=True)
    assert model.model.config.sliding_window < ids.shape[1]
    for position in (1, 6, 9, 11):
        own = base.activations["resid_post", 1][:1, position]
        other = torch.ones_like(own)
        for vector in (own, other):
            patch = Patch("resid_post", 1, None, torch.tensor([0]), torch.tensor([position]), vector)
            _, logits, _ = forked(model, ids, patch, 5, base)
            whole = run(model, ids, new_tokens=5, patches=[patch])
            assert torch.allclose(logits[0], whole.logits[0], **CLOSE)
        # The one layer above is three tokens wide, and cannot bring token 1 to the last of nine.
        assert torch.allclose(logits[0], base.logits[0], **CLOSE) == (position == 1)
        tokens, wanted, _ = plain.generate(
            model.model, ids[0].tolist(), 5, [plain.Change("resid_post", 1, position, other[0])]
        )
        assert whole.tokens[0].tolist() == tokens
        assert torch.allclose(logits[0], wanted, atol=1e-4, rtol=0)


# What is refused


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_an_error(new_gpt2, word_tokenizer, poison):
    model = new_gpt2()
    lab = Lab(model, word_tokenizer(), name="poisoned")
    assert lab.backend.model == "poisoned"
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[3] = poison
    with pytest.raises(
        MeasurementError, match=r"poisoned gave a logit that is NaN or infinite \(first in row 0 of 3\)"
    ):
        run(lab.backend.loaded, torch.tensor([[1, 2], [3, 4], [5, 6]]), new_tokens=1)


def test_weights_that_are_no_numbers_are_an_error_when_the_model_is_opened(new_gpt2, word_tokenizer):
    model = new_gpt2()
    with torch.no_grad():
        model.transformer.wte.weight[1] = math.nan
    with pytest.raises(MeasurementError, match="poisoned gave a logit that is NaN or infinite"):
        _ = Lab(model, word_tokenizer(), name="poisoned").backend


def test_a_patched_run_that_overflows_says_that_it_was_patched(tiny_gpt2):
    patch = Patch("resid_post", 1, None, torch.tensor([2]), torch.tensor([4]), torch.full((1, 16), math.inf))
    with pytest.raises(MeasurementError, match=r"NaN or infinite \(first in row 2 of 3, patched\)"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[patch])


@pytest.fixture(scope="module")
def unsteady(new_gpt2, word_tokenizer):
    """A model whose norms divide by nothing where a stream is all zeros. Six pairs, of which it is measured."""
    return ModelBackend(Lab(new_gpt2(layer_norm_epsilon=0.0), word_tokenizer(), name="unsteady").backend.loaded)


def test_a_patched_run_without_numbers_fails_the_experiments_that_own_it_and_no_other(unsteady, random_pairs, planned):
    """All share forwards; each other experiment's numbers are those that it gives alone."""
    pairs = random_pairs()
    fine = [resid_post(0, index(1)), mlp_out(1, index(-1)), head(2, 1, index(0)), resid_pre(1, index(-1))]
    asked = [Experiment(Patching("t", "denoise", pairs, (site,)), "change", logit_diff) for site in fine]
    bad = Experiment(Patching("t", "ablate", pairs, (resid_post(1, index(-1)),), zero), "change", logit_diff)
    backend = ModelBackend(unsteady.loaded)
    backend.expect([*asked, bad])
    together = [backend.measure(one).measured for one in asked]
    with pytest.raises(MeasurementError, match=r"unsteady gave a logit that is NaN or infinite \(first in row 0 of 6"):
        backend.measure(bad)
    for one, numbers in zip(asked, together, strict=True):
        assert numbers.values == pytest.approx(unsteady.measure(one).measured.values, abs=1e-5)
        assert numbers.controls.self_patch.neutral
    batch = planned(unsteady.loaded, [*asked, bad])
    broken = {arm for (arm, _), gave in batch.gave.items() if not bool(torch.isfinite(gave.logits).all())}
    assert broken == {batch.studies[-1].patched.arm, batch.studies[-1].everywhere.arm}


def test_a_row_without_numbers_is_marked_and_the_rows_beside_it_are_as_before(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    base, segments = run(model, ids, new_tokens=3, record=EVERYTHING, keep_keys=True), timeline(model, 5, 3)
    three = np.arange(3)
    (wave,) = plan(Rows(three, three, three + 1, three * 0 + 1), segments, 3, LIMITS)
    columns = Columns(torch.arange(30), all_computed=True)

    def given(value):
        values = torch.full((3, 16), 2.0)
        values[1] = value
        patch = Patch("resid_pre", 1, None, torch.from_numpy(three), torch.from_numpy(wave.rows.start), values)
        return run_wave(model, ids, wave, segments, columns=columns, base=base, patches=[patch])

    sound, broken = given(2.0), given(math.nan)
    assert sound.finite.tolist() == [True, True, True]
    assert broken.finite.tolist() == [True, False, True]
    assert torch.equal(sound.logits[[0, 2]], broken.logits[[0, 2]])
    assert torch.equal(sound.tokens[[0, 2]], broken.tokens[[0, 2]])


def test_a_run_longer_than_the_model_has_positions_says_both_lengths(ducks, twins):
    with pytest.raises(MeasurementError, match=r"64 positions, and a prompt of \d+ tokens with 32 .* needs"):
        ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(exact_match)


# What is left behind


def test_nothing_is_left_on_the_model_after_a_run_and_after_an_error(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    assert left_behind(model.model) == []
    run(model, ids, new_tokens=2, record=EVERYTHING, patches=[one_patch()])
    assert left_behind(model.model) == []
    with pytest.raises(MeasurementError):
        run(model, ids, new_tokens=1, patches=[one_patch(positions=(50,))])
    assert left_behind(model.model) == []
    with pytest.raises(RuntimeError):
        run(model, ids, new_tokens=1, record=EVERYTHING, patches=[one_patch(width=99)])
    assert left_behind(model.model) == []


@pytest.mark.parametrize("narrow", [True, False])
def test_nothing_is_left_of_blocks_passed_over_and_of_a_narrowed_head(tiny_gpt2, narrow):
    """While a fork runs, the blocks below it and the head have a `forward` of their own; after an error too not."""
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    base, segments = run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True), timeline(model, 5, 1)
    one = np.zeros(1, dtype=np.int64)
    (wave,) = plan(Rows(one, one, one + 2, one + 2), segments, 3, LIMITS)
    columns = Columns(torch.tensor([3, 8]), all_computed=not narrow)
    during = []

    def look(*_):
        during.append(left_behind(model.model))
        if fails:
            raise OSError("in the middle")

    base = base if narrow else run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True, columns=columns)
    handle = model.model.transformer.ln_f.register_forward_hook(look)
    passed = {"transformer.h.0", "transformer.h.1"}
    try:
        for fails in (False, True):
            given = {"columns": columns, "patches": [one_patch("resid_pre", 2, positions=(2,))]}
            if narrow:
                cut = type(base)(base.tokens, base.logits[:, :, [3, 8]], base.finite, base.activations, base.keys)
                given["base"] = cut
            else:
                given["base"] = base
            if fails:
                with pytest.raises(OSError, match="in the middle"):
                    run_wave(model, ids, wave, segments, **given)
            else:
                run_wave(model, ids, wave, segments, **given)
            assert passed <= set(during[-1])
            assert ("lm_head" in during[-1]) == narrow
            assert left_behind(model.model) == ["transformer.ln_f"]  # the test's own
    finally:
        handle.remove()
    assert left_behind(model.model) == []


def test_a_forward_that_was_there_before_is_there_after(tiny_gpt2):
    """Some wrap a module by setting its `forward`; it is put back, and called for the blocks that compute."""
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    block, called = model.blocks[0].block, []
    real = block.forward

    def mine(*given, **more):
        called.append(1)
        return real(*given, **more)

    block.forward = mine
    try:
        base = run(model, ids, new_tokens=1, record=EVERYTHING, keep_keys=True)
        assert called == [1]
        forked(model, ids, one_patch(positions=(2,)), 1, base)
        assert vars(block)["forward"] is mine
        assert called == [1]
    finally:
        del block.forward


@pytest.mark.parametrize("way", ["on_input", "on_output", "on_block_input"])
def test_hooks_are_gone_when_attaching_them_fails(tiny_gpt2, monkeypatch, way):
    """At each kind's second hook: by then others are attached, in the same block too."""
    real, calls = getattr(engine, way), []

    def refuse(*given):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("no")
        return real(*given)

    monkeypatch.setattr(engine, way, refuse)
    patches = [one_patch("resid_pre", layer, positions=(layer,)) for layer in range(3)]
    with pytest.raises(OSError, match="no"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, record=EVERYTHING, patches=patches)
    assert left_behind(tiny_gpt2.model) == []


def test_a_run_leaves_the_weights_as_they_are(tiny_gpt2):
    before = copy.deepcopy(tiny_gpt2.model.state_dict())
    run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=3, record=EVERYTHING, patches=[one_patch()])
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_gpt2.model.state_dict().items())


def test_nothing_is_kept_for_gradients(tiny_gpt2):
    given = run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, record=EVERYTHING)
    assert not given.logits.requires_grad
    assert not any(whole.requires_grad for whole in given.activations.values())


# Decoding


def test_clean_and_patched_runs_never_generate_the_end_token(ducks, twins):
    """The end token closes the thoughts; on no arm may it be an answer."""
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    (banned,) = model.reasoning.never_generated
    rows = len(chunk.pairs)
    # A last hidden state along the end token's own row makes it the likeliest token.
    wanted = 100 * model.model.transformer.wte.weight[banned].detach().expand(rows, -1)
    at = torch.full((rows,), chunk.prompt_tokens + 1 + 6)
    patch = Patch("resid_post", 11, None, torch.arange(rows), at, wanted)
    given = run(model, chunk.clean, new_tokens=2, patches=[patch])
    assert bool((given.logits[:, 0].argmax(-1) == banned).all())
    assert not bool((given.tokens == banned).any())


def test_tokens_are_the_likeliest_of_their_logits(tiny_llama):
    given = run(tiny_llama.backend.loaded, prompts(tiny_llama), new_tokens=4)
    assert torch.equal(given.tokens, given.logits.argmax(-1))
    assert given.tokens.shape == (3, 4)
    assert given.logits.shape == (3, 4, 30)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_is_narrowed_gives_the_columns_of_the_whole_one(
    new_gpt2, word_tokenizer, random_pairs, planned, tied
):
    """With a bias too, which some decoders have at their head."""
    model = new_gpt2(tie_word_embeddings=tied)
    model.lm_head.bias = torch.nn.Parameter(torch.linspace(-3, 3, 30))
    loaded = Lab(model, word_tokenizer(), name="biased").backend.loaded
    site, pairs = resid_post(0, index(1)), random_pairs()

    def columns(metric):
        asked = Experiment(Patching("t", "denoise", pairs, (site,)), "change", metric, controls=False)
        batch = planned(loaded, [asked], wide=False)
        assert batch.chooses == (metric != logit_diff)
        return torch.stack([batch.gave[batch.studies[0].patched.arm, pair].logits for pair in pairs.ids])

    assert torch.allclose(columns(logit_diff), columns(exact_match(max_new_tokens=1)), **CLOSE)
