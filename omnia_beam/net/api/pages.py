"""Read the pages of one request, each once, in order: the one loop over continuation tokens, for all readers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from omnia_beam.core.errors import IncompleteReadError, NotTheServiceError

_REPEATS: Final = 5
"""How often the page before may come in place of the next."""

_PAGES_WITHOUT_CONTENT: Final = 100
"""Pages without points in a row, each with a token for the next, after which no end is expected."""


class PageOfMany(Protocol):
    """A page that has been read."""

    @property
    def continuation_token(self) -> str | None:
        """The token of the next page; None at the end."""

    @property
    def n_points(self) -> int:
        """Points, or items of a list, in the page."""


PageT = TypeVar("PageT", bound=PageOfMany)


def each_page(
    fetch: Callable[[str | None], bytes],
    read: Callable[[bytes], PageT],
    what: str,
    content: Callable[[bytes, PageT], bytes],
    *,
    error: type[IncompleteReadError | NotTheServiceError] = IncompleteReadError,
    forgiven: int = 0,
) -> Iterator[tuple[bytes, PageT]]:
    """Yield body and content of each page.

    A body that is equal to the one before is the page before again in place of the next: the next is requested once more, with
    the same token. Tokens show no progress, because each may be unique while the service never advances, and one may serve
    for all pages while it does; so the content is compared.

    Args:
        fetch: sends the request with the token of the page before, None for the first, and returns the body.
        read: reads the body of a page.
        what: the request in words, for messages.
        content: returns what a page holds besides its token, from its body and what was read of it.
        error: is raised.
        forgiven: pages that may repeat the content of an earlier page under another token. They are passed over: where nothing
            else would show that the page in whose place they came is missing, it has to be 0.

    Raises:
        IncompleteReadError, NotTheServiceError: the service sends what it has sent before, or pages without
            content and without end.
    """
    token: str | None = None
    last: bytes | None = None
    repeats = without_content = 0
    contents: set[bytes] = set()
    while True:
        body = fetch(token)
        if body == last:
            repeats += 1
            if repeats > _REPEATS:
                raise error(f"{what}: the service repeats a page for ever")
            continue
        last, repeats = body, 0
        page = read(body)
        token = page.continuation_token
        if not page.n_points:
            without_content += 1
            if token and without_content >= _PAGES_WITHOUT_CONTENT:
                raise error(f"{what}: {without_content} pages without points in a row, and no end to them")
            yield body, page
        elif _is_new(body, page, content, contents):
            without_content = 0
            yield body, page
        elif forgiven:
            forgiven -= 1
        else:
            raise error(f"{what}: the service repeats a page for ever, under other tokens")
        if not token:
            return


def _is_new(body: bytes, page: PageT, content: Callable[[bytes, PageT], bytes], contents: set[bytes]) -> bool:
    """Return whether no earlier page had the same content, and remember it as a hash."""
    if not page.continuation_token and not contents:
        return True  # the only page, as of most requests: a hash would cost more than decoding it
    digest = hashlib.blake2b(content(body, page), digest_size=16).digest()
    if digest in contents:
        return False
    contents.add(digest)
    return True
