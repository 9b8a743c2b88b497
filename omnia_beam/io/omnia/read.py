"""The Omnia source: a splittable DoFn over planned windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.limits import MAX_CHUNK_POINTS
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import Window
from omnia_beam.io.base import ReadResult
from omnia_beam.io.fetch import FetchShards, queries_ahead, retry_for_s
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.io.omnia.query_reader import QueryReader, QueryResult, raw_chunks
from omnia_beam.io.omnia.read_options import ReadOptions
from omnia_beam.io.window_reader import MoreAhead, WindowReader
from omnia_beam.net.api.raw_data import RawQuery, fetch_page, named_counts
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings, check_service
from omnia_beam.net.http.shared import shared_session
from omnia_beam.plan.plan import WindowShard, shard_windows
from omnia_beam.transforms.decode import DecodeChunks

coders.register_coders()


_MORE_POINTS: Final = 2 * MAX_CHUNK_POINTS
"""Points that queries ahead may hold while requests wait for the service: what two chunks may. [ours]"""

_MORE_QUERIES: Final = 1_024
"""Queries ahead while requests wait for the service: most have their answer, and are held up by one in front. [ours]"""


class ReadFromOmnia(beam.PTransform):
    """Raw datapoints of many timeseries, as the service sent them: PBegin to RawChunk.

    Args:
        service: which service, whose credential, how fast.
        windows: what to read, as planned. Or leave it out and give both of the next two.
        series_ids: ids; the plan is then made when the pipeline runs, on a worker, and the windows are spread over all.
        time_range: half-open, ns.
        options: see ReadOptions.
        on_error: `raise` (the default) fails the bundle at the first window that cannot be read. `output` gives a tuple
            with the outputs `raw_chunks` and `failures` (WindowFailure); other windows go on.
        windows_per_shard: windows in one element of the source; a runner may split further.
        reshuffle: spread the shards over the workers first; None for: only when planning in the pipeline.

    Examples:
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> from omnia_beam.emulator.thread import EmulatorThread
        >>> hour = TimeRange.parse("2024-01-01", "2024-01-01T01:00:00Z")
        >>> with EmulatorThread(["--synthetic", "dense:series=2,days=1,step=60s"]) as emulator:
        ...     service = ServiceSettings(base_url=emulator.url)
        ...     ids = [series.id for series in emulator.store.listed()]
        ...     with beam.Pipeline(runner=FnApiRunner()) as p:
        ...         raw_chunks = p | ReadFromOmnia(service, series_ids=ids, time_range=hour)
        ...         _ = raw_chunks | beam.Map(lambda raw: print(len(raw.key.series_ids), raw.format))
        2 protobuf

    Raises (on the worker):
        CredentialError, UnauthorizedError: nothing can be read.
        TransientServiceError: the service is down.
    """

    RAW_CHUNKS = "raw_chunks"
    FAILURES = "failures"

    def __init__(
        self,
        service: ServiceSettings,
        windows: Iterable[Window] | None = None,
        *,
        series_ids: Sequence[str] | None = None,
        time_range: TimeRange | None = None,
        options: ReadOptions = ReadOptions(),
        on_error: str = "raise",
        windows_per_shard: int = 256,
        reshuffle: bool | None = None,
    ) -> None:
        super().__init__()
        if (windows is None, series_ids is None, time_range is None) not in ((False, True, True), (True, False, False)):
            raise ValueError("give either windows, or series_ids and time_range")
        check_service(service, "ReadFromOmnia")
        if isinstance(series_ids, str):
            raise ValueError(f"series_ids is the one text {series_ids!r}: give a list of ids, [{series_ids!r}]")
        if time_range is not None and not isinstance(time_range, TimeRange):
            raise ValueError(
                f'time_range is {time_range!r}: give a TimeRange, such as TimeRange.parse("2024-01-01", "2024-02-01")'
            )
        if on_error not in ("raise", "output"):
            raise ValueError(f"on_error is raise or output, not {on_error!r}")
        self._service = service
        # What can be walked but once would give nothing to the second pipeline that this is applied to.
        self._windows = tuple(windows) if isinstance(windows, Iterator) else windows
        self._selection = (tuple(series_ids or ()), time_range)
        self._options = options
        self._on_error = on_error
        self._windows_per_shard = windows_per_shard
        self._reshuffle = windows is None if reshuffle is None else reshuffle

    def expand(self, pipeline: Any) -> Any:
        shards = self._shards(pipeline)
        if self._reshuffle:
            shards |= "Spread" >> beam.Reshuffle()
        board = board_of(shards)
        if self._on_error == "raise":
            fetch = FetchFn(self._service, self._options, None, board)
            return shards | "Fetch" >> beam.ParDo(fetch).with_output_types(RawChunk)
        return shards | "Fetch" >> _with_failures(FetchFn(self._service, self._options, self.FAILURES, board))

    def _shards(self, pipeline: Any) -> Any:
        if self._windows is not None:
            shards = list(shard_windows(self._windows, self._windows_per_shard))
            return pipeline | "Windows" >> beam.Create(shards, reshuffle=False).with_output_types(WindowShard)
        plan = _PlanShards(self._service, self._options, self._windows_per_shard)
        return (
            pipeline
            | "Selection" >> beam.Create([self._selection], reshuffle=False)
            | "Plan" >> beam.ParDo(plan).with_output_types(WindowShard)
        )


class FetchWindows(beam.PTransform):
    """Windows that come from elsewhere in the pipeline, without end: WindowShard to RawChunk.

    Output: a tuple with the outputs `raw_chunks` and `failures`, as of ReadFromOmnia. Every window that cannot be read is a
    failure, also where the service is down or the credential is refused: the giver of the windows tries again.

    Args:
        service, options: as of ReadFromOmnia.
    """

    def __init__(self, service: ServiceSettings, options: ReadOptions, *, keep_trying: bool = True) -> None:
        super().__init__()
        self._fetch = partial(FetchFn, service, options, ReadFromOmnia.FAILURES, keep_trying=keep_trying)

    def expand(self, shards: Any) -> Any:
        return shards | "Fetch" >> _with_failures(self._fetch(board_of(shards)))


@dataclass(frozen=True)
class ReadShards:
    """The reading of a service for the engine: WindowShard to `ReadResult`.

    Args:
        service, options: as of ReadFromOmnia.
        keep_trying: whether a service that is down fails its windows only.
    """

    service: ServiceSettings
    options: ReadOptions
    keep_trying: bool = False

    def __call__(self, shards: Any) -> ReadResult:
        raw = shards | "Read" >> FetchWindows(self.service, self.options, keep_trying=self.keep_trying)
        decoded = raw.raw_chunks | "Decode" >> DecodeChunks("output", board_of(shards).add_decoding)
        return ReadResult(decoded.chunks, (raw.failures, decoded.failures) | "Unread" >> beam.Flatten())


def _with_failures(fetch: FetchFn) -> Any:
    # The types belong to the ParDo: on what with_outputs returns they would be lost, and pickle would be the coder.
    typed = beam.ParDo(fetch).with_output_types(RawChunk, **{ReadFromOmnia.FAILURES: WindowFailure})
    return typed.with_outputs(ReadFromOmnia.FAILURES, main=ReadFromOmnia.RAW_CHUNKS)


class _PlanShards(beam.DoFn):
    def __init__(self, service: ServiceSettings, options: ReadOptions, windows_per_shard: int) -> None:
        self._service = service
        self._options = options
        self._windows_per_shard = windows_per_shard

    def process(self, selection: tuple[tuple[str, ...], TimeRange]) -> Iterator[WindowShard]:
        series_ids, time_range = selection
        plan = plan_windows(
            shared_session(self._service),
            [(series_ids, time_range)],
            statuses=self._options.statuses,
            limits=self._options.pack_limits,
        )
        yield from plan.shards(self._windows_per_shard)


class FetchFn(FetchShards):
    """The DoFn of `ReadFromOmnia` and `FetchWindows`: windows to raw chunks; see `FetchShards`."""

    def __init__(
        self,
        service: ServiceSettings,
        options: ReadOptions,
        failures_tag: str | None,
        board: RunBoard,
        session_of: Callable[[ServiceSettings], ServiceSession] = shared_session,
        *,
        keep_trying: bool = False,
    ) -> None:
        super().__init__(service, failures_tag, board, session_of, keep_trying=keep_trying)
        self._options = options

    def _reader(
        self, shard: WindowShard, session: ServiceSession, pool: Executor
    ) -> WindowReader[QueryResult, RawChunk]:
        options = self._options

        def fetch(series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
            return fetch_page(
                session,
                RawQuery(
                    series_ids=series_ids,
                    start_ns=query.start_ns,
                    end_ns=query.end_ns,
                    limit=options.page_limit,
                    statuses=options.statuses,
                    federation_source=self._service.federation_source,
                    format=options.format,
                ),
                token,
            )

        def count(series_ids: tuple[str, ...], query: TimeRange) -> dict[str, int]:
            return named_counts(
                session,
                series_ids,
                query.start_ns,
                query.end_ns,
                statuses=options.statuses,
                federation_source=self._service.federation_source,
            )

        reader = QueryReader(
            fetch,
            format=options.format,
            page_limit=options.page_limit,
            max_points=options.max_chunk_points,
            count=count,
            absent=options.absent,
        )
        return WindowReader(
            reader,
            pool,
            ahead=options.ahead or queries_ahead(self._service),
            more_ahead=MoreAhead(
                max(_MORE_QUERIES, self._service.threads),
                max(_MORE_POINTS, queries_ahead(self._service) * options.page_limit),
                lambda: session.is_throttled,
            ),
            max_chunk_points=options.max_chunk_points,
            assemble=raw_chunks(options.format),
            retry_for_s=retry_for_s(self._service),
            stopped=self._board.stop.is_set,
            keep_trying=self._keep_trying,
        )
