"""Compare the number of points received with the number that the service reports."""

from __future__ import annotations

from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.series_id import id_key
from omnia_beam.wire import PageItem


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
