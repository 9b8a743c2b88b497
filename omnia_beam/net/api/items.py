"""Read the service's JSON: lists, `{"data": {"items": [...]}, "continuationToken": ...}`, page by page, and messages. [sdk]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from omnia_beam.core.errors import NotTheServiceError
from omnia_beam.core.limits import MAX_METADATA_ITEMS
from omnia_beam.net.api.operations import Operation
from omnia_beam.net.api.pages import each_page
from omnia_beam.net.http.response import Response
from omnia_beam.net.http.session import ServiceSession

if TYPE_CHECKING:
    from omnia_beam.net.http.transport import Query

_FORGIVEN: Final = 5
"""Pages of a list that may repeat what came before under another token, as a service may do for a repeated request."""

MOST_ITEMS: Final = 10 * MAX_METADATA_ITEMS
"""Items of one list, after which no end of it is expected any more."""


@dataclass(frozen=True)
class ServiceMessage:
    """The message of a response that holds no data: its status, its text and its trace id, if any."""

    status: int
    message: str = ""
    trace_id: str | None = None


def message_of(response: Response | None) -> ServiceMessage:
    """Return the message of a response; None stands for a deletion that an earlier attempt completed."""
    if response is None:
        return ServiceMessage(200, "deleted by an earlier attempt whose response was lost")
    content = response.json()
    if not isinstance(content, dict):
        return ServiceMessage(response.status)
    return ServiceMessage(response.status, str(content.get("message") or ""), content.get("traceId"))


def items_of(response: Response) -> list[dict[str, Any]]:
    """Return the objects of a response, in or out of the envelope; a single object is one item.

    Raises:
        NotTheServiceError: the response holds something else.
    """
    return _items(response.json(), f"{response.method} {response.path}")


def one_item(response: Response) -> dict[str, Any]:
    """Return the one object of a response.

    Raises:
        NotTheServiceError: there is none, or there are several.
    """
    found = items_of(response)
    if len(found) != 1:
        raise NotTheServiceError(
            f"{response.method} {response.path}: the response holds {len(found)} items instead of one"
        )
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
    pages = each_page(
        fetch,
        lambda body: _JsonPage(body, what),
        what,
        lambda _, page: orjson.dumps(page.items),
        error=NotTheServiceError,
        forgiven=_FORGIVEN,
    )
    for _, page in pages:
        yield from page.items
        count += page.n_points
        if count > MOST_ITEMS:
            raise NotTheServiceError(
                f"{what}: the service has given {count:,} items and continues, although it documents that a list holds "
                f"{MAX_METADATA_ITEMS:,} at most: report this to its owner, or request fewer"
            )


class _JsonPage:
    def __init__(self, body: bytes, what: str) -> None:
        try:
            content = orjson.loads(body) if body else []
        except orjson.JSONDecodeError as error:
            raise NotTheServiceError(f"{what}: the response is not JSON ({error.msg})") from None
        self.items = _items(content, what)
        token = content.get("continuationToken") if isinstance(content, dict) else None
        if token is not None and not isinstance(token, str):
            raise NotTheServiceError(f"{what}: the continuation token is no text: {str(token)[:60]!r}")
        self.continuation_token: str | None = token
        self.n_points = len(self.items)


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
        raise NotTheServiceError(f"{what}: the response holds no list of items")
    return found
