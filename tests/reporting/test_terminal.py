"""The terminal report: the facts of a verdict are on the page, and nothing missing breaks it."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.claims import Claim
from causaltest.asking.predictions import at_least
from causaltest.effect import Effect
from causaltest.reporting.terminal import WIDTH, holm_by_family, number, p_number, section, summary
from causaltest.results import ClaimResult, Family, Known
from causaltest.session import decide


def judged(recovered: int = 5, size: int = 3, **more: Any) -> ClaimResult:
    """The retracted pilot: 5 of 9 recovered, the placebo 4 of 9, three layers tested."""
    values = [1] * recovered + [0] * (9 - recovered)
    effect = Effect.from_values(values, kind="binary", iid=True, placebo=[1] * 4 + [0] * 5)
    result = decide(
        Claim("Layer 11 is causally involved.", at_least(0.5, expecting=0.7), lambda: effect),
        {},
        Known("claims/test_pilot.py::test_pilot[11]", "pilot", Family("claims/test_pilot.py", size), "0"),
    )
    return dataclasses.replace(result, **more)


def line_of(text: str, label: str) -> str:
    """A row of the section, its wrapped lines joined."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"  {label} "))
    stop = next((i for i in range(start + 1, len(lines)) if lines[i][2:3].strip()), len(lines))
    return " ".join(" ".join(lines[start:stop]).removeprefix(f"  {label} ").split())


# the retracted pilot


def test_the_pilots_section_opens_with_verdict_status_sentence_and_prediction() -> None:
    head, sentence, prediction, *_ = section(judged()).splitlines()
    assert head == "CLAIM pilot  INCONCLUSIVE  [EXPLORATORY: not registered]"
    assert sentence.strip() == '"Layer 11 is causally involved."'
    assert prediction.strip() == "given values  >= 0.5"


@pytest.mark.parametrize(
    ("label", "facts"),
    [
        ("observed", ["5/9 = 0.556", "bounds [0.193, 0.878]", "exact binomial", "alpha .05/3", "3 claims"]),
        ("p", ["0.50", "corrected 1.00"]),
        ("eligible", ["9 of 9 pairs", "declared independent"]),
        ("controls", ["placebo 4/9: not beaten", "positive control waived: measured outside causaltest"]),
        (
            "to decide",
            [
                "716 pairs if the truth is 0.556",
                "; 55 if you expect 0.70",
                "80 % power, this family",
                "(634: the published figure, two-sided normal formula, no family)",
            ],
        ),
        ("because", ["Observed 5 of 9 independent pairs", "do not settle whether the effect is >= 0.5"]),
        ("note", ["self-patch waived: measured outside causaltest"]),
        ("reproduce", ["pytest 'claims/test_pilot.py::test_pilot[11]' --causal-seed=0"]),
    ],
)
def test_the_pilots_section_has_the_essential_facts(label: str, facts: list[str]) -> None:
    line = line_of(section(judged()), label)
    for fact in facts:
        assert fact in line


def test_the_pilots_row_in_the_table() -> None:
    banner, _, header, row, _, _, totals = summary([judged()])
    assert banner.endswith("seed 0")
    assert header.split()[:2] == ["claim", "estimate"]
    for fact in ("pilot", "0.556", "[0.193, 0.878]", ">= 0.5", "9 (iid)", "1.000   1.000", "0.444", "INCONCLUSIVE"):
        assert fact in row
    assert totals == "1 inconclusive"


# section


@pytest.mark.parametrize("verdict", ["SUPPORTED", "REFUTED"])
def test_a_decided_claim_needs_no_more_pairs(verdict: str) -> None:
    assert "to decide" not in section(judged(verdict=verdict))


def test_the_share_is_said_of_binary_effects_only() -> None:
    assert "5/9" not in line_of(section(judged(kind="continuous")), "observed")


def test_a_claim_alone_has_no_family() -> None:
    text = section(judged(size=1))
    assert "alpha .05)" in line_of(text, "observed")
    assert "80 % power, no family" in line_of(text, "to decide")


def test_clusters_and_exclusions_are_said() -> None:
    line = line_of(section(judged(clusters=4, pairs_total=12, excluded={"clean run wrong": 3})), "eligible")
    assert line == "9 of 12 pairs, 4 clusters; 3 excluded: clean run wrong"


