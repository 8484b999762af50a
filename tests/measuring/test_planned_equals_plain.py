"""Planned, batched, forked and trimmed runs against one hook in one full forward, on drawn models and questions.

CAUSALTEST_EXAMPLES=500 draws as many for each family, from more models.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest import Pair, Pairs, accuracy, exact_match, logit
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import mean, replace, scale, zero
from causaltest.asking.positions import every, index, last, step
from causaltest.asking.sites import Site
from causaltest.measuring import engine
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.engine import Shortcuts
from causaltest.measuring.planner import Limits
from causaltest.measuring.proofs import prove

EXAMPLES = int(os.environ.get("CAUSALTEST_EXAMPLES", "30"))
MODELS = 3 if EXAMPLES < 100 else 40
"""Drawn models of a family."""
FAMILIES = ("gpt2", "llama", "mistral", "gemma2", "neox")
CLOSE = 1e-5
TIE = 1e-4
"""Of two logits as close as this, rounding may choose either; what follows is then another text."""
COMPONENTS = (
    "embed", "resid_pre", "q", "k", "v", "head", "attn_out", "resid_mid", "neuron", "mlp_out", "resid_post",
)  # fmt: skip
PARTED = ("q", "k", "v", "head", "neuron")
WAYS = (("denoise", replace), ("noise", replace), ("ablate", zero), ("ablate", mean), ("ablate", scale(-0.5)))
DRAWN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)


# Models


def changes_of(family: str, seed: int) -> dict[str, Any]:
    """How a drawn model differs from the family's tiny one."""
    rng = random.Random(f"{family} {seed}")
    layers, heads = (3, 1, 4, 2)[seed % 4], rng.choice((1, 2, 4))
    if family == "gpt2":
        return {"n_layer": layers, "n_head": heads, "scale_attn_by_inverse_layer_idx": rng.random() < 0.5}
    shared = {"num_hidden_layers": layers}
    if family == "neox":
        return {**shared, "num_attention_heads": heads, "use_parallel_residual": rng.random() < 0.7}
    shared |= {"num_attention_heads": heads, "num_key_value_heads": rng.choice([n for n in (1, 2, 4) if n <= heads])}
    if family == "llama":
        return {**shared, "attention_bias": rng.random() < 0.5, "tie_word_embeddings": rng.random() < 0.5}
    shared |= {"sliding_window": rng.choice((2, 3, 5))}
    if family == "gemma2":
        return {**shared, "head_dim": rng.choice((4, 6)), "final_logit_softcapping": rng.choice((None, 2.0, 30.0))}
    return shared


@pytest.fixture(scope="module")
def drawn_model(new_gpt2, new_llama, new_mistral, new_gemma2, new_neox, word_tokenizer):
    """A model of a family by its number, and the shortcuts proven to hold for it: all."""
    makes = {"gpt2": new_gpt2, "llama": new_llama, "mistral": new_mistral, "gemma2": new_gemma2, "neox": new_neox}

    @cache
    def model(family: str, seed: int) -> Any:
        made = makes[family](**changes_of(family, seed))
        generator = torch.Generator().manual_seed(seed)
        if family == "gpt2" and seed % 2:
            # Some decoders have a bias at their head, though none of these families.
            made.lm_head.bias = torch.nn.Parameter(torch.zeros(made.config.vocab_size))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        loaded = wrap(made, word_tokenizer(), f"{family} {seed}")
        proven = prove(loaded, torch.tensor([[3, 8, 1, 12, 7, 15]]))
        assert proven.forks and proven.trims
        return loaded, proven

    return model


def offered(model: Any) -> list[str]:
    return [component for component in COMPONENTS if component not in model.disabled]


# Questions


