"""Resolve a selection (ids, a file of ids, searches) to series: each once, in the service's spelling, ascending by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from omnia_beam.core.errors import SelectionError
from omnia_beam.core.series import Timeseries
from omnia_beam.core.series_id import canonical_id
from omnia_beam.io.omnia.id_spelling import named_ids
from omnia_beam.io.omnia.lookup import PAGE, find_by_id
from omnia_beam.io.omnia.options import SeriesSelection
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.http.session import ServiceSession

_PYTHON_NAMES: Final = {"assetId": "asset_id", "externalId": "external_id"}


def select_series(session: ServiceSession, selection: SeriesSelection) -> tuple[Timeseries, ...]:
    """Return the series of a selection, with the metadata of those that were searched for, and of others the id alone.

    It does not check that series named by id exist, which the planning does.

    Raises:
        SelectionError: no series at all.
        UsageError: the file of ids cannot be read.
        ServiceError: a search failed.
    """
    named = {canonical_id(series_id) for series_id in named_ids(selection)}
    found = {series_id: Timeseries(series_id, "", "") for series_id in named}
    for patterns in selection.search or ():
        for series in search(session, patterns.patterns()):
            series_id = canonical_id(series.id)
            found[series_id] = series.under(series_id)
    if not found:
        requested = " or ".join(
            ", ".join(f"{k}: {v}" for k, v in each.patterns().items()) for each in selection.search or ()
        )
        raise SelectionError(
            f"source.series: nothing at {session.settings.base_url} matches {requested or 'the selection'}"
        )
    return tuple(found[series_id] for series_id in sorted(found))


def describe_series(session: ServiceSession, selection: SeriesSelection) -> Iterator[Timeseries]:
    """Yield the metadata of a selection, ascending by id.

    Raises:
        SelectionError: no series, or an id that the service does not know.
    """
    selected = select_series(session, selection)
    known = dict(find_by_id(MetadataCalls(session), [each.id for each in selected if not each.name]))
    for each in selected:
        if not each.name and each.id not in known:
            raise SelectionError(f"source.series: the service knows no series {each.id}")
        yield known.get(each.id, each).under(each.id)


def search(session: ServiceSession, patterns: Mapping[str, str]) -> Iterator[Timeseries]:
    """Return all timeseries that match; `patterns` uses the service's names of fields.

    Raises:
        UsageError: the result has as many as the service allows, so that some may be left out.
        ServiceError: the search failed.
    """
    by_name = {_PYTHON_NAMES.get(name, name): pattern for name, pattern in patterns.items()}
    return MetadataCalls(session).search_timeseries(page_size=PAGE, **by_name)
