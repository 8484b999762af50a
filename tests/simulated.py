"""Claims of every kind, measured by a backend that needs no model: for tests of what is saved, and judged again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.experiment import Experiment
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import Metric, accuracy, logit_diff
from causaltest.asking.multiverse import multiverse_of
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import last
from causaltest.asking.settings import Settings
from causaltest.asking.sites import head, resid_post
from causaltest.asking.stopping import stopping_of
from causaltest.effect import Controls, Effect, Elsewhere, Exclusion, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.errors import MeasurementError, NothingEligible
from causaltest.once import Judged, rehearse
from causaltest.recording.saved import SavedClaim
from causaltest.recording.spec import Spec, spec_of
from causaltest.results import Family, Known, finite
from causaltest.session import judged_by
from causaltest.verdict import Verdict
from causaltest.writing.exact import data_of, exact
from causaltest.writing.plain_effects import measured_of, plain_measured

IID = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", id=f"p{i:03d}") for i in range(60)], iid=True)
CLUSTERED = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", cluster=f"c{i // 3}") for i in range(90)])
RANGED = logit_diff(range=(-3, 3))


class Simulated:
    """A backend in which every pair has a value of its own, and the controls that are asked for."""

    model = "organism:planted"

    def __init__(self, rate: float, *, controls: dict[str, Any] | None = None, out: float = 0.0, broken: int = -1):
        self.rate, self.controls, self.out, self.broken = rate, controls or {}, out, broken

    def measure(self, experiment: Experiment) -> Effect:
        pairs, metric, layer = experiment.patching.pairs, experiment.metric, experiment.patching.sites[0].layers[0]
        if layer == self.broken:
            raise MeasurementError("the patch did not fire")

        def draw(what: str, pair: str) -> float:
            return random.Random(f"{what} {layer} {metric} {pair}").random()

        ids = [i for i in pairs.ids if random.Random(i).random() >= self.out]
        left = tuple(Exclusion(i, "wrong when clean") for i in pairs.ids if i not in ids)
        if not ids:
            raise NothingEligible("None is eligible", tuple((e.pair_id, e.reason) for e in left))
        binary = metric.kind == "binary"
        height = min(1.0, self.rate * (1 + layer / 10))
        values = [float(draw("value", i) < height) if binary else height + draw("value", i) - 0.5 for i in ids]
        cluster_of = dict(zip(pairs.ids, pairs.clusters or pairs.ids, strict=True))
        controls = {
            "self_patch": SelfPatch(0.0, 1e-6),
            "placebo": tuple(draw("placebo", i) / 10 for i in ids),
            "positive": PositiveControl(1.0, 0.5, "everywhere"),
            "distance": (2.0,) * len(ids),
            **self.controls,
        }
        if "elsewhere" in controls:
            controls["elsewhere"] = (Elsewhere("layer 2", tuple(draw("there", i) / 5 for i in ids), (1.0,) * len(ids)),)
        ratio = experiment.quantity == "recovery" and not binary
        return Effect(
            experiment,
            Numbers(
                values=tuple(values),
                pair_ids=tuple(ids),
                clusters=None if pairs.clusters is None else tuple(cluster_of[i] for i in ids),
                kind="ratio" if ratio else "binary" if binary else "continuous",
                range=(0.0, 1.0) if binary else metric.range,
                denominators=tuple(1 + draw("below", i) for i in ids) if ratio else None,
                controls=Controls(**controls),
                rounding=1e-7,
                pairs_total=len(pairs),
                excluded=left,
                provenance={"model": self.model},
                seen=("a sweep has seen these pairs",),
            ),
        )

    def patched_runs(self, experiments: list[Experiment]) -> int:
        return len(experiments)

    def expect(self, experiments: Any) -> None:
        pass

    def counted(self) -> dict[str, int]:
        return {}


def change(lab: Lab, pairs: Pairs, metric: Metric = accuracy, layer: int = 3) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, last())).change(metric)


def recovered(lab: Lab, pairs: Pairs, metric: Metric = accuracy, layer: int = 3) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)


def minus(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> Effect:
    return change(lab, pairs, metric, 5) - change(lab, pairs, metric, 1)


def layers(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> dict[int, Effect]:
    return {layer: change(lab, pairs, metric, layer) for layer in (1, 3, 5, 7)}


def heads(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> dict[tuple[int, int], Effect]:
    return {(at, 0): lab.denoise(pairs, at=head(at, 0)).change(metric) for at in (1, 3, 5)}


def values(lab: Lab, pairs: Pairs) -> Effect:
    del lab
    draws = [float(random.Random(i).random() < 0.8) for i in pairs.ids]
    return Effect.from_values(draws, kind="binary", iid=True, placebo=Waived("simulated"))


def claim_with(
    body: Callable[..., Any],
    prediction: Any,
    *,
    sentence: str = "It matters.",
    rule: Any = None,
    looks: int | None = None,
    axes: dict[str, Any] | None = None,
    share: float = 1.0,
) -> Claim:
    multiverse = None if axes is None else multiverse_of(axes, share)
    return Claim(sentence, prediction, body, stopping=stopping_of(rule, looks), multiverse=multiverse)


def measured(
    body: Callable[..., Any],
    prediction: Any,
    backend: Simulated,
    *,
    pairs: Pairs = IID,
    size: int = 1,
    seed: str = "7",
    sentence: str = "It matters.",
    rule: Any = None,
    looks: int | None = None,
    axes: dict[str, Any] | None = None,
    share: float = 1.0,
    **more: Any,
) -> tuple[Verdict, SavedClaim]:
    """A claim's verdict in a run, and what is saved of it."""
    claim = claim_with(body, prediction, sentence=sentence, rule=rule, looks=looks, axes=axes, share=share)
    known = Known("t.py::a", "a", Family("t.py", size), seed)
    judged = judged_in(claim, backend, known, pairs=pairs, **more)
    return judged.verdict, saved_of(judged, spec_with(claim, judged, known, id="t.py::a").fields, seed)


def judged_in(claim: Claim, backend: Simulated, known: Known, *, pairs: Pairs, **more: Any) -> Judged:
    """A claim judged by the session, of a lab over the backend."""
    arguments = {"lab": Lab(name=backend.model, backend=backend, seed=known.seed), "pairs": pairs, **more}  # type: ignore[arg-type]
    return judged_by(claim, arguments, known, rehearse(claim, arguments) if claim.multiverse is None else None)


def spec_with(claim: Claim, judged: Judged, known: Known, *, id: str) -> Spec:
    questions = [None if rehearsed is None else rehearsed.question for rehearsed, _ in judged.parts]
    family = (known.family.name, known.family.size)
    return spec_of(claim, questions, id=id, family=family, settings=Settings(), suite_seed=known.seed)


def saved_of(judged: Judged, spec: Any, seed: str, *, id: str = "t.py::a") -> SavedClaim:
    """Through text, as it is kept in a file."""
    verdict = judged.verdict
    told = {"verdict": str(verdict.outcome), "n": verdict.n} | {
        name: finite(getattr(verdict, name)) for name in ("estimate", "lower", "upper", "alpha")
    }
    kept = exact([[[name, plain_measured(effect)] for name, effect in judged.effects], judged.played, spec])
    effects, played, fields = data_of(kept, of="a test")
    return SavedClaim(id, fields, seed, told, tuple((name, measured_of(one)) for name, one in effects), played)
