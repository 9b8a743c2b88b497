"""Read the service's JSON envelopes: `{"data": {"items": [...]}, "continuationToken": ...}` and the plain message. [sdk]"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import orjson

from omnia_beam.core.errors import IncompleteReadError, NotTheServiceError
from omnia_beam.core.limits import MAX_METADATA_ITEMS
from omnia_beam.core.series_id import id_key
from omnia_beam.net.api.operations import Operation
from omnia_beam.net.http.response import Response
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.transport import Query
from omnia_beam.wire import PageItem

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


MOST_ITEMS: Final = 10 * MAX_METADATA_ITEMS
"""Items of one list, after which no end of it is expected any more."""


@dataclass(frozen=True)
class ServiceMessage:
    """The message of a response that holds no data: its status, its text and its trace id, if any."""

    status: int
    message: str = ""
    trace_id: str | None = None


def message_of(answer: Response | None) -> ServiceMessage:
    """Return the message of a response; None stands for a deletion that an earlier attempt completed."""
    if answer is None:
        return ServiceMessage(200, "deleted by an earlier attempt whose answer was lost")
    content = answer.json()
    if not isinstance(content, dict):
        return ServiceMessage(answer.status)
    return ServiceMessage(answer.status, str(content.get("message") or ""), content.get("traceId"))


def items_of(answer: Response) -> list[dict[str, Any]]:
    """Return the objects of a response, in or out of the envelope; a single object is one item.

    Raises:
        NotTheServiceError: the response holds something else.
    """
    return _items(answer.json(), f"{answer.method} {answer.path}")


def one_item(answer: Response) -> dict[str, Any]:
    """Return the one object of a response.

    Raises:
        NotTheServiceError: there is none, or there are several.
    """
    found = items_of(answer)
    if len(found) != 1:
        raise NotTheServiceError(f"{answer.method} {answer.path}: the answer holds {len(found)} items instead of one")
    return found[0]


def each_item(
    session: ServiceSession, operation: Operation, ids: tuple[str, ...] = (), params: Query = ()
) -> Iterator[dict[str, Any]]:
    """Yield the objects of all pages; a page is fetched when its first object is needed.

    Raises:
        NotTheServiceError: a page is not JSON or holds no list of items, or the pages have no end.
    """
    what = f"{operation.method} /{operation.path_for(*ids)}"

    def fetch(token: str | None) -> bytes:
        paged = [*params, ("continuationToken", token)] if token else params
        return operation.send(session, *ids, params=paged).body

    count = 0
    for page in each_page(fetch, lambda body: _JsonPage(body, what), what, _JsonPage.content):
        yield from page.items
        count += len(page.items)
        if count > MOST_ITEMS:
            raise NotTheServiceError(
                f"{what}: the service has given {count:,} items and goes on; it says that a list holds "
                f"{MAX_METADATA_ITEMS:,} at most: report this to its owner, or ask for fewer"
            )


class _JsonPage:
    def __init__(self, body: bytes, what: str) -> None:
        try:
            content = orjson.loads(body) if body else []
        except orjson.JSONDecodeError as error:
            raise NotTheServiceError(f"{what}: the answer is no JSON ({error.msg})") from None
        self.items = _items(content, what)
        token = content.get("continuationToken") if isinstance(content, dict) else None
        if token is not None and not isinstance(token, str):
            raise NotTheServiceError(f"{what}: the continuation token is no text: {str(token)[:60]!r}")
        self.continuation_token: str | None = token

    def content(self) -> bytes:
        """Return the items without the token, as bytes; empty where there are none."""
        return orjson.dumps(self.items) if self.items else b""


def _items(content: Any, what: str) -> list[dict[str, Any]]:
    found = content
    if isinstance(found, dict) and "data" in found:
        found = found["data"]
    if isinstance(found, dict) and "items" in found:
        found = found["items"]
    if isinstance(found, dict):
        found = [found]
    if found is None:
        found = []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise NotTheServiceError(f"{what}: the answer holds no list of items")
    return found


class Tally:
    """Points received per series, compared with the service's `totalCount` of the whole query.

    More than the total is no error: points may have been written between two pages.
    """

    def __init__(self) -> None:
        self._received: dict[str, int] = {}
        self._expected: dict[str, int] = {}

    def add(self, item: PageItem) -> None:
        """Count one item of a page."""
        id = id_key(item.series_id)
        self._received[id] = self._received.get(id, 0) + item.n_points
        if item.total_count:
            # The least total of all pages is used, because points may also have been deleted meanwhile.
            self._expected[id] = min(self._expected.get(id, item.total_count), item.total_count)

    def check(self) -> None:
        """Check the totals; call it after the last page.

        Raises:
            IncompleteReadError: there are fewer points than the service counts.
        """
        for id, expected in self._expected.items():
            received = self._received[id]
            if received < expected:
                raise IncompleteReadError(
                    f"series {id}: the service counts {expected} points and sent {received}: read again",
                    expected=expected,
                    received=received,
                )
