"""A model with all that is read when it is loaded: more than names it, for what has to change with every byte.

`identity_of` says which model was registered, and leaves out what other people's copies of it may not share. A kept
number has to go when anything changes that could move it, and is measured again when something did that could not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from causaltest.errors import RecordError
from causaltest.identity.model_files import object_in
from causaltest.identity.models import ORGANISM, hub_cache, identity_of
from causaltest.identity.organism_files import located, point_of
from causaltest.weights import remembered_sha256, sha256
from causaltest.writing.canonical import digest_of

NOT_READ = re.compile(
    r"\..*|(readme|license|licence|notice|changelog)(\..*)?|.*\.(md|log|pyc|h5|msgpack|ot|onnx|gguf|tflite|png|svg)"
    r"|events\.out.*|optimizer\.(pt|bin)|scheduler\.(pt|bin)|scaler\.pt|rng_state.*|trainer_state\.json"
    r"|training_args\.(bin|json)",
    re.IGNORECASE,
)
"""Files that lie beside a model and are never loaded with it by transformers."""
NO_CODE = re.compile(r"\..*|.*\.(md|log|pyc)", re.IGNORECASE)
"""The same of an organism: its code may read whatever else comes with it."""
FOLDERS_NOT_READ = frozenset({"__pycache__", "node_modules"})
MOST_ADAPTERS = 3
"""That stand on one another, before they are taken for a circle."""
SMALL = 1 << 20
"""Bytes of a file that is read faster than it is looked up what it is."""
OWN = "causaltest"
NEEDED = re.compile(r"[A-Za-z0-9._-]+")

Stamp = tuple[tuple[str, int, int, int, int], ...]


def whole_model(name: str, *, remote_code: bool = False, adapters: int = 0) -> dict[str, Any]:
    """What a model by name is known by, and everything that is read when it is loaded.

    `remote_code`: code that comes with a checkpoint is run, and is a part of it wherever it lies. `adapters`: how many
    have led here.

    Raises RecordError for a model that cannot be identified.
    """
    known = identity_of(name)
    if name.startswith(ORGANISM):
        return {**known, "organism": organism_code(name.removeprefix(ORGANISM))}
    folder = Path(name)
    if folder.is_dir():
        with_files = {**known, "files": digest_at(folder, stamp_of(folder, NOT_READ, deep=remote_code))}
        elsewhere = not (folder / "config.json").is_file()
    else:
        folder = snapshot(known["name"], known["commit"])
        with_files, elsewhere = known, True
    if adapters > MOST_ADAPTERS:
        raise RecordError(f"{name} is the base of an adapter of an adapter, {adapters} times: they name one another.")
    others = other_models(folder, adapters + 1 if elsewhere else 0, remote_code=remote_code)
    return {**with_files, **others}


def snapshot(repository: str, commit: str) -> Path:
    """Where the cache of the hub has a commit. Raises RecordError where it has not: what it refers to is not known."""
    folder = hub_cache() / f"models--{repository.replace('/', '--')}" / "snapshots" / commit
    if not folder.is_dir():
        raise RecordError(
            f"{repository}@{commit} is not in the cache of the hub ({folder.parent}); loading puts it there."
        )
    return folder


def other_models(folder: Path, adapters: int, *, remote_code: bool) -> dict[str, Any]:
    """The models that a folder's files send transformers to: repositories with code, and the base of an adapter, which
    would be the `adapters`-th; 0 where the folder has its own."""
    found: dict[str, Any] = {}
    base = (object_in(folder / "adapter_config.json") or {}).get("base_model_name_or_path")
    if adapters and isinstance(base, str):
        found["base"] = whole_model(base, remote_code=remote_code, adapters=adapters)
    if remote_code:
        said = [object_in(folder / file) or {} for file in ("config.json", "tokenizer_config.json")]
        referred = {repository for one in said for repository in repositories(one.get("auto_map"))}
        found["code elsewhere"] = [identity_of(repository) for repository in sorted(referred)]
    return found


def repositories(said: Any) -> Iterator[str]:
    """Those that an auto_map takes code from: org/name--file.Class."""
    if isinstance(said, str):
        if "--" in said:
            yield said.partition("--")[0]
    elif isinstance(said, Mapping | list):
        for one in said.values() if isinstance(said, Mapping) else said:
            yield from repositories(one)


def organism_code(name: str) -> dict[str, Any]:
    """The code that makes an organism: all files of the package that its module is in, its distribution, and the
    releases of what that asks for.

    Raises RecordError for a module without a package: which of the files beside it are its own, nobody says.
    """
    point = point_of(name, tuple(sys.path))
    root = point.module.partition(".")[0]
    if root == OWN:
        return {"loader": point.value}  # its source counts with the rest of this package's
    told = {"loader": point.value, **released(point.dist)}
    spec = located(root)
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    if not folders:
        raise RecordError(
            f"The organism {name!r} is in {point.module}, a module that stands alone: what it reads and imports beside "
            "it is not known. Put it in a package, with all that it needs."
        )
    return {**told, "files": [digest_at(folder, stamp_of(folder, NO_CODE, deep=True)) for folder in folders]}


def released(dist: Distribution | None) -> dict[str, Any]:
    """A distribution's name and release, and those of what it asks for by name."""
    if dist is None:
        return {}
    needed = (one for one in dist.requires or () if "extra ==" not in one)
    names = sorted({told[0] for one in needed if (told := NEEDED.match(one)) is not None})
    return {"distribution": [dist.name, dist.version], "needs": [[name, release_of(name)] for name in names]}


def release_of(package: str) -> str | None:
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return None


def stamp_of(folder: Path, left_out: re.Pattern[str], *, deep: bool) -> Stamp:
    """What changes with any file that may be read, without reading one; `deep`: in all folders below, too.

    `left_out` are names of files and folders that are never read.
    """
    return tuple(
        (str(file.relative_to(folder)), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
        for file in sorted(files_in(folder, left_out, deep=deep))
        if (s := file.stat())
    )


def files_in(
    folder: Path, left_out: re.Pattern[str], *, deep: bool, above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return  # a link that leads back
    for entry in folder.iterdir():
        if left_out.fullmatch(entry.name):
            continue
        if entry.is_file():
            yield entry
        elif entry.is_dir() and entry.name not in FOLDERS_NOT_READ:
            if deep or entry.name == "additional_chat_templates":
                yield from files_in(entry, left_out, deep=deep, above=above | {real})


@lru_cache(maxsize=64)
def digest_at(folder: Path, stamp: Stamp) -> str:
    """One hash of the files of a stamp."""
    return digest_of({name: hash_of(folder / name, size) for name, size, *_ in stamp})


def hash_of(file: Path, size: int) -> str:
    return sha256(file) if size <= SMALL else remembered_sha256(file)