@dataclass(frozen=True)
class Question:
    """Experiments on the same pairs, and how their runs are cut."""

    model: Any
    shortcuts: Shortcuts
    pairs: Pairs
    experiments: tuple[Experiment, ...]
    limits: Limits
    chunk: int
    wide: bool

    def __repr__(self) -> str:  # what Hypothesis prints
        asked = [f"{e.summary} of {e.metric} controls={e.controls}" for e in self.experiments]
        prompts = [(p.clean, p.corrupt, p.answer) for p in self.pairs]
        return f"{self.model.name}: {asked}, {prompts}, {self.limits}, chunks of {self.chunk}, wide={self.wide}"


@st.composite
def pairs_of(draw, words):
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    rng = draw(st.randoms(use_true_random=False))
    made = []
    for n in range(draw(st.integers(1, 4))):
        length = lengths[n % len(lengths)]
        clean, corrupt = (" ".join(rng.choice(words) for _ in range(length)) for _ in range(2))
        answer, other = rng.sample(words, 2)
        made.append(Pair(clean=clean, corrupt=corrupt, answer=answer, corrupt_answer=other))
    return Pairs(made, iid=True)


def some(largest, most=2):
    return st.lists(st.integers(0, largest), min_size=1, max_size=most, unique=True).map(tuple)


@st.composite
def sites_of(draw, model, shortest, new_tokens, one_position):
    """One to three sites; each of as many positions where their mean is taken."""
    sites = []
    for component in draw(st.lists(st.sampled_from(offered(model)), min_size=1, max_size=3)):
        layers = () if component == "embed" else draw(some(len(model.blocks) - 1))
        parts = ()
        if component in PARTED:
            parts = draw(some(len(model.blocks[0].taps[component].parts) - 1))
        if one_position:
            where = st.one_of(
                st.integers(-shortest, shortest - 1).map(index),
                st.integers(0, new_tokens - 1).map(step),
                st.just(last()),
            )
        else:
            where = st.one_of(
                some(shortest - 1).map(lambda at: index(*at)),
                st.integers(-shortest, -1).map(index),
                some(new_tokens - 1).map(lambda at: step(*at)),
                st.just(last()),
                st.just(every()),
            )
        sites.append(Site(component, layers, parts, draw(where)))
    return tuple(dict.fromkeys(sites))


@st.composite
def along(draw, site, model):
    """The site along a few drawn directions."""
    width = model.model.config.hidden_size
    if site.component in PARTED:
        width = len(model.blocks[0].taps[site.component].parts[0])
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return site.along(torch.randn(draw(st.integers(1, min(width, 3))), width, generator=generator))


@st.composite
def questions(draw, models, family, words, most=3):
    model, shortcuts = models(family, draw(st.integers(0, MODELS - 1)))
    pairs = draw(pairs_of(words))
    shortest = min(len(p.clean.split()) for p in pairs)
    asked = []
    for _ in range(draw(st.integers(1, most))):
        direction, by = draw(st.sampled_from(WAYS))
        new_tokens = draw(st.integers(1, 4))
        metric = exact_match(max_new_tokens=new_tokens)
        if new_tokens == 1 and draw(st.booleans()):
            metric = logit
        sites = draw(sites_of(model, shortest, new_tokens, by == mean))
        if (part := draw(st.booleans())) or by == scale(-0.5):
            # What is changed by what it is may be named once; of several layers the upper sees what the lower did.
            sites = (draw(along(sites[0], model)) if part else sites[0],)
        controls = draw(st.integers(0, 3)) == 0
        asked.append(
            Experiment(
                Patching("drawn", direction, pairs, sites, by), "change", metric, controls, int(controls and by != mean)
            )
        )
    experiments = tuple({e.digest: e for e in asked}.values())
    limits = Limits(
        draw(st.one_of(st.integers(1, 60), st.just(1 << 16))),
        draw(st.one_of(st.integers(1, 8), st.just(1 << 12))),
        draw(st.integers(0, 50)),
    )
    return Question(model, shortcuts, pairs, experiments, limits, draw(st.integers(1, 4)), draw(st.booleans()))


# Answers


