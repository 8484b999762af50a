"""What a rehearsed claim, or values that were given, tell of a sample before there is one."""

import pytest

from causaltest import Effect, Lab, Pair, Pairs, Waived, accuracy, last, logit_diff, resid_post
from causaltest.errors import JudgementError
from causaltest.judging.designs import design_of


def pairs(*clusters, iid=False):
    return Pairs(
        [
            Pair(clean=f"a {i}", corrupt=f"b {i}", answer="x", corrupt_answer="y", cluster=None if iid else name)
            for i, name in enumerate(clusters)
        ],
        iid=iid,
    )


@pytest.fixture
def lab():
    return Lab.load("organism:planted").rehearsal()


CLUSTERED = pairs("one", "two", "one", "two", "one")
SITE = resid_post(1, last())


def test_right_or_wrong(lab):
    design = design_of(lab.denoise(CLUSTERED, at=SITE).recovery(accuracy))
    assert (design.kind, design.range, design.sizes, design.placebo) == ("binary", (0.0, 1.0), (3, 2), "measured")
    assert not design.iid and design.pairs == 5 and design.units == 2
    change = design_of(lab.denoise(CLUSTERED, at=SITE).change(accuracy))
    assert (change.kind, change.range) == ("continuous", (-1.0, 1.0))


def test_logits(lab):
    run = lab.denoise(pairs("x", "y", iid=True), at=SITE)
    ranged = logit_diff(range=(-5, 15))
    design = design_of(run.recovery(ranged, placebo=False))
    assert (design.kind, design.range, design.width, design.placebo) == ("ratio", (-20.0, 20.0), 20.0, "none")
    assert design.iid and design.sizes == (1, 1)
    assert design_of(run.change(ranged)).kind == "continuous"
    assert design_of(run.change(logit_diff)).range is None


def test_differences(lab):
    run, other = lab.denoise(CLUSTERED, at=SITE), lab.denoise(CLUSTERED, at=resid_post(0, last()))
    shares = design_of(run.recovery(accuracy) - other.recovery(accuracy))
    assert (shares.kind, shares.range, shares.arms) == ("continuous", (-1.0, 1.0), "binary")
    ratios = design_of(run.recovery(logit_diff) - other.recovery(logit_diff))
    assert (ratios.kind, ratios.arms, ratios.placebo) == ("ratio", "other", "measured")
    without = run.recovery(logit_diff) - other.recovery(logit_diff, placebo=False)
    assert design_of(without).placebo == "waived"
    elsewhere = lab.denoise(pairs("one", "one", "two"), at=SITE)
    with pytest.raises(JudgementError, match="not about the same pairs"):
        design_of(run.recovery(accuracy) - elsewhere.recovery(accuracy))
    with pytest.raises(JudgementError, match="difference of differences"):
        one = run.recovery(accuracy) - other.recovery(accuracy)
        design_of(one - one)


def test_a_foreseen_design_is_that_of_the_numbers():
    """The measured effect has the kind, range, clusters and placebo that its rehearsal told."""
    from causaltest.organisms import planted

    lab, some = Lab.load("organism:planted"), planted.pairs(per_cluster=2)[:4]

    def asked(by):
        early, late = (by.denoise(some, at=resid_post(layer, last())) for layer in (1, 2))
        ranged = logit_diff(range=(-9, 9))
        yield early.recovery(accuracy)
        yield late.recovery(accuracy) - early.recovery(accuracy, placebo=False)
        yield early.recovery(ranged)
        yield late.recovery(ranged) - early.recovery(ranged)
        yield early.change(logit_diff)

    for promised, measured in zip(asked(lab.rehearsal()), asked(lab), strict=True):
        foreseen, found = design_of(promised), design_of(measured)
        for name in ("kind", "range", "sizes", "arms", "placebo"):
            assert getattr(foreseen, name) == getattr(found, name), (promised, name)


def test_controls_that_are_left_out_or_added(lab):
    run = lab.denoise(CLUSTERED, at=SITE)
    assert design_of(run.recovery(accuracy, placebo=Waived("a test"))).placebo == "waived"
    wrong = run.recovery(accuracy, wrong_layer=[2, 3])
    assert design_of(wrong).wrong_places == 2 and design_of(wrong).placebo == "measured"
    assert design_of(wrong - wrong).wrong_places == 2


def test_values_that_were_given_tell_their_spread():
    given = Effect.from_values([1.0, 3.0, 5.0], kind="continuous", clusters=["a", "a", "b"], placebo=Waived("x"))
    design = design_of(given)
    assert (design.sizes, design.sd, design.placebo) == ((2, 1), 2.0, "waived")
    ratio = Effect.from_values([1.0, 3.0], kind="ratio", denominators=[4.0, 4.0], iid=True)
    assert design_of(ratio).sd == pytest.approx(2**0.5 / 4)
    assert design_of(ratio).placebo == "none"
    assert design_of(Effect.from_values([1, 0, 1], kind="binary", iid=True)).sd is None
    with pytest.raises(JudgementError, match="1 values were given"):
        design_of(Effect.from_values([1], kind="binary", iid=True))


def test_an_effect_of_no_question_is_refused():
    with pytest.raises(JudgementError, match="names no experiment"):
        design_of(Effect(None, None))
