"""Paragraphs that several forms share."""

from __future__ import annotations

from causaltest.recording.wording import counted
from causaltest.reporting.export.hypotheses import looked_at, seen_before, summaries, unseen
from causaltest.reporting.export.methods import models, number_formats
from causaltest.reporting.export.study import Study
from causaltest.reporting.export.wording import folded, listed, number, to_write

HEAD = (
    "Filled in from the registered claims, which stand in claims.lock. What a person still has to write is marked TO "
    "WRITE, in square brackets."
)
HEADINGS = "The headings are short: the form's own questions say more."
DESIGN = (
    "Within pairs: every pair of prompts, a clean and a corrupt one, is run unpatched and patched, and compared with "
    "itself."
)
BLINDING = (
    "None is needed: the units are pairs of prompts, which a program measures and judges by the rules that are fixed "
    "here. Nobody takes part as a subject, and nobody rates an outcome."
)
RANDOM = (
    "No assignment: every pair gets every condition. What is drawn at random (the partners of placebos, resamples, the "
    "order of portions) is drawn by a program from one seed, which is written into the ledger with each look."
)
VERDICTS = (
    "In this order. INVALID: a control failed, so the numbers say nothing. REFUTED: all of the interval lies on the "
    "other side of the threshold. SUPPORTED: every test's bound clears the threshold, and the placebo is beaten where "
    "something is claimed to matter. INCONCLUSIVE: otherwise. A null that is not rejected is not called refuted."
)
MISSING = (
    "A run that gives no finite number, NaN or an overflow, makes its claim INVALID. Nothing is imputed, and no pair "
    "is left out for its outcome."
)
EXCLUDED = (
    "This is decided from the clean and the corrupt run alone, before anything is patched. No outlier is removed."
)
PER_CLUSTER = (
    "Pairs are summed per cluster first; a pair that was declared independent is a cluster of its own. A claim that "
    "something matters must also beat its placebo, by sign-flips of the clusters' differences."
)
OUTSIDE = to_write("whether anybody has measured these prompts elsewhere: on another machine, or without causaltest")
EXPLORING = (
    "Sweeps, searches and tests that are not registered are labelled EXPLORATORY in every report, and so is a claim "
    "whose pairs they have seen."
)


def alpha_rule(study: Study) -> str:
    """The correction for several claims."""
    told = []
    for family in study.families:
        alphas = listed(map(number, family.alphas))
        if family.size == 1:
            told.append(f"{family.name}: one claim, alpha {alphas}")
            continue
        each = listed(f"{alpha / family.size:.2g}" for alpha in family.alphas)
        told.append(f"{family.name}: alpha {alphas} over {family.size} claims, {each} each")
    return (
        f"Alpha is kept per family, by Bonferroni: {'; '.join(told)}. Tests are one-sided, in the direction "
        "predicted; of a range each end is tested. The interval shown is the widest of the tests', and p the largest."
    )


def existing_data(study: Study) -> list[str]:
    """What had seen the pairs before registration, as far as causaltest was told."""
    total, clean = len(study.entries), unseen(study)
    told = []
    if clean:
        those = (
            "the claim"
            if total == 1
            else f"all {total:,} claims"
            if clean == total
            else f"{clean:,} of {total:,} claims"
        )
        told.append(
            f"The prompts exist. For {those}, no sweep, search or earlier measurement of the pairs was on record at "
            "registration, on the machine that registered."
        )
    told += [f"For {counted(claims, 'claim')}: {sentence.rstrip('.')}." for sentence, claims in seen_before(study)]
    told.append(looked_at(study))
    return [line for line in told if line]


def every_place(study: Study) -> list[str]:
    """Every site, told together where only numbers differ."""
    lines = [line for group in study.groups for entry in group.entries for line in summaries(entry.spec["asked"])]
    return folded(list(dict.fromkeys(lines)))


def power(study: Study) -> list[str]:
    """The power that was asked for, and where the count of pairs comes from."""
    powers = sorted({float(group.prediction["power"]) for group in study.groups})
    total = len(study.entries)
    expecting = sum(len(g) for g in study.groups if g.prediction.get("expecting") is not None)
    those = "No claim names" if not expecting else f"{counted(expecting, 'claim')} of {total:,} name"
    if total == 1 and expecting:
        those = "The claim names"
    return [
        f"Power asked for: {listed(map(number, powers))}. {those} an expected effect, for which `causaltest power` "
        "counts the pairs needed.",
        to_write("what `causaltest power claims/` prints, or why these pairs are enough"),
    ]


def transformations(study: Study) -> str:
    """What is done to the numbers before they are judged."""
    clipped = any(e["metric"].get("range") for e in study.experiments)
    clipping = ", and that what lies outside of a metric's range is clipped to it" if clipped else ""
    return f"No transformation, except that values are summed per cluster{clipping}."


def identity(study: Study) -> list[str]:
    """What the claims are known by, for whoever compares this form with the lock."""
    return [
        f"Models: {' '.join(models(study))} Run in {listed(number_formats(study))}.",
        f"Every claim is registered in claims.lock, SHA-256 {study.lock_hash}. It holds each claim's whole "
        "specification with its hash; `causaltest verify` checks it, and whether anything was changed since.",
        to_write("where the repository is, and the commit that the lock stands in"),
    ]
