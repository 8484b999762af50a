"""The hash of a function's body that does not change with layout, comments, decorators or the version of Python."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.canonical import digest_of

LEFT_OUT = frozenset({"ctx", "type_comment", "kind", "decorator_list", "type_params", "type_ignores"})
"""Fields that say nothing of what runs, or that not every version of Python has. Decorators are in the spec."""


@cache
def body_hash(function: Callable[..., Any]) -> str:
    """Of the function's parameters and statements, without its docstring. Raises RecordError without a source."""
    function = getattr(function, "__func__", function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError) as error:
        raise RecordError(
            f"The source of {getattr(function, '__name__', function)} cannot be read: {error}."
        ) from error
    (definition,) = tree.body
    return digest_of(plain_tree(definition))


def plain_tree(node: Any) -> Any:
    """A node as nested lists: its name and the fields that it has."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if name not in LEFT_OUT]
        return [type(node).__name__, *([name, plain_tree(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [plain_tree(one) for one in node]
    return repr(node)
