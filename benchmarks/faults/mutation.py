"""Mutation: a file of somebody who means harm, made of a good one: bytes turned, pieces moved, and JSON that bites."""

from __future__ import annotations

import json
import random
from typing import Any

LARGEST = 1 << 16
"""Bytes of a mutated file: what grows faster than its input shows in this already."""
DEEP = 3000
NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**53 + 1,
    10**400,
    -(10**400),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\0",
    "\ud800",
    "\x1b[2J",
    "../../etc/passwd",
    "/dev/zero",
    "$array",
    "nan",
    "1e999",
    "9" * 5000,
    [],
    {},
    [[]],
    [None],
    [0, 0],
    [1e308, -1e308],
    {"": ""},
    {"$array": "a"},
    {"number": "nan"},
)
"""Values that stand where another kind is expected, and those that are hard to hold, to compare or to print."""
WORDS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 400, b"9" * 5000, b"null", b"true", b'"\\ud800"', b"\0",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\r", b"\n\n", b"[" * DEEP, b'{"a":' * DEEP, b'"',
    b"\\", b",", b",,", b"<<<<<<< HEAD\n", b"\x1b]0;a\x07", b"{%% %%}", b"../", b"PK\x05\x06", b"PK\x06\x07",
    b"\x00" * 64, b"\xff" * 8,
)  # fmt: skip


def mutated(data: bytes, seed: int, *, largest: int = LARGEST) -> bytes:
    """The data changed once to four times; the same seed changes it the same way."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        data = changed(data, rng)[:largest]
    return data


def changed(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        told = in_json(data, rng)
        if told is not None:
            return told
    return in_bytes(data, rng)


def in_bytes(data: bytes, rng: random.Random) -> bytes:
    """One bit turned, a word put in, or a stretch taken out, doubled or moved."""
    first, last = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    last = min(last, first + rng.choice((1, 4, 64, 4096)))
    how = rng.randrange(6)
    if how == 0 and first < len(data):
        return data[:first] + bytes([data[first] ^ 1 << rng.randrange(8)]) + data[first + 1 :]
    if how == 1:
        return data[:first] + rng.choice(WORDS) + data[first:]
    if how == 2:
        return data[:first] + rng.choice(WORDS) + data[last:]
    if how == 3:
        return data[:first] + data[last:]
    if how == 4:
        return data[:last] + data[first:last] + data[last:]
    return data[:first]


def in_json(data: bytes, rng: random.Random) -> bytes | None:
    """The data with another value in the place of one of it; None where it is no JSON, whole or by lines."""
    try:
        return dumped(replaced(json.loads(data), rng), rng)
    except (ValueError, RecursionError):
        pass
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    try:
        lines[at] = dumped(replaced(json.loads(lines[at]), rng), rng)
    except (ValueError, RecursionError):
        return None
    return b"\n".join(lines)


def dumped(value: Any, rng: random.Random) -> bytes:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7, separators=rng.choice(((",", ":"), None)))
    return text.encode(errors="surrogatepass")


def replaced(value: Any, rng: random.Random) -> Any:
    """The same with something of it replaced, dropped, doubled, renamed or buried, at a depth that is drawn."""
    inside = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if inside and rng.random() < 0.85:
        at = rng.choice(list(inside))
        made = value.copy()
        how = rng.random()
        if how < 0.85:
            made[at] = replaced(value[at], rng)
        elif how < 0.9:
            del made[at]
        elif isinstance(made, dict):
            name = rng.choice(["", "\ud800", "$map", "\x1b[2J", "0", str(at) * 2])
            made[name] = made.pop(at) if how < 0.95 else made[at]
        else:
            made.insert(at, value[at])
        return made
    if rng.random() < 0.1:
        for _ in range(rng.choice((1, 10, 70, 400))):
            value = [value] if rng.random() < 0.5 else {"a": value}
        return value
    if isinstance(value, str) and rng.random() < 0.3:
        return value + rng.choice(["\0", "\ud800", "\x1b[2J", "0" * 300, "/../.."])
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.4:
        return rng.choice([-value, value + 1, value * 10**18, 10**400, 0])
    return rng.choice(NASTY)
