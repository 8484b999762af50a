"""Kept vectors: the same numbers from memory, from a file, and from both."""

import os
import tempfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causaltest.measuring.kept_vectors import KeptVectors, Room

CHUNKS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=5)


def filled(chunks, room, dtype=torch.float32):
    torch.manual_seed(1)
    rows, kept = [], KeptVectors(room)
    for lengths in chunks:
        some = [torch.randn(length).to(dtype) for length in lengths]
        kept.add(some)
        rows += some
    return rows, kept


@given(
    CHUNKS, st.sampled_from([0, 30, 80, 10_000]), st.sampled_from([torch.float32, torch.bfloat16]), st.randoms()
)  # fmt: skip
def test_rows_and_parts_are_those_that_were_added_wherever_they_lie(chunks, bytes, dtype, rng):
    room = Room(bytes)
    rows, kept = filled(chunks, room, dtype)
    assert len(kept) == len(rows) and room.held <= bytes
    assert all(torch.equal(kept.row(n), row) for n, row in enumerate(rows))
    pairs = [rng.randrange(len(rows)) for _ in range(7)]
    begins = [rng.randrange(len(rows[pair]) + 1) for pair in pairs]
    stops = [rng.randint(begin, len(rows[pair])) for pair, begin in zip(pairs, begins, strict=True)]
    wanted = torch.cat([rows[pair][a:b] for pair, a, b in zip(pairs, begins, stops, strict=True)])
    assert torch.equal(kept.parts(pairs, begins, stops), wanted)
    kept.let_go()
    assert (room.held, room.filed) == (0, 0)


def test_room_is_shared_and_given_back():
    room = Room(100)
    (_, first), (_, second) = filled([[10], [10]], room), filled([[10]], room)
    assert (room.held, room.filed) == (80, 40)
    first.let_go()
    assert (room.held, room.filed) == (0, 40)
    _, third = filled([[20]], room)
    assert room.held == 80 and torch.equal(second.row(0), filled([[10]], Room(0))[0][0]) and len(third) == 1


def test_the_file_has_no_name_and_goes_with_the_last_row(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    room = Room(0)
    _, kept = filled([[1000]], room)
    opened = room._file.fileno()
    assert os.fstat(opened).st_size == 4000 and list(tmp_path.iterdir()) == []
    kept.let_go()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)


def test_what_cannot_be_written_is_held_and_said(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.warns(RuntimeWarning, match="No space left on device.*TMPDIR"):
        rows, kept = filled([[3], [4, 5]], Room(0))
    assert all(torch.equal(kept.row(n), row) for n, row in enumerate(rows))


def test_a_file_that_was_cut_is_not_read_as_zeros():
    room = Room(0)
    _, kept = filled([[1000]], room)
    os.truncate(room._file.fileno(), 100)
    with pytest.raises(OSError, match="ends before its end"):
        kept.row(0)
