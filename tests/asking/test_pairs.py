"""Pairs: what is refused at the door, and what a split and a file keep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from causaltest.asking.pairs import Pair, Pairs
from causaltest.errors import PairsError

ONE = Pair(clean="Paris is in", corrupt="Rome is in", answer=" France", cluster="capitals")

# Any text that a file in UTF-8 can hold, line separators of Unicode included.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)


@st.composite
def spans(draw: st.DrawFn, text: str) -> dict[str, tuple[int, int]]:
    edges = st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))).filter(lambda e: e[0] < e[1])
    return draw(st.dictionaries(st.text(min_size=1, max_size=3), edges, max_size=2))


@st.composite
def one_pair(draw: st.DrawFn, *, clusters: st.SearchStrategy[str | None], id: str) -> Pair:
    clean = draw(texts)
    return Pair(
        clean=clean,
        corrupt=draw(texts),
        answer=draw(texts),
        corrupt_answer=draw(st.none() | texts),
        cluster=draw(clusters),
        id=id,
        spans=(named := draw(spans(clean))),
        corrupt_spans=dict.fromkeys(list(named)[: draw(st.integers(0, 2))], (0, 1)),
    )


@st.composite
def many_pairs(draw: st.DrawFn) -> Pairs:
    iid = draw(st.booleans())
    clusters = st.none() if iid else st.sampled_from("abcde")
    count = draw(st.integers(1, 4))
    return Pairs([draw(one_pair(clusters=clusters, id=f"p{i}")) for i in range(count)], iid=iid)


@st.composite
def clustered_pairs(draw: st.DrawFn) -> Pairs:
    """Pairs whose texts do not matter, in at least two clusters or independent."""
    if draw(st.booleans()):
        return Pairs([replace(ONE, cluster=None)] * draw(st.integers(2, 12)), iid=True)
    return Pairs([replace(ONE, cluster=c) for c in ["a", *draw(st.lists(st.sampled_from("abcde"), max_size=10)), "b"]])


# one pair


@pytest.mark.parametrize("name", ["clean", "corrupt", "answer"])
@pytest.mark.parametrize("text", ["", "  ", None, 7])
def test_a_pair_needs_its_three_texts(name: str, text: object) -> None:
    with pytest.raises(PairsError, match=rf"A pair's {name} must be a text that is not empty, and is {text!r}"):
        Pair(**{"clean": "a", "corrupt": "b", "answer": "c", name: text})


@pytest.mark.parametrize("name", ["corrupt_answer", "cluster", "id"])
def test_a_pairs_other_fields_are_texts_or_absent(name: str) -> None:
    with pytest.raises(PairsError, match=rf"A pair's {name} must be a text or absent, and is 3"):
        Pair(**{"clean": "a", "corrupt": "b", "answer": "c", name: 3})


def test_a_prompt_of_more_than_a_million_characters_is_refused() -> None:
    with pytest.raises(PairsError, match=r"clean has 1000001 characters; 1000000 are accepted"):
        replace(ONE, clean="x" * 1_000_001)


@pytest.mark.parametrize("span", [(0, 12), (-1, 3), (3, 3), (4, 2), (1,), (0, 1.0), (False, 2), "ab", 3, None])
def test_a_span_outside_its_prompt_is_refused_with_the_prompts_length(span: object) -> None:
    with pytest.raises(PairsError, match=r"Span 'city' is .*first character, past the last.*has 11 characters"):
        replace(ONE, spans={"city": span})


def test_a_span_may_reach_from_the_first_to_the_last_character() -> None:
    assert replace(ONE, spans={"all": [0, 11]}).spans == {"all": (0, 11)}


def test_a_pair_with_itself_has_its_clean_side_twice() -> None:
    pair = replace(ONE, corrupt_answer=" Italy", spans={"city": (0, 5)}).with_itself()
    assert (pair.corrupt, pair.corrupt_answer) == ("Paris is in", " France")
    assert pair.spans == {"city": (0, 5)}


def test_a_corrupt_span_lies_in_the_corrupt_prompt_and_names_a_span() -> None:
    pair = replace(ONE, spans={"city": (0, 5)}, corrupt_spans={"city": [0, 4]})
    assert pair.corrupt_spans == {"city": (0, 4)}
    assert pair.with_itself().corrupt_spans == {}
    assert pair.as_dict()["corrupt_spans"] == {"city": [0, 4]}
    with pytest.raises(PairsError, match=r"Span 'city' is .* inside the corrupt prompt, which has 10 characters"):
        replace(ONE, spans={"city": (0, 5)}, corrupt_spans={"city": (0, 11)})
    with pytest.raises(PairsError, match=r"corrupt_spans names \['town'\], and spans does not"):
        replace(ONE, spans={"city": (0, 5)}, corrupt_spans={"town": (0, 4)})


# pairs


def test_no_pairs_at_all_are_refused() -> None:
    with pytest.raises(PairsError, match="at least one Pair, and got none"):
        Pairs([])


def test_something_else_than_a_pair_is_named() -> None:
    with pytest.raises(PairsError, match=r"got dict; write Pair\(clean="):
        Pairs([ONE, {"clean": "a"}])  # type: ignore[list-item]


def test_two_pairs_with_one_id_are_refused_by_that_id() -> None:
    with pytest.raises(PairsError, match=r"Two pairs have the id 'x'.*each is used once"):
        Pairs([replace(ONE, id="x"), replace(ONE, id="y"), replace(ONE, id="x")])


def test_pairs_without_an_id_are_numbered() -> None:
    assert Pairs([ONE, replace(ONE, id="mine"), ONE]).ids == ("pair 0", "mine", "pair 2")


def test_clusters_that_are_not_said_are_refused_with_both_ways_out() -> None:
    bare = replace(ONE, cluster=None)
    with pytest.raises(PairsError, match=r"2 of 3 pairs name no cluster.*cluster=.*iid=True"):
        Pairs([ONE, bare, bare])


def test_pairs_that_share_nothing_may_not_name_clusters() -> None:
    with pytest.raises(PairsError, match=r"iid=True says that pairs share nothing, and 1 of 2 name a cluster"):
        Pairs([ONE, replace(ONE, cluster=None)], iid=True)


def test_clusters_are_none_only_where_independence_is_declared() -> None:
    bare = replace(ONE, cluster=None)
    assert Pairs([bare, bare], iid=True).clusters is None
    assert Pairs([ONE, ONE]).clusters == ("capitals", "capitals")


def test_a_slice_is_pairs_of_the_same_kind() -> None:
    bare = replace(ONE, cluster=None)
    pairs = Pairs([bare, bare, bare], iid=True)
    assert pairs[1:].iid
    assert pairs[1:].ids == ("pair 1", "pair 2")
    assert pairs[2].id == "pair 2"


@given(many_pairs(), st.data())
def test_the_digest_changes_with_whatever_a_measurement_could_depend_on(pairs: Pairs, data: st.DataObject) -> None:
    assert Pairs(list(pairs), iid=pairs.iid).digest == pairs.digest
    at = data.draw(st.integers(0, len(pairs) - 1))
    old = pairs[at]
    changes = [{name: f"{getattr(old, name)}!"} for name in ("clean", "corrupt", "answer", "corrupt_answer", "id")]
    changes += [{"spans": {**old.spans, "more!": (0, 1)}}]
    changes += [] if pairs.iid else [{"cluster": f"{old.cluster}!"}]
    changed = replace(old, **data.draw(st.sampled_from(changes)))
    other = Pairs([changed if p is old else p for p in pairs], iid=pairs.iid)
    assert other.digest != pairs.digest
    assert other != pairs


def test_the_digest_of_plain_pairs_is_the_same_in_every_release() -> None:
    """It keys what is kept of them."""
    plain = [
        Pair(clean="a b", corrupt="a c", answer="d", corrupt_answer="e", cluster="x", spans={"s": (2, 3)}),
        Pair(clean="a", corrupt="c", answer="d", cluster="y", id="q"),
    ]
    assert Pairs(plain).digest == "0b265fb07bca50af6a54b1b7f875387b340d5d282719d14c5786f4d4d4e693fa"


def test_the_digest_knows_the_order_and_the_independence() -> None:
    bare = [replace(ONE, cluster=None, id=i) for i in "ab"]
    assert Pairs(bare, iid=True).digest != Pairs(bare[::-1], iid=True).digest
    assert Pairs(bare[:1]).digest != Pairs(bare[:1], iid=True).digest


# split


@given(clustered_pairs(), st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_halves_are_disjoint_and_complete_and_share_no_cluster(pairs: Pairs, seed: int, share: float) -> None:
    count = len(set(pairs.clusters or pairs.ids))
    assume(0 < round(count * share) < count)
    halves = pairs.split(discovery=share, seed=seed)
    assert sorted([*halves.discovery.ids, *halves.confirmation.ids]) == sorted(pairs.ids)
    assert not set(halves.discovery.ids) & set(halves.confirmation.ids)
    assert not set(halves.discovery.clusters or ()) & set(halves.confirmation.clusters or ())
    assert len(set(halves.discovery.clusters or halves.discovery.ids)) == round(count * share)
    for half in halves:
        assert half.iid is pairs.iid
        assert list(half) == [p for p in pairs if p.id in half.ids], "in the order given"


@given(clustered_pairs(), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_halves(pairs: Pairs, seed: int) -> None:
    assert pairs.split(seed=seed) == pairs.split(seed=seed)


def test_another_seed_gives_other_halves() -> None:
    pairs = Pairs([replace(ONE, cluster=str(i)) for i in range(20)])
    assert len({pairs.split(seed=seed).discovery for seed in range(5)}) == 5


@pytest.mark.parametrize("discovery", [0, -0.5, 1.0, 30])
def test_a_split_is_by_a_share_of_the_clusters(discovery: float) -> None:
    with pytest.raises(PairsError, match=rf"discovery={discovery} must lie between 0 and 1"):
        Pairs([replace(ONE, cluster=c) for c in "aabb"]).split(discovery=discovery, seed=0)


@pytest.mark.parametrize("discovery", [0.1, 0.9])
def test_a_split_that_leaves_a_half_empty_is_refused(discovery: float) -> None:
    pairs = Pairs([replace(ONE, cluster=c) for c in "aabb"])
    with pytest.raises(PairsError, match=rf"discovery={discovery} of 2 clusters leaves one half empty; add clusters"):
        pairs.split(discovery=discovery, seed=0)


# files


@settings(max_examples=50)
@given(pairs=many_pairs(), escaped=st.booleans(), blank=st.sampled_from(["", "\n", "  \n"]))
def test_pairs_written_line_by_line_are_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, escaped: bool, blank: str
) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    lines = [json.dumps(p.as_dict(), ensure_ascii=escaped) for p in pairs]
    path.write_text(blank.join(f"{line}\n" for line in lines), encoding="utf-8")
    again = Pairs.from_jsonl(path, iid=pairs.iid)
    assert again == pairs
    assert again.digest == pairs.digest


GOOD = json.dumps(ONE.as_dict())
BAD_LINES = {
    "not JSON": ("{'clean': 1}", "line 3 is not JSON.*Each line is one object"),
    "cut off": (GOOD[:-4], "line 3 is not JSON"),
    "nested too deep": ("[" * 200_000, "line 3 is not JSON"),
    "a number of 5000 digits": (GOOD[:-1] + ', "id": ' + "1" * 5000 + "}", "line 3 is not JSON"),
    "a list": ("[1, 2]", "line 3 is a list; each line is one object"),
    "null": ("null", "line 3 is a NoneType; each line is one object"),
    "without an answer": ('{"clean": "a", "corrupt": "b"}', r"line 3 lacks \['answer'\]; the fields are \['clean'"),
    "with a field misspelt": (GOOD[:-1] + ', "anwser": "c"}', r"line 3 has unknown fields \['anwser'\]; the fields"),
    "spans in a list": (GOOD[:-1] + ', "spans": [1, 2]}', "line 3: spans must be an object of name"),
    "a span outside": (GOOD[:-1] + ', "spans": {"s": [0, 99]}}', "line 3: Span 's' is .* has 11 characters"),
    "an empty prompt": ('{"clean": "", "corrupt": "b", "answer": "c"}', "line 3: A pair's clean must be a text"),
    "a cluster that is a number": (
        json.dumps(ONE.as_dict() | {"cluster": 4}),
        "line 3: A pair's cluster must be a text",
    ),
    "a field that stands there twice": (GOOD[:-1] + ', "answer": "c"}', "line 3 is not JSON: the key 'answer' occurs"),
    "half a character": (GOOD[:-1] + r', "id": "\ud800"}', "line 3: A pair's id holds half a character"),
    "a chat with options in a list": (GOOD[:-1] + ', "chat": {"options": [[1]]}}', "line 3: A chat's options are"),
    "a chat with turns that are a number": (GOOD[:-1] + ', "chat": {"turns": 3}}', "line 3: A chat's turns are"),
    "a chat with options that are a text": (GOOD[:-1] + ', "chat": {"options": "a"}}', "line 3: A chat's options are"),
}


@pytest.mark.parametrize(("line", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_corrupt_file_is_refused_by_path_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n", encoding="utf-8")
    with pytest.raises(PairsError, match=rf"pairs\.jsonl, {message}"):
        Pairs.from_jsonl(path)


def test_a_file_that_is_not_there_or_not_text_is_refused_by_its_path(tmp_path: Path) -> None:
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.jsonl", binary, tmp_path):
        with pytest.raises(PairsError, match=rf"{path.name} cannot be read as UTF-8 text"):
            Pairs.from_jsonl(path)


def test_an_empty_file_has_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n\n")
    with pytest.raises(PairsError, match="at least one Pair"):
        Pairs.from_jsonl(path)