def test_failed_controls_are_shouted() -> None:
    controls = {
        "self_patch": {"moved": 0.25, "neutral": False},
        "placebo": 0.5,
        "positive": {"estimate": 0.125, "passed": False, "site": "everywhere"},
        "distance": 3.14159,
    }
    line = line_of(section(judged(controls=controls)), "controls")
    assert line == (
        "self-patch MOVED the run by 0.250 · placebo 0.500: not beaten · positive control 0.125 FAILED · "
        "patch distance 3.14"
    )
    controls["self_patch"] = {"moved": 0.0, "neutral": True}
    controls["positive"] = {"estimate": 0.875, "passed": True, "site": "everywhere"}
    line = line_of(section(judged(controls=controls)), "controls")
    assert line.startswith("self-patch neutral within 1e-05 · placebo 0.500: not beaten · positive control 0.875 · ")


def test_the_whole_component_stands_beside_a_part() -> None:
    given = {"placebo": 0.5, "full_component": 0.93, "distance": 3.0}
    line = line_of(section(judged(controls=given)), "controls")
    assert line == "placebo 0.500: not beaten · full component 0.930 · patch distance 3"
    assert "full component" not in section(judged(controls=given | {"full_component": None}))


def test_wrong_places_and_waivers_stand_among_the_controls() -> None:
    given = {"placebo": 0.5, "elsewhere": {"layer 2": 0.031, "index 3": -0.25}, "positive": "waived: seen before"}
    line = line_of(section(judged(controls=given | {"distance": 3.0})), "controls")
    assert line == (
        "placebo 0.500: not beaten · positive control waived: seen before · at layer 2: 0.031 · at index 3: -0.250 · "
        "patch distance 3"
    )


def test_an_invalid_claim_says_why_and_shows_no_empty_brackets() -> None:
    invalid = judged(verdict="INVALID", lower=None, upper=None, procedures=[], p_value=None, reason="NaN in 'p1'.")
    text = section(invalid)
    assert "because     NaN in 'p1'." in text
    assert "(, " not in text and "()" not in text
    assert line_of(text, "observed") == "5/9 = 0.556 bounds - (alpha .05/3: family claims/test_pilot.py, 3 claims)"


@pytest.mark.parametrize(
    "nodeid", ["a.py::b", "a.py::b[x y]", "a.py::b[it's]", 'a.py::b["$HOME"]', "a b.py::c[`ls`-*]", "a.py::b[|]"]
)
def test_the_command_to_reproduce_is_the_same_words_in_a_shell(nodeid: str) -> None:
    line = section(judged(nodeid=nodeid, suite_seed="my seed")).splitlines()[-1]
    assert shlex.split(line) == ["reproduce", "pytest", nodeid, "--causal-seed=my seed"]


def test_long_texts_are_wrapped_and_commands_are_not() -> None:
    text = section(judged(reason="word " * 100, nodeid="a.py::" + "b" * 200))
    *wrapped, command = text.splitlines()
    assert max(map(len, wrapped)) <= WIDTH
    assert len(command) > WIDTH


