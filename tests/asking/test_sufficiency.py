"""The words of a claim against the way of its patch: known in rehearsal, in whole words."""

from __future__ import annotations

import pytest

from causaltest.asking.interventions import add, zero
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.sites import resid_post
from causaltest.asking.sufficiency import why_misdirected
from causaltest.effect import Effect

LAB = Lab(name="any", seed="0").rehearsal()
PAIRS = Pairs([Pair(clean="a", corrupt="b", answer="c")], iid=True)
SITE = resid_post(1)
DENOISED = LAB.denoise(PAIRS, at=SITE).recovery(accuracy)
NOISED = LAB.noise(PAIRS, at=SITE).drop(accuracy)
ABLATED = LAB.ablate(PAIRS, at=SITE, by=zero).drop(accuracy)
STEERED = LAB.steer(PAIRS, at=SITE, by=add([1.0, 2.0])).change(accuracy)


@pytest.mark.parametrize(
    ("sentence", "effect", "told"),
    [
        ("Layer 1 is necessary.", DENOISED, "says 'necessary', and its experiment is to denoise"),
        ("The necessity of layer 1.", DENOISED, r"Measure with lab\.noise or lab\.ablate"),
        ("Layer 1 is NOT NECESSARY.", DENOISED, "says 'NECESSARY'"),
        ("Layer 1 is unnecessary.", DENOISED, "says 'unnecessary'"),
        ("Layer 1 is sufficient.", NOISED, r"its experiment is to noise.*Measure with lab\.denoise"),
        ("Layer 1 is sufficient.", ABLATED, "its experiment is to ablate"),
        ("The sufficiency of layer 1.", NOISED, "says 'sufficiency'"),
        ("Layer 1 is insufficient.", ABLATED, "says 'insufficient'"),
        ("Layer 1 is necessary.", STEERED, "steering neither"),
        ("Layer 1 is sufficient.", STEERED, "steering neither"),
        ("Layer 1 is necessary and sufficient.", DENOISED, "says 'necessary'"),
        ("Layer 1 is necessary.", DENOISED - DENOISED, "says 'necessary'"),
    ],
)
def test_what_the_patch_does_not_test_is_told(sentence: str, effect: Effect, told: str) -> None:
    assert effect.numbers is None, "nothing has been measured"
    why = why_misdirected(sentence, effect.question)
    assert why is not None
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(why)


@pytest.mark.parametrize(
    ("sentence", "effect"),
    [
        ("Layer 1 is sufficient.", DENOISED),
        ("Layer 1 is necessary.", NOISED),
        ("Layer 1 is necessary.", ABLATED),
        ("Layer 1 is necessary and sufficient.", NOISED - DENOISED),
        ("Layer 1 carries the total, and necessarily so.", DENOISED),
        ("It does so self-sufficiently.", NOISED),
        ("Layer 1 matters.", STEERED),
    ],
)
def test_what_it_tests_and_what_is_only_alike_in_letters_passes(sentence: str, effect: Effect) -> None:
    assert why_misdirected(sentence, effect.question) is None


def test_of_values_nothing_is_known() -> None:
    assert why_misdirected("Layer 1 is necessary.", None) is None
    assert why_misdirected("Layer 1 is necessary.", (Effect(None, None) - Effect(None, None)).question) is None
