"""From one page to the next: the same request again with the token of the page before, until there is no token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from omnia_beam.core.errors import NotTheServiceError

_EMPTY_PAGES: Final = 100
"""Pages without content in a row, each with a token of its own, after which no content is expected any more."""

_REPEATS: Final = 5
"""Pages whose content has come before, under another token. A service may repeat one when it is asked twice."""


class HasToken(Protocol):
    """A decoded page."""

    @property
    def continuation_token(self) -> str | None:
        """None at the end."""


PageT = TypeVar("PageT", bound=HasToken)


def each_page(
    fetch: Callable[[str | None], bytes],
    decode: Callable[[bytes], PageT],
    what: str,
    content: Callable[[PageT], bytes],
) -> Iterator[PageT]:
    """The decoded pages of one request.

    Args:
        fetch: sends the request with the token of the page before, None for the first.
        what: the request in words, for the message.
        content: what a page holds beside its token; empty where it holds nothing.

    Raises:
        NotTheServiceError: there would be no end: pages come round again, or none of them holds anything.
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
    """The pages that have come, as hashes: 64 bytes a page."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pages: set[bytes] = set()
        self._contents: set[bytes] = set()
        self._repeats = 0
        self._empty = 0

    def note(self, token: str, body: bytes, content: bytes) -> None:
        # The token alone does not tell: a service may keep one for all pages and remember the position itself.
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
