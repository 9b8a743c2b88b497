"""Series of an Omnia Timeseries service as the sink of a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from omnia_beam.config.job import JobConfig
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WHOLE, Accepts, Attempt, Share, Writing
from omnia_beam.io.destination import (
    DestinationCheck,
    Leftovers,
    Removal,
    RunReach,
    check_mode,
    not_asked,
    not_checked,
    not_counted,
)
from omnia_beam.io.observer import Destination, ReadingPlace
from omnia_beam.io.omnia.options import OmniaSink
from omnia_beam.io.omnia.resend import ServiceResending
from omnia_beam.io.omnia.settings import service_attempts, service_settings, write_options
from omnia_beam.io.omnia.stored import StoredInService
from omnia_beam.io.omnia.target_check import check_service, erase_points
from omnia_beam.io.omnia.targets import ServiceTargets
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.shared import shared_session

_EXTRA_POINTS: Final = (
    "Writing to a service adds and replaces points and removes none: extra points stay, since others may have written them. "
    "Check them; OmniaClient.delete_data removes a range of a series."
)


class ServiceSink:
    """The timeseries of one service.

    Args:
        options: of the sink.
        job: what is to be looked at, and how large chunks are.
    """

    places: Mapping[str, str]
    commits_every_s: float | None = None

    def __init__(self, options: OmniaSink, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._service = service_settings(options)
        self._write = write_options(options)
        self.budgets = (self._service,)
        self.places = {}
        policy = self._write.policy
        self.accepts = Accepts(
            not_finite=policy.nan_loss,
            fine_times=policy.time_loss,
            grid_ns=policy.grid_ns,
            metadata=True,
            leaves_out=policy.leaves_out,
            as_held=policy.storable,
            extra_points=_EXTRA_POINTS,
        )

    @property
    def sessions(self) -> tuple[Any, ...]:
        return (shared_session(self._service),)

    @property
    def targets(self) -> ServiceTargets:
        return ServiceTargets(shared_session(self._service), self._options.create_missing)

    def check(self) -> Iterator[Attempt]:
        yield from service_attempts("sink", self._options)

    def reach(self) -> None:
        check_reachable(self._service)

    def check_names(self, names: Iterable[str]) -> None:
        return None

    def clear_leftovers(self, run: JobRun, reach: TimeRange) -> Leftovers:
        # Nothing to remove: points that were written without a receipt are upserted again with the same values.
        return Leftovers()

    def destination_check(
        self, view: JobView, run_reach: RunReach, targets: Mapping[str, str], *, offline: bool = False
    ) -> Callable[[Ledger], DestinationCheck]:
        def destination_check(ledger: Ledger) -> DestinationCheck:
            mode = self._job.destination_check
            if offline:
                return not_asked(self._options.base_url or "the service", "status does not call services")
            if mode == "off":
                return not_checked(self._service.base_url)
            counted = check_mode(mode, len(targets)) == "full"
            found = check_service(ledger, shared_session(self._service), run_reach, targets, counted=counted)
            return found if counted else found.plus(not_counted(self._service.base_url))

        return destination_check

    def erase(self, run: JobRun, removals: Iterable[Removal]) -> list[str]:
        return erase_points(shared_session(self._service), run.ledger, run.sink, removals)

    def stored(self, share: Share = WHOLE) -> StoredInService:
        return StoredInService(share.part(self._service), self._options.format, self._options.page_limit)

    def writing(self, share: Share, run: RunState, again: Collection[ChunkKey] = ()) -> Writing:
        from omnia_beam.io.omnia.write import WriteChunks, WriteToOmnia

        return WriteChunks(
            WriteToOmnia(
                share.part(self._service),
                self._write,
                on_error="output",
                dead_letter_files=DeadLetterFiles.of(run.state_dir, run.fence),
                sink=run.sink,
                fence=run.fence,
            )
        )

    def keep_series(self, run: JobRun, series: Iterable[Timeseries]) -> None:
        return None  # the service keeps what its series were created with

    def commit(self, run: JobRun, *, leftovers: bool = False) -> Sequence[Receipt]:
        return ()

    def resending(self, run: JobRun) -> ServiceResending:
        return ServiceResending(self._service, self._write, run)

    def observer(self, place: ReadingPlace, *, with_source: bool) -> Destination | None:
        from omnia_beam.io.omnia.observer import observed_service

        return observed_service(self._service, self._options, self._job.max_chunk_points, place)

    def contents(self, within: TimeRange | None) -> None:
        return None  # its other series do not belong to this job, and may be millions
