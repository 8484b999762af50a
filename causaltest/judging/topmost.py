"""Top: the named effects among the k largest, by the resamples and by the paired comparisons."""

from __future__ import annotations

import dataclasses

from causaltest.asking.orderings import Name, Top
from causaltest.judging import wording
from causaltest.judging.bounds import Bound
from causaltest.judging.comparing import Comparison, Levels, compare
from causaltest.judging.members import Found, Members
from causaltest.judging.power import Plan, needed_pairs
from causaltest.judging.ranking import RANKING, Lead, lead_of, ranking_p


def place_found(members: Members, prediction: Top) -> Found:
    """Both how often the resamples rank it so, and the paired comparisons with the others."""
    k, settings = prediction.k, members.settings
    others = len(members.samples) - 1
    levels = Levels(settings.alpha / k, settings.alpha / (others - k + 1) / len(prediction.names))
    leads: dict[Name, Lead] = {}
    every: list[Comparison] = []
    for name in prediction.names:
        against = [members.against(name, other) for other in members.samples if other != name]
        bounds = compare(against, settings, levels)
        leads[name] = lead_of([c.sample.estimate for c in against], bounds, k)
        every += against
    p_ranking = ranking_p(
        list(members.samples.values()),
        [list(members.samples).index(name) for name in prediction.names],
        k,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    p_lead = max(lead.bound.p_above for lead in leads.values())
    procedures = tuple(dict.fromkeys(p for c in every for p in c.rule.procedures))
    alpha, by = settings.alpha_in_words, " and ".join(procedures)
    beaten = [str(name) for name, lead in leads.items() if lead.bound.upper < 0]
    larger = "another is" if k == 1 else f"at least {k} of the others are"
    smallest = min(leads, key=lambda name: leads[name].estimate)
    p_values = (
        f"{wording.p_in_words(p_ranking)} by the {RANKING}, {wording.p_in_words(p_lead)} by {by} against the others, "
        f"alpha {alpha}"
    )
    return Found(
        estimate=leads[smallest].estimate,
        bound=Bound(
            by,
            min(lead.bound.lower for lead in leads.values()),
            min(lead.bound.upper for lead in leads.values()),
            p_lead,
            min(lead.bound.p_below for lead in leads.values()),
        ),
        p=max(p_ranking, p_lead),
        procedures=(RANKING, *procedures),
        comparisons=every,
        observed=f"the effect under {smallest!r} minus {'the largest' if k == 1 else f'number {k}'} of the other "
        f"{others} is {wording.number(leads[smallest].estimate)}",
        refuted=f"{larger} larger than {' and than '.join(beaten)} by {by} at alpha {alpha}",
        shown="the lead",
        supported=f"the place is clear ({p_values})",
        undecided=f"the place is not clear ({p_values})",
    )


def pairs_for_lead(members: Members, prediction: Top, found: Found, lead: float) -> int | None:
    """The pairs by which every comparison that must clear does so, all of them with the power wanted."""
    settings = members.settings
    must_clear = (len(members.samples) - prediction.k) * len(prediction.names)
    # each may fail as rarely as all of them together are allowed to
    power = 1 - (1 - prediction.power) / must_clear
    plan = Plan(dataclasses.replace(settings.prediction, power=power), lead, settings.alpha / prediction.k)
    answers = [needed_pairs(c.sample, c.rule, plan, uses_placebo=False) for c in found.comparisons]
    known = [answer for answer in answers if answer is not None]
    return max(known) if len(known) == len(answers) else None
