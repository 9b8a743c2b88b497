"""Follow the pages of a request: send it again with the token of the page before, until there is no token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from omnia_beam.core.errors import NotTheServiceError

_EMPTY_PAGES: Final = 100
"""Pages without content in a row, each with its own token, after which no more content is expected."""

_REPEATS: Final = 5
"""Pages that may repeat the content of an earlier page under another token, as a service may do for a repeated request."""


class HasToken(Protocol):
    """A decoded page."""

    @property
    def continuation_token(self) -> str | None:
        """The token of the next page; None at the end."""


PageT = TypeVar("PageT", bound=HasToken)


def each_page(
    fetch: Callable[[str | None], bytes],
    decode: Callable[[bytes], PageT],
    what: str,
    content: Callable[[PageT], bytes],
) -> Iterator[PageT]:
    """Yield the decoded pages of one request.

    Args:
        fetch: sends the request with the token of the page before, None for the first.
        decode: reads the body of a page.
        what: the request in words, for the message.
        content: returns what a page holds besides its token; empty where it holds nothing.

    Raises:
        NotTheServiceError: the pages have no end: they repeat, or none of them holds anything.
    """
    token: str | None = None
    pages = _Pages(what)
    while True:
        body = fetch(token)
        page = decode(body)
        yield page
        token = page.continuation_token
        if not token:
            return
        pages.note(token, body, content(page))


class _Pages:
    """The pages received so far, as hashes: 64 bytes a page."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pages: set[bytes] = set()
        self._contents: set[bytes] = set()
        self._repeats = 0
        self._empty = 0

    def note(self, token: str, body: bytes, content: bytes) -> None:
        # The token alone is not enough: a service may use one for all pages and keep the position itself.
        page = hashlib.sha256(token.encode() + b"\0" + body).digest()
        if page in self._pages:
            raise self._endless("gives a page again that it gave before")
        self._pages.add(page)
        if not content:
            self._empty += 1
            if self._empty >= _EMPTY_PAGES:
                raise self._endless(f"gave {_EMPTY_PAGES} pages in a row with nothing but a token for the next")
            return
        self._empty = 0
        digest = hashlib.sha256(content).digest()
        if digest in self._contents:
            self._repeats += 1
            if self._repeats > _REPEATS:
                raise self._endless("gives what it gave before, again and again, under new tokens")
        self._contents.add(digest)

    def _endless(self, reason: str) -> NotTheServiceError:
        return NotTheServiceError(
            f"{self._what}: the service {reason}, so that there would be no end; report this to its owner"
        )
