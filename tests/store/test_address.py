"""Addresses: what is refused before anything is asked of them, and what is never printed."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.settings import Settings, StorePlace
from causaltest.errors import RecordError
from causaltest.store.address import check, opened, shown, without_secrets


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("ssh://me:hunter2@host:22/path", "ssh://host:22/path"),
        ("https://host/share?sig=hunter2&x=1#y", "https://host/share"),
        ("simplecache::ftp://me:hunter2@host/a", "simplecache::ftp://host/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, says):
    assert shown(address) == says
    assert "hunter2" not in repr(StorePlace(address)) + repr(Settings(store=StorePlace(address)))


WORDS = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=6, max_size=12)


@given(WORDS, WORDS, WORDS)
def test_what_another_library_says_of_an_address_is_shown_without_its_secrets(user, password, token):
    address = f"ftp://{user}:{password}@host/a?sig={token}"
    message = f"530 login of {user} with {password} to {address} ({token})"
    said = without_secrets(message, address)
    assert not any(word in said for word in (user, password, token) if word not in "login with to sig host ftp ***")


def test_a_password_that_is_written_in_percents_is_hidden_in_both_forms():
    assert without_secrets("no: p@ss!word p%40ss!word", "ftp://me:p%40ss!word@host") == "no: *** ***"


def test_a_kind_of_address_that_nothing_opens_is_refused_with_what_to_do():
    with pytest.raises(RecordError, match=r"nonsense://.*is no kind of address that fsspec knows \(.*memory.*a folder"):
        check("nonsense://me:hunter2@x")
    check("memory://x")
    check("simplecache::file:///x")


def test_a_kind_of_address_whose_package_is_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(RecordError, match=r's3://.*s3fs.*pip install "causaltest\[remote\]"'):
        check("s3://bucket/x")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(RecordError, match=r'fsspec, which is not installed: pip install "causaltest\[remote\]"'):
        check("memory://x")


def test_each_opening_is_a_client_of_its_own(tmp_path):
    (one, path), (other, _) = opened(f"file://{tmp_path}/"), opened(f"file://{tmp_path}/")
    assert one is not other and path == str(tmp_path)


def test_a_place_is_an_address_or_a_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path))
    assert not StorePlace("a/b").remote and str(StorePlace("a/b").folder) == "a/b"
    assert StorePlace("s3://b/x").remote and StorePlace("s3://b/x").folder == tmp_path / "store"


@pytest.mark.parametrize("place", ["nonsense://me:hunter2@x/y", "nonsense::file:///x"])
def test_the_plugin_refuses_such_an_address_before_anything_runs(pytester, place):
    pytester.makepyfile("def test_nothing(): ...")
    result = pytester.runpytest_inprocess(f"--causal-cache-dir={place}")
    result.stderr.fnmatch_lines(["ERROR: --causal-cache-dir: nonsense*is no kind of address that fsspec knows*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR and "hunter2" not in result.stderr.str() + result.stdout.str()
