"""Sites: one value per place, its cells, and what is no place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.positions import Position, every, last, span, thought
from causaltest.asking.sites import (
    STREAM,
    Site,
    attn_out,
    embed,
    final_norm,
    head,
    k,
    mlp_out,
    neuron,
    pattern,
    q,
    resid_mid,
    resid_post,
    resid_pre,
    v,
)
from causaltest.errors import SiteError

BY_LAYER = [resid_pre, resid_mid, resid_post, attn_out, mlp_out]
BY_HEAD = [head, q, k, v, pattern]
BY_PART = [*BY_HEAD, neuron]


def at_part_0(where: Callable[..., Site]) -> Callable[..., Site]:
    return lambda layer, at=None: where(layer, 0, at)


some = st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (resid_post(6, thought(0)), "resid_post L6 @ thought 0"),
        (resid_pre(range(12)), "resid_pre L0-11 @ every position"),
        (attn_out([1, 3], last()), "attn_out L1, 3 @ last()"),
        (mlp_out(2, span("subject")), "mlp_out L2 @ span('subject')"),
        (head(9, 6), "head L9 H6 @ every position"),
        (head(9, range(3), last()), "head L9 H0-2 @ last()"),
        (resid_mid((0, 1), last()), "resid_mid L0, 1 @ last()"),
        (q(3, 5), "q L3 H5 @ every position"),
        (k(3, (0, 2), last()), "k L3 H0, 2 @ last()"),
        (v(0, 1, thought(2)), "v L0 H1 @ thought 2"),
        (neuron(3, 17, last()), "neuron L3 N17 @ last()"),
        (neuron(3, range(100, 200)), "neuron L3 N100-199 @ every position"),
        (embed(thought(4)), "embed @ thought 4"),
        (embed(), "embed @ every position"),
    ],
)
def test_a_site_reads_as_its_place(site: Site, words: str) -> None:
    assert str(site) == words


@pytest.mark.parametrize("where", BY_LAYER)
@pytest.mark.parametrize("layer", [-1, True, "6", [], [3, -2], 6.0, None, [1.0]])
def test_a_layer_that_is_no_whole_number_from_zero_is_refused(where: Callable[..., Site], layer: object) -> None:
    with pytest.raises(SiteError, match=r"A layer is a whole number from 0, or several of them, and .* was given"):
        where(layer)


@pytest.mark.parametrize("where", BY_HEAD)
@pytest.mark.parametrize("number", [-1, True, [], 1.5, "3", None])
def test_a_head_that_is_no_whole_number_from_zero_is_refused(where: Callable[..., Site], number: object) -> None:
    with pytest.raises(SiteError, match="A head is a whole number from 0"):
        where(3, number)


@pytest.mark.parametrize("number", [-1, True, [], 1.5, "3", None])
def test_a_neuron_that_is_no_whole_number_from_zero_is_refused(number: object) -> None:
    with pytest.raises(SiteError, match="A neuron is a whole number from 0"):
        neuron(3, number)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", BY_PART)
def test_a_part_of_a_layer_that_is_none_is_refused(where: Callable[..., Site]) -> None:
    with pytest.raises(SiteError, match="A layer is a whole number from 0"):
        where(-1, 0)


@pytest.mark.parametrize("where", [*BY_LAYER, *map(at_part_0, BY_PART), lambda layer, at: embed(at)])
@pytest.mark.parametrize("position", [3, "last", (0, 1), 0, ""])
def test_a_position_that_is_none_is_refused(where: Callable[..., Site], position: object) -> None:
    with pytest.raises(SiteError, match=r"takes a position such as last\(\) or index\(3\), and got"):
        where(3, position)


def test_several_positions_are_told_to_be_sites_of_their_own() -> None:
    with pytest.raises(SiteError, match=r"and got 2 in a list: give a site for each, or every\(\) for all tokens"):
        resid_post(3, [last(), every()])  # type: ignore[arg-type]


@pytest.mark.parametrize("where", [*BY_LAYER, *map(at_part_0, BY_PART)])
def test_without_a_position_every_position_is_meant(where: Callable[..., Site]) -> None:
    assert where(2, None) == where([2], None) == where(2, every())
    assert where(2) == where(2, every())


def test_the_input_and_the_output_of_a_block_are_two_sites() -> None:
    assert resid_pre(6, last()) != resid_post(6, last())


def test_sites_of_the_same_numbers_are_as_many_as_there_are_components() -> None:
    sites = [*(where(2) for where in BY_LAYER), *(where(2, 3) for where in BY_PART), embed(), final_norm()]
    assert len({(site.component, site) for site in sites}) == len({site.component for site in sites}) == 13


def test_a_pattern_has_parts_and_the_last_norm_has_neither_layer_nor_part() -> None:
    assert str(pattern(2, (0, 3), last())) == "pattern L2 H0, 3 @ last()"
    assert str(final_norm(thought(1))) == "final_norm @ thought 1"
    with pytest.raises(SiteError, match="no directions or features"):
        pattern(0, 0, last()).along([1.0, 2.0])


def test_the_components_of_the_stream_are_named() -> None:
    assert STREAM == ("embed", "resid_pre", "resid_mid", "resid_post", "final_norm", "logits")


@pytest.mark.parametrize("where", BY_PART)
@given(some, some, st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
def test_the_cells_of_a_site_are_its_layers_parts_and_positions(
    where: Callable[..., Site], layers: list[int], parts: list[int], thoughts: list[int]
) -> None:
    cells = where(layers, parts, thought(thoughts)).cells()
    assert cells == tuple(
        tuple(tuple(where(layer, p, thought(k)) for k in thoughts) for p in parts) for layer in layers
    )


@given(some, st.sampled_from([every(), last(), span("s")]))
def test_a_site_without_parts_has_one_row_per_layer(layers: list[int], position: Position) -> None:
    assert resid_post(layers, position).cells() == tuple(((resid_post(layer, position),),) for layer in layers)


def test_the_embedding_has_no_layer_and_one_row() -> None:
    assert embed(thought(0, 1)).cells() == (((embed(thought(0)), embed(thought(1))),),)
