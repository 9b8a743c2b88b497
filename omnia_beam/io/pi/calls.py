"""The requests to PI Web API that reading needs.

Facts about the service stand in docs/pi.md; what no public source says is marked [unknown] there and is not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from omnia_beam.core.errors import (
    BadRequestError,
    IncompleteReadError,
    NotFoundError,
    NotTheServiceError,
    SelectionError,
    TerminalServiceError,
    UnauthorizedError,
)
from omnia_beam.core.redaction import redact
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.net.http.body import most_page_bytes
from omnia_beam.net.http.session import ServiceSession

TICK_NS: Final = 100
"""Resolution of the times that PI Web API shows and takes. [aveva]"""

MAX_URL_BYTES: Final = 4_000
"""Bytes of a query with several WebIds: http.sys takes 16 KB of URL and headers together, a Kerberos ticket among them. [ours]"""

_LISTED: Final = 10_000
_BATCH: Final = 100
_COUNT_BATCH: Final = 25
"""Sub-requests of one batch; a count reads what it counts, so that fewer of them share one time-out. [ours]"""

_VALUE_BYTES: Final = 1_000
"""Bytes of a value with its flags, at most: most have 150, a string up to 976. [aveva]"""

_ALLOWED: Final = re.compile(r"maximum allowed\D{0,8}(\d[\d.,\s]*)", re.IGNORECASE)
_TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class DataServer:
    """A data server: its name, the WebId under which it is known today, and the id that it keeps."""

    name: str
    web_id: str
    id: str


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range in the service's terms: the first and the last tick that lie in it, ns, both inclusive."""

    first_ns: int
    last_ns: int

    @classmethod
    def of(cls, requested: TimeRange) -> Span | None:
        """Return the ticks of a range; None where there are none."""
        first = requested.start_ns + -requested.start_ns % TICK_NS
        last = requested.end_ns - 1 - (requested.end_ns - 1) % TICK_NS
        return cls(first, last) if first <= last else None

    @property
    def params(self) -> list[tuple[str, str]]:
        """The two ends as parameters; times name their zone, so that the server's own does not count."""
        return [("startTime", format_time(self.first_ns, 7)), ("endTime", format_time(self.last_ns, 7))]


class Counted(NamedTuple):
    """The number of values that a range holds at least: as the server counts them, or as a first look saw them.

    Attributes:
        good: values that are no system states [AF: Count of event-weighted summaries]; None where the server did not count.
        all: values and system states, as far as the share of good ones tells; 0 where there is no good one.
    """

    good: int | None
    all: int


