"""How it is measured and judged, in sentences: only what the specs of the claims say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from causaltest.asking.metrics import accuracy, exact_match, probability
from causaltest.recording.wording import counted
from causaltest.reporting.export.study import Claims, Fields, Study, experiments_in
from causaltest.reporting.export.wording import listed, number

BINARY = {accuracy.name, exact_match.name}
BOUNDED = {*BINARY, probability.name}
"""Metrics that have a range of their own."""
KNOWN_BY = ("commit", "weights", "adapter", "source", "tokenizer", "chat_template")
"""What is told of a model, where it has a hash."""
DIRECTIONS = {
    "denoise": "denoising: activations of the clean run are put into the corrupt run (is the site sufficient?)",
    "noise": "noising: activations of the corrupt run are put into the clean run (is the site necessary?)",
    "ablate": "ablation: the clean run loses what it has at the site",
    "steer": "steering: a vector is added to what the clean run has at the site",
}
METRICS = {
    "accuracy": "accuracy: 1 where the greedy continuation begins with the tokens of the answer, else 0",
    "exact_match": "exact match: 1 where the generated text is the answer, else 0",
    "logit": "logit: the raw logit of the answer where it is predicted",
    "logit_diff": "logit difference: the logit of the answer minus that of the corrupt answer, where predicted",
    "probability": "probability: the softmax probability of the answer among all tokens",
}
SHARES = {
    "recovery": "recovery: the share of eligible pairs that give the clean answer again when they are patched",
    "drop": "drop: the share of eligible pairs that no longer give the clean answer when they are patched",
    "change": "change: the metric of the patched run minus that of the unpatched run, averaged over the pairs",
}
"""Quantities of a metric that is right or wrong."""
RATIOS = {
    "recovery": "normalised recovery: sum(patched - corrupt) / sum(clean - corrupt) over the pairs",
    "drop": "normalised drop: sum(clean - patched) / sum(clean - corrupt) over the pairs",
    "change": SHARES["change"],
}
"""Quantities of the others."""
INTERVENTIONS = {
    "zero": "zero: the zero vector",
    "mean": "mean: the mean over clean runs, at the same position",
    "resample": "resample: another pair's clean activation, drawn from the seed",
    "gaussian": "gaussian: noise drawn from the seed",
    "scale": "scale: the activation times a factor",
    "add": "add: a vector that is added",
}


def distinct(things: Iterable[Any]) -> list[Any]:
    """In the order in which they first come."""
    return list(dict.fromkeys(things))


def directions(study: Study) -> list[str]:
    """How runs are changed, each way once."""
    used = distinct(e["direction"] for e in study.experiments)
    kinds = distinct(e["intervention"]["kind"] for e in study.experiments)
    return [*(DIRECTIONS[d] for d in used), *(INTERVENTIONS[k] for k in kinds if k in INTERVENTIONS)]


def metrics(study: Study) -> list[str]:
    """What is read off a run, with the options that were chosen."""
    told = []
    for metric in distinct_fields(e["metric"] for e in study.experiments):
        options = []
        if metric.get("range"):
            low, high = metric["range"]
            options.append(f"values that lie outside [{number(low)}, {number(high)}] are clipped to it")
        if metric.get("first_token"):
            options.append("of an answer of several tokens the first is read")
        if metric.get("extract") == "last_number":
            options.append("the last numbers are compared")
        if metric.get("max_new_tokens") and metric["name"] == exact_match.name:
            options.append(f"at most {metric['max_new_tokens']} tokens are generated")
        told.append("; ".join([METRICS[metric["name"]], *options]))
    return told


def quantities(study: Study) -> list[str]:
    """How the runs' metrics become one effect."""
    return distinct((SHARES if e["metric"]["name"] in BINARY else RATIOS)[e["quantity"]] for e in study.experiments)


def distinct_fields(things: Iterable[Fields]) -> list[Fields]:
    found: list[Fields] = []
    for thing in things:
        if thing not in found:
            found.append(thing)
    return found


def samples(study: Study) -> list[str]:
    """The pairs, each set once: number, clusters, where they come from, hash, and how many claims use them."""
    told = []
    for pairs, claims in study.of_each("pairs"):
        clusters = pairs["clusters"]
        units = (
            ", each independent of the others"
            if clusters is None
            else f" in {counted(int(clusters['number']), 'cluster')}"
        )
        told.append(
            f"{counted(claims, 'claim')}: {counted(int(pairs['number']), 'pair')} of prompts{units}"
            f"{half(pairs.get('split'))}. SHA-256 {pairs['hash'][:16]}..."
        )
    return told


def half(split: Fields | None) -> str:
    """Where pairs come from that were split before."""
    if split is None:
        return ""
    return (
        f"; the {split['half']} half of a split by whole clusters, drawn with seed {split['seed']}, which gave "
        f"{float(split['share']):.3g} of the clusters to discovery{half(split.get('of'))}"
    )


def models(study: Study) -> list[str]:
    """Each model once, by what it is known by."""
    told = []
    for model, claims in study.of_each("models"):
        known = [f"{key} {model[key][:16]}" for key in KNOWN_BY if isinstance(model.get(key), str)]
        told.append(f"{model['name']} ({', '.join(known) or 'as the lock says'}): {counted(claims, 'claim')}.")
    return told


def number_formats(study: Study) -> list[str]:
    return distinct(str(entry.spec["settings"].get("dtype", "as each model has it")) for entry in study.entries)