def tied(logits: torch.Tensor) -> int:
    """The first step at which rounding may choose another token."""
    best = logits.topk(2, dim=-1).values
    close = (best[:, 0] - best[:, 1] < TIE).nonzero().flatten().tolist()
    return close[0] if close else len(logits)


class Plainly:
    """The plain runs of a question's pairs."""

    def __init__(self, plain: Any, model: Any, pairs: Pairs) -> None:
        self.plain, self.model, self.pairs = plain, model, pairs
        self._unpatched: dict[tuple[str, int], Any] = {}

    def ids(self, text: str) -> list[int]:
        return self.model.tokenizer(text)["input_ids"]

    def unpatched(self, text: str, new_tokens: int) -> Any:
        if (text, new_tokens) not in self._unpatched:
            self._unpatched[text, new_tokens] = self.plain.generate(self.model.model, self.ids(text), new_tokens)
        return self._unpatched[text, new_tokens]

    def spots(self, experiment: Experiment, pair: Pair, new_tokens: int) -> list[tuple[str, int, int | None, int]]:
        """(component, layer, part, position) of all that is patched, site by site."""
        length, out = len(self.ids(pair.clean)), []
        for site in experiment.patching.sites:
            kind, numbers = site.position.kind, site.position.numbers
            at = {
                "index": [n % length for n in numbers],
                "step": [length - 1 + n for n in numbers],
                "last": [length - 1],
                "every": list(range(length)),
                "everywhere": list(range(length + new_tokens - 1)),
            }[kind]
            out += [
                (site.component, layer, part, position)
                for layer in site.layers or (0,)
                for part in site.parts or (None,)
                for position in at
            ]
        return out

    def patched(self, experiment: Experiment, pair: Pair, new_tokens: int) -> tuple[list[int], torch.Tensor] | None:
        """Tokens and logits of a patched run; None where a tie decides what is put there."""
        changes = self.changes(experiment, pair, new_tokens)
        if changes is None:
            return None
        mine = pair.clean if experiment.patching.direction != "denoise" else pair.corrupt
        tokens, logits, _ = self.plain.generate(self.model.model, self.ids(mine), new_tokens, changes)
        return tokens, logits

    def changes(self, experiment: Experiment, pair: Pair, new_tokens: int) -> list[Any] | None:
        """What an experiment writes; None where a tie decides what that is."""
        patching = experiment.patching
        mine, other = (pair.clean, pair.corrupt) if patching.direction != "denoise" else (pair.corrupt, pair.clean)

        def seen(text: str) -> Any:
            _, logits, held = self.unpatched(text, new_tokens)
            ties.append(tied(logits[:-1]) < new_tokens - 1)
            return held

        ties: list[bool] = []
        spots, by = self.spots(experiment, pair, new_tokens), patching.intervention
        changes = []
        for n, (component, layer, part, position) in enumerate(spots):
            if by == scale(-0.5):
                vector = None
            elif by == replace:
                vector = seen(other).vector(component, layer, position, part)
            elif by == zero:
                vector = torch.zeros_like(seen(mine).vector(component, layer, position, part))
            else:
                held = []
                for each in self.pairs:
                    same = self.spots(experiment, each, new_tokens)[n]
                    held.append(seen(each.clean).vector(same[0], same[1], same[3], same[2]))
                vector = torch.stack(held).mean(0)
            formula = self.formula(patching.sites[0], vector)
            changes.append(self.plain.Change(component, layer, position, vector, part, formula))
        return None if any(ties) else changes

    def formula(self, site: Any, vector: torch.Tensor | None) -> Any:
        """What a change makes of what is there; None where the vector simply takes its place."""
        new = (lambda there: -0.5 * there) if vector is None else (lambda there: vector.flatten())
        if site.within is None:
            return new if vector is None else None
        basis = torch.linalg.qr(
            torch.frombuffer(bytearray(site.within.array.data), dtype=torch.float64).view(site.within.array.shape).T
        ).Q.float()
        return lambda there: there + basis @ (basis.T @ (new(there) - there))


