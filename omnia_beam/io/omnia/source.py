"""Series of an Omnia Timeseries service as the source of a job; what asks the service is imported when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from omnia_beam.config.job import JobConfig
from omnia_beam.core.series import Timeseries
from omnia_beam.io.base import WHOLE, Attempt, Notify, Selection, Share
from omnia_beam.io.omnia.id_spelling import as_recorded, named_ids
from omnia_beam.io.omnia.options import OmniaSource
from omnia_beam.io.omnia.settings import service_attempts, service_settings
from omnia_beam.ledger.job import JobView
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.shared import shared_session

if TYPE_CHECKING:
    from omnia_beam.io.omnia.opened import OpenService


class ServiceSource:
    """The timeseries of one service.

    Args:
        options: of the source.
        job: whose window and chunks it reads.
    """

    places: Mapping[str, str]

    def __init__(self, options: OmniaSource, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._service = service_settings(options)
        self.budgets = (self._service,)
        self.places = {}

    def check(self) -> Iterator[Attempt]:
        from omnia_beam.io.omnia.opened import read_one, selected_ids

        yield from service_attempts("source", self._options)
        yield "selection", lambda: f"{len(selected_ids(self._service, self._options)):,} series"
        yield "one read", lambda: read_one(self._service, self._options, self._job)

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        selection = self._options.series
        ids = set(named_ids(selection))
        if not selection.search:
            return Selection(as_recorded(view.ledger, ids))
        whose = "the ledger" if last is None else "the last run"
        missed = "Series that match and were never copied" if last is None else "Series that match only since then"
        note = (
            f"The series of source.series.search are those of {whose}: a search is resolved by the service, which was not "
            f"called. {missed} are not among them."
        )
        recorded = {*view.ledger.series_ids(view.scope.digest), *(last or ())}
        return Selection(as_recorded(view.ledger, ids.union(recorded)), note)

    def describe(self) -> Iterable[Timeseries]:
        from omnia_beam.io.omnia.selection import describe_series

        check_reachable(self._service)
        return describe_series(shared_session(self._service), self._options.series)

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenService:
        from omnia_beam.io.omnia.opened import OpenService

        service = share.part(self._service)
        if short_retries:
            service = service.with_short_retries()
        return OpenService(self._options, self._job, service, view, metadata=metadata)
