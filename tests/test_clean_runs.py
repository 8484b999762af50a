"""The table of clean runs: what was given, what may be wrong, and the tokens that the model sees."""

from causaltest.clean_runs import CleanRun, CleanRuns


def a_run(n, tokens=("<s>", "The", "cat"), **changes):
    given = {"pair_id": f"pair {n}", "clean": "The cat", "corrupt": "The dog", "answer": " sat", "clean_gave": "sat"}
    return CleanRun(**given | {"corrupt_gave": "ran", "tokens": tokens, "excluded": None} | changes)


def test_the_table_says_what_was_given_and_seen():
    runs = CleanRuns("tiny", (a_run(0), a_run(1, excluded="too dull", notes=("odd word", "odd end"))))
    assert str(runs).splitlines() == [
        "tiny: 1 of 2 pairs eligible for accuracy",
        "  pair 0: wanted 'sat', clean gave 'sat', corrupt gave 'ran'",
        "  pair 1: wanted 'sat', clean gave 'sat', corrupt gave 'ran'  [excluded: too dull]",
        "    note: odd word",
        "    note: odd end",
        "  pair 0 as the model sees it: <s> The cat",
    ]


def test_a_long_prompt_is_shown_by_its_two_ends():
    long = tuple(str(n) for n in range(100))
    last = str(CleanRuns("tiny", (a_run(0, long),))).splitlines()[-1]
    assert last.startswith("  pair 0 as the model sees it: 0 1 2 ")
    assert " 31 ... 36 more ... 68 69 " in last
    assert last.endswith(" 98 99")


def test_many_runs_are_counted_and_not_all_shown():
    lines = str(CleanRuns("tiny", tuple(a_run(n) for n in range(23)))).splitlines()
    assert "  ... and 3 more" in lines
    assert len(lines) == 1 + 20 + 1 + 1
