"""Compressed files are read whole and right, or refused by name: every form, cut and damaged at every place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.io.files.compressed import compression_of, unpacked

CONTENT = b"time,PT-1\n" + b"".join(
    b"2024-03-01T00:%02d:%02dZ,%d.5\n" % (n // 60, n % 60, n * 7919) for n in range(400)
)
MORE = b"2024-03-02T00:00:00Z,1.5\n"


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
}
FORMS = pytest.mark.parametrize("suffix", PACK)


def read(data: bytes, name: str) -> bytes:
    with unpacked(io.BytesIO(data), name) as file:
        content: bytes = file.read()
    return content


@FORMS
def test_reads_what_was_packed(suffix: str) -> None:
    assert read(PACK[suffix](CONTENT), f"log.csv{suffix}") == CONTENT
    assert read(PACK[suffix](CONTENT), f"LOG.CSV{suffix.upper()}") == CONTENT


@FORMS
def test_reads_every_member(suffix: str) -> None:
    pack = PACK[suffix]
    assert read(pack(CONTENT) + pack(b"") + pack(MORE) + pack(MORE), f"log.csv{suffix}") == CONTENT + MORE + MORE


@FORMS
def test_every_cut_is_refused(suffix: str) -> None:
    first, second = PACK[suffix](CONTENT), PACK[suffix](MORE)
    whole = first + second
    for end in (*range(1, len(first)), *range(len(first) + 1, len(whole))):
        with pytest.raises(UsageError, match=rf"log\.csv\{suffix}: .*(is cut short|is called|is damaged)"):
            read(whole[:end], f"log.csv{suffix}")


@FORMS
@given(data=st.data())
def test_damage_is_refused_or_changes_nothing(suffix: str, data: st.DataObject) -> None:
    whole = bytearray(PACK[suffix](CONTENT) + PACK[suffix](MORE))
    at = data.draw(st.integers(0, len(whole) - 1))
    size = data.draw(st.integers(1, 40))
    patch = data.draw(st.one_of(st.binary(min_size=size, max_size=size), st.just(bytes(size))))
    whole[at : at + size] = patch[: len(whole) - at]
    with suppress(UsageError):  # some bytes, such as a time in gzip's header, no content depends on
        assert read(bytes(whole), f"log.csv{suffix}") == CONTENT + MORE


@FORMS
@pytest.mark.parametrize("tail", [bytes(512), b"\x00", b"garbage", b"time,PT-1\n"])
def test_bytes_behind_the_end_are_refused(suffix: str, tail: bytes) -> None:
    with pytest.raises(UsageError, match="behind"):
        read(PACK[suffix](CONTENT) + tail, f"log.csv{suffix}")


@FORMS
def test_content_that_is_not_what_the_name_says(suffix: str) -> None:
    with pytest.raises(UsageError, match=rf"is called \{suffix} and is not .* but plain text"):
        read(CONTENT, f"log.csv{suffix}")
    with pytest.raises(UsageError, match=rf"is compressed .* rename it to end with \{suffix}"):
        read(PACK[suffix](CONTENT), "log.csv")
    other = next(each for each in PACK if each != suffix)
    with pytest.raises(UsageError, match=rf"is called \{suffix} and is not"):
        read(PACK[other](CONTENT), f"log.csv{suffix}")


@pytest.mark.parametrize(
    ("begin", "name", "message"),
    [
        (b"PK\x03\x04rest of an archive", "log.csv", "is a zip archive"),
        (b"PK\x03\x04rest of an archive", "log.csv.zip", r"not supported \(\.zip\)"),
        (b"PK\x03\x04rest of an archive", "log.csv.gz", "is not gzip but a zip archive"),
        (b"PAR1 and so on", "log.csv", "is a Parquet file and no text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "log.csv", "an old Excel workbook"),
    ],
)
def test_archives_and_others_are_named(begin: bytes, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(begin, name)


def test_plain_text_is_handed_on() -> None:
    assert read(CONTENT, "log.csv") == CONTENT
    assert read(b"", "log.csv") == b""
    assert compression_of("log.txt") is None
    assert read(zlib.compress(CONTENT), "log.csv.deflate") == CONTENT
    assert read(lzma.compress(CONTENT, lzma.FORMAT_ALONE), "log.csv.lzma") == CONTENT


@FORMS
@given(places=st.lists(st.tuples(st.integers(0, len(CONTENT) + 20), st.integers(1, 5000)), max_size=8))
def test_any_order_of_places(suffix: str, places: list[tuple[int, int]]) -> None:
    with unpacked(io.BytesIO(PACK[suffix](CONTENT)), f"log.csv{suffix}") as file:
        for start, size in places:
            file.seek(start)
            assert file.read(size) == CONTENT[start : start + size]
        assert file.seek(0, io.SEEK_END) == len(CONTENT)


@pytest.mark.long
@FORMS
def test_memory_does_not_grow_with_what_a_file_unpacks_to(suffix: str) -> None:
    packed = PACK[suffix](bytes(64 << 20))
    tracemalloc.start()
    try:
        with unpacked(io.BytesIO(packed), f"log.csv{suffix}") as file:
            total = 0
            while part := file.read(1 << 20):
                total += len(part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 16 << 20


def test_a_file_on_disk_is_closed_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_bytes(PACK[".gz"](CONTENT))
    with open(tmp_path / "log.csv.gz", "rb") as plain:
        unpacked(plain, "log.csv.gz").close()
        assert plain.closed


@FORMS
def test_no_bytes_at_all_hold_no_content(suffix: str) -> None:
    assert read(b"", f"log.csv{suffix}") == b""
    assert read(PACK[suffix](b""), f"log.csv{suffix}") == b""
