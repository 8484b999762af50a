"""Good files of each kind, to begin with; and files of a changed text whose hashes and checksums hold all the same."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

SEEDS = Path(__file__).with_name("seeds")
PAIR = {
    "clean": "The capital of France is",
    "corrupt": "The capital of Italy is",
    "answer": " Paris",
    "corrupt_answer": " Rome",
    "cluster": "capital-of",
    "id": "France",
    "spans": {"subject": [15, 21]},
    "corrupt_spans": {"subject": [15, 20]},
    "chat": {"system": "Be short.", "turns": [["Hi", "Hello"]], "prefill": "It is", "options": {"thinking": False}},
}
ROWS = (PAIR, {**PAIR, "id": "France, again"})
"""A file has several rows, whose ids differ: one alone, or two of one id, would be read less far."""
CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 64,
    "n_layer": 2,
    "time_step_limit": [0.0, 10.0],
    "architectures": ["GPT2LMHeadModel"],
    "reasoning": {"layout": "codi", "thoughts": 4, "begin": [1], "end": [2], "lora_alpha": 16.0},
}
TABLE = b'[tool.causaltest.models."GPT2LMHeadModel"]\nblocks = "transformer.h"\nattn_out = "attn.c_proj"\n'

ENTRIES = ("effect.safetensors", "clean.safetensors", "map.safetensors")
"""Entries of a store, one for each way of decoding them."""
LAYERS = (0, 1, 2)
"""Those of the map among them."""


@cache
def seed(name: str) -> bytes:
    return (SEEDS / name).read_bytes()


def inner(whole: bytes) -> bytes:
    """The text of a tensors file."""
    from causaltest.writing.raw_tensors import raw_from_bytes

    return raw_from_bytes(whole)[0].encode()


def tensors_seeds(whole: bytes, *, which: int = 0) -> list[bytes]:
    """The three ways of `tensors`; `which` file it is stands above them in the first byte."""
    parts = (whole, inner(whole), header_of(whole))
    return [bytes([how + 4 * which]) + part for how, part in enumerate(parts)]


def entry_seeds() -> list[bytes]:
    """Those of each entry, and what it says alone, in a file that is said to be the right one."""
    made = []
    for which, name in enumerate(ENTRIES):
        said = json.dumps(json.loads(inner(seed(name)))["said"]).encode()
        made += [*tensors_seeds(seed(name), which=which), bytes([3 + 4 * which]) + said]
    return made


def entry_file(data: bytes, whole: bytes) -> bytes:
    """A file of an entry, as `tensors`; or what it says is what follows."""
    if data[:1] and data[0] & 3 == 3:
        before, _, after = json.dumps({**json.loads(inner(whole)), "said": 0}).encode().rpartition(b"0")
        return resealed(before + data[1:] + after, whole)
    return tensors(data, whole)


def tensors(data: bytes, whole: bytes) -> bytes:
    """A tensors file: by the first byte the rest is the file, its text with a checksum that holds, or its header."""
    how, data = (data[0] & 3 if data else 0), data[1:]
    if how == 1:
        return resealed(data, whole)
    if how == 2:
        return len(data).to_bytes(8, "little") + data + whole[8 + int.from_bytes(whole[:8], "little") :]
    return data


def header_of(whole: bytes) -> bytes:
    return whole[8 : 8 + int.from_bytes(whole[:8], "little")]


def resealed(text: bytes, whole: bytes) -> bytes:
    """A tensors file with another text, whose checksum holds."""
    from causaltest.writing.raw_tensors import raw_from_bytes, raw_to_pieces

    _, arrays = raw_from_bytes(whole)
    return b"".join(raw_to_pieces(text.decode(errors="surrogateescape"), arrays))


def sealed_lock(text: bytes) -> bytes:
    """The same lock with hashes that hold, as far as it is one."""
    from causaltest.recording.lock import batch_digest, batch_name, chained
    from causaltest.writing.canonical import sha256_of, written

    try:
        data = json.loads(text)
        for entry in data["claims"].values():
            entry["hash"] = sha256_of(written(entry["spec"]))
        events, previous = [], ""
        for event in data["events"]:
            if event["kind"] == "register":
                mine = {id: one for id, one in data["claims"].items()}
                event["digest"] = batch_digest((id, one["hash"], one["seen"]) for id, one in mine.items())
                event["claims"] = len(mine)
                for one in mine.values():
                    one["batch"] = batch_name(event["digest"])
            event.pop("hash", None)
            events.append(chained(event, previous=previous))
            previous = events[-1]["hash"]
        return json.dumps({**data, "events": events}).encode()
    except Exception:
        return text


def sealed_ledger(text: bytes) -> bytes:
    """The same lines with hashes that hold, as far as they are lines."""
    from causaltest.recording.ledger import hash_of
    from causaltest.writing.canonical import written

    lines, previous = [], ""
    for line in text.split(b"\n"):
        try:
            said = {**json.loads(line), "previous": previous}
            said["hash"] = previous = hash_of(said)
            lines.append(written(said).encode())
        except Exception:
            lines.append(line)
    return b"\n".join(lines)


def sealed_manifest(parts: dict[str, bytes]) -> bytes:
    from hashlib import sha256

    manifest = json.loads(parts["manifest.json"])
    manifest["files"] = {name: sha256(part).hexdigest() for name, part in parts.items() if name != "manifest.json"}
    return json.dumps(manifest).encode()


def stamp_seeds() -> list[bytes]:
    signed, proof, roots = seed("stamp.tsr"), seed("stamp.ots"), seed("stamp.pem")
    return [b"\0" + signed, b"\1" + signed, b"\0" + proof, b"\2" + roots]


def bundle_seeds() -> list[bytes]:
    from causaltest.recording.zipped import unzipped

    names = ("manifest.json", "claims.lock", "claims.ledger", "effects.safetensors", "page.html")
    parts = unzipped(SEEDS / "claims.zip", names)
    return [
        b"\7" + seed("claims.zip"),
        *(bytes([number]) + parts[name] for number, name in enumerate(names)),
        b"\x09" + parts["claims.lock"],
        b"\x0a" + parts["claims.ledger"],
        b"\x0b" + inner(seed("baseline.safetensors")),
    ]


def config_seeds() -> list[bytes]:
    said = json.dumps({"tokenizer_class": "GPT2Tokenizer", "chat_template": "{{ messages }}"}).encode()
    drawn = json.dumps({"do_sample": True, "temperature": 0.7}).encode()
    return [b"\0" + json.dumps(CONFIG).encode(), b"\1" + said, b"\2" + drawn, b"\3{{ messages }}", b"\4" + TABLE]


def as_jsonl() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def as_csv() -> bytes:
    lines = [",".join(PAIR)]
    for row in ROWS:
        texts = [value if isinstance(value, str) else json.dumps(value) for value in row.values()]
        lines.append(",".join('"' + text.replace('"', '""') + '"' for text in texts))
    return "".join(line + "\r\n" for line in lines).encode()


def as_parquet() -> bytes:
    from io import BytesIO

    import pyarrow
    from pyarrow.parquet import write_table

    made = BytesIO()
    rows = [{**row, "chat": json.dumps(row["chat"])} for row in ROWS]
    write_table(pyarrow.Table.from_pylist(rows), made, compression="none")
    return made.getvalue()


def as_vectors() -> bytes:
    from causaltest.writing.raw_tensors import Raw, raw_to_pieces

    return b"".join(raw_to_pieces("", {"truth": Raw("F32", (2, 3), bytes(24)), "b": Raw("F16", (2,), bytes(4))}))
