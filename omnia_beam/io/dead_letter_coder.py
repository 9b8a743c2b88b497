"""Encode dead letters as the Arrow IPC stream of their table, so that they can cross a process boundary."""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa

from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.io.dead_letter_table import letters_of_table, letters_to_table


class DeadLetterCoder(beam.coders.Coder):
    """Coder of one dead letter as an Arrow IPC stream; the version of the format is the table's."""

    def encode(self, value: DeadLetter) -> bytes:
        table = letters_to_table(value.key, [value])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        encoded: bytes = sink.getvalue().to_pybytes()
        return encoded

    def decode(self, encoded: bytes) -> DeadLetter:
        with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
            _, letters = letters_of_table(reader.read_all())
        [letter] = letters
        return letter

    def estimate_size(self, value: DeadLetter) -> int:
        return 20 * value.count + 2_000

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return DeadLetter


def register_coder() -> None:
    """Register this coder with Beam; this runs once, when the module is imported."""
    beam.coders.registry.register_coder(DeadLetter, DeadLetterCoder)


register_coder()
