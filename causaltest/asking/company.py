"""Company: experiments that are alike enough to be measured in one plan."""

from __future__ import annotations

from causaltest.asking.experiment import Experiment
from causaltest.asking.methods import Method
from causaltest.asking.metrics import Metric

Company = tuple[str, bool, Method]


def company(experiment: Experiment) -> Company:
    """What experiments that are measured in one plan have in common: pairs, whether they generate, and the method."""
    return experiment.patching.pairs.digest, generates(experiment), experiment.patching.method


def generates(experiment: Experiment) -> bool:
    """Whether an experiment needs tokens that are not known before: it reads them, or patches where they stand."""
    sites = experiment.patching.sites
    late = any(max(site.position.numbers) > 0 for site in sites if site.position.kind == "step")
    # Another answer than the clean one is given by no run that the clean one is put to.
    return late or experiment.checks.both_right or reads_generated(experiment.checks.rule(experiment.metric))


def reads_generated(metric: Metric) -> bool:
    """Whether a metric reads text that is not known before. A known answer is given greedily exactly where each
    of its tokens is the likeliest after those before it, so that one forward over all of them says as much."""
    return metric.name == "exact_match"
