"""Which series a job is about: ids, a file of ids, searches; each series once, ascending by id."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from omnia_beam.config import read_ids_file
from omnia_beam.config.source import SeriesSelection
from omnia_beam.core.errors import NotFoundError, SelectionError, WireFormatError
from omnia_beam.core.series import Timeseries
from omnia_beam.net.operations import GET_TIMESERIES, SEARCH_TIMESERIES
from omnia_beam.net.session import ServiceSession

_PAGE = 1_000


def select_series(session: ServiceSession, selection: SeriesSelection) -> tuple[str, ...]:
    """The ids of a selection, without asking after those that are named by id: the planning does that.

    Raises:
        SelectionError: no series at all.
        UsageError: the file of ids cannot be read.
        ServiceError: a search failed.
    """
    ids = set(_named(selection))
    for patterns in selection.search or ():
        found = [series.id for series in search(session, patterns.patterns())]
        ids.update(found)
    if not ids:
        asked = " or ".join(
            ", ".join(f"{k}: {v}" for k, v in each.patterns().items()) for each in selection.search or ()
        )
        raise SelectionError(
            f"source.series: nothing at {session.settings.base_url} matches {asked or 'the selection'}"
        )
    return tuple(sorted(ids))


def describe_series(session: ServiceSession, selection: SeriesSelection) -> Iterator[Timeseries]:
    """The metadata of a selection, ascending by id.

    Raises:
        SelectionError: no series, or an id that the service does not know.
    """
    known: dict[str, Timeseries] = {}
    for patterns in selection.search or ():
        known |= {series.id: series for series in search(session, patterns.patterns())}
    for series_id in select_series(session, selection):
        yield known[series_id] if series_id in known else _one(session, series_id)


def search(session: ServiceSession, patterns: dict[str, str]) -> Iterator[Timeseries]:
    """All timeseries that match."""
    token: str | None = None
    while True:
        params = {**patterns, "limit": str(_PAGE), **({"continuationToken": token} if token else {})}
        answer = orjson.loads(SEARCH_TIMESERIES.send(session, params=list(params.items())).body)
        for item in answer["data"]["items"]:
            yield Timeseries.from_json(item)
        before, token = token, answer.get("continuationToken")
        if not token:
            return
        if token == before:
            raise WireFormatError("a search gives the same page again and again")


def _named(selection: SeriesSelection) -> Iterator[str]:
    yield from selection.ids or ()
    if selection.ids_file is not None:
        yield from read_ids_file(selection.ids_file).ids


def _one(session: ServiceSession, series_id: str) -> Timeseries:
    try:
        answer = GET_TIMESERIES.send(session, series_id)
    except NotFoundError as error:
        raise SelectionError(f"source.series: the service knows no series {series_id}") from error
    return Timeseries.from_json(orjson.loads(answer.body)["data"]["items"][0])
