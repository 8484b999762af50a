"""What a claim asks, as named fields that a person can compare; and back, as a line to read.

What is as usual is left out, so that a field shows where somebody has chosen it, and a new option changes no old hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causaltest.asking.checks import Checks
from causaltest.asking.edges import Edge
from causaltest.asking.experiment import Experiment
from causaltest.asking.features import Features
from causaltest.asking.interventions import Intervention
from causaltest.asking.metrics import Metric
from causaltest.asking.positions import Position
from causaltest.asking.sites import Site
from causaltest.effect import Difference, Question
from causaltest.effects import Together
from causaltest.errors import RecordError

Names = Mapping[str, str]
"""Of pairs by their digest, and of models by their name: "pairs 1", "model 1"."""


def asked(question: Question | None, names: Names, *, seed: str | None) -> Any:
    """A question as plain data; None where values were given.

    A seed is named where it is another than `seed`, the suite's, which belongs to a look and not to the claim; with
    None every seed is.
    """
    if question is None:
        return None
    if isinstance(question, Experiment):
        return experiment_fields(question, names, seed)
    if isinstance(question, Difference):
        return {"difference": [asked(q, names, seed=seed) for q in (question.first, question.second)]}
    if isinstance(question, Together):
        return {
            "effects": [
                {"name": plain_name(name), "asked": asked(q, names, seed=seed)}
                for name, q in question.questions.items()
            ]
        }
    return dict(question.canonical())


def experiment_fields(experiment: Experiment, names: Names, seed: str | None) -> dict[str, Any]:
    patching, checks = experiment.patching, experiment.checks
    given: dict[str, Any] = {
        "model": names.get(patching.model, patching.model),
        "pairs": names[patching.pairs.digest],
        "direction": patching.direction,
        "quantity": experiment.quantity,
        "metric": metric_fields(experiment.metric),
        "intervention": intervention_fields(patching.intervention, names),
        "controls": controls_fields(experiment),
    }
    if patching.edges:
        given["edges"] = [edge_fields(edge) for edge in patching.edges]
    else:
        given["sites"] = [site_fields(site) for site in patching.sites]
    if patching.method.estimates:
        given["method"] = {"name": patching.method.name, "steps": patching.method.steps}
    if checks.eligible is not None:
        given["eligible"] = metric_fields(checks.eligible)
    if checks.both_right:
        given["both_right"] = True
    if seed is None or experiment.seed != seed:
        given["seed"] = experiment.seed
    return given


def metric_fields(metric: Metric) -> dict[str, Any]:
    given: dict[str, Any] = {"name": metric.name}
    if metric.range is not None:
        given["range"] = [float(edge) for edge in metric.range]
    if metric.first_token:
        given["first_token"] = True
    if metric.extract != "text":
        given["extract"] = metric.extract
    if metric.max_new_tokens is not None:
        given["max_new_tokens"] = metric.max_new_tokens
    return given


def intervention_fields(by: Intervention, names: Names) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": by.kind}
    if by.amount is not None:
        given["amount"] = float(by.amount)
    if by.over is not None:
        given["over"] = names.get(by.over.digest, by.over.digest)
    if by.vector is not None:
        given["vector"] = by.vector.digest
    return given


def controls_fields(experiment: Experiment) -> dict[str, Any]:
    checks: Checks = experiment.checks
    given: dict[str, Any] = {"placebo_draws": experiment.placebo_draws}
    if not experiment.controls:
        given["measured"] = False
    if checks.waived:
        given["waived"] = {name: why for name, why in checks.waived}
    if checks.wrong_places:
        given["wrong_places"] = [[site_fields(site) for site in place.sites] for place in checks.wrong_places]
    return given


def edge_fields(edge: Edge) -> dict[str, Any]:
    receiver = edge.receiver
    return {
        "sender": site_fields(edge.sender),
        "receiver": receiver if isinstance(receiver, str) else site_fields(receiver),
    }


def site_fields(site: Site) -> dict[str, Any]:
    given: dict[str, Any] = {"component": site.component, "position": position_fields(site.position)}
    if site.layers:
        given["layers"] = list(site.layers)
    if site.parts:
        given["neurons" if site.component == "neuron" else "heads"] = list(site.parts)
    if isinstance(site.within, Features):
        given["features"] = {"index": list(site.within.index), "hash": site.within.digest}
    elif site.within is not None:
        given["along"] = site.within.digest
    return given


def position_fields(position: Position) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": position.kind}
    if position.numbers:
        given["numbers"] = list(position.numbers)
    if position.text is not None:
        given["text"] = position.text
    if position.occurrence is not None:
        given["occurrence"] = position.occurrence
    if position.of is not None:
        given["of"] = position_fields(position.of)
    return given


def plain_name(name: Any) -> Any:
    """The name of an effect: a number or a text as it is, a tuple as a list of them, anything else as Python writes it.

    Raises RecordError for an object whose text is its address, which is another in the next run.
    """
    if name is None or isinstance(name, int | str | float):
        return name
    if isinstance(name, tuple):
        return [plain_name(part) for part in name]
    text = repr(name)
    if f"{id(name):x}" in text:
        raise RecordError(
            f"An effect is named {text}, which reads otherwise in every run. Name effects by numbers, words, or tuples "
            "of them."
        )
    return text


def summary_of(plain: Any) -> str:
    """The line that a report has for a question, from its fields."""
    if plain is None:
        return "values that were given"
    if "difference" in plain:
        return "  minus  ".join(map(summary_of, plain["difference"]))
    if "effects" in plain:
        return "; ".join(f"{name_text(one['name'])}: {summary_of(one['asked'])}" for one in plain["effects"])
    if "variants" in plain:
        return "; ".join(f"{name}: {summary_of(one)}" for name, one in plain["variants"].items())
    if "metric" not in plain:
        return "a question that no experiment asks"
    places = map(edge_text, plain["edges"]) if "edges" in plain else map(site_text, plain["sites"])
    by, method = plain["intervention"], plain.get("method")
    amount = f"({by['amount']})" if "amount" in by else ""
    told = "" if by["kind"] == "replace" else f" by {by['kind']}{amount}"
    how = "" if method is None else f", estimated by {method['name'].replace('_', ' ')}"
    return f"{plain['quantity']}({plain['metric']['name']}), {plain['direction']} {' + '.join(places)}{told}{how}"


def name_text(plain: Any) -> str:
    return str(tuple(plain)) if isinstance(plain, list) else str(plain)


def edge_text(plain: Mapping[str, Any]) -> str:
    receiver = plain["receiver"]
    return f"{site_text(plain['sender'])} -> {receiver if isinstance(receiver, str) else site_text(receiver)}"


def site_text(plain: Mapping[str, Any]) -> str:
    parts = plain.get("heads") or plain.get("neurons") or ()
    site = Site(plain["component"], tuple(plain.get("layers", ())), tuple(parts), position_of(plain["position"]))
    if "features" in plain:
        index = plain["features"]["index"]
        return f"{site} along feature{'s' * (len(index) > 1)} {', '.join(map(str, index))}"
    return f"{site} along direction {plain['along'][:6]}" if "along" in plain else str(site)


def position_of(plain: Mapping[str, Any]) -> Position:
    within = plain.get("of")
    return Position(
        plain["kind"],
        tuple(plain.get("numbers", ())),
        plain.get("text"),
        None if within is None else position_of(within),
        plain.get("occurrence"),
    )
