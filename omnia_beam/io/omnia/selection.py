"""Resolve a selection (ids, a file of ids, searches) to series: each once, in the service's spelling, ascending by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from omnia_beam.core.errors import NotFoundError, SelectionError
from omnia_beam.core.series import Timeseries
from omnia_beam.core.series_id import canonical_id
from omnia_beam.io.omnia.id_spelling import named_ids
from omnia_beam.io.omnia.options import SeriesSelection
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.http.session import ServiceSession

_PAGE: Final = 1_000
_PYTHON_NAMES: Final = {"assetId": "asset_id", "externalId": "external_id"}


def select_series(session: ServiceSession, selection: SeriesSelection) -> tuple[str, ...]:
    """Return the ids of a selection. It does not check that series named by id exist, which the planning does.

    Raises:
        SelectionError: no series at all.
        UsageError: the file of ids cannot be read.
        ServiceError: a search failed.
    """
    ids = {canonical_id(series_id) for series_id in named_ids(selection)}
    for patterns in selection.search or ():
        ids.update(canonical_id(series.id) for series in search(session, patterns.patterns()))
    if not ids:
        asked = " or ".join(
            ", ".join(f"{k}: {v}" for k, v in each.patterns().items()) for each in selection.search or ()
        )
        raise SelectionError(
            f"source.series: nothing at {session.settings.base_url} matches {asked or 'the selection'}"
        )
    return tuple(sorted(ids))


def describe_series(session: ServiceSession, selection: SeriesSelection) -> Iterator[Timeseries]:
    """Yield the metadata of a selection, ascending by id.

    Raises:
        SelectionError: no series, or an id that the service does not know.
    """
    known: dict[str, Timeseries] = {}
    for patterns in selection.search or ():
        found = search(session, patterns.patterns())
        known |= {canonical_id(series.id): series for series in found}
    for series_id in select_series(session, selection):
        series = known[series_id] if series_id in known else _one(session, series_id)
        yield replace(series, id=series_id)


def search(session: ServiceSession, patterns: Mapping[str, str]) -> Iterator[Timeseries]:
    """Return all timeseries that match; `patterns` uses the service's names of fields.

    Raises:
        UsageError: the result has as many as the service allows, so that some may be left out.
        ServiceError: the search failed.
    """
    by_name = {_PYTHON_NAMES.get(name, name): pattern for name, pattern in patterns.items()}
    return MetadataCalls(session).search_timeseries(page_size=_PAGE, **by_name)


def _one(session: ServiceSession, series_id: str) -> Timeseries:
    try:
        return MetadataCalls(session).get_timeseries_by_id(series_id)
    except NotFoundError as error:
        raise SelectionError(f"source.series: the service knows no series {series_id}") from error
