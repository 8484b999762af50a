"""Parsers: everything that reads a stranger's file, with good files to begin with, as far as a command would go.

Each takes bytes, of which the first says how they are used where there are several ways. What it raises must be
causaltest's own; anything else is a find. It raises wherever something of the file is refused, though a command would
say so and go on: else nobody could see that a good file is refused, and that what lies behind was never reached.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.faults.good_files import (
    CONFIG,
    ENTRIES,
    LAYERS,
    ROWS,
    SEEDS,
    as_csv,
    as_jsonl,
    as_parquet,
    as_vectors,
    bundle_seeds,
    config_seeds,
    entry_file,
    entry_seeds,
    inner,
    resealed,
    sealed_ledger,
    sealed_lock,
    sealed_manifest,
    seed,
    stamp_seeds,
    tensors,
    tensors_seeds,
)


@dataclass(frozen=True)
class Parser:
    """One kind of file."""

    name: str
    what: str
    """As the table says it."""
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    """Reads bytes, and raises for what is refused of them; the folder is empty, and may be written."""


def pairs_jsonl(data: bytes, folder: Path) -> object:
    from causaltest import Pairs

    return looked_at_pairs(Pairs.from_jsonl(written(folder / "pairs.jsonl", data)))


def pairs_csv(data: bytes, folder: Path) -> object:
    from causaltest import Pairs

    return looked_at_pairs(Pairs.from_csv(written(folder / "pairs.csv", data)))


def parquet(data: bytes, folder: Path) -> object:
    from causaltest import Pairs

    return looked_at_pairs(Pairs.from_parquet(written(folder / "pairs.parquet", data)))


def looked_at_pairs(pairs: Any) -> object:
    return pairs.digest, pairs.each, [pair.as_dict() for pair in pairs]


def lock(data: bytes, folder: Path) -> object:
    """Read, verified beside its ledger, and filled into forms; the first bit asks for hashes that hold, the second for
    a ledger without lines, which no lock contradicts."""
    how, data = (data[0] if data else 0), data[1:]
    if how & 1:
        data = sealed_lock(data)
    return of_record(folder, data, b"" if how & 2 else seed("claims.ledger"), forms=True)


def ledger(data: bytes, folder: Path) -> object:
    """The same of a ledger, which is listed too."""
    how, data = data[:1], data[1:]
    if how and how[0] & 1:
        data = sealed_ledger(data)
    return of_record(folder, seed("claims.lock"), data, forms=False)


def of_record(folder: Path, lock_text: bytes, ledger_text: bytes, *, forms: bool) -> object:
    from causaltest.cli.ledger import history, listed, with_numbers
    from causaltest.errors import RecordError
    from causaltest.printable import printable
    from causaltest.recording.lock import read_lock
    from causaltest.recording.record import Record
    from causaltest.recording.verified import verified

    written(folder / "claims.ledger", ledger_text)
    written(folder / "claims.lock", lock_text)
    problems: Sequence[str] = ()
    try:
        found = verified(folder)
        problems = found.problems
        told = [*problems, *found.sentences()]
    except RecordError as error:
        told = problems = [str(error)]
    printable("\n".join(told)).encode()
    if forms:
        from causaltest.reporting.export.filled import FORMS, filled

        entries = read_lock(folder / "claims.lock")
        for form in FORMS:
            filled(form, entries, ids=entries.entries, looks=(), lock_hash="").text().encode()
        return refused(problems)
    lines = Record(folder).ledger.lines
    looks = [line for line in lines if line["kind"] == "look"]
    printable("\n".join([*listed(lines), *(history(looks) if looks else ())])).encode()
    json.dumps([with_numbers(line) for line in lines], ensure_ascii=True)
    return refused(problems)


def baseline(data: bytes, folder: Path) -> object:
    """Read and compared with the good one."""
    return of_baseline(tensors(data, seed("baseline.safetensors")), folder)


def of_baseline(data: bytes, folder: Path) -> object:
    from causaltest.printable import printable
    from causaltest.recording.baseline import baseline_from_bytes, read_baseline
    from causaltest.reporting.beside import beside, beside_lines, models_of

    good = baseline_from_bytes(seed("baseline.safetensors"))
    other = read_baseline(written(folder / "baseline.safetensors", data))
    models_of(other.claims.values())
    for before, after in ((good, other), (other, good)):
        told = beside(before.claims, after.claims)
        printable("\n".join(beside_lines(told, every=True))).encode()
    return None


def bundle(data: bytes, folder: Path) -> object:
    """Read and judged again; by the first byte one of its parts is what follows, with hashes that hold."""
    from causaltest.cli.bundle_review import verify_bundle
    from causaltest.recording.zipped import unzipped, zipped

    how, data = (data[0] if data else 0), data[1:]
    names = ("manifest.json", "claims.lock", "claims.ledger", "effects.safetensors", "page.html")
    if how & 7 < len(names):
        name = names[how & 7]
        parts = unzipped(SEEDS / "claims.zip", names)
        if how & 8:
            data = {"claims.lock": sealed_lock, "claims.ledger": sealed_ledger}.get(name, lambda text: text)(data)
        if how & 8 and name == "effects.safetensors":
            data = resealed(data, parts[name])
        parts[name] = data
        if name != "manifest.json":
            parts["manifest.json"] = sealed_manifest(parts)
        data = zipped(parts)
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as wrong:
        status = verify_bundle(written(folder / "claims.zip", data), as_json=bool(how & 16))
    return refused([f"{status}: {said.getvalue()}{wrong.getvalue()}"] if status else ())


def entry(data: bytes, folder: Path) -> object:
    """An entry of a store, read as the lab that asked for it reads it, and looked at as its user would."""
    from causaltest.clean_runs import CleanRuns
    from causaltest.effect import Effect
    from causaltest.errors import CausaltestError
    from causaltest.store.answers import clean_of, effect_of, map_of, plain_clean, plain_effect, plain_map, read
    from causaltest.store.entry import entry_from_bytes
    from causaltest.sweep import SweepMap
    from causaltest.writing.raw_tensors import Damaged

    which = (data[0] if data else 0) // 4 % len(ENTRIES)
    good = seed(ENTRIES[which])
    head, cells = json.loads(inner(good)), asked()
    decode = (lambda plain: effect_of(plain, cells[0]), clean_of, lambda plain: map_of(plain, cells))[which]
    try:
        found: object = read(entry_from_bytes(entry_file(data, good), head["kind"], head["key"]), decode)
    except Damaged as damaged:
        return refused([str(damaged)])
    if isinstance(found, CausaltestError):
        raise found
    if isinstance(found, Effect):
        return plain_effect(found), found.estimate, str(found > 0.3)
    if isinstance(found, CleanRuns):
        return plain_clean(found), found.eligible, str(found)
    assert isinstance(found, SweepMap)
    return plain_map(found), found.estimate, found.distance, found.best, str(found), str(found.survivors(flips=100))


@cache
def asked() -> Sequence[Any]:
    """Questions of as many sites as the map among the good entries has; which they are is no part of an answer."""
    from causaltest import Pair, Pairs, accuracy, last, resid_post
    from causaltest.asking.experiment import Experiment, Patching

    texts = {name: text for name, text in ROWS[0].items() if isinstance(text, str)}
    pairs = Pairs([Pair(**texts)])
    sites = [resid_post(layer, last()) for layer in LAYERS]
    return [Experiment(Patching("model", "denoise", pairs, (site,)), "recovery", accuracy) for site in sites]


def stamp(data: bytes, folder: Path) -> object:
    """A time stamp of a lock; by the first byte without roots, with the right ones, or it is they that follow."""
    from causaltest.recording.proofs import stamp_of

    how, data = (data[0] if data else 0) % 3, data[1:]
    roots = None if how == 0 else written(folder / "roots.pem", data if how == 2 else seed("stamp.pem"))
    proof = written(folder / "stamp", seed("stamp.tsr") if how == 2 else data)
    state, found = stamp_of(proof, written(folder / "claims.lock", seed("claims.lock")), roots=roots)
    return [line.encode() for line in (state, *found.shows, *found.unchecked)]


def config(data: bytes, folder: Path) -> object:
    """The files of a checkpoint folder, as it is identified; the first byte says which of them it is."""
    from causaltest.identity.model_files import described
    from causaltest.measuring.adapters.declared import declared
    from causaltest.writing.canonical import digest_of, plain

    how, data = (data[0] if data else 0), data[1:]
    names = ("config.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "pyproject.toml")
    name = names[how % len(names)]
    written(folder / "model.safetensors", b"weights")
    written(folder / "config.json", json.dumps(CONFIG).encode())
    written(folder / name, data)
    try:
        if name == "pyproject.toml":
            from causaltest.identity.pyproject import said_of_models

            named = said_of_models(folder)[1]
            return digest_of(named) if named else refused(["it names no modules"])
        if name == "config.json":
            from causaltest.identity.model_files import object_in

            declared(object_in(folder / name) or {}, folder)
        return digest_of(plain(described(folder)))
    finally:
        (folder / name).unlink()


def seen(data: bytes, folder: Path) -> object:
    from causaltest.recording.seen import SeenLog

    file = written(folder / "seen.jsonl", data)
    log = SeenLog(file)
    looks, problem = log.looks(), log.problem()
    str(problem).encode(errors="surrogatepass")
    return looks if problem is None else refused([problem])


def vectors(data: bytes, folder: Path) -> object:
    """A direction, and the rows of an autoencoder."""
    from causaltest.asking.arrays import read_array
    from causaltest.errors import SiteError

    file = str(written(folder / "vectors.safetensors", tensors(data, as_vectors())))
    problems = []
    for select in (None, (0, [0, 1]), (1, [0])):
        for key in ("truth", "__metadata__"):
            try:
                read_array(file, key, select=select)
            except SiteError as error:
                str(error).encode(errors="surrogatepass")
                problems += [str(error)] if key == "truth" else []
    return refused(problems)


def options(data: bytes, folder: Path) -> object:
    from causaltest.asking.assumptions import assumptions_of
    from causaltest.asking.settings import memory_bytes

    first, _, rest = data.decode(errors="surrogateescape").partition("\n")
    memory_bytes(first)
    return assumptions_of(rest.split("\n"))


PARSERS = (
    Parser("pairs", "pairs, JSONL", lambda: [as_jsonl()], pairs_jsonl),
    Parser("lock", "lock", lambda: [bytes([how]) + seed("claims.lock") for how in (0, 1, 3)], lock),
    Parser("ledger", "ledger", lambda: [bytes([how]) + seed("claims.ledger") for how in (0, 1)], ledger),
    Parser("baseline", "baseline", lambda: tensors_seeds(seed("baseline.safetensors")), baseline),
    Parser("config", "config of a model, pyproject.toml", config_seeds, config),
    Parser("pairs_csv", "pairs, CSV", lambda: [as_csv()], pairs_csv),
    Parser("parquet", "pairs, Parquet", lambda: [as_parquet()], parquet),
    Parser("bundle", "bundle", bundle_seeds, bundle),
    Parser("entry", "entry of the store", entry_seeds, entry),
    Parser("stamp", "time stamp", stamp_seeds, stamp),
    Parser("seen", "log of what was seen", lambda: [seed("seen.jsonl")], seen),
    Parser("vectors", "directions and autoencoders", lambda: tensors_seeds(as_vectors()), vectors),
    Parser("options", "sizes and assumptions", lambda: [b"800MB\nicc=0.2\nsd=1.5\nsimulations=100"], options),
)
BY_NAME = {parser.name: parser for parser in PARSERS}
REQUIRED = ("pairs", "lock", "ledger", "baseline", "config")


def accepted(parser: Parser, data: bytes) -> object:
    """Reads bytes as a user would meet them. Raises whatever is raised: a good file that is refused is a fault."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        return parser.read(data, Path(folder))


def read_once(parser: Parser, data: bytes) -> bool:
    """The same of any file, of which what causaltest raises on purpose is an answer: whether it was accepted."""
    from causaltest.errors import CausaltestError

    try:
        accepted(parser, data)
    except CausaltestError as error:
        str(error).encode(errors="surrogatepass")
        return False
    return True


def refused(problems: Sequence[str]) -> None:
    """Raises what was told of a file, where something was: causaltest's own error, as if it had not gone on."""
    from causaltest.errors import RecordError

    if problems:
        raise RecordError("\n".join(problems))


@cache
def scratch() -> str | None:
    """Where small files are written many times."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file
