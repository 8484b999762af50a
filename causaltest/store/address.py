"""Address: a place that others read, too, as fsspec names it: s3://bucket/x, ssh://host/path, file:///mnt/share.

What an address says of its user, a password or a token, is never printed.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from causaltest.errors import RecordError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
USER = re.compile(r"(?<=://)[^/@]*@")
QUERY = re.compile(r"[?#].*")
HIDDEN = "***"
EXTRA = 'pip install "causaltest[remote]"'


def shown(address: str) -> str:
    """An address without what it says of its user."""
    return "::".join(QUERY.sub("", USER.sub("", part)) for part in address.split("::"))


def without_secrets(message: str, address: str) -> str:
    """A message, such as another library's error, without what the address says of its user."""
    found = [given for part in address.split("::") for given in (*USER.findall(part), *QUERY.findall(part))]
    words = {word for given in found for word in re.split(r"[:@?#&=]", given)} | {given.strip("@?#") for given in found}
    hidden = {form for word in words for form in (word, unquote(word)) if len(form) > 2}
    for word in sorted(hidden, key=len, reverse=True):
        message = message.replace(word, HIDDEN)
    return message


def check(address: str) -> None:
    """Raises RecordError for an address of a kind that fsspec does not know, or whose package is not installed.

    Nothing is asked of the address itself: where it cannot be reached, a run goes on without it.
    """
    filesystem = opener()
    for part in address.split("::"):
        scheme = SCHEME.match(part)
        protocol = part if scheme is None else scheme[1]
        try:
            filesystem.get_filesystem_class(protocol.lower())
        except ImportError as error:
            raise RecordError(
                f"{shown(address)}: {protocol}:// needs a package that is not installed ({error}). Install it beside "
                f"{EXTRA}, or give a folder."
            ) from None
        except ValueError:
            known = ", ".join(sorted(filesystem.available_protocols()))
            raise RecordError(
                f"{shown(address)}: {protocol}:// is no kind of address that fsspec knows ({known}). Give one of "
                "these, or a folder."
            ) from None


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it. Raises whatever the file system raises."""
    # A client of one's own: not every one may be asked by two threads.
    filesystem, path = opener().core.url_to_fs(address, skip_instance_cache=True)
    return filesystem, str(path).rstrip("/")


def opener() -> Any:
    """The library that opens addresses. Raises RecordError where it is not installed."""
    try:
        import fsspec
    except ImportError:
        raise RecordError(f"A store at an address needs fsspec, which is not installed: {EXTRA}.") from None
    return fsspec
