"""The questions of an OSF Preregistration, filled in as far as the specs go. The headings are in our own words."""

from __future__ import annotations

from causaltest.reporting.export import parts
from causaltest.reporting.export.forms import Form, Question, Section, question
from causaltest.reporting.export.hypotheses import amendments, hypotheses, looked_at, sentences
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
from causaltest.reporting.export.wording import bullets, listed, to_write


def osf(study: Study) -> Form:
    """The form of a study."""
    return Form(
        "OSF Preregistration",
        (parts.HEAD, parts.HEADINGS),
        (
            Section("Study information", information(study)),
            Section("Design plan", design(study)),
            Section("Sampling plan", sampling(study)),
            Section("Variables", variables(study)),
            Section("Analysis plan", analysis(study)),
            Section("Other", (question("", amendments(study), parts.identity(study), to_write("anything else")),)),
        ),
        tuple(filter(None, [looked_at(study)])),
    )


def information(study: Study) -> tuple[Question, ...]:
    return (
        question("Title", to_write("a title")),
        question(
            "Description",
            to_write("what is known so far, why it matters, and what this study adds"),
            f"The claims are about {listed(study.model_names)}:",
            bullets(sentences(study)),
        ),
        question("Hypotheses", hypotheses(study), to_write("why you expect this")),
    )


def design(study: Study) -> tuple[Question, ...]:
    return (
        question("Study type", "Experiment: activations of a trained model are patched."),
        question("Blinding", parts.BLINDING),
        question(
            "Study design",
            parts.DESIGN,
            "What is done to a run:",
            bullets(directions(study)),
            "Controls, measured on the same pairs:",
            bullets(controls(study)),
        ),
        question("Randomization", parts.RANDOM),
    )


def sampling(study: Study) -> tuple[Question, ...]:
    return (
        question(
            "Existing data", to_write("which of the form's options holds; the next answer is what the record says")
        ),
        question("Explanation of existing data", parts.existing_data(study), parts.OUTSIDE),
        question(
            "Data collection procedures",
            "Pairs of prompts, a clean and a corrupt one, with their answers. They are fixed by their hashes, which "
            "the next answer names.",
            to_write("where the prompts come from, and what differs between the two of a pair"),
        ),
        question("Sample size", bullets(samples(study))),
        question("Sample size rationale", parts.power(study)),
        question("Stopping rule", bullets(stopping(study))),
    )


def variables(study: Study) -> tuple[Question, ...]:
    return (
        question(
            "Manipulated variables",
            "The prompt: clean or corrupt.",
            "Where and how a run is patched:",
            bullets(parts.every_place(study)),
        ),
        question("Measured variables", bullets(metrics(study))),
        question("Indices", bullets(quantities(study))),
    )


def analysis(study: Study) -> tuple[Question, ...]:
    return (
        question("Statistical models", bullets(procedures(study)), parts.PER_CLUSTER),
        question("Transformations", parts.transformations(study)),
        question("Inference criteria", parts.alpha_rule(study), parts.VERDICTS),
        question("Data exclusion", bullets(eligibility(study)), parts.EXCLUDED),
        question("Missing data", parts.MISSING),
        question("Exploratory analysis", parts.EXPLORING, to_write("what you plan to explore besides, if anything")),
    )
