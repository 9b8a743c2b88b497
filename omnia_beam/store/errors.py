"""What goes wrong with a request to an object store: errors of obstore as OSErrors in one line, and responses that break off."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn, TypeVar

from omnia_beam.core.redaction import redact

WHOLE_TRIES: Final = 4
_REASON_CHARACTERS: Final = 300
_REFUSED: Final = re.compile(r"status code: 40[13]\b")
"""In the texts of errors of listings, for which obstore has no kinds."""
_NO_NAME: Final = re.compile(r"object with invalid path")
"""In the texts of errors about keys that obstore does not take: with `//`, `.` or `..` for a folder, or control characters."""
T = TypeVar("T")


class StoreError(OSError):
    """A request to an object store failed; `strerror` is one line without secrets."""


def whole(request: Callable[[], T]) -> T:
    """Return the response of a request that changes nothing when it is repeated; it is, where the response breaks off half way.

    obstore repeats requests that fail, and none whose response has begun.
    """
    from obstore.exceptions import BaseError

    for _ in range(WHOLE_TRIES - 1):
        try:
            return request()
        except BaseError as error:
            if not is_broken_off(error):
                raise
    return request()


def is_broken_off(error: Exception) -> bool:
    """Return whether a response had begun and did not come to its end."""
    return "body" in str(error).partition("\n\nDebug source:")[0]


@contextmanager
def naming(path: str, *, writing: bool = False) -> Iterator[None]:
    """Convert obstore's errors in the block to OSErrors with the path and one line of what happened.

    Args:
        path: the whole path.
        writing: whether that something does not exist means that there is no such container.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if writing:  # there is no such container
            fail(error, path)
        raise FileNotFoundError(errno.ENOENT, "No such file", path) from None
    except BaseError as error:
        fail(error, path)


def fail(error: Exception, path: str) -> NoReturn:
    """Raise an error of obstore as a StoreError."""
    from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

    if isinstance(error, PreconditionError):
        raise StoreError(errno.EBUSY, "it was changed while it was read", path) from None
    text = _one_line(str(error))
    if _NO_NAME.search(text):
        raise StoreError(errno.EINVAL, f"{text}: rename or delete that object, or give another folder", path) from None
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or _REFUSED.search(text)
    raise StoreError(errno.EACCES if refused else errno.EIO, text, path) from None


def _one_line(text: str) -> str:
    """Return what happened without queries of URLs, which may hold a signature, and without the markup of a response."""
    text = " ".join(text.partition("\n\nDebug source:")[0].split())
    text = re.sub(r"(https?://[^\s?]*)\?[^\s,)]*", r"\1", text)
    match = re.search(r"<\?xml.*?<Code>(.*?)</Code>\s*(?:<Message>(.*?)</Message>)?", text)
    if match is not None:
        text = f"{text[: match.start()]}{match[1]}: {match[2] or ''}"
    return redact(text)[:_REASON_CHARACTERS]