def controls(study: Study) -> list[str]:
    """The controls, and those that were left out, with the reason."""
    told = [
        "Placebo: at the same site of the same pair another pair's difference, rescaled to the size of this pair's; "
        "a claim that something matters must beat it.",
        "Self-patch: the site patched with its own value must change nothing.",
        "Positive control: the same patch at every position must have an effect, or a null says nothing.",
    ]
    draws = distinct(e["controls"]["placebo_draws"] for e in study.experiments if e["controls"]["placebo_draws"])
    if draws:
        told[0] = f"{told[0][:-1]} ({listed(draws)} draws per pair)."
    for experiment in study.experiments:
        waived = experiment["controls"].get("waived") or {}
        if not experiment["controls"]["placebo_draws"] and "placebo" not in waived:
            told.append(
                "Not measured in some claims: the placebo. Of these none that says that something matters can be "
                "SUPPORTED."
            )
        for name, why in waived.items():
            told.append(f"Left out in some claims: {name.replace('_', '-')}, because: {why}")
        if experiment["controls"].get("wrong_places"):
            told.append("In some claims also the same patch at a wrong layer or position, which must be beaten too.")
    return distinct(told)


def eligibility(study: Study) -> list[str]:
    """Which pairs count."""
    told = []
    for e in study.experiments:
        rule = e.get("eligible") or e["metric"]
        if rule["name"] not in BINARY:
            told.append(f"For {named(e)}: all pairs count.")
            continue
        corrupt = "the corrupt run gives its own answer" if e.get("both_right") else "the corrupt run does not give it"
        by = "" if rule is e["metric"] else f" (by {rule['name']})"
        told.append(
            f"For {named(e)}: a pair counts where the clean run gives the answer, {corrupt}, and the two answers "
            f"differ{by}."
        )
    return distinct(told)


def named(experiment: Fields) -> str:
    return f"{experiment['quantity']} by {METRICS[experiment['metric']['name']].partition(':')[0]}"


def stopping(study: Study) -> list[str]:
    """When measuring stops, per rule."""
    fixed = sum(len(group) for group in study.groups if group.spec["stopping"] is None)
    told = []
    if fixed:
        told.append(f"{counted(fixed, 'claim')}: all pairs are measured, and looked at once.")
    for rule in distinct_fields(g.spec["stopping"] for g in study.groups if g.spec["stopping"] is not None):
        claims = sum(len(group) for group in study.groups if group.spec["stopping"] == rule)
        how = (
            "alpha is shared by O'Brien-Fleming boundaries"
            if rule["rule"] == "obrien-fleming"
            else "an e-process allows stopping at any of them"
        )
        told.append(
            f"{counted(claims, 'claim')}: pairs are measured in portions of whole clusters, in an order drawn from the "
            f"seed, with up to {rule['looks']} looks; {how}. Measuring stops when the verdict is in."
        )
    return told


def procedures(study: Study) -> list[str]:
    """Which tests judge how many of the claims, as docs/statistics.md tells it."""
    found: dict[str, int] = {}
    for group in study.groups:
        for test in tests_of(group):
            found[test] = found.get(test, 0) + len(group)
    told = [f"{counted(claims, 'claim')}, {test}" for test, claims in found.items()]
    versions = listed(distinct(str(entry.spec["statistics"]) for entry in study.entries))
    return [*told, f"All by version {versions} of causaltest's statistics, as docs/statistics.md describes it."]


def tests_of(group: Claims) -> list[str]:
    """The tests of one claim, from what it predicts and what it measures."""
    prediction = group.prediction
    if prediction["kind"] == "Monotone":
        told = ["on an order of effects: Page's trend test, the last effect above the first, and no step reversed."]
    elif prediction["kind"] == "Top":
        told = [
            "on the largest of several effects: the bootstrap probability of the ranking, and paired comparisons with "
            "the others."
        ]
    else:
        asked = group.spec["asked"]
        told = distinct(
            test_of_one(group, one) for one in (asked["variants"].values() if in_variants(asked) else [asked])
        )
    if prediction.get("relation") in ("between", "negligible"):
        told.append("on an effect within bounds: two one-sided tests, each at the claim's alpha.")
    if group.spec["variants"] is not None:
        told.append("in variants: a partial conjunction test over them.")
    return told


def test_of_one(group: Claims, asked: Any) -> str:
    """The test of one effect, or of a difference of two, against a threshold."""
    prediction, experiments = group.prediction, list(experiments_in(asked))
    binary = all(e["metric"]["name"] in BINARY for e in experiments)
    independent = all(pairs["clusters"] is None for pairs in group.spec["pairs"])
    difference = is_difference(asked)
    if difference and prediction["relation"] == "greater_than" and float(prediction["threshold"]) == 0:
        test = "McNemar's exact test" if binary and independent else "sign-flips and t on the clusters' differences"
        return f"on which of two effects is larger: {test}."
    what = "a difference" if difference else "a mean"
    if binary and not difference:
        test = "exact binomial bound (Clopper-Pearson)"
        if not independent:
            test = "exact bound at the effective number of pairs (Korn-Graubard)"
        return f"on a share of pairs: the {test}."
    if all(e["metric"].get("range") or e["metric"]["name"] in BOUNDED for e in experiments):
        return f"on {what} with a range: BCa bootstrap, t on cluster totals and a betting bound must all clear."
    return f"on {what} without a range: BCa bootstrap and t on cluster totals must both clear."


def is_difference(asked: Any) -> bool:
    """Whether two effects are compared; of variants all do what the first does."""
    if in_variants(asked):
        return is_difference(next(iter(asked["variants"].values())))
    return isinstance(asked, Mapping) and "difference" in asked


def in_variants(asked: Any) -> bool:
    return isinstance(asked, Mapping) and "variants" in asked
