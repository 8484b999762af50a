"""The registered claims as a page of their own, for a repository, a supplement or a registry without questions."""

from __future__ import annotations

from causaltest.reporting.export import parts
from causaltest.reporting.export.forms import Form, Question, Section, question
from causaltest.reporting.export.hypotheses import amendments, claim_line, family_head, looked_at
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
from causaltest.reporting.export.study import Family, Study
from causaltest.reporting.export.wording import bullets, to_write


def outline(study: Study) -> Form:
    """The page of a study."""
    return Form(
        "Pre-registration",
        (parts.HEAD, to_write("a title, the question, and why you expect the answers below")),
        (
            Section("Claims", claims(study)),
            Section("Data", data(study)),
            Section("Measuring", measuring(study)),
            Section("Judging", judging(study)),
            Section("What it is known by", (question("", amendments(study), parts.identity(study)),)),
        ),
        tuple(filter(None, [looked_at(study)])),
    )


def claims(study: Study) -> tuple[Question, ...]:
    told, place = [], 0
    for family in study.families:
        lines = [claim_line(group, place + i) for i, group in enumerate(family.groups, 1)]
        place += len(lines)
        told.append(of_family(family, lines))
    return tuple(told)


def of_family(family: Family, lines: list[str]) -> Question:
    return question(family.name, family_head(family), lines)


def data(study: Study) -> tuple[Question, ...]:
    return (
        question("Pairs", bullets(samples(study)), to_write("where the prompts come from, and what differs in a pair")),
        question("What had seen them", parts.existing_data(study), parts.OUTSIDE),
        question("Size and stopping", parts.power(study), bullets(stopping(study))),
        question("Which pairs count", bullets(eligibility(study)), parts.EXCLUDED, parts.MISSING),
    )


def measuring(study: Study) -> tuple[Question, ...]:
    return (
        question("Design", parts.DESIGN, bullets(directions(study))),
        question("Read off", bullets([*metrics(study), *quantities(study)]), parts.transformations(study)),
        question("Controls", bullets(controls(study))),
        question("Random draws", parts.RANDOM),
    )


def judging(study: Study) -> tuple[Question, ...]:
    return (
        question("Tests", bullets(procedures(study)), parts.PER_CLUSTER),
        question("Alpha", parts.alpha_rule(study)),
        question("Verdicts", parts.VERDICTS),
        question("Exploring", parts.EXPLORING),
    )
