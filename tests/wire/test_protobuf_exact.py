"""decode_page, scan_page and read_continuation_token against google.protobuf: every legal encoding, every mutation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

from omnia_beam.core.errors import WireFormatError
from omnia_beam.wire import decode_page, read_continuation_token, scan_page
from tests.wire import encoding, oracle
from tests.wire.readings import READINGS, reading_with

# The fixture sets constants for the whole test: it is the same for every example.
EXACT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def check(data: bytes) -> None:
    """Each way to read the page reads it as the oracle does, or refuses it as the oracle does."""
    for name in READINGS:
        with reading_with(name):
            check_reading(data)


def check_reading(data: bytes) -> None:
    """Scan and token agree too, wherever the oracle parses."""
    try:
        expected = oracle.expected(data)
    except oracle.RefusedError:
        with pytest.raises(WireFormatError) as caught:
            decode_page(data)
        assert caught.value.offset is not None
        assert 0 <= caught.value.offset <= len(data)
    else:
        assert oracle.as_expected(decode_page(data)) == expected
    try:
        message = oracle.parse(data)
    except oracle.RefusedError:
        return
    scan = scan_page(data)
    assert scan.continuation_token == read_continuation_token(data) == (message.continuationToken or None)
    assert [(i.series_id, i.total_count, i.n_fields, i.n_values) for i in scan.items] == [
        (item.id, item.totalCount, len(item.fields), len(item.values)) for item in message.data
    ]


@given(encoding.odd_pages())
@settings(EXACT, max_examples=60)
@pytest.mark.usefixtures("small_blocks")
def test_any_legal_encoding(data: bytes) -> None:
    check(data)


@given(encoding.plain_pages())
@settings(EXACT, max_examples=80)
@pytest.mark.usefixtures("small_blocks")
def test_usual_pages_of_any_columns_in_small_blocks(data: bytes) -> None:
    check(data)


@given(encoding.plain_pages())
@settings(EXACT, max_examples=30)
def test_usual_pages_of_any_columns(data: bytes) -> None:
    check(data)


@pytest.mark.long
@given(encoding.mutated(encoding.plain_pages()))
@settings(EXACT, max_examples=80)
@pytest.mark.usefixtures("small_blocks")
def test_mutated_usual_pages(data: bytes) -> None:
    check(data)


@pytest.mark.long
@given(encoding.mutated(encoding.odd_pages()))
@settings(EXACT, max_examples=80)
@example(b"\x0a\x00")
@pytest.mark.usefixtures("small_blocks")
def test_mutated_odd_pages(data: bytes) -> None:
    check(data)


SMALL = encoding.raw_page(
    [(1_600_000_000_000_000_000 + n * 10**9, n * 1.5, [192, 0, 64, 70_000][n % 4]) for n in range(9)], token="next"
)
EVEN = encoding.raw_page([(1_600_000_000_000_000_000 + n * 10**9, n * 1.5, 192) for n in range(9)])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("page", [SMALL, EVEN], ids=["mixed", "even"])
def test_cut_at_every_byte(page: bytes) -> None:
    for size in range(len(page)):
        check(page[:size])


@pytest.mark.long
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("page", [SMALL, EVEN], ids=["mixed", "even"])
def test_every_bit_flipped(page: bytes) -> None:
    for at in range(len(page)):
        for bit in range(8):
            changed = bytearray(page)
            changed[at] ^= 1 << bit
            check(bytes(changed))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("page", [SMALL, EVEN], ids=["mixed", "even"])
def test_a_byte_inserted_and_one_removed_everywhere(page: bytes) -> None:
    for at in range(len(page)):
        check(page[:at] + b"\x22" + page[at:])
        check(page[:at] + page[at + 1 :])


def test_payload_that_looks_like_rows() -> None:
    """Doubles whose bytes are the headers of a row: false beginnings on every side."""
    lure = int.from_bytes(b"\x22\x0a\x08\x22\x09\x11\x22\x03", "little")
    rows = [
        (
            encoding.member(1, 1_600_000_000_000_000_000 + n),
            encoding.double_bits(lure),
            encoding.member(3, [192, 5][n % 3 == 0]),
        )
        for n in range(400)
    ]
    check(encoding.usual_page([encoding.usual_item("lure", ["time", "value", "status"], rows)]))


def test_values_alone_whose_payload_is_a_row_of_values() -> None:
    lure = int.from_bytes(b"\x22\x09\x11\x22\x09\x11\x22\x09", "little")
    rows = [(encoding.double_bits(lure), encoding.member(3, [1, 300][n % 2])) for n in range(500)]
    check(encoding.usual_page([encoding.usual_item("lure", ["value", "status"], rows)]))


@pytest.mark.usefixtures("each_reading")
@pytest.mark.parametrize("statuses", [[192], [0, 192, 64]], ids=["one status", "mixed statuses"])
@pytest.mark.parametrize(
    "start", [1_700_000_000 * 10**9, 2**56 - 15_000, -(10**18)], ids=["now", "1972", "before 1970"]
)
def test_a_large_page_equals_what_was_put_in(statuses: list[int], start: int) -> None:
    random = np.random.default_rng(7)
    n = 30_000
    times = start + np.arange(n)
    values = random.integers(0, 2**64, n, dtype=np.uint64).view(np.float64)
    codes = random.choice(np.array(statuses, np.uint32), n)
    rows = zip(times.tolist(), values.view(np.uint64).tolist(), codes.tolist(), strict=True)
    encoded = [(encoding.member(1, t), encoding.double_bits(v), encoding.member(3, s)) for t, v, s in rows]
    page = decode_page(encoding.usual_page([encoding.usual_item("a", ["time", "value", "status"], encoded, n)], "more"))
    (item,) = page.items
    assert page.continuation_token == "more"
    assert (item.series_id, item.total_count, item.n_points, page.n_points) == ("a", n, n, n)
    assert item.times is not None
    assert item.values is not None
    assert item.statuses is not None
    np.testing.assert_array_equal(item.times, times)
    np.testing.assert_array_equal(item.values.view(np.uint64), values.view(np.uint64))
    np.testing.assert_array_equal(item.statuses, codes)
