"""What pytest does with each verdict."""

from __future__ import annotations

import pytest

SUPPORTED = """
@claim("Forty of sixty is more than a third.", at_least(0.34))
def test_a():
    return given(VALUES)
"""
REFUTED = """
@claim("Forty of sixty is nearly all.", at_least(0.95))
def test_a():
    return given(VALUES)
"""
INCONCLUSIVE = """
@claim("Forty of sixty is three in five.", at_least(0.60, expecting=0.70))
def test_a():
    return given(VALUES)
"""
INVALID = """
@claim("Nothing happens where nothing differs.", negligible(within=0.1))
def test_a(lab, pairs):
    return lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)
"""


def test_a_supported_claim_passes_and_says_so(claims):
    result = claims(SUPPORTED, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*test_a SUPPORTED*", "CLAIM *test_a  SUPPORTED  *", "*40/60 = 0.667*", "1 supported*"]
    )


@pytest.mark.parametrize(
    ("body", "word", "letter"),
    [(REFUTED, "REFUTED", "R"), (INCONCLUSIVE, "INCONCLUSIVE", "I"), (INVALID, "INVALID", "X")],
)
def test_every_other_verdict_fails_with_its_own_word_and_section(claims, body, word, letter):
    result = claims(body)
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [f"*test_claims.py {letter}*", f"CLAIM *{word}*", "  because *", "  reproduce *--causal-seed=0*"]
    )
    result.stdout.fnmatch_lines([f"{word} test_claims.py::test_a*"])


def test_an_inconclusive_claim_names_the_pairs_that_would_decide(claims):
    result = claims(INCONCLUSIVE)
    result.stdout.fnmatch_lines(
        ["  to decide * pairs if the truth is 0.667; * if you expect 0.70 (80 % power, no family)*"]
    )


def test_inconclusive_can_be_a_skip_by_ini(claims, pytester):
    pytester.makeini("[pytest]\ncausaltest_inconclusive = skip\n")
    claims(INCONCLUSIVE).assert_outcomes(skipped=1)
    claims(REFUTED).assert_outcomes(failed=1)


def test_an_unknown_ini_choice_is_refused(claims, pytester):
    pytester.makeini("[pytest]\ncausaltest_inconclusive = maybe\n")
    result = claims(INCONCLUSIVE)
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*causaltest_inconclusive = maybe is not known; it is one of*fail*skip*"])


def test_nan_makes_a_claim_invalid_and_never_an_internal_error(claims):
    result = claims(
        """
@claim("A number that is none.", at_least(0.1))
def test_a():
    return Effect.from_values([float("nan")] + [1.0] * 60, kind="continuous", range=(0, 1), iid=True,
                              placebo=Waived("a test"))
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["CLAIM *INVALID*", "  because *nan*not*finite*"])


def test_no_eligible_pair_makes_a_claim_invalid_and_counts_the_reasons(claims):
    result = claims(
        """
@claim("A model that is never right.", at_least(0.1))
def test_a(lab):
    wrong = Pairs([Pair(clean="Janet says 3 now . Answer:", corrupt="Janet says 4 now . Answer:", answer="7",
                        cluster="only")])
    return lab.denoise(wrong, at=resid_post(1, last())).recovery(accuracy)
"""
    )
    result.stdout.fnmatch_lines(
        ["CLAIM *INVALID*", "*None of the 1 pairs is eligible: 1 because the clean run does not*"]
    )


def test_a_measured_claim_shows_its_controls(claims):
    result = claims(
        """
@claim("The reader holds the value.", at_least(0.5))
def test_a(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
""",
        "-v",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*self-patch neutral within 1e-05 · placebo 0.064: beaten · positive control 1.000 ·*"]
    )
    result.stdout.fnmatch_lines(["*organism:planted*(float32, cpu)*seed 0*"])


def test_a_plain_assertion_is_judged_and_labelled_exploratory(claims):
    result = claims(
        """
def test_true():
    assert given(VALUES) > 0.4

def test_false():
    assert given(VALUES) > 0.9

def test_open():
    assert given(VALUES) > 0.6

def test_not_open():
    assert not given(VALUES) > 0.6
"""
    )
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["*> 0.9 is REFUTED*", "*observed 0.6667, bounds *", "*exploratory*"])
    result.stdout.fnmatch_lines(["*NoTruthValue: INCONCLUSIVE*neither true nor false*"])
