"""The CSV sink: write chunks and return receipts."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from omnia_beam.beam import coders
from omnia_beam.core.receipt import Receipt
from omnia_beam.io.files.csv.write import CsvOptions, csv_files, with_plain_nans
from omnia_beam.io.files.write import WriteFiles
from omnia_beam.ledger.fence import LeaseFence

coders.register_coders()


class WriteToCsv(beam.PTransform):
    """Store chunks as CSV files, in folders `year=/month=`.

    Input: Chunk. Output: a tuple with the outputs `receipts` (Receipt, one for each chunk, emitted only when its files are
    whole and on stable storage) and `dead_letters`, which stays empty.

    Args:
        path: where to write; local, or of any Beam filesystem.
        prefix: the first part of every file's name.
        options: layout, delimiter and compression.
        sink: name of this sink in receipts; None for `csv:` and the path.
        fence: of the run's lease, so that a run that has lost it puts no file in place; None where no lease is held.

    Raises (on the worker):
        DestinationError: the path cannot be written.
        StateError: the lease was lost.

    Example:
        `receipts = (p | ReadFromFiles(...) | WriteToCsv("out/")).receipts`
    """

    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead_letters"

    def __init__(
        self,
        path: str,
        *,
        prefix: str = "points",
        options: CsvOptions = CsvOptions(),
        sink: str | None = None,
        fence: LeaseFence | None = None,
    ) -> None:
        super().__init__()
        files_of = partial(csv_files, prefix=prefix, options=options)
        name = sink or f"csv:{path.rstrip('/')}/"
        self._write = WriteFiles(path, name, files_of, as_held=with_plain_nans, fence=fence)

    def expand(self, chunks: Any) -> Any:
        write = beam.ParDo(self._write).with_output_types(Receipt)
        return chunks | write.with_outputs(self.DEAD_LETTERS, main=self.RECEIPTS)