floats = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
ABSENT: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["estimate", "lower", "upper", "alpha", "p_value", "p_adjusted", "expecting"], floats),
    **dict.fromkeys(["clusters", "needed_n"], st.none() | st.integers(0, 99)),
    **dict.fromkeys(["n", "eligible", "pairs_total"], st.integers(0, 99)),
    **dict.fromkeys(["model", "site"], st.none() | texts),
    "kind": st.sampled_from([None, "binary", "continuous", "ratio"]),
    "verdict": st.sampled_from(["SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID"]),
    "family_size": st.integers(1, 3),
    "needed": st.dictionaries(texts, st.none() | st.integers(0, 9), max_size=2),
    "excluded": st.dictionaries(texts, st.integers(1, 9), max_size=2),
    "procedures": st.lists(texts, max_size=2),
    "notes": st.lists(texts, max_size=2),
    "reason": texts,
    "counted_if": texts,
    "minimum_units": st.integers(0, 99),
    "placebo_p": floats,
    "excluded_pairs": st.dictionaries(texts, texts, max_size=30),
    "seen": st.lists(texts, max_size=2),
    "warnings": st.lists(
        st.fixed_dictionaries(
            {"name": texts, "says": texts, "source": texts, "accepted": st.sampled_from(["", "by the claim"])}
        ),
        max_size=2,
    ),
    "variants": st.lists(
        st.fixed_dictionaries(
            {
                **dict.fromkeys(["estimate", "lower", "upper"], floats),
                **dict.fromkeys(["name", "reason"], texts),
                "n": st.integers(0, 9),
                "verdict": st.sampled_from(["SUPPORTED", "INVALID"]),
                "shown": st.booleans(),
            }
        ),
        max_size=22,
    ),
    "question": texts,
    "provenance": st.dictionaries(st.sampled_from(["weights", "dtype"]), texts, max_size=2),
    "runs": st.dictionaries(st.sampled_from(["patched_runs", "forwards", "reused_runs"]), st.integers(0, 9)),
    "controls": st.fixed_dictionaries(
        {},
        optional={
            "self_patch": st.none()
            | texts
            | st.fixed_dictionaries({"moved": floats, "neutral": st.booleans(), "rounding": floats}),
            "placebo": floats | texts,
            "positive": st.none() | texts | st.fixed_dictionaries({"estimate": floats, "passed": st.booleans()}),
            "distance": floats,
        },
    ),
}


@given(st.fixed_dictionaries({}, optional=ABSENT))
def test_whatever_is_missing_the_report_is_still_written(given: dict[str, Any]) -> None:
    result = dataclasses.replace(BARE, **given)
    assert section(result).startswith(f"CLAIM {result.id}  {result.verdict}  [EXPLORATORY: not registered]")
    assert section(result, every_pair=True).splitlines()[-1].split() == [
        "reproduce",
        "pytest",
        "a.py::b",
        "--causal-seed=0",
    ]
    assert result.verdict in summary([result, result])[3]


BARE = ClaimResult("a", "a.py::b", "Ducks.", ">= 0.5", 0.5, "INVALID", "None counted.", suite_seed="0")


# summary


def test_the_table_counts_every_verdict_and_what_it_cost() -> None:
    verdicts = ["SUPPORTED", "SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID"]
    runs = {"patched_runs": 10, "forwards": 2, "reused_runs": 1}
    lines = summary([judged(verdict=verdict, runs=runs) for verdict in verdicts])
    assert lines[-1] == (
        "2 supported, 1 refuted, 1 inconclusive, 1 invalid · 50 patched runs in 10 forwards "
        "(5 clean and corrupt runs reused)"
    )
    assert len(lines) == 5 + len(verdicts), "a family that ran whole has nothing missing"


def test_the_banner_names_each_model_once_with_its_weights() -> None:
    where = {"weights": "abcdef0123", "dtype": "float32", "device": "cpu"}
    ducks = judged(model="organism:ducks", provenance=where)
    other = judged(model="org/name", provenance={"dtype": "float32", "device": "cpu"})
    banner = summary([ducks, ducks, other])[0]
    assert "organism:ducks@abcdef, org/name (float32, cpu) · seed 0" in banner


def cell_of(result: ClaimResult, column: str) -> str:
    _, _, header, row, *_ = summary([result])
    start = header.index(column)
    return row[start:].split("  ")[0].strip()


@pytest.mark.parametrize(("placebo", "cell"), [(None, "-"), ("waived: no time", "waived"), (0.25, "0.250")])
def test_the_placebo_of_each_claim_is_in_the_table(placebo: Any, cell: str) -> None:
    assert cell_of(judged(controls={"placebo": placebo}), "placebo") == cell


@pytest.mark.parametrize(("distance", "cell"), [(None, "-"), (0.0, "0"), (2.828427, "2.83")])
def test_the_patch_distance_of_each_claim_is_in_the_table(distance: float | None, cell: str) -> None:
    assert cell_of(judged(controls={"distance": distance}), "distance") == cell


def test_the_columns_line_up() -> None:
    _, _, header, *rows, _, _, _ = summary([judged(), judged(id="a much longer id")])
    assert {row.index("INCONCLUSIVE") for row in rows} == {header.index("verdict")}


# Holm


