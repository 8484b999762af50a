"""Layer by token, on prompt tokens, by the answer's raw logit: where the changed number is read from."""

from __future__ import annotations

from causaltest import Lab, Pairs, every, index, logit, resid_post
from causaltest.organisms.ducks import FACT_LAYER, LAYERS
from causaltest.organisms.ducks.language import NUMBER_INDEX, SENTENCE_TOKENS
from causaltest.pytest_suite import ReportFolder


def test_map_of_the_prompt(lab: Lab, mapped: tuple[Pairs, Pairs], causal_report: ReportFolder) -> None:
    number = 3 * SENTENCE_TOKENS + NUMBER_INDEX
    sweep = lab.sweep(mapped[0][:32], at=resid_post(range(LAYERS), every())).recovery(logit(first_token=True))
    causal_report.heatmap(sweep, "token_map.png", title="Residual stream of the prompt, by the answer's logit")
    assert sweep.best.position == index(number)
    assert sweep.estimate[:FACT_LAYER, number].min() == 1.0, "until block 6 the number's token is everything"
    assert abs(sweep.estimate[FACT_LAYER:, number]).max() == 0.0, "block 6 has read it"
    assert sweep.distance[FACT_LAYER:, number].min() > 0, "though it still differs between the runs"
