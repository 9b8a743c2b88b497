"""What a JSON answer says, by the standard library and plain Python: slow, obvious, independent of the product."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from omnia_beam.wire.page import Page

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)

Columns = dict[str, tuple[str, bytes]]


class RefusedError(Exception):
    """The answer must be refused."""


def refuse(why: str) -> NoReturn:
    raise RefusedError(why)


def expected(data: bytes) -> tuple[list[tuple[str, Columns]], str | None]:
    """Read an answer by the rules of the product's documentation. Raises RefusedError."""
    try:
        response = json.loads(data.decode("utf-8"), parse_constant=refuse, parse_int=read_int)
    except (ValueError, RecursionError) as error:
        refuse(f"not JSON: {error}")
    if not isinstance(response, dict) or not isinstance(response.get("data"), dict):
        refuse("no data")
    items = response["data"].get("items")
    token = response.get("continuationToken")
    if not isinstance(items, list) or not (token is None or isinstance(token, str)):
        refuse("no items, or a token of another kind")
    return [item_columns(item) for item in items], token or None


def read_int(text: str) -> float:
    return -0.0 if text == "-0" else int(text)


def item_columns(item: Any) -> tuple[str, Columns]:
    if (
        not isinstance(item, dict)
        or not isinstance(item.get("id"), str)
        or not isinstance(item.get("datapoints"), list)
    ):
        refuse("not an item")
    points = item["datapoints"]
    if not points:
        return item["id"], {}
    if not all(isinstance(point, dict) and point.keys() == points[0].keys() for point in points):
        refuse("points that differ")
    if "time" not in points[0] or not points[0].keys() - {"time", "status"}:
        refuse("no time or no value")
    readers = {"time": ("int64", "q", read_time), "status": ("uint32", "I", read_status)}
    columns: Columns = {}
    for key in points[0]:
        dtype, code, read = readers.get(key, ("float64", "d", read_number))
        numbers = [read(point[key]) for point in points]
        columns[key] = dtype, struct.pack(f"<{len(numbers)}{code}", *numbers)
    return item["id"], columns


def read_time(found: Any) -> int:
    match = TIME.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        refuse("not a time")
    whole, fraction, sign, hours, minutes = match.groups()
    digits = (fraction or "").ljust(9, "0")
    if digits[9:].strip("0"):
        refuse("finer than 1 ns")
    try:
        moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        refuse("no such time")
    if hours and (int(hours) > 23 or int(minutes) > 59):
        refuse("no such zone")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    ns = (since - offset) // timedelta(seconds=1) * 10**9 + int(digits[:9])
    return ns if -(2**63) <= ns < 2**63 else refuse("beyond int64")


def read_status(found: Any) -> int:
    return found if type(found) is int and 0 <= found < 2**32 else refuse("not a status")


def read_number(found: Any) -> float:
    if isinstance(found, str) and found in NOT_FINITE:
        return NOT_FINITE[found]
    if type(found) not in (int, float):
        refuse("not a number")
    try:
        number = float(found)
    except OverflowError:
        refuse("too large")
    return number if math.isfinite(number) else refuse("too large")


def as_expected(page: Page) -> tuple[list[tuple[str, Columns]], str | None]:
    items = []
    for item in page.items:
        assert item.total_count is None
        assert item.times is item.columns.get("time")
        assert item.statuses is item.columns.get("status")
        items.append((item.series_id, {k: (v.dtype.name, v.tobytes()) for k, v in item.columns.items()}))
    return items, page.continuation_token
