"""Hashes of Python code that do not change with layout, comments, docstrings or the version of Python."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

from causaltest.errors import RecordError
from causaltest.writing.canonical import digest_of, sha256_of, written

LEFT_OUT = frozenset({"ctx", "type_comment", "kind", "type_params", "type_ignores"})
"""Fields that say nothing of what runs, or that not every version of Python has."""
OUTSIDE = frozenset({"name", "decorator_list", "returns"})
"""Fields of a claim's function that are no part of its body. What its decorators say stands in the spec."""
FILES = 32
"""Test files whose functions stay hashed; claims come file by file."""


def body_hash(function: Callable[..., Any]) -> str:
    """Of a function's parameters and statements, without its name, docstring, decorators and annotations.

    What it calls is not in it: a helper that asks for another experiment shows in the experiment.

    Raises RecordError for a lambda, for what is no function, and where there is no source.
    """
    hashes = [hash_of(one) for one in functions_of(function)]
    return hashes[0] if len(hashes) == 1 else digest_of(hashes)


def functions_of(function: Any) -> list[FunctionType]:
    """The function behind its wrappers; and those that it closes over, as a decorator does that says not what it
    wraps."""
    seen = list[FunctionType]()
    todo = [function]
    while todo:
        one = todo.pop()
        one = getattr(one, "__func__", one)
        while hasattr(one, "__wrapped__"):
            one = one.__wrapped__
        if not isinstance(one, FunctionType):
            name = getattr(one, "__name__", type(one).__name__)
            raise RecordError(f"The body of a claim is a def, and {name} is a {type(one).__name__} without a source.")
        if one not in seen:
            seen.append(one)
            cells = [cell.cell_contents for cell in one.__closure__ or () if holds(cell)]
            todo += [inner for inner in cells if isinstance(inner, FunctionType)]
    return seen


def holds(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False  # a name that nothing was assigned to yet


def hash_of(function: FunctionType) -> str:
    code = function.__code__
    if code.co_name == "<lambda>":
        raise RecordError(
            "A claim's body is a lambda, whose source cannot be told from others on its line: write a def."
        )
    # Not the code's own file name, which is an old one where a folder was moved with its __pycache__.
    file = Path(str(function.__globals__.get("__file__") or code.co_filename))
    try:
        status = file.stat()
        hashes = hashes_in(file, (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise RecordError(
            f"The source of {code.co_name} cannot be read ({error}), so nobody could see whether it was changed. "
            "A claim that is registered stands in a .py file."
        ) from error
    found = hashes.get((code.co_name, code.co_firstlineno))
    if found is None:
        raise RecordError(
            f"{code.co_name} does not stand in {file} any more: the file was changed meanwhile. Run again."
        )
    return found


@lru_cache(maxsize=FILES)
def hashes_in(file: Path, stamp: object) -> dict[tuple[str, int], str]:
    """The hash of every function of a file, by its name and the first line of it and its decorators."""
    found = {}
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name, first] = sha256_of(written(plain_function(node)))
    return found


def plain_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return plain_tree(node, without=OUTSIDE)


def source_hash(tree: ast.Module) -> str:
    """Of a whole module, without comments and docstrings."""
    return sha256_of(written(plain_tree(tree)))


def plain_tree(node: Any, *, without: Collection[str] = ()) -> Any:
    """A node as nested lists: its name and those of its fields that hold something."""
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if documented(node):
            fields["body"] = fields["body"][1:]
        if isinstance(node, ast.JoinedStr):
            fields["values"] = joined(fields["values"])
        kept = ((name, value) for name, value in fields.items() if name not in LEFT_OUT and name not in without)
        return [type(node).__name__, *([name, plain_tree(value)] for name, value in kept if value not in (None, []))]
    if isinstance(node, list):
        return [plain_tree(one) for one in node]
    # Not repr: which characters it shows grows with each Python's tables.
    return ascii(node)


def documented(node: ast.AST) -> bool:
    """Whether its first statement is a docstring."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, with its text in as few as may be: versions of Python cut it in other places."""
    made: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            made.append(part)
        elif made and isinstance(made[-1], ast.Constant):
            made[-1] = ast.Constant(str(made[-1].value) + str(part.value))
        elif part.value:
            made.append(part)
    return made
