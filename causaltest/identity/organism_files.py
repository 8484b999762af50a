"""An organism by its files: the weights that come with it, or the source that wires it. It is not imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from causaltest.errors import RecordError
from causaltest.identity.model_files import described, stamp_of
from causaltest.identity.syntax import source_hash
from causaltest.weights import PATTERNS
from causaltest.writing.canonical import digest_of

GROUP = "causaltest.organisms"


def organism_identity(name: str) -> dict[str, Any]:
    """What is hashed of an organism: its checkpoint, where one lies beside its module; otherwise the source of the
    module and of what it imports of its own folder, without comments and docstrings.

    Raises RecordError for an organism that is not installed, or has no source.
    """
    module, main, folders = files_of(name, tuple(sys.path))
    if len(folders) == 1:
        return described(folders[0])
    if folders:
        return {"checkpoints": {folder.name: described(folder) for folder in folders}}
    return {"source": source_of(module, main, stamp_of(main.parent))}


@lru_cache(maxsize=64)
def files_of(name: str, path: tuple[str, ...]) -> tuple[str, Path, tuple[Path, ...]]:
    """An organism's module, its file, and the folders beside it that hold weights. `path` is where Python looks."""
    module = point_of(name, path).module
    spec = located(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise RecordError(
            f"The organism {name!r} is in {module}, which has no source file, so it cannot be identified."
        )
    main = Path(spec.origin)
    inside = [main.parent, *sorted(main.parent.iterdir())] if main.name == "__init__.py" else []
    return module, main, tuple(f for f in inside if f.is_dir() and any(any(f.glob(p)) for p in PATTERNS))


@lru_cache(maxsize=64)
def point_of(name: str, path: tuple[str, ...]) -> EntryPoint:
    """Where an organism is entered. `path` is where Python looks. Raises RecordError for one that is not installed."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise RecordError(
            f"There is no organism {name!r}; there are {sorted(found) or 'none (is causaltest installed?)'}."
        )
    return found[name]


def located(module: str) -> ModuleSpec | None:
    """Where a module is, found without importing the packages that it is in."""
    spec, path, whole = None, None, ""
    for part in module.split("."):
        whole = f"{whole}.{part}" if whole else part
        finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
        spec = next((s for finder in finders if (s := finder.find_spec(whole, path)) is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


@lru_cache(maxsize=64)
def source_of(module: str, main: Path, stamp: object) -> str:
    """One hash of a module's source and of that of the modules of its folder that it imports, and they in turn."""
    package = module if main.name == "__init__.py" else module.rpartition(".")[0]
    todo, hashes = [main], dict[str, str]()
    while todo:
        file = todo.pop()
        if file.name in hashes:
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise RecordError(
                f"{file} cannot be read as Python, so the organism cannot be identified: {error}"
            ) from error
        hashes[file.name] = source_hash(tree)
        todo += [near for name in imported(tree, package) if (near := main.parent / f"{name}.py").is_file()]
    return digest_of(hashes)


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The modules of a package that a source imports, anywhere in it, by their own names."""
    inside = f"{package}." if package else ""
    for node in ast.walk(tree):
        names: Mapping[str, Any] | list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level < 2:
            base = f"{inside}{node.module or ''}".strip(".") if node.level else node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith(inside):
                yield name.removeprefix(inside).split(".")[0]