def test_holm_is_over_each_family_and_counts_what_did_not_run_as_one() -> None:
    """By hand: in a family of 4 with p = .01, .02, the smallest times 4, the next times 3."""
    ran = [judged(p_value=p, family="a", family_size=4) for p in (0.02, 0.01)]
    other = judged(p_value=0.03, family="b", family_size=1)
    assert holm_by_family([*ran, other]) == pytest.approx([0.06, 0.04, 0.03])
    lines = summary([*ran, other])
    assert lines[-2] == (
        "p holm: 2 claims of these families did not run, and count as p = 1; verdicts go by p corr, which needs no "
        "other claim"
    )
    assert cell_of(ran[0], "p holm") == "0.080", "alone, it is the smallest of the four"


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6), st.integers(0, 3))
def test_holm_lies_between_the_p_value_and_bonferroni(p_values: list[float], absent: int) -> None:
    size = len(p_values) + absent
    results = [dataclasses.replace(BARE, p_value=p, family="a", family_size=size) for p in p_values]
    for p, by_holm in zip(p_values, holm_by_family(results), strict=True):
        assert p <= by_holm <= min(1.0, p * size) * (1 + 1e-12)


def test_a_claim_without_a_p_value_counts_as_one() -> None:
    ran = [judged(p_value=p, family="a", family_size=2) for p in (None, 0.02)]
    assert holm_by_family(ran) == pytest.approx([1.0, 0.04])
    assert "did not run" not in "\n".join(summary(ran))


# warnings, pairs, variants


def told(**more: str) -> dict[str, str]:
    return {"name": "few-eligible", "says": "9 of 45 pairs", "source": "Hernán 2004", "accepted": "", **more}


def test_a_warning_has_its_source_and_the_way_to_accept_it() -> None:
    line = line_of(section(judged(warnings=[told()])), "warning")
    assert line == 'few-eligible: 9 of 45 pairs (Hernán 2004). To accept it: accept=["few-eligible"].'
    accepted = section(judged(warnings=[told(accepted="by the claim")]))
    assert line_of(accepted, "accepted") == "few-eligible: 9 of 45 pairs (Hernán 2004)."
    assert "warning" not in accepted


def test_warnings_are_counted_below_the_table() -> None:
    lines = summary([judged(size=1, warnings=[told(), told(name="subspace", accepted="by the claim")]), judged(size=1)])
    assert lines[-2] == "warnings: few-eligible 1; 1 accepted (each is told in its claim's section, with -v)"


def test_the_reason_of_each_pair_is_told_when_asked_for() -> None:
    result = judged(excluded_pairs={f"p{i}": "the clean run does not give the answer" for i in range(25)})
    assert "excluded" not in section(result)
    lines = [line for line in section(result, every_pair=True).splitlines() if line.startswith("  excluded")]
    assert lines[0].split(maxsplit=1)[1] == "p0: the clean run does not give the answer"
    assert len(lines) == 21
    assert lines[-1].split(maxsplit=1)[1] == "and 5 more, all of them in --causal-json"


def test_too_few_units_are_told_with_the_minimum() -> None:
    assert line_of(section(judged(clusters=9, minimum_units=20)), "eligible").endswith("9 clusters, minimum 20")
    assert "minimum" not in section(judged(clusters=20, minimum_units=20))


def test_pairs_seen_before_are_exploratory() -> None:
    by = "9 of its 9 pairs were seen by a sweep"
    text = section(judged(seen=[by], status_reason=by))
    assert text.splitlines()[0] == "CLAIM pilot  INCONCLUSIVE  [EXPLORATORY: pairs seen before]"
    assert line_of(text, "seen") == by
    assert text.count(by) == 1, "said once"


