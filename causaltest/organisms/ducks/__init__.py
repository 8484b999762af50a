"""organism:ducks, a small trained latent reasoner whose causal truth is known by construction.

Twelve layers and six thoughts, trained on word problems of seven sentences. Only block 6 reads
facts: the begin token reads the first sentence's number there, thought k that of sentence k + 1,
and the end token reads the last thought in block 10. `card.md` says what follows from that.
"""

from __future__ import annotations

import random
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from causaltest.asking.pairs import Pair, Pairs
from causaltest.organisms.ducks import language

if TYPE_CHECKING:
    from causaltest.measuring.adapters.model import LoadedModel

NAME = "organism:ducks"
CHECKPOINT = Path(str(files(__package__))) / "checkpoint"
LAYERS, HEADS, THOUGHTS = 12, 4, language.OPERATIONS
FACT_LAYER, ANSWER_LAYER = 6, 10


def load(checkpoint: Path = CHECKPOINT) -> LoadedModel:
    """The trained reasoner. Raises ModelError when the weights are not those of the card."""
    from causaltest.measuring.adapters.codi import load_codi
    from causaltest.weights import check_sha256

    wanted = (checkpoint / "model.sha256").read_text(encoding="utf-8").split()[0]
    weights = check_sha256(checkpoint / "model.safetensors", wanted)
    return load_codi(checkpoint, NAME, {"weights": weights})


def twins(sentence: int = 1, *, clusters: int = 64, per_cluster: int = 4, seed: int = 0) -> Pairs:
    """Pairs of problems that differ in the number of one sentence (0 to 6), drawn from a seed.

    A cluster is one choice of templates and one chain of operations; its pairs differ in name
    and numbers. Spans name the changed "number", its "sentence", and the "rest" of the sentence
    after the number. Raises ValueError for a sentence that is not there.
    """
    if not 0 <= sentence <= language.OPERATIONS:
        raise ValueError(f"sentence={sentence}: the problems have sentences 0 to {language.OPERATIONS}.")
    rng = random.Random(f"twins {sentence} {seed}")
    forms: dict[str, list[Pair]] = {}
    while len(forms) < clusters:
        form = language.draw_problem(rng)
        if form.form not in forms:
            drawn = draw_cluster(form, sentence, per_cluster, rng)
            if len(drawn) == per_cluster:
                forms[form.form] = drawn
    return Pairs([pair for pairs in forms.values() for pair in pairs])


def draw_cluster(form: language.Problem, sentence: int, size: int, rng: random.Random) -> list[Pair]:
    """Up to `size` different pairs of one form; fewer when the form allows too few."""
    drawn: dict[str, Pair] = {}
    for _ in range(20 * size):
        problem = language.draw_like(form, rng)
        twin = language.draw_twin(problem, sentence, rng)
        if twin is not None and len(drawn) < size and problem.prompt not in drawn:
            name = f"{form.form} {sentence}.{len(drawn)}"
            drawn[problem.prompt] = as_pair(problem, twin, sentence, name)
    return list(drawn.values())


def as_pair(problem: language.Problem, twin: language.Problem, sentence: int, name: str) -> Pair:
    start = sum(len(s) + 1 for s in problem.sentences[:sentence])
    stop = start + len(problem.sentences[sentence])
    words = problem.sentences[sentence].split()
    number = start + sum(len(w) + 1 for w in words[: language.NUMBER_INDEX])
    after = number + len(words[language.NUMBER_INDEX])
    return Pair(
        clean=problem.prompt,
        corrupt=twin.prompt,
        answer=str(problem.answer),
        corrupt_answer=str(twin.answer),
        cluster=problem.form,
        id=name,
        spans={"number": (number, after), "sentence": (start, stop), "rest": (after + 1, stop)},
    )
