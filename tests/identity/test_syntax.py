"""The hash of a claim's body: another for other code, and the same for the same code in another dress."""

from __future__ import annotations

import ast
import functools
import importlib.util
import textwrap
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.claims import CLAIM_ATTRIBUTE
from causaltest.errors import RecordError
from causaltest.identity.syntax import body_hash, hashes_in, source_hash

BODY = """
def test_site(lab, pairs, layer=6, *, metric=None):
    found = [site for site in lab.sites if site.layer == layer]
    return lab.denoise(pairs, at=found[0]).recovery(metric or accuracy)
"""
TRICKY = '''
def test_tricky(lab, /, pairs, *more, layer: "int" = -1, **rest) -> "Effect":
    """What it is for."""
    text = f"{layer!r:>{len(pairs)}} and {lab=} {{kept}} {'inner'}" "tail" f"{0x10:x}\\t" "é🫨"
    raw, numbers = rb"\\d", (1_000, 0.1, 1e400, 2j, None, ..., True)
    async def inner(a, b=u"u"):
        """Documented."""
        await a
        return b
    match pairs:
        case {"a": [int(first), *others], **named} if (n := len(others)) > 3 or not named:
            pass
        case _ as whole:
            del whole
    try:
        x: int = 3
    except* (ValueError, TypeError) as group:
        raise RuntimeError from group
    finally:
        global DONE; DONE = lambda a, *, b=2: a @ b
    with open("f") as f, open("g"):
        yield from (i async for i in inner(f))
    return {**rest, "k": [*more], **{a: b for a in b if a if b}}
'''
PINNED = {
    BODY: "a24ce987fb4bd907960c7d03a6b265a6528546fffe2fdc5ffec4bf3021f887d8",
    TRICKY: "c583df7e6ec78f6db4524e21ebd03d56ffa65c2f440c19fa109c0c7d23462687",
}
"""As Python 3.11, 3.12 and 3.13 give them. Another hash here amends every claim that was ever registered."""


@pytest.fixture
def module(tmp_path):
    """A module of a source, as it is imported from a file."""
    made: list[int] = []

    def load(source: str) -> ModuleType:
        made.append(0)
        file = tmp_path / f"made_{len(made)}.py"
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return load


@pytest.fixture
def hashed(module):
    """The hash of the only test of a source."""

    def run(source: str) -> str:
        tests = [f for n, f in vars(module(source)).items() if n.startswith("test_") and isinstance(f, FunctionType)]
        return body_hash(tests[-1])

    return run


@pytest.mark.parametrize(
    "same",
    [
        "# A comment.\n" + BODY.replace("    found", "    # another\n    found"),
        BODY.replace("recovery(metric or accuracy)", "recovery(\n        metric\n        or accuracy,\n    )"),
        BODY.replace(":\n    found", ':\n    """What it is for."""\n    found'),
        BODY.replace("(lab, pairs, layer=6", '(lab: "Lab", pairs: "Pairs", layer: int = 6').replace(
            "):\n", ') -> "E":\n'
        ),
        "import pytest\n@pytest.mark.skipif(False, reason='x')" + BODY,
        BODY.replace("test_site", "test_renamed"),
        "if True:\n" + textwrap.indent(BODY, "    "),
        "class Before:\n    def test_site(self):\n        return 1\n" + BODY,
    ],
    ids=["comments", "layout", "docstring", "annotations", "decorators", "its name", "indented", "its place"],
)
def test_what_does_not_run_does_not_count(hashed, same):
    assert hashed(same) == hashed(BODY)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("layer=6", "layer=7"),
        ("pairs, layer", "pairs, at, layer"),
        ("*, metric", "metric"),
        ("found[0]", "found[1]"),
        ("==", "!="),
        ("metric or", "metric and"),
        ("accuracy", "logit_diff"),
        ("denoise", "noise"),
        ("    return", "    found.reverse()\n    return"),
        ("    return", "    x: int = 3\n    return"),
        ("    return", "    'a string that is no docstring'\n    return"),
        ("def test", "async def test"),
    ],
)
def test_other_code_has_another_hash(hashed, before, after):
    assert before in BODY
    assert hashed(BODY.replace(before, after, 1)) != hashed(BODY)


def test_a_decorator_inside_of_the_body_is_code(hashed):
    inner = "def test_a(f):\n    {}\n    def inner():\n        return 1\n    return inner\n"
    assert hashed(inner.format("@f")) != hashed(inner.format("@f.other")) != hashed(inner.format("pass"))


