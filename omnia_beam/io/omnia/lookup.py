"""Look up the metadata of timeseries by their ids, with as few requests as that takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from omnia_beam.core.errors import NotFoundError, UsageError
from omnia_beam.core.series import Timeseries
from omnia_beam.core.series_id import id_key
from omnia_beam.net.api.metadata import MetadataCalls

PAGE: Final = 1_000
"""Timeseries in one page of a listing."""

ONE_BY_ONE: Final = 20
"""Number of timeseries up to which each is requested alone; beyond it a listing is cheaper."""


def find_by_id(calls: MetadataCalls, ids: Collection[str]) -> Iterator[tuple[str, Timeseries]]:
    """Yield each id that the service knows, as it was given, with its metadata.

    A listing takes no more requests than asking for each alone would; what it does not reach is then asked for alone.

    Raises:
        ServiceError: a request failed.
    """
    left = {id_key(id): id for id in sorted(ids)}
    whole = False
    if len(left) > ONE_BY_ONE:
        most, seen = PAGE * len(left), 0
        whole = True
        try:
            for each in calls.get_timeseries(page_size=PAGE):
                seen += 1
                id = left.pop(id_key(each.id), None)
                if id is not None:
                    yield id, each
                if not left or seen >= most:
                    whole = not left
                    break
        except UsageError:  # the service cuts listings, and the client raises at the end of one that is cut
            whole = False
    for id in () if whole else left.values():
        try:
            yield id, calls.get_timeseries_by_id(id)
        except NotFoundError:
            continue
