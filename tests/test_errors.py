"""The exception tree: one root, drawn as it is."""

from __future__ import annotations

import inspect
import re

from causaltest import errors


def classes() -> dict[str, type]:
    return {n: c for n, c in vars(errors).items() if inspect.isclass(c) and c.__module__ == errors.__name__}


def drawn() -> dict[str, str | None]:
    """Each class in the docstring's tree and the class that it hangs from."""
    above: list[tuple[int, str]] = []
    tree: dict[str, str | None] = {}
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)(  |$)", line):
            depth = len(found[1])
            above = [(d, n) for d, n in above if d < depth]
            tree[found[2]] = above[-1][1] if above else None
            above.append((depth, found[2]))
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    parents = {name: c.__base__.__name__ for name, c in classes().items()}  # type: ignore[union-attr]
    assert parents.pop("CausaltestError") == "Exception"
    assert drawn() == {"CausaltestError": None, **parents}


def test_one_root_catches_everything() -> None:
    assert len(classes()) > 5
    assert all(issubclass(c, errors.CausaltestError) for c in classes().values())


def test_every_error_says_what_it_is_for() -> None:
    for name, c in classes().items():
        assert c.__doc__, name
