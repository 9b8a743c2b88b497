"""The Parquet sink: write chunks and return receipts."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.files.parquet.write import ParquetOptions, chunk_files
from omnia_beam.io.files.write import WriteFiles
from omnia_beam.ledger.fence import LeaseFence

coders.register_coders()


class WriteToParquet(beam.PTransform):
    """Store chunks as Parquet, Hive-partitioned by year and month.

    Input: Chunk. Output: a tuple with the outputs `receipts` (Receipt, one for each chunk, emitted only when its files are
    whole and on stable storage) and `dead_letters`, which stays empty: a file holds either all points or none.

    Args:
        path: where to write; local, or of any Beam filesystem.
        prefix: the first part of every file's name.
        options: the compression.
        sink: name of this sink in receipts; None for `parquet:` and the path.
        unclaimed: what to do with points of event messages (see `DecodeEvents`), for which no range is complete. `refuse`
            (the default) fails the bundle. `by_content` gives each message a file of its own, named by its points: one
            that is delivered twice overwrites its own file; a point that two different messages hold is in both files.
        fence: of the run's lease, so that a run that has lost it puts no file in place; None where no lease is held.

    Raises (on the worker):
        DestinationError: the path cannot be written.
        StateError: the lease was lost.
        UsageError: there are points of event messages, with `unclaimed="refuse"`.

    Example:
        `receipts = (p | ReadFromOmnia(...) | DecodeChunks() | WriteToParquet("out/")).receipts`
    """

    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead_letters"

    def __init__(
        self,
        path: str,
        *,
        prefix: str = "points",
        options: ParquetOptions = ParquetOptions(),
        sink: str | None = None,
        unclaimed: str = "refuse",
        fence: LeaseFence | None = None,
    ) -> None:
        super().__init__()
        if unclaimed not in ("refuse", "by_content"):
            raise ValueError(f"unclaimed is refuse or by_content, not {unclaimed!r}")
        files_of = partial(chunk_files, prefix=prefix, options=options)
        takes_any = unclaimed == "by_content"
        name = sink or f"parquet:{path.rstrip('/')}/"
        self._write = WriteFiles(path, name, files_of, takes_unclaimed=takes_any, fence=fence)

    def expand(self, chunks: Any) -> Any:
        # The type is set on the ParDo: on the result of with_outputs it would be lost, and pickle would be the coder.
        write = beam.ParDo(self._write).with_output_types(Receipt)
        return chunks | write.with_outputs(self.DEAD_LETTERS, main=self.RECEIPTS)
