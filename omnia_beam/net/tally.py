"""Counting what came against what the service says there is."""

from __future__ import annotations

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.series_id import id_key
from omnia_beam.wire import PageItem


class Tally:
    """Points received per series, beside the service's `totalCount` of the whole query.

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
            # The least of all pages: points may also have been deleted meanwhile.
            self._expected[id] = min(self._expected.get(id, item.total_count), item.total_count)

    def check(self) -> None:
        """After the last page.

        Raises:
            IncompleteReadError: fewer points than the service counts.
        """
        for id, expected in self._expected.items():
            received = self._received[id]
            if received < expected:
                raise IncompleteReadError(
                    f"series {id}: the service counts {expected} points and sent {received}: read again",
                    expected=expected,
                    received=received,
                )