class PiCalls:
    """Requests of one service. Safe to use from many threads.

    Args:
        session: of the service.
    """

    def __init__(self, session: ServiceSession) -> None:
        self._session = session
        self._batches = True

    def version(self) -> str:
        """Return the product and its version."""
        found = self._get("system")
        return " ".join(str(found[name]) for name in ("ProductTitle", "ProductVersion") if found.get(name)) or "answers"

    def data_server(self, name: str | None) -> DataServer:
        """Return the data server of this name in any case, or the only one there is.

        Raises:
            SelectionError: there is none of that name, or several where none is named.
        """
        found = [
            DataServer(_text(item, "Name"), _text(item, "WebId"), str(item.get("Id") or _text(item, "Name")))
            for item in _items(self._get("dataservers"))
        ]
        names = ", ".join(each.name for each in found) or "none"
        if name is not None:
            for each in found:
                if each.name.casefold() == name.casefold():
                    return each
            raise SelectionError(f"source.data_server: {name} is not among the data servers of the PI Web API: {names}")
        if len(found) != 1:
            raise SelectionError(f"source.data_server: name one of the data servers of the PI Web API: {names}")
        return found[0]

    def points_named(self, server: DataServer, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the points of these names, by the given spelling; names without a point are left out."""
        queries = [("points", [("path", f"\\\\{server.name}\\{name}")]) for name in names]
        found = zip(names, self._each(queries), strict=True)
        return {name: _point(content) for name, content in found if content is not None}

    def points_known(self, web_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the points that still have these WebIds, by WebId."""
        queries: list[_Get] = [(f"points/{each}", []) for each in web_ids]
        found = zip(web_ids, self._each(queries), strict=True)
        return {web_id: _point(content) for web_id, content in found if content is not None}

    def points_listed(self, server: DataServer, name_filter: str, page: int = _LISTED) -> Iterator[Mapping[str, Any]]:
        """Yield all points whose names match, page by page up to the end.

        Each page begins at the last point of the page before, so that a list that moved, or a page that came without its
        points, does not look like the end.

        Raises:
            IncompleteReadError: the pages do not fit together.
        """
        seen: set[str] = set()
        last, page = "", min(page, _LISTED)
        while True:
            start = max(0, len(seen) - 1)
            params = [("nameFilter", name_filter), ("startIndex", str(start)), ("maxCount", str(page))]
            try:
                items = [_point(item) for item in _items(self._get(f"dataservers/{server.web_id}/points", params))]
            except BadRequestError as error:
                allowed = allowed_by(error)
                if allowed is None or not 1 < allowed < page:
                    raise
                page = allowed
                continue
            if last and (not items or items.pop(0)["WebId"] != last):
                raise _changed(name_filter)
            if not items:
                return
            found = {item["WebId"] for item in items}
            if len(found) < len(items) or found & seen:
                raise _changed(name_filter)
            last = items[-1]["WebId"]
            seen |= found
            yield from items

    def state_sets(self, server: DataServer, names: set[str]) -> dict[str, dict[int, str]]:
        """Return the states by code of the sets of these names, by the case-folded name."""
        wanted = {name.casefold() for name in names if name}
        if not wanted:
            return {}
        sets = _items(self._get(f"dataservers/{server.web_id}/enumerationsets"))
        named = {_text(item, "Name").casefold(): _text(item, "WebId") for item in sets}
        found = sorted(wanted & named.keys())
        contents = self._each([(f"enumerationsets/{named[each]}/enumerationvalues", []) for each in found])
        return {
            name: {_number(item, "Value"): str(item.get("Name") or "") for item in _items(content)}
            for name, content in zip(found, contents, strict=True)
            if content is not None
        }

    def counts(self, web_ids: Sequence[str], span: Span) -> dict[str, Counted]:
        """Return how many values the server counts, by WebId; what it cannot count is left out."""
        if span.first_ns == span.last_ns:
            return {}  # a summary needs two different ends
        kind = [
            ("summaryType", "Count"),
            ("summaryType", "PercentGood"),
            ("calculationBasis", "EventWeighted"),
            *span.params,
        ]
        queries: list[_Get] = [(f"streams/{each}/summary", kind) for each in web_ids]
        contents = self._each(queries, batch=_COUNT_BATCH, lenient=True)
        found = {each: _count(content) for each, content in zip(web_ids, contents, strict=True)}
        return {each: count for each, count in found.items() if count is not None}

    def recorded(self, web_ids: Sequence[str], span: Span, max_count: int) -> bytes:
        """Return the body with the recorded values of one stream or of several, both ends of the range included.

        All fields are asked for: with `selectedFields` it is unknown whether `Errors` and `WebException` are left out.
        """
        params = [*span.params, ("boundaryType", "Inside"), ("maxCount", str(max_count))]
        path = f"streams/{web_ids[0]}/recorded"
        if len(web_ids) > 1:
            path, params = "streamsets/recorded", [*(("webId", each) for each in web_ids), *params]
        most = most_page_bytes(len(web_ids), max_count, _VALUE_BYTES)
        return self._session.send("GET", path, params=params, idempotent=True, most_bytes=most).body

    def _get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        found = self._session.send("GET", path, params=list(params), idempotent=True).json()
        if not isinstance(found, dict):
            raise NotTheServiceError(f"GET /{path}: no JSON object, which PI Web API would send: is base_url right?")
        check_whole(found, f"GET /{path}")
        return found

    def _each(self, queries: Sequence[_Get], *, batch: int = _BATCH, lenient: bool = False) -> list[Any]:
        """Return the content of each request, None for a 404, and where it is lenient for every refusal of that one."""
        found: list[Any] = []
        for at in range(0, len(queries), batch):
            found += self._some(queries[at : at + batch], lenient)
        return found

    def _some(self, queries: Sequence[_Get], lenient: bool) -> list[Any]:
        sent = self._batch(queries) if len(queries) > 1 else None
        if sent is None:
            return [self._one(query, lenient) for query in queries]
        # What the batch could not carry out is asked for alone, where the session waits and tries again.
        return [self._outcome(query, each, lenient) for query, each in zip(queries, sent, strict=True)]

    def _batch(self, queries: Sequence[_Get]) -> list[Any] | None:
        """Return the outcomes of one batch; None where the server takes no batches, or its response is not whole."""
        if not self._batches:
            return None
        base = self._session.settings.base_url
        body = {
            str(at): {
                "Method": "GET",
                "Resource": f"{base}/{path}" + (f"?{urlencode(params, quote_via=quote)}" if params else ""),
            }
            for at, (path, params) in enumerate(queries)
        }
        try:
            found = self._session.send("POST", "batch", json_body=body, idempotent=True).json()
        except UnauthorizedError:
            raise
        except NotTheServiceError:
            return None
        except TerminalServiceError:
            self._batches = False
            return None
        return [found.get(str(at)) for at in range(len(queries))] if isinstance(found, dict) else None

    def _outcome(self, query: _Get, sent: Any, lenient: bool) -> Any:
        status = sent.get("Status") if isinstance(sent, dict) else None
        content = sent.get("Content") if isinstance(sent, dict) else None
        if (
            status == 200
            and isinstance(content, dict)
            and not content.get("WebException")
            and not content.get("Errors")
        ):
            return content
        if lenient and isinstance(status, int) and status >= 400 and status not in (404, *_TRANSIENT):
            return None
        found = self._one(query, lenient)
        if status == 404 and found is not None:
            self._batches = False  # behind a proxy that changes the path, a batch finds nothing
        return found

    def _one(self, query: _Get, lenient: bool) -> Any:
        try:
            return self._get(*query)
        except NotFoundError:
            return None
        except UnauthorizedError:
            raise
        except (TerminalServiceError, IncompleteReadError):
            if not lenient:
                raise
            return None


_Get = tuple[str, list[tuple[str, str]]]
"""A path below the base URL, and its parameters."""


def allowed_by(error: BadRequestError) -> int | None:
    """Return the number of values that the server allows in one response, where its refusal names it."""
    found = _ALLOWED.search(str(error))
    number = re.sub(r"\D", "", found[1]) if found is not None else ""
    return int(number) if number and int(number) > 0 else None


def check_whole(content: Mapping[str, Any], what: str) -> None:
    """Check that a response of 200 is not one that broke off while it was written.

    Raises:
        IncompleteReadError: it carries `WebException` or `Errors`. [aveva]
    """
    for name in ("WebException", "Errors"):
        if content.get(name):
            told = content[name]
            texts = told.get("Errors", told) if isinstance(told, dict) else told
            text = "; ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
            raise IncompleteReadError(f"{what}: the response carries {name}: {redact(text)[:300]}")


def _items(content: Mapping[str, Any]) -> list[Any]:
    items = content.get("Items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise NotTheServiceError("a list without Items, which PI Web API would send: is base_url right?")
    return items


def _changed(name_filter: str) -> IncompleteReadError:
    return IncompleteReadError(
        f"the list of points like {name_filter} changed while it was read, or the server does not page: run again"
    )


def _point(item: Any) -> Mapping[str, Any]:
    """Return a point that has what every point has."""
    if not isinstance(item, dict):
        raise NotTheServiceError("a point that is no JSON object, which PI Web API would send: is base_url right?")
    _text(item, "WebId"), _text(item, "Name"), _number(item, "Id")
    return item


def _number(item: Mapping[str, Any], name: str) -> int:
    found = item.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise NotTheServiceError(f"an item without {name}, which PI Web API would send: is base_url right?")
    return found


def _text(item: Mapping[str, Any], name: str) -> str:
    found = item.get(name)
    if not isinstance(found, str) or not found:
        raise NotTheServiceError(f"an item without {name}, which PI Web API would send: is base_url right?")
    return found


def _count(content: Any) -> Counted | None:
    try:
        found = {item["Type"]: item["Value"]["Value"] for item in content["Items"]}
    except (KeyError, TypeError):
        return None
    good, share = found.get("Count"), found.get("PercentGood")
    if isinstance(good, bool) or not isinstance(good, int | float) or not good >= 0:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 100:
        return Counted(round(good), round(good))
    return Counted(round(good), round(good * 100 / share))