def test_the_claims_own_body_is_hashed_and_not_its_wrapper(module, hashed):
    source = (
        "from causaltest import at_least, claim\n"
        "@claim('A.', at_least(0.3))"
        + BODY
        + "\n@claim('B.', at_least(0.3))"
        + BODY.replace("test_site", "test_b")
        + "\n@claim('C.', at_least(0.3))"
        + BODY.replace("test_site", "test_c").replace("found[0]", "found[1]")
    )
    loaded = module(source)
    a, b, c = (body_hash(getattr(getattr(loaded, n), CLAIM_ATTRIBUTE).body) for n in ("test_site", "test_b", "test_c"))
    assert a == b == hashed(BODY) != c


def test_a_wrapper_that_names_what_it_wraps_is_looked_through(module):
    loaded = module(
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def g(*a): return f(*a)\n    return g\n"
        "def test_a(lab): return 1\nwrapped = twice(test_a)\n"
    )
    assert body_hash(loaded.wrapped) == body_hash(loaded.test_a)


def test_a_wrapper_that_does_not_is_hashed_with_what_it_closes_over(module):
    source = "def twice(f):\n    def g(*a): return f(*a)\n    return g\n"
    source += "def test_a(lab): return {}\nwrapped = twice(test_a)\n"
    one, same, other = (body_hash(module(source.format(n)).wrapped) for n in (1, 1, 2))
    assert one == same != other


def test_a_method_has_the_hash_of_its_function(module):
    loaded = module("class TestA:\n    def test_a(self, lab):\n        return lab\n")
    assert body_hash(loaded.TestA().test_a) == body_hash(loaded.TestA.test_a)


def test_functions_of_one_name_are_told_apart(module):
    loaded = module("class TestA:\n    def test_a(self): return 1\nclass TestB:\n    def test_a(self): return 2\n")
    assert body_hash(loaded.TestA.test_a) != body_hash(loaded.TestB.test_a)


def test_what_has_no_source_of_its_own_is_refused(module):
    with pytest.raises(RecordError, match=r"lambda.*write a def"):
        body_hash(module("test_a = lambda lab: 1").test_a)
    with pytest.raises(RecordError, match="partial"):
        body_hash(functools.partial(print))
    made: dict[str, FunctionType] = {}
    exec("def test_a(lab): return 1", made)
    with pytest.raises(RecordError, match=r"source of test_a cannot be read.*\.py file"):
        body_hash(made["test_a"])


def test_a_file_that_changed_after_it_was_imported_is_not_taken_for_what_runs(module):
    loaded = module("def test_a(lab): return 1")
    Path(loaded.__file__).write_text("\n\ndef test_a(lab): return 1", encoding="utf-8")
    with pytest.raises(RecordError, match=r"not stand in .* changed meanwhile"):
        body_hash(loaded.test_a)


def test_a_file_is_parsed_once_for_all_its_functions(module, monkeypatch):
    loaded = module("\n".join(f"def test_{i}(lab): return {i}" for i in range(50)))
    parsed = []
    monkeypatch.setattr(ast, "parse", lambda *a, parse=ast.parse, **k: parsed.append(a) or parse(*a, **k))
    assert len({body_hash(getattr(loaded, f"test_{i}")) for i in range(50)}) == 50
    assert len(parsed) == 1


@pytest.mark.parametrize("source", PINNED, ids=["body", "tricky"])
def test_no_version_of_python_gives_another_hash(tmp_path, source):
    file = tmp_path / "test_source.py"
    file.write_text(source, encoding="utf-8")
    outer, *_ = hashes_in(file, "only now").values()
    assert outer == PINNED[source]


def test_a_modules_source_counts_without_comments_and_docstrings():
    source = '"""Doc."""\nimport math  # why\n@decorated\ndef f():\n    """Doc."""\n    return 1\n'
    plain = "import math\n@decorated\ndef f(): return 1\n"
    assert source_hash(ast.parse(source)) == source_hash(ast.parse(plain))
    assert source_hash(ast.parse(plain)) != source_hash(ast.parse(plain.replace("@decorated\n", "")))


@given(st.lists(st.text(alphabet="ab{} \n", max_size=4), max_size=4))
def test_text_of_an_fstring_is_one_however_it_is_cut(parts):
    """The parser cuts it where it likes; here by hand."""
    value = ast.FormattedValue(ast.Name("x", ast.Load()), -1, None)
    whole = ast.JoinedStr([ast.Constant("".join(parts)), value, ast.Constant("".join(parts))])
    cut = ast.JoinedStr([*map(ast.Constant, parts), value, *map(ast.Constant, parts)])
    assert source_hash(ast.Module([ast.Expr(whole), ast.Pass()], [])) == source_hash(
        ast.Module([ast.Expr(cut), ast.Pass()], [])
    )
