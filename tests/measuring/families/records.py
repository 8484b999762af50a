"""What a family offers, as a record: per component "offered", "some: why not all", "disabled: why" or "refused: why".

A record is written only of what was measured to be right: each offered component, in every layer, replaced and
ablated, against one hook in one full forward.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from families.catalogue import FAMILIES, Family, make
from families.plain import Change, Seen, forward, generate

from causaltest import Pair, Pairs, exact_match, index, logit, step
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import Intervention, replace, zero
from causaltest.asking.sites import Site
from causaltest.errors import CausaltestError, ModelError, SiteError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.proofs import prove

COMPONENTS = (
    "embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "head", "q", "k", "v", "neuron",
)  # fmt: skip
PARTED = ("head", "q", "k", "v", "neuron")
CLOSE = 1e-4
"""Relative to the largest logit."""
MOVES = 1e-3
"""Of the largest logit; a patch that moves nothing would be equal to anything."""
LAST, EARLY, TOKENS = 5, 2, 3
PAIRS = Pairs(
    [
        Pair(clean="the cat sat by one fox", corrupt="a dog ran on two hen", answer="red", corrupt_answer="blue"),
        Pair(clean="small hen ate the big dog", corrupt="three red cat saw a fox", answer="one", corrupt_answer="two"),
    ],
    iid=True,
)
Way = tuple[str, Intervention]
DENOISE, ABLATE = ("denoise", replace), ("ablate", zero)


@dataclass(frozen=True)
class Question:
    """One patched run of every pair."""

    component: str
    layer: int
    part: int | None
    position: int
    way: Way

    @property
    def site(self) -> Site:
        layers = () if self.component == "embed" else (self.layer,)
        parts = () if self.part is None else (self.part,)
        return Site(self.component, layers, parts, index(self.position))  # type: ignore[arg-type]

    def experiment(self) -> Experiment:
        patching = Patching("families", self.way[0], PAIRS, (self.site,), self.way[1])  # type: ignore[arg-type]
        return Experiment(patching, "change", logit, controls=False)


@dataclass
class Record:
    """What was found out about a family, and what was wrong with it."""

    model: str
    facts: tuple[str, ...]
    components: dict[str, str] = field(default_factory=dict)
    whole_runs: str = ""
    """Why its runs cannot begin at their patch; empty where they can."""
    wrong: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "facts": list(self.facts),
            "whole_runs": self.whole_runs,
            "components": self.components,
        }


def record_of(name: str, tokenizer: Any, planned: Callable[..., Any]) -> Record:
    """Measures one family."""
    family, model = FAMILIES[name], make(name)
    record = Record(type(model).__name__, family.facts)
    try:
        loaded = wrap(model, tokenizer, name)
    except ModelError as error:
        record.components = dict.fromkeys(COMPONENTS, f"refused: {sentence(error)}")
        return record
    ids = {(i, side): tokenizer(getattr(p, side))["input_ids"] for i, p in enumerate(PAIRS) for side in SIDES}
    runs = {key: forward(family, model, prompt) for key, prompt in ids.items()}
    questions: list[Question] = []
    for component in COMPONENTS:
        record.components[component] = offered(family, loaded, component, runs[0, "clean"], questions, record.wrong)
    shortcuts = prove(loaded, torch.tensor([ids[0, "clean"]]))
    record.whole_runs = "" if shortcuts.forks else without_words_of_torch(shortcuts.why)
    if questions:
        try:
            batch = planned(loaded, [q.experiment() for q in questions], shortcuts=shortcuts)
        except CausaltestError as error:
            record.components = dict.fromkeys(COMPONENTS, f"refused: {sentence(error)}")
            return record
        compare(family, model, ids, runs, questions, batch, record.wrong)
        generates(family, model, loaded, ids, questions, planned, shortcuts, record.wrong)
    return record


SIDES = ("clean", "corrupt")


def offered(
    family: Family, loaded: Any, component: str, seen: Seen, questions: list[Question], wrong: list[str]
) -> str:
    """Whether a component is offered; adds what is to be asked of it."""
    if component in loaded.disabled:
        return f"disabled: {told(component, loaded.disabled[component], wrong)}"
    missing = ""
    layers = 1 if component == "embed" else len(loaded.blocks)
    for layer in range(layers):
        there = (component, layer) in seen.at
        count = seen.at[component, layer].shape[1] if there and component in PARTED else 0
        why = refusal(loaded, Question(component, layer, 0 if component in PARTED else None, LAST, DENOISE).site)
        if why is not None:
            missing = missing or told(component, why, wrong)
        elif not there:
            wrong.append(f"{component} is offered in layer {layer}, which has none")
        elif count and refusal(loaded, Question(component, layer, count, LAST, DENOISE).site) is None:
            wrong.append(f"{component} has {count} parts in layer {layer}, and one more is offered")
        elif count and refusal(loaded, Question(component, layer, count - 1, LAST, DENOISE).site) is not None:
            wrong.append(f"{component} has {count} parts in layer {layer}, and the last one is refused")
        else:
            questions += asked(component, layer, count)
    mine = any(question.component == component for question in questions)
    return f"{'some' if mine else 'disabled'}: {missing}" if missing else "offered"


def asked(component: str, layer: int, count: int) -> Iterator[Question]:
    """Three patched runs: two positions, both ways, and where there are parts three of them."""
    last, middle = (count - 1, count // 2) if count else (None, None)
    yield Question(component, layer, 0 if count else None, LAST if component != "k" else EARLY + 1, DENOISE)
    yield Question(component, layer, last, EARLY, DENOISE)
    yield Question(component, layer, middle, LAST if layer % 2 else EARLY + 1, ABLATE)


def refusal(loaded: Any, site: Site) -> str | None:
    try:
        loaded.check(site)
    except SiteError as error:
        return str(error)
    return None


def compare(
    family: Family, model: Any, ids: Any, runs: dict[Any, Seen], questions: list[Question], batch: Any, wrong: list[str]
) -> None:
    """Every answer against one full forward."""
    moved: dict[tuple[str, int], float] = {}
    for question, study in zip(questions, batch.studies, strict=True):
        direction, by = question.way
        side = "corrupt" if direction == "denoise" else "clean"
        for i, pair in enumerate(PAIRS):
            spot = (question.component, question.layer, question.position)
            vector = runs[i, "clean"].vector(*spot, question.part)
            vector = torch.zeros_like(vector) if by == zero else vector
            wanted = forward(family, model, ids[i, side], [Change(*spot, vector, question.part)]).logits
            # Some ablations leave logits of zero.
            scale = float(runs[i, side].logits.abs().max())
            off = float((batch.gave[study.patched.arm, pair.id].logits[0] - wanted).abs().max()) / scale
            if not off <= CLOSE:
                wrong.append(f"{question.site} {direction}: the logits are off by {off:.2g}")
            gone = float((wanted - runs[i, side].logits).abs().max()) / scale
            moved[spot[:2]] = max(gone, moved.get(spot[:2], 0.0))
    wrong += [f"no patch of {component} in layer {n} moves a logit" for (component, n), m in moved.items() if m < MOVES]


def generates(
    family: Family,
    model: Any,
    loaded: Any,
    ids: Any,
    questions: list[Question],
    planned: Callable[..., Any],
    shortcuts: Any,
    wrong: list[str],
) -> None:
    """Generated tokens under a patch in the prompt, and under one where the second of them is predicted."""
    offered = {(q.component, q.layer) for q in questions}
    places = [place for place in (("resid_post", 0), ("mlp_out", 1), ("attn_out", 2)) if place in offered]
    sites = [
        (Site(component, (layer,), (), position), component, layer, at)  # type: ignore[arg-type]
        for component, layer in places
        for position, at in ((index(EARLY), EARLY), (step(1), LAST + 1))
    ]
    asked = [
        Experiment(Patching("families", "denoise", PAIRS, (site,)), "change", exact_match(max_new_tokens=TOKENS), False)
        for site, *_ in sites
    ]
    batch = planned(loaded, asked, shortcuts=shortcuts)
    for (site, component, layer, at), study in zip(sites, batch.studies, strict=True):
        for i, pair in enumerate(PAIRS):
            vector = generate(family, model, ids[i, "clean"], TOKENS).seen.vector(component, layer, at)
            wanted = generate(family, model, ids[i, "corrupt"], TOKENS, [Change(component, layer, at, vector)])
            found = batch.gave[study.patched.arm, pair.id]
            off = float((found.logits - wanted.logits).abs().max()) / float(wanted.logits.abs().max())
            if found.tokens != wanted.tokens or not off <= CLOSE:
                wrong.append(f"{site}: generated {found.tokens} for {wanted.tokens}, the logits are off by {off:.2g}")


def told(component: str, why: str, wrong: list[str]) -> str:
    """A reason, which must be a sentence."""
    if len(why.split()) < 4 or not why.rstrip().endswith("."):
        wrong.append(f"{component} is not offered, and why is no sentence: {why!r}")
    return tidy(why)


def sentence(error: Exception) -> str:
    """The first sentence of what an error says."""
    return tidy(str(error).split(". ")[0].rstrip(".") + ".")


def without_words_of_torch(why: str) -> str:
    """An error by its kind alone: what it says is another release's other words."""
    kind, _, rest = why.partition(":")
    if rest and "(" not in kind:
        return f"a run that begins at its patch fails ({kind})"
    return tidy(f"{kind})" if rest else why)


def tidy(why: str) -> str:
    """Without the numbers that another processor rounds otherwise."""
    return re.sub(r" \(off by [^)]*\)|off by \S+", lambda m: "" if "(" in m[0] else "off", why)
