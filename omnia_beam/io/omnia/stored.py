"""Read back what a service holds of recorded windows, to find the points that a window which is read again no longer has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from omnia_beam.core.chunk import Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.net.api.reading import DatapointReads
from omnia_beam.net.api.series_query import SeriesQuery
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session


@dataclass(frozen=True, slots=True)
class StoredInService:
    """The target series of one service. It is pickled to the workers.

    Args:
        settings: which service, with this worker's part of its budget.
        format: of the responses.
        page_points: points of one response, at most.
    """

    settings: ServiceSettings
    format: Literal["protobuf", "json"]
    page_points: int
    replaces: ClassVar[bool] = False

    def points(self, receipts: Iterable[Receipt]) -> tuple[dict[str, Points], list[str]]:
        """Return what is stored in the windows of receipts by stored id, ascending in time; nothing stays unread.

        Raises:
            IncompleteReadError, ServiceError, CredentialError: the service cannot be read.
        """
        parts: dict[str, list[Points]] = {}
        reads = DatapointReads(shared_session(self.settings), self.format)
        for receipt in receipts:
            ids = sorted({each.target_id for each in receipt.series})
            bounds = (receipt.key.range.start_ns, receipt.key.range.end_ns)
            queries = [SeriesQuery(id=each, start_time=bounds[0], end_time=bounds[1]) for each in ids]
            for found in reads.iter_multi_datapoints(queries, page_size=self.page_points):
                columns = (found.columns["time"], found.columns["value"], found.columns["status"])
                parts.setdefault(found.series_id, []).append(Points(*columns))
        return {stored_id: Points.concat(each).by_time() for stored_id, each in parts.items()}, []
