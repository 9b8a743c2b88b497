"""From one page to the next: the same request again with the token of the page before, until there is no token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from omnia_beam.core.errors import NotTheServiceError


class HasToken(Protocol):
    """A decoded page."""

    @property
    def continuation_token(self) -> str | None:
        """None at the end."""


PageT = TypeVar("PageT", bound=HasToken)


def each_page(fetch: Callable[[str | None], bytes], decode: Callable[[bytes], PageT], what: str) -> Iterator[PageT]:
    """The decoded pages of one request.

    Args:
        fetch: sends the request with the token of the page before, None for the first.
        what: the request in words, for the message.

    Raises:
        NotTheServiceError: a page came twice in a row with the same token, so that there would be no end.
    """
    token: str | None = None
    before: tuple[str, bytes] | None = None
    while True:
        body = fetch(token)
        page = decode(body)
        yield page
        token = page.continuation_token
        if not token:
            return
        # The token alone does not tell: a service may keep one for all pages and remember the position itself.
        seen = (token, hashlib.sha256(body).digest())
        if seen == before:
            raise NotTheServiceError(
                f"{what}: the service gives the same page again and again; report this to its owner"
            )
        before = seen
