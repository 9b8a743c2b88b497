"""Forms of source files, ways to damage them, and what an independent reader makes of the result.

Nothing of the product is used here: the standard library unpacks and cuts CSV, and what has check sums is compared with what
was written.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import math
import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Rows = dict[tuple[str, int], tuple[bytes, int]]
"""By series and time (ns) the value's eight bytes and the status."""

T0: Final = 1_709_251_200
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_MARK: Final = re.compile("^\ufeff", re.MULTILINE)
"""A byte order mark: where files were joined it stands in the middle, and means nothing."""


@dataclass(frozen=True)
class Form:
    """One form of file.

    Args:
        name: what it is called on the command line.
        suffix: of its files.
        pack: from the text of a CSV file, in UTF-8.
        content: the text that an independent reader finds in damaged bytes; None where it refuses them.
        checked: whether its bytes have check sums: then nothing but what was written may be read.
    """

    name: str
    suffix: str
    pack: Callable[[bytes], bytes]
    content: Callable[[bytes], bytes | None]
    checked: bool


def make_text(rng: random.Random, series: int = 3, rows: int = 40) -> bytes:
    """A wide CSV file."""
    lines = [",".join(["time", *(f"PT-{n}" for n in range(series))])]
    for row in range(rows):
        moment = datetime.fromtimestamp(T0 + row * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(",".join([moment, *(repr(round(rng.uniform(-1e6, 1e6), 3)) for _ in range(series))]))
    return ("\n".join(lines) + "\n").encode()


def damage(data: bytes, rng: random.Random, other: bytes) -> tuple[str, bytes]:
    """Damage a file: one of five ways, at a random place.

    Args:
        data: the file.
        rng: chance.
        other: a file of the same form, to be joined to it.
    """
    at = rng.randrange(len(data) + 1)
    size = rng.choice([1, 2, 4, 16, 64, 512])
    way = rng.choice(["flip", "flip", "cut", "zero", "repeat", "join"])
    if way == "flip":
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return way, bytes(changed)
    if way == "cut":
        return way, data[:at] if rng.random() < 0.7 else data[at:]
    if way == "zero":
        return way, data[:at] + bytes(size) + data[min(at + size, len(data)) :]
    if way == "repeat":
        return way, data[: at + size] + data[at:]
    return way, data + (other if rng.random() < 0.5 else other[: rng.randrange(len(other) + 1)])


def read_text(content: bytes) -> Rows | None:
    """A wide CSV file, read strictly by the standard library; None where it cannot be understood."""
    try:
        text = _MARK.sub("", content.decode())
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return {}
    header = rows[0]
    found: Rows = {}
    for row in rows[1:]:
        if len(row) != len(header):
            return None
        time = _time(row[0])
        if time is None:
            return None
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                try:
                    found[name, time] = (struct.pack("<d", float(cell)), 192)
                except ValueError:
                    return None
    return found


def make_parquet(text: bytes, compression: str = "zstd") -> bytes:
    """The same points as a long Parquet file with check sums of pages and two row groups."""
    rows = read_text(text) or read_text(b"time,PT-0\n" + text) or {}
    keys = list(rows)
    table = pa.table(
        {
            "series_id": [name for name, _ in keys],
            "time": pa.array([time for _, time in keys], pa.timestamp("ns", "UTC")),
            "value": [struct.unpack("<d", rows[key][0])[0] for key in keys],
            "status": pa.array([rows[key][1] for key in keys], pa.uint32()),
        }
    )
    out = io.BytesIO()
    size = max(len(keys) // 2, 1)
    pq.write_table(table, out, row_group_size=size, compression=compression, write_page_checksum=True)
    return out.getvalue()


def same_rows(first: Rows, second: Rows) -> bool:
    """Whether both hold the same points; a NaN is a NaN."""
    if first.keys() != second.keys():
        return False
    return all(_value(first[key]) == _value(second[key]) for key in first)


def _value(row: tuple[bytes, int]) -> tuple[bytes, int]:
    number = struct.unpack("<d", row[0])[0]
    return (b"nan" if math.isnan(number) else row[0], row[1])


def _time(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    except ValueError:
        return None
    ns = int(moment.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0"))
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "")
        offset = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
        ns -= (offset if zone[0] == "+" else -offset) * 10**9
    return ns


def _strict(unpack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes | None]:
    def content(data: bytes) -> bytes | None:
        try:
            return unpack(data)
        except (OSError, EOFError, ValueError, lzma.LZMAError, zstandard.ZstdError, Exception):
            return None

    return content


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def _unzstd(data: bytes) -> bytes:
    parts = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(data))
        if not frame.eof:
            raise EOFError
        data = frame.unused_data
    return b"".join(parts)


def _from_utf16(data: bytes) -> bytes | None:
    try:
        return data.decode("utf-16").encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return None


FORMS: Final = {
    form.name: form
    for form in (
        Form("csv", ".csv", lambda text: text, lambda data: data, checked=False),
        Form("utf-16", ".csv", lambda text: text.decode().encode("utf-16"), _from_utf16, checked=False),
        Form("gz", ".csv.gz", lambda text: gzip.compress(text, mtime=0), _strict(gzip.decompress), checked=True),
        Form("bz2", ".csv.bz2", bz2.compress, _strict(bz2.decompress), checked=True),
        Form("xz", ".csv.xz", lzma.compress, _strict(lzma.decompress), checked=True),
        Form("zst", ".csv.zst", _zstd, _strict(_unzstd), checked=True),
        Form("parquet", ".parquet", make_parquet, lambda data: None, checked=True),
        Form("parquet-plain", ".parquet", lambda text: make_parquet(text, "none"), lambda data: None, checked=True),
    )
}
