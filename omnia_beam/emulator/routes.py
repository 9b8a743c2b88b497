"""Every path that the emulator serves, and who answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from . import catalog, reading
from .answer import Answer
from .call import Call
from .service import Service

TIMESERIES: Final = "/plant/timeseries/v1.7"

Endpoint = Callable[[Service, Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path; `label` names it in the stats."""

    method: str
    path: str
    endpoint: Endpoint

    @property
    def label(self) -> str:
        return f"{self.method} {self.path.removeprefix(TIMESERIES) or '/'}"


def _timeseries(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(method, TIMESERIES + path, endpoint)


ROUTES: Final = (
    _timeseries("GET", "", catalog.list_series),
    _timeseries("GET", "/search", catalog.search_series),
    _timeseries("GET", "/search/{query}", catalog.search_text),
    _timeseries("GET", "/query/data", reading.get_data_by_name),
    _timeseries("POST", "/query/data", reading.query_many),
    _timeseries("POST", "/query/data/first", reading.query_first),
    _timeseries("POST", "/query/data/latest", reading.query_latest),
    _timeseries("GET", "/{id}/data", reading.get_data),
    _timeseries("GET", "/{id}/data/first", reading.get_first),
    _timeseries("GET", "/{id}/data/latest", reading.get_latest),
    _timeseries("GET", "/{id}", catalog.get_series),
)