def off(given: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, relative to the largest logit where that is above one."""
    return float((given - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))


def agree(given: Any, tokens: list[int], logits: torch.Tensor, columns: torch.Tensor, *, chosen: bool) -> None:
    """Token for token up to a tie, and logit for logit up to the first token that it may have changed."""
    assert given.logits.shape == (len(tokens), len(columns))
    until = tied(logits) if chosen else len(logits)
    for n in range(min(until + 1, len(logits))):
        assert off(given.logits[n], logits[n, columns]) <= CLOSE
    if chosen:
        assert given.tokens[:until] == tokens[:until]


def measured(question: Question, planned: Any, tight: Any, logits_bytes: int) -> Any:
    """The question's batch, its logits in parts of so many bytes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "LOGITS_BYTES_CPU", logits_bytes)
        return planned(
            question.model,
            question.experiments,
            budget=tight(question.chunk, question.limits),
            shortcuts=question.shortcuts,
            wide=question.wide,
        )


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@DRAWN
def test_what_is_planned_gives_what_one_hook_in_one_full_forward_gives(
    plain, drawn_model, words, planned, tight, family, data
):
    question = data.draw(questions(drawn_model, family, words))
    batch = measured(question, planned, tight, data.draw(st.sampled_from((1, 2_000, 1 << 24))))
    columns = batch.references.columns(question.pairs).ids
    plainly = Plainly(plain, question.model, question.pairs)
    for experiment, study in zip(question.experiments, batch.studies, strict=True):
        new_tokens = experiment.metric.max_new_tokens or 1
        chosen = batch.chooses
        for pair in question.pairs:
            wanted = plainly.patched(experiment, pair, new_tokens)
            if wanted is None:
                continue
            agree(batch.gave[study.patched.arm, pair.id], *wanted, columns, chosen=chosen)
            if experiment.controls:
                text = pair.corrupt if experiment.patching.direction == "denoise" else pair.clean
                tokens, logits, _ = plainly.unpatched(text, new_tokens)
                for arm in (study.own, study.unpatched):
                    if (arm, pair.id) in batch.gave:
                        agree(batch.gave[arm, pair.id], tokens, logits, columns, chosen=chosen)
                if study.met is not None:
                    everywhere = plainly.patched(
                        replaced(experiment, patching=study.everywhere.patching), pair, new_tokens
                    )
                    if everywhere is not None:
                        # The unpatched run goes as far as the longest answer that is asked for.
                        met = batch.gave[study.everywhere.arm, pair.id]
                        met = met._replace(tokens=met.tokens[:new_tokens], logits=met.logits[:new_tokens])
                        agree(met, *everywhere, columns, chosen=chosen)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@DRAWN
def test_experiments_planned_together_give_what_each_gives_alone(drawn_model, words, planned, tight, family, data):
    question = data.draw(questions(drawn_model, family, words, most=6))
    together = planned(
        question.model,
        question.experiments,
        budget=tight(question.chunk, question.limits),
        shortcuts=question.shortcuts,
    )
    columns = together.references.columns(question.pairs).ids
    for experiment, study in zip(question.experiments, together.studies, strict=True):
        alone = planned(question.model, [experiment], shortcuts=question.shortcuts)
        (mine,) = alone.studies
        arms = {study.patched.arm: mine.patched.arm}
        if experiment.controls:
            arms |= {study.own: mine.own, **dict(zip(study.placebos, mine.placebos, strict=True))}
            if study.everywhere is not None and study.met is None:
                arms[study.everywhere.arm] = mine.everywhere.arm
        for pair in question.pairs:
            if any(tied(together.gave[side, pair.id].logits) < 4 for side in ("clean", "corrupt")):
                continue  # what is put there may be another text's
            for arm, own in arms.items():
                if (arm, pair.id) not in together.gave or (own, pair.id) not in alone.gave:
                    continue  # a few pairs alone run their self-patch
                wanted = alone.gave[own, pair.id]
                agree(
                    together.gave[arm, pair.id],
                    wanted.tokens,
                    wanted.logits,
                    torch.arange(len(columns)),
                    chosen=together.chooses and alone.chooses,
                )


# Forced answers


@st.composite
def forced_questions(draw, plain, models, family, words):
    """Experiments on whole answers: some that the model gives, some that it gives but for a token, some drawn."""
    question = draw(questions(models, family, words))
    model, rng = question.model, draw(st.randoms(use_true_random=False))
    pairs = []
    for pair in question.pairs:
        count = draw(st.integers(1, 4))
        given, _, _ = plain.generate(model.model, model.tokenizer(pair.clean)["input_ids"], count)
        answer = model.tokenizer.convert_ids_to_tokens(given)
        if (kind := draw(st.integers(0, 2))) or not set(answer) <= set(words):
            answer = answer if kind == 1 and set(answer) <= set(words) else rng.choices(words, k=count)
            answer[-1] = rng.choice(words)
        pairs.append(Pair(clean=pair.clean, corrupt=pair.corrupt, answer=" ".join(answer)))
    asked = []
    shortest = min(len(p.clean.split()) for p in pairs)
    for experiment in question.experiments:
        direction, by = experiment.patching.direction, experiment.patching.intervention
        sites = draw(sites_of(model, shortest, 1, by == mean))
        sites = sites[:1] if by == scale(-0.5) else sites
        patching = Patching("drawn", direction, Pairs(pairs, iid=True), sites, by)
        asked.append(Experiment(patching, "change", accuracy, experiment.controls, experiment.placebo_draws))
    experiments = tuple({e.digest: e for e in asked}.values())
    return replaced(question, pairs=experiments[0].patching.pairs, experiments=experiments)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@DRAWN
def test_a_forced_answer_is_right_where_a_plain_run_generates_it(
    plain, drawn_model, words, planned, tight, family, data
):
    question = data.draw(forced_questions(plain, drawn_model, family, words))
    batch = measured(question, planned, tight, data.draw(st.sampled_from((1, 2_000, 1 << 24))))
    assert batch.forced and len({arm.new_tokens for arm in batch.arms}) == 1
    columns = batch.references.columns(question.pairs).ids
    plainly = Plainly(plain, question.model, question.pairs)
    for experiment, study in zip(question.experiments, batch.studies, strict=True):
        scores = scored(batch, study.patched.arm)
        for pair in question.pairs:
            answer = plainly.ids(pair.answer)
            changes = plainly.changes(experiment, pair, 1)
            mine = plainly.ids(pair.corrupt if experiment.patching.direction == "denoise" else pair.clean)
            gave = batch.gave[study.patched.arm, pair.id]
            # One hook each in one full forward over the prompt and the answer.
            whole = plain.forward(question.model.model, [*mine, *answer[:-1]], changes).logits[len(mine) - 1 :]
            assert off(gave.logits[: len(answer)], whole[:, columns]) <= CLOSE
            # And the answer that the patched run gives by itself.
            tokens, logits, _ = plain.generate(question.model.model, mine, len(answer), changes)
            if tied(logits) == len(logits):
                assert scores[pair.id] == (tokens == answer)


def scored(batch: Any, arm: int) -> dict[str, float]:
    """Each pair's accuracy, by the tokens that came out."""
    return {
        p.pair.id: float(tuple(batch.gave[arm, p.pair.id].tokens[: len(p.answer)]) == p.answer)
        for chunk in batch.chunks
        for p in chunk.pairs
    }


def test_the_drawn_models_have_all_that_their_families_have(drawn_model):
    """Else a family's own way would never be drawn."""
    for family in FAMILIES:
        models = [drawn_model(family, seed)[0] for seed in range(3)]
        for model in models:
            assert {"k", "v", "q", "neuron", "head", "resid_pre", "embed"} <= set(offered(model))
        assert len({len(model.blocks) for model in models}) > 1
