"""The ducks' language: word problems of seven short sentences, drawn from a seed, without torch.

A problem starts with a number of ducks and applies six operations to it. Every sentence has six
tokens and its number is the fourth of them, so prompts of one kind are aligned token by token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

LARGEST = 20
OPERATIONS = 6
SENTENCE_TOKENS = 6
NUMBER_INDEX = 3
QUESTION = "How many ?"
NAMES = ("Janet", "Maria", "Oliver", "Samuel")

START = (
    "{name} starts with {n} ducks .",
    "{name} first counts {n} ducks .",
    "{name} already owns {n} ducks .",
)
TEMPLATES = {
    "add": (
        "Then {name} finds {n} more .",
        "Later {name} buys {n} more .",
        "Kind friends bring {n} more .",
    ),
    "subtract": (
        "Then {name} loses {n} ducks .",
        "Later {name} sells {n} ducks .",
        "A fox takes {n} ducks .",
    ),
    "multiply": (
        "The flock grows {n} fold .",
        "Each duck becomes {n} ducks .",
        "Now {name} has {n} times .",
    ),
}
PAD, BEGIN, END, EOS, UNKNOWN = "[PAD]", "[BEGIN]", "[END]", "[EOS]", "[UNK]"


@dataclass(frozen=True)
class Problem:
    """A start and six operations: what is said, and the running value after each sentence."""

    name: str
    start_template: int
    operations: tuple[str, ...]
    templates: tuple[int, ...]
    numbers: tuple[int, ...]
    """The start, then the number of each operation: seven in all."""

    @property
    def values(self) -> tuple[int, ...]:
        """The running value after each of the seven sentences."""
        running = [self.numbers[0]]
        for operation, number in zip(self.operations, self.numbers[1:], strict=True):
            running.append(apply(operation, running[-1], number))
        return tuple(running)

    @property
    def answer(self) -> int:
        return self.values[-1]

    @property
    def sentences(self) -> tuple[str, ...]:
        forms = [START[self.start_template]]
        forms += [TEMPLATES[o][t] for o, t in zip(self.operations, self.templates, strict=True)]
        return tuple(form.format(name=self.name, n=n) for form, n in zip(forms, self.numbers, strict=True))

    @property
    def prompt(self) -> str:
        return " ".join((*self.sentences, QUESTION))

    @property
    def form(self) -> str:
        """Templates and operations without names and numbers: what a cluster shares."""
        steps = [f"{o[0]}{t}" for o, t in zip(self.operations, self.templates, strict=True)]
        return "-".join([f"s{self.start_template}", *steps])

    @property
    def valid(self) -> bool:
        return all(0 <= value <= LARGEST for value in self.values)


def apply(operation: str, value: int, number: int) -> int:
    """The value after one operation."""
    if operation == "add":
        return value + number
    if operation == "subtract":
        return value - number
    return value * number


@cache
def numbers_for(operation: str, value: int | None = None) -> tuple[int, ...]:
    """The numbers an operation may use, kept within 0 to 20 when the value before is given."""
    numbers = (2, 3) if operation == "multiply" else tuple(range(1, 10))
    if value is None:
        return numbers
    return tuple(n for n in numbers if 0 <= apply(operation, value, n) <= LARGEST)


def answer_within(operations: tuple[str, ...], numbers: tuple[int, ...]) -> int | None:
    """The answer of a problem; None where a value leaves 0 to 20 on the way."""
    value = numbers[0]
    for operation, number in zip(operations, numbers[1:], strict=True):
        value = apply(operation, value, number)
        if not 0 <= value <= LARGEST:
            return None
    return value


def draw_problem(rng: random.Random) -> Problem:
    """A random problem; each operation is drawn among those that stay within 0 to 20."""
    value = rng.randint(0, LARGEST)
    operations, numbers = [], [value]
    for _ in range(OPERATIONS):
        operation = rng.choice([o for o in TEMPLATES if numbers_for(o, value)])
        number = rng.choice(numbers_for(operation, value))
        value = apply(operation, value, number)
        operations.append(operation)
        numbers.append(number)
    return Problem(
        name=rng.choice(NAMES),
        start_template=rng.randrange(len(START)),
        operations=tuple(operations),
        templates=tuple(rng.randrange(3) for _ in range(OPERATIONS)),
        numbers=tuple(numbers),
    )


def draw_problems(seed: int | str) -> Iterator[Problem]:
    """An endless stream of random problems."""
    rng = random.Random(seed)
    while True:
        yield draw_problem(rng)


def vocabulary() -> dict[str, int]:
    """Every token of the language and its id: the numbers 0 to 20 come first, as themselves."""
    forms = [*START, *(form for forms in TEMPLATES.values() for form in forms), QUESTION]
    words = {word for form in forms for word in form.split() if "{" not in word} | set(NAMES)
    tokens = [str(n) for n in range(LARGEST + 1)] + sorted(words)
    return {t: i for i, t in enumerate([*tokens, PAD, BEGIN, END, EOS, UNKNOWN])}


def draw_like(form: Problem, rng: random.Random) -> Problem:
    """A problem with another's templates and operations, and a name and numbers of its own."""
    while True:
        value = rng.randint(0, LARGEST)
        numbers = [value]
        for operation in form.operations:
            possible = numbers_for(operation, value)
            if not possible:
                break
            numbers.append(rng.choice(possible))
            value = apply(operation, value, numbers[-1])
        else:
            return replace(form, name=rng.choice(NAMES), numbers=tuple(numbers))


def draw_twin(problem: Problem, sentence: int, rng: random.Random) -> Problem | None:
    """The problem with one sentence's number changed by 1 to 3, still valid and with another
    answer; None when there is none."""
    allowed = range(LARGEST + 1) if sentence == 0 else numbers_for(problem.operations[sentence - 1])
    before, given, after = problem.numbers[:sentence], problem.numbers[sentence], problem.numbers[sentence + 1 :]
    changed = [(*before, n, *after) for n in allowed if 1 <= abs(n - given) <= 3]
    answer = problem.answer
    twins = [numbers for numbers in changed if answer_within(problem.operations, numbers) not in (None, answer)]
    return replace(problem, numbers=rng.choice(twins)) if twins else None
