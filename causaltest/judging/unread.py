"""Nulls that are true of any decoder: what is patched lies where no later computation reads it.

Positions exchange nothing but by attention (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits",
transformer-circuits.pub). What the last block computes at a position, from its queries on, therefore reaches the logits
of that position alone. Before the prompt's last token nobody reads those.
"""

from __future__ import annotations

import re

from causaltest.asking.correspondence import counterpart
from causaltest.asking.experiment import Experiment
from causaltest.asking.pair import Pair
from causaltest.asking.positions import Position
from causaltest.asking.sites import Site

READ_BY_OTHER_POSITIONS = ("embed", "resid_pre", "k", "v")
"""In the last block too: attention takes its keys and values from them."""
AFTER_ALL_BLOCKS = ("final_norm", "logits")
MORE_TEXT = re.compile(r"\s\S")


def nobody_reads(experiment: Experiment, layers: int) -> bool:
    """Whether every patched site lies in the last of the layers at a position before the prompt's last token.

    False where that cannot be told from the prompts' text.
    """
    patching = experiment.patching
    if patching.edges:
        return False
    return all(
        is_last(site, layers) and all(before_the_last(site.position, pair) for pair in patching.pairs)
        for site in patching.sites
    )


def is_last(site: Site, layers: int) -> bool:
    if site.component in AFTER_ALL_BLOCKS:
        return True
    return site.component not in READ_BY_OTHER_POSITIONS and set(site.layers) == {layers - 1}


def before_the_last(position: Position, pair: Pair) -> bool:
    """Whether more tokens of the prompt surely follow: words do, in both prompts."""
    prompts = (pair.clean, pair.corrupt)
    if position.kind == "index":
        return all(n < -1 or 0 <= n < min(len(p.split()) for p in prompts) - 1 for n in position.numbers)
    inside = position.of or position
    if inside.kind == "span":
        return span_is_before_the_last(str(inside.text), pair)
    if position.kind in ("first", "last") and position.text is not None:
        return all(
            followed(p, p.rfind(position.text) + len(position.text)) for p in prompts if position.text in p
        ) and (all(position.text in p for p in prompts))
    return False


def span_is_before_the_last(name: str, pair: Pair) -> bool:
    if name not in pair.spans:
        return False
    clean = pair.spans[name]
    corrupt = pair.corrupt_spans.get(name) or counterpart(pair.clean, pair.corrupt, clean)
    return corrupt is not None and followed(pair.clean, clean[1]) and followed(pair.corrupt, corrupt[1])


def followed(prompt: str, end: int) -> bool:
    return MORE_TEXT.search(prompt, end) is not None
