"""The questions of AsPredicted, in their order. The headings are in our own words."""

from __future__ import annotations

from causaltest.reporting.export import parts
from causaltest.reporting.export.forms import Form, Question, Section, question
from causaltest.reporting.export.hypotheses import amendments, hypotheses, looked_at
from causaltest.reporting.export.methods import (
    controls,
    directions,
    eligibility,
    metrics,
    procedures,
    quantities,
    samples,
    stopping,
)
from causaltest.reporting.export.study import Study
from causaltest.reporting.export.wording import bullets, to_write

PAGE_CHARACTERS = 4000
"""About what a page holds: AsPredicted prints all answers on a single one."""


def aspredicted(study: Study) -> Form:
    """The form of a study, with a warning where its answers are too long for one page."""
    questions = answers(study)
    characters = sum(q.characters for q in questions)
    told = [looked_at(study)]
    if characters > PAGE_CHARACTERS:
        told.append(
            f"The answers have {characters:,} characters, and AsPredicted prints all of them on one page, which holds "
            f"about {PAGE_CHARACTERS:,}. Shorten them (the lock has every detail, and its hash stands in question 8), "
            "or file a form for some of the claims: --claim ID, which may be repeated."
        )
    counted = tuple(Question(f"{q.heading} ({q.characters:,} characters)", q.answer) for q in questions)
    return Form("AsPredicted", (parts.HEAD, parts.HEADINGS), (Section("Answers", counted),), tuple(filter(None, told)))


def answers(study: Study) -> tuple[Question, ...]:
    return (
        question(
            "1. Are there data already?",
            to_write("which of the form's options holds"),
            parts.existing_data(study),
            parts.OUTSIDE,
        ),
        question("2. Hypothesis", hypotheses(study)),
        question("3. Dependent variable", bullets([*metrics(study), *quantities(study)])),
        question("4. Conditions", parts.DESIGN, bullets([*directions(study), *controls(study)])),
        question(
            "5. Analyses",
            bullets(procedures(study)),
            parts.transformations(study),
            parts.alpha_rule(study),
            parts.VERDICTS,
        ),
        question("6. Outliers and exclusions", bullets(eligibility(study)), parts.EXCLUDED, parts.MISSING),
        question("7. Sample size", bullets([*samples(study), *stopping(study)]), parts.power(study)),
        question("8. Anything else", amendments(study), parts.EXPLORING, parts.identity(study)),
        question("9. Name", to_write("a name for the study, and its kind")),
    )