def test_a_long_question_is_wrapped_and_one_that_was_not_asked_leaves_no_gap() -> None:
    long = "recovery(logit_diff), denoise resid_post L1 @ last()  minus  " * 2
    lines = section(judged(question=long)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(" ".join(lines[2:5]).split()).startswith(" ".join(f"{long} >= 0.5".split()))
    assert section(BARE).splitlines()[2] == "  >= 0.5"


def test_a_control_that_was_waived_is_told_once() -> None:
    text = section(judged(controls={"placebo": "waived: no time"}, notes=["placebo waived: no time", "another"]))
    assert text.count("waived: no time") == 1
    assert line_of(text, "note") == "another"


@pytest.mark.parametrize(("prediction", "word"), [("rising 1 < 2 < 3", "smallest step"), ("1 in the top 1", "lead")])
def test_the_number_of_a_claim_about_an_order_says_what_it_is(prediction: str, word: str) -> None:
    ordered = judged(threshold=None, prediction=prediction, kind="continuous")
    assert line_of(section(ordered), "observed").startswith(f"{word} 0.556 ")


def test_one_cluster_is_no_plural() -> None:
    assert ", 1 cluster, minimum" in line_of(section(judged(clusters=1, minimum_units=20)), "eligible")


def test_a_claim_that_was_not_measured_has_no_pairs_in_the_table() -> None:
    assert cell_of(BARE, "n (clusters)") == "-"


def test_the_published_figure_does_not_stand_alone() -> None:
    alone = judged(needed={"published figure, two-sided normal formula, no family": 4}, needed_n=None)
    assert "published" not in section(alone)


def variant(name: str, verdict: str = "SUPPORTED", *, shown: bool = False) -> dict[str, Any]:
    numbers = {"estimate": 0.5, "lower": 0.25, "upper": None, "n": 9}
    return {"name": name, "verdict": verdict, "shown": shown, "reason": "", **numbers}


def test_each_variant_has_a_line() -> None:
    text = section(judged(variants=[variant("seed=1"), variant("seed=20", "INCONCLUSIVE", shown=True)]))
    assert text.splitlines()[-3:-1] == [
        "  variants    seed=1   0.500  [0.250, ?]  n 9  SUPPORTED",
        "              seed=20  0.500  [0.250, ?]  n 9  INCONCLUSIVE (shown above)",
    ]


def test_of_many_variants_those_that_do_not_hold_come_first() -> None:
    many = [variant(f"seed={i}") for i in range(40)]
    many[30] = variant("seed=30", "REFUTED")
    lines = section(judged(variants=many)).splitlines()
    assert lines[-22].startswith("  variants    seed=30")
    assert lines[-2].strip() == "and 20 more, all of them in --causal-json"


def test_what_stands_between_dots_is_kept_on_one_line() -> None:
    given = {"self_patch": {"moved": 0.0, "neutral": True}, "placebo": "waived: " + "no " * 18, "distance": 2.5}
    lines = section(judged(controls=given)).splitlines()
    assert any("patch distance 2.5" in line for line in lines)


# numbers


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "?"), (0.0, "0.000"), (0.5, "0.500"), (-0.0625, "-0.062"), (0.0004, "0.0004"), (1234.5, "1.23e+03")],
)
def test_a_number_has_three_decimals_or_three_digits(value: float | None, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(("p", "words"), [(0.5, "0.500"), (0.001, "0.001"), (0.00012, "1.2e-04"), (1e-200, "< 1e-99")])
def test_a_small_p_value_is_not_rounded_to_zero(p: float, words: str) -> None:
    assert p_number(p) == words


LOOKS = {
    "rule": "obrien-fleming",
    "taken": 2,
    "planned": 4,
    "alpha": 0.05,
    "alpha_here": 0.00713,
    "passed": {"1": "12 clusters, where 20 are needed"},
    "planned_runs": 1024,
    "saved_runs": 512,
    "price": "",
}


def test_a_sequential_claim_says_how_far_it_went_and_what_that_saved() -> None:
    text = section(judged(looks=LOOKS))
    assert line_of(text, "looks") == (
        "2 of 4 (O'Brien-Fleming, alpha .00713 of .05 at this look); 512 of 1 024 patched runs saved; "
        "look 1 could not decide (12 clusters, where 20 are needed)"
    )
    assert "at this look" in line_of(text, "observed")
    assert "  looks" not in section(judged()), "a claim that is looked at once has no such row"


def test_the_price_of_looking_at_any_time_is_printed() -> None:
    anytime = {**LOOKS, "rule": "anytime", "passed": {}, "planned_runs": 0, "price": "it costs pairs"}
    assert line_of(section(judged(looks=anytime)), "looks") == "2 of 4 (betting e-process, at any time); it costs pairs"
