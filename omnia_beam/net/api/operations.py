"""The table of all operations of the four APIs: method, path, and whether the operation may run twice.

A request whose response was lost may have been carried out. An idempotent one is then sent again; any other is
reported, unless the service surely did nothing (see `ServiceSession.send`). All requests of this package go through
this table. Paths and methods: [sdk].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from omnia_beam.core.errors import NotFoundError, UsageError
from omnia_beam.core.series_id import canonical_id, id_key
from omnia_beam.net.http.body import MAX_BODY_BYTES
from omnia_beam.net.http.response import JSON, Response
from omnia_beam.net.http.session import ServiceSession

if TYPE_CHECKING:
    from omnia_beam.net.http.transport import Query


def path_of(*segments: object) -> str:
    """Return `a/b/c` with every segment percent-encoded and ids in the service's spelling; no id can reach another path.

    Raises:
        UsageError: a segment is empty, `.` or `..`. HTTP clients would resolve those, and a missing id
            would turn one series' path into the path of all series.
    """
    quoted = []
    for segment in segments:
        if segment is None or (isinstance(segment, str) and segment.strip() in ("", ".", "..")):
            raise UsageError(f"{segment!r} cannot be part of a path to the service: is an id empty?")
        if not isinstance(segment, str):
            hint = "its id: series.id" if hasattr(segment, "id") else "the id of one series, a text"
            what = type(segment).__name__
            raise UsageError(f"a {what} cannot be part of a path to the service: is an id empty? Pass {hint}")
        quoted.append(quote(canonical_id(segment), safe=""))
    return "/".join(quoted)


def check_each_once(series_ids: Iterable[str]) -> None:
    """Check that no series is named twice; the service treats ids in capitals and in small letters as the same.

    Raises:
        UsageError: names the series, in both spellings where they differ.
    """
    first: dict[str, str] = {}
    for series_id in series_ids:
        folded = id_key(series_id)
        if folded not in first:
            first[folded] = series_id
            continue
        before = first[folded]
        spelt = (
            "" if before == series_id else f", as {before} and as {series_id}, which the service takes for the same id"
        )
        raise UsageError(f"series {series_id} is named twice{spelt}: keep one of the two")


@dataclass(frozen=True)
class Operation:
    """One method and path; `{}` in the path stands for an id. `why` is the reason why it is idempotent, or why not."""

    method: str
    path: str
    idempotent: bool
    why: str

    def send(
        self,
        session: ServiceSession,
        *ids: str,
        params: Query = (),
        json_body: Any = None,
        accept: str = JSON,
        most_bytes: int = MAX_BODY_BYTES,
        before: Callable[[], object] = lambda: None,
    ) -> Response:
        """Send the request and return its response.

        Args:
            ids: fill the path's gaps in order.

        The other arguments and the exceptions are those of `ServiceSession.send`.
        """
        return session.send(
            self.method,
            self.path_for(*ids),
            idempotent=self.idempotent,
            params=params,
            json_body=json_body,
            accept=accept,
            most_bytes=most_bytes,
            before=before,
        )

    def send_delete(self, session: ServiceSession, *ids: str, params: Query = ()) -> Response | None:
        """Send a request whose aim is that something no longer exists.

        Returns:
            The response; None where the response to an earlier attempt was lost and a later one gets a 404: the earlier attempt
            has deleted it.
        """
        try:
            return self.send(session, *ids, params=params)
        except NotFoundError as error:
            if error.attempts == 1:
                raise
            return None

    def path_for(self, *ids: str) -> str:
        """Return the path below the base URL.

        Raises:
            UsageError: an id that cannot be part of a path.
        """
        if not self.path:
            return ""
        remaining = iter(ids)
        return path_of(*(next(remaining) if part == "{}" else part for part in self.path.split("/")))


_READS = "reading changes nothing"
_UPSERT = "an upsert by series and time: the same points again change nothing"


def _read(path: str, method: str = "GET") -> Operation:
    return Operation(method, path, True, _READS)


GET_DATA: Final = _read("{}/data")
GET_DATA_BY_NAME: Final = _read("query/data")
QUERY_DATA: Final = _read("query/data", "POST")
GET_AGGREGATES: Final = _read("{}/data/aggregates")
GET_FIRST: Final = _read("{}/data/first")
GET_LATEST: Final = _read("{}/data/latest")
QUERY_FIRST: Final = _read("query/data/first", "POST")
QUERY_LATEST: Final = _read("query/data/latest", "POST")

WRITE_DATA: Final = Operation("POST", "{}/data", True, _UPSERT)
WRITE_MULTIPLE: Final = Operation("POST", "data", True, _UPSERT)
DELETE_DATA: Final = Operation("DELETE", "{}/data", True, "what is deleted stays deleted")

LIST_TIMESERIES: Final = _read("")
SEARCH_TIMESERIES: Final = _read("search")
SEARCH_TIMESERIES_BY_QUERY: Final = _read("search/{}")
GET_TIMESERIES: Final = _read("{}")
GET_HISTORY: Final = _read("{}/history")
POST_TIMESERIES: Final = Operation("POST", "", False, "a repeat would meet its own first try as a 409")
GET_OR_ADD_TIMESERIES: Final = Operation("POST", "getoradd", True, "a repeat returns what was added")
PATCH_TIMESERIES: Final = Operation("PATCH", "{}", True, "sets fields to given values")
PUT_TIMESERIES: Final = Operation("PUT", "{}", True, "sets the whole description")
DELETE_TIMESERIES: Final = Operation("DELETE", "{}", True, "what is deleted stays deleted")
GET_FACILITIES: Final = _read("facets/facility")
GET_SOURCES: Final = _read("facets/source")

GET_SUBSCRIPTIONS: Final = _read("streaming/subscriptions")
CREATE_SUBSCRIPTION: Final = Operation("POST", "streaming/subscriptions", False, "a repeat might subscribe twice")
DELETE_SUBSCRIPTION: Final = Operation("DELETE", "streaming/subscriptions/{}", True, "what is deleted stays deleted")
SET_DESTINATION: Final = Operation("POST", "streaming/destination", True, "sets the one destination")

IMS_METADATA_SEARCH: Final = _read("search")
IMS_SUBSCRIPTIONS: Final = _read("")
IMS_SUBSCRIPTIONS_BY_UID: Final = _read("uid/{}")
IMS_SUBSCRIPTIONS_BY_TIMESERIES: Final = _read("timeseriesId/{}")
IMS_SUBSCRIPTIONS_BY_SYSTEM: Final = _read("{}")
IMS_COUNTER: Final = _read("{}/counter")
IMS_PATCH_SUBSCRIPTION: Final = Operation(
    "PATCH", "uid/{}", False, "resets counters and state that the service keeps moving meanwhile"
)
