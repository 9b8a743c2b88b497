"""The file source: read CSV and Parquet files as chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from omnia_beam.beam import coders
from omnia_beam.beam.progress import RunBoard, board_of
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import IncompleteReadError, OmniaBeamError, UsageError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.limits import MAX_CHUNK_POINTS
from omnia_beam.core.text import counted
from omnia_beam.core.window import Window
from omnia_beam.io.base import ReadResult
from omnia_beam.io.files.catalog import FileCatalog, catalog_files
from omnia_beam.io.files.forms import CsvForm, FileSource
from omnia_beam.io.files.plan import FileShard, file_shards, plan_files
from omnia_beam.io.files.reader import BlockCache, KeepLetters, read_window

coders.register_coders()


class ReadFromFiles(beam.PTransform):
    """Read the points of CSV or Parquet files: PBegin to Chunk. A series' id is its name in the files.

    Args:
        source: the files and their format.
        windows: what to read, as `plan_files` planned it; None for everything in the files.
        catalog: the files' index; None to build it at construction, which reads all of them once.
        max_chunk_points: most points of one chunk.
        on_error: `raise` (the default) fails the bundle at the first window that cannot be read. `output` gives a tuple
            with the outputs `chunks` and `failures` (WindowFailure); other windows continue.
        windows_per_shard: windows that one worker reads one after another.
        reshuffle: whether to spread the shards over the workers first.
        keep: receives points without a certain time (`dst_fold: dead_letter`); required where the source is so configured.

    Raises (when it is constructed without a catalog):
        UsageError: a path matches no file, a cell cannot be read (the message has file, line, column and value), or there
            are whole numbers beyond 2^53, which float64 cannot hold.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from apache_beam.runners.portability.fn_api_runner import FnApiRunner
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "pump.csv").write_text("time,Flow\\n2024-01-01T00:00:00Z,1.5\\n")
        ...     with beam.Pipeline(runner=FnApiRunner()) as p:
        ...         chunks = p | ReadFromFiles(FileSource((f"{folder}/*.csv",)))
        ...         _ = chunks | beam.Map(lambda chunk: print(chunk.series_ids, chunk.points.values))
        ('Flow',) [1.5]
    """

    CHUNKS = "chunks"
    FAILURES = "failures"

    def __init__(
        self,
        source: FileSource,
        windows: Iterable[Window] | None = None,
        *,
        catalog: FileCatalog | None = None,
        max_chunk_points: int = MAX_CHUNK_POINTS,
        on_error: str = "raise",
        windows_per_shard: int = 64,
        reshuffle: bool = False,
        keep: KeepLetters | None = None,
    ) -> None:
        super().__init__()
        if on_error not in ("raise", "output"):
            raise ValueError(f"on_error is raise or output, not {on_error!r}")
        if catalog is None:
            catalog = catalog_files(source)
            _check_exact(catalog)
        if windows is None:
            wanted = [] if catalog.range is None else [(catalog.series, catalog.range)]
            windows = plan_files(catalog, wanted, max_chunk_points=max_chunk_points)
        self._shards = list(file_shards(catalog, windows, windows_per_shard))
        if keep is None and isinstance(source.form, CsvForm) and source.form.dst_fold == "dead_letter":
            raise UsageError("source.dst_fold: dead_letter needs a place for dead letters: give keep")
        self._failures_tag = None if on_error == "raise" else self.FAILURES
        self._read = partial(_ReadFiles, source, max_chunk_points, self._failures_tag, keep=keep)
        self._reshuffle = reshuffle

    def expand(self, pipeline: Any) -> Any:
        shards = pipeline | "Windows" >> beam.Create(self._shards, reshuffle=False).with_output_types(FileShard)
        if self._reshuffle:
            shards |= "Spread" >> beam.Reshuffle()
        read = beam.ParDo(self._read(board_of(shards)))
        if self._failures_tag is None:
            return shards | "Read" >> read.with_output_types(Chunk)
        return shards | "Read" >> read.with_outputs(self.FAILURES, main=self.CHUNKS).with_output_types(Chunk)


@dataclass(frozen=True)
class ReadFileShards:
    """The reading of files for the engine: FileShard to `ReadResult`.

    Args:
        source: the files and their format.
        max_chunk_points: most points of one chunk.
        keep: receives points without a certain time.
    """

    source: FileSource
    max_chunk_points: int = MAX_CHUNK_POINTS
    keep: KeepLetters | None = None

    def __call__(self, shards: Any) -> ReadResult:
        tag, board = ReadFromFiles.FAILURES, board_of(shards)
        read = beam.ParDo(_ReadFiles(self.source, self.max_chunk_points, tag, board, self.keep))
        tags = read.with_outputs(ReadFromFiles.FAILURES, main=ReadFromFiles.CHUNKS).with_output_types(Chunk)
        found = shards | "Read" >> tags
        return ReadResult(found.chunks, found.failures)


def _check_exact(catalog: FileCatalog) -> None:
    for name, facts in catalog.facts.items():
        noted = facts.noted.get("integer_precision")
        if noted is not None:
            raise UsageError(
                f"{name}: {counted(noted.points, 'integer')} beyond 2^53, which float64 rounds: {noted.example}"
            )


class _ReadFiles(beam.DoFn):
    def __init__(
        self,
        source: FileSource,
        max_chunk_points: int,
        failures_tag: str | None,
        board: RunBoard,
        keep: KeepLetters | None = None,
    ) -> None:
        self._board = board
        self._source = source
        self._keep = keep
        self._max_chunk_points = max_chunk_points
        self._failures_tag = failures_tag
        self._points = Metrics.counter("omnia_beam", "points_read")
        self._repeats = Metrics.counter("omnia_beam", "points_repeated")
        self._windows_read = Metrics.counter("omnia_beam", "windows_read")
        self._windows_failed = Metrics.counter("omnia_beam", "windows_failed")

    def setup(self) -> None:
        self._cache = BlockCache(self._source)

    def teardown(self) -> None:
        self._cache.close()

    def process(self, shard: FileShard) -> Iterator[Any]:
        for item in shard.windows:
            if self._board.stop.is_set():
                break  # windows that are not read stay out of the ledger
            try:
                limits = (self._source.statuses, self._max_chunk_points)
                for chunk in read_window(item, shard.files, self._cache, *limits, self._repeated, self._keep):
                    self._points.inc(chunk.num_points)
                    yield chunk
            except OmniaBeamError as error:
                yield from self._failed(WindowFailure.of(item.window.key, error))
                continue
            self._windows_read.inc()
            self._board.add(windows_read=1)

    def _repeated(self, name: str, points: int) -> None:
        self._repeats.inc(points)
        self._board.note_found("duplicates", name, points)

    def _failed(self, failure: WindowFailure) -> Iterator[Any]:
        self._windows_failed.inc()
        self._board.add(windows_failed=1)
        if self._failures_tag is None:
            raise IncompleteReadError(f"{failure.key}: {failure.error}: {failure.message}")
        yield beam.pvalue.TaggedOutput(self._failures_tag, failure)
