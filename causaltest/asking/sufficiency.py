"""Which way a patch was made, held against the words of the claim.

Denoising shows whether a site is sufficient, noising and ablation whether it is necessary, and neither shows the other
(Heimersheim and Nanda 2024, arXiv 2404.15255). Steering shows what a site can be made to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from causaltest.asking.experiment import Direction
from causaltest.asking.questions import experiments_of
from causaltest.effect import Question

TESTED_BY: dict[str, tuple[Direction, ...]] = {"sufficient": ("denoise",), "necessary": ("noise", "ablate")}
WORDS = {
    "sufficient": re.compile(r"\b(in)?sufficien(t|cy)\b", re.IGNORECASE),
    "necessary": re.compile(r"\b(un)?necess(ary|ity)\b", re.IGNORECASE),
}


def why_misdirected(sentence: str, question: Question | None) -> str | None:
    """Why these experiments do not test what the sentence says, or None. Known before anything is measured."""
    return why_not_tested(sentence, [e.patching.direction for e in experiments_of(question)])


def why_not_tested(sentence: str, asked: Sequence[str]) -> str | None:
    """The same, of the directions of the experiments."""
    directions = tuple(dict.fromkeys(asked))
    if not directions:
        return None
    for says, word in WORDS.items():
        found = word.search(sentence)
        if found is not None and not set(directions) & set(TESTED_BY[says]):
            verbs = " or ".join(f"lab.{direction}" for direction in TESTED_BY[says])
            return (
                f"The sentence says {found.group(0)!r}, and its experiment is to {' and '.join(directions)}: denoising "
                "tests whether a site is sufficient, noising and ablation whether it is necessary, and steering "
                f"neither. Measure with {verbs}, or say what was measured."
            )
    return None
