"""organism:planted, wired by hand: a value is written by block 0, moved by head 1.0, and read out.

At the value's token the residual stream carries it up to the input of block 1; at the reader it
carries it from the output of block 1 on. Everything else is null by construction, and some of it
differs between the runs all the same: those are the decoys.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import last, span
from causaltest.asking.sites import Site, attn_out, embed, head, mlp_out, resid_post, resid_pre

if TYPE_CHECKING:
    from causaltest.measuring.adapters.model import LoadedModel

NAME = "organism:planted"
LAYERS, HEADS, VALUES = 4, 2, 10
FORMS = tuple(
    f"{name} {verb} : {{value}} {when} . Answer:".replace(" : ", " ")
    for name, verb, when in itertools.product(
        ("Janet", "Maria", "Oliver", "The note", "The card"), ("says", "shows", "reads"), ("now", "today", "again")
    )
)


def load() -> LoadedModel:
    """The wired model, from formulas: there is no file."""
    from causaltest.measuring.adapters.load import wrap
    from causaltest.organisms.wiring import READER, tokenizer, wired

    return wrap(wired([READER]), tokenizer(), NAME, {"wired": "by formula"})


def pairs(*, per_cluster: int = 4, seed: int = 0) -> Pairs:
    """Pairs that differ in their value, in 45 clusters of one sentence form each.

    The span "value" is the value's token and "rest" what follows it in its sentence.
    """
    rng = random.Random(f"planted {seed}")
    drawn = []
    for form in FORMS:
        for n, (value, other) in enumerate(rng.sample(list(itertools.permutations(range(VALUES), 2)), per_cluster)):
            start = form.index("{value}")
            stop = form.index(" Answer:")
            drawn.append(
                Pair(
                    clean=form.format(value=value),
                    corrupt=form.format(value=other),
                    answer=str(value),
                    corrupt_answer=str(other),
                    cluster=form,
                    id=f"{form.format(value=value)} / {other} {n}",
                    spans={"value": (start, start + 1), "rest": (start + 2, stop - len("{value}") + 1)},
                )
            )
    return Pairs(drawn)


def on_path() -> tuple[Site, ...]:
    """Sites that carry the value: clean activations there recover exactly 1."""
    value, reader = span("value"), last()
    return (
        embed(value),
        resid_pre(0, value),
        mlp_out(0, value),
        resid_post(0, value),
        resid_pre(1, value),
        attn_out(1, reader),
        head(1, 0, reader),
        *(resid_post(layer, reader) for layer in range(1, LAYERS)),
    )


def decoys() -> tuple[Site, ...]:
    """Sites that differ between the runs, and yet nothing reads them: recovery is exactly 0."""
    value, reader = span("value"), last()
    return (
        *(resid_post(layer, value) for layer in range(1, LAYERS)),
        attn_out(2, reader),
        head(2, 1, reader),
        head(1, 0, span("rest")),
        resid_post(1, span("rest")),
    )
