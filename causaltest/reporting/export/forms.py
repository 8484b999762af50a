"""Forms: questions with their answers, as a text to paste from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from causaltest.reporting.export.wording import GAP


@dataclass(frozen=True)
class Question:
    """One question of a form, in our own words, and its answer in paragraphs."""

    heading: str
    answer: tuple[str, ...]

    @property
    def characters(self) -> int:
        """Of the answer as it is pasted."""
        return len("\n".join(self.answer))


@dataclass(frozen=True)
class Section:
    """Questions under one heading."""

    heading: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Form:
    """A form that is filled in as far as the specs go."""

    title: str
    head: tuple[str, ...]
    """Paragraphs before the questions."""
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    """What a person should know before it is filed; not a part of the text."""

    @property
    def gaps(self) -> int:
        """How many places a person still has to fill."""
        return self.text().count(GAP)

    def text(self) -> str:
        """The form in Markdown."""
        lines = [f"# {self.title}", *self.head]
        for section in self.sections:
            lines.append(f"## {section.heading}")
            for question in section.questions:
                if question.heading:
                    lines.append(f"### {question.heading}")
                lines += question.answer
        return "\n\n".join(lines) + "\n"


def question(heading: str, *answer: str | Sequence[str]) -> Question:
    """A question whose answer is given as paragraphs, or lists of them."""
    told: list[str] = []
    for part in answer:
        told += [part] if isinstance(part, str) else part
    return Question(heading, tuple(paragraph for paragraph in told if paragraph))
