"""Damaged entries are seen, set aside, told of and measured again: the short form of benchmarks/faults/damage.py."""

from __future__ import annotations

from benchmarks.faults.damage import SORTS, damaged_entries, damaged_store


def test_every_sort_of_damage_to_every_kind_of_entry_is_seen(tmp_path):
    made = damaged_entries(tmp_path, trials=5 * len(SORTS), clusters=2)
    assert made.undetected == ()
    assert len(made.sorts) == len(SORTS) and set(made.kinds.values()) == {len(SORTS)}


def test_a_store_whose_every_entry_is_damaged_gives_the_same_numbers_again(tmp_path):
    again = damaged_store(tmp_path, seed=3, layers=(6, 7), clusters=6)
    assert again.entries >= 7
    assert again.held, again
