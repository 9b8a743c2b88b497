"""Responses with recorded values to columns, without a Python loop over the values.

The compiled kernel reads a body in its plain form (compiled.py), where there is one. What it does not take is read by Arrow into
columns of fixed types. The member `Value` is a number, a text or an object `{Name, Value, IsSystem}`;
before that it is given the name of what it is, so that each has a column of its own. A body that does not fit these columns is
read once more, value by value, which tells what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from omnia_beam.core import kernel
from omnia_beam.core.errors import IncompleteReadError, WireFormatError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.io.pi import compiled
from omnia_beam.io.pi.calls import check_whole
from omnia_beam.io.pi.recorded import NO_VALUES, Recorded

_STATE: Final = pa.struct([("Name", pa.string()), ("Value", pa.int64()), ("IsSystem", pa.bool_())])
_VALUE: Final = pa.struct(
    [
        ("Timestamp", pa.timestamp("ns")),
        ("Good", pa.bool_()),
        ("Questionable", pa.bool_()),
        ("Substituted", pa.bool_()),
        ("Value", pa.float64()),
        ("State", _STATE),
        ("Text", pa.string()),
    ]
)
_ONE: Final = pa.schema([("Items", pa.list_(_VALUE))])
_MANY: Final = pa.schema([("Items", pa.list_(pa.struct([("WebId", pa.string()), ("Items", pa.list_(_VALUE))])))])
_OBJECT: Final = re.compile(rb'"Value"\s*:\s*\{')
_TEXT: Final = re.compile(rb'"Value"\s*:\s*"')
_ERRORS: Final = re.compile(rb'"(?:Errors|WebException)"\s*:(?!\s*null)')
"""A member that tells of errors and is not null; that a text holds it shows when the body is read value by value."""


def decode_recorded(body: bytes, web_ids: Sequence[str]) -> Mapping[str, Recorded]:
    """Return the values of each stream that a response names, by WebId.

    Args:
        body: of `streams/{webId}/recorded` where there is one WebId, of `streamsets/recorded` where there are several.
        web_ids: the streams that were asked for.

    Raises:
        IncompleteReadError: the response broke off, or a value carries errors.
        WireFormatError: it is no such response.
    """
    many = len(web_ids) > 1
    if kernel.COMPILED is not None:
        plain = compiled.recorded_columns(kernel.COMPILED, body, web_ids)
        if plain is not None:
            return _once(plain)
    if not body.lstrip().startswith(b"{") or _ERRORS.search(body) is not None:
        return _slowly(body, web_ids)  # Arrow's reader ends the whole process at a body that is `null`
    try:
        table = _read(body, _MANY if many else _ONE)
        outer = table["Items"].chunk(0) if table.num_rows == 1 else None
        if outer is None or outer.null_count:
            return _slowly(body, web_ids)
        if not many:
            return {web_ids[0]: _columns(outer.values)}
        streams = outer.values
        values = _columns(streams.field("Items").values)
        bounds = streams.field("Items").offsets.to_numpy()
        streams.field("WebId").validate(full=True)
        names = streams.field("WebId").to_pylist()
        if streams.field("Items").null_count or None in names:
            return _slowly(body, web_ids)
    except (pa.ArrowException, IndexError):
        return _slowly(body, web_ids)
    # The column of values begins where the first list does: offsets count from there.
    starts = bounds - bounds[0]
    return _once((name, values.take(slice(int(starts[at]), int(starts[at + 1])))) for at, name in enumerate(names))


def _read(body: bytes, schema: Any) -> Any:
    named = _named(body)
    if b"\n" in named:
        named = named.replace(b"\n", b" ").replace(b"\r", b" ")  # Arrow takes a line for a row; JSON has no use for it
    reading = pj.ReadOptions(use_threads=False, block_size=len(named) + 1)
    parsing = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return pj.read_json(pa.BufferReader(named), reading, parsing)


def _named(body: bytes) -> bytes:
    """Return a body in which a value that is an object or a text is called so."""
    first = body.find(b'"Value"')
    if body[first + 7 : first + 8] == b":" and body[first + 8 : first + 9].strip():
        # Without blanks, as a server writes it. Another form further down does not fit the columns, and is read slowly.
        return body.replace(b'"Value":{', b'"State":{').replace(b'"Value":"', b'"Text":"')
    return _TEXT.sub(b'"Text":"', _OBJECT.sub(b'"State":{', body))


def _columns(values: Any) -> Recorded:
    """Return the columns of an Arrow array of values.

    Raises:
        ArrowInvalid: a value lacks a member that every value has.
    """
    columns = dict(zip((field.name for field in _VALUE), values.flatten(), strict=True))
    state, text, number = columns["State"], columns["Text"], columns["Value"]
    is_state, is_text = _valid(state), _valid(text)
    has_value = is_state | is_text | _valid(number)
    if values.null_count or columns["Timestamp"].null_count or columns["Good"].null_count or not has_value.all():
        raise pa.ArrowInvalid("a value without Timestamp, Good or Value")
    numbers = number.fill_null(np.nan).to_numpy(zero_copy_only=False)
    system = np.zeros(len(numbers), bool)
    texts = text
    if is_state.any():
        names, codes, marks = state.flatten()
        if (is_state & ~_valid(codes)).any():
            raise pa.ArrowInvalid("a state without its code")
        numbers = np.where(is_state, codes.fill_null(0).to_numpy(zero_copy_only=False), numbers)
        # Without the mark, a state that is not good is one of the system's. [emulator]
        system = is_state & _flags(marks, ~_flags(columns["Good"]))
        texts = pc.coalesce(names, text)
    texts.validate(full=True)  # Arrow reads bytes that are no UTF-8
    return Recorded(
        columns["Timestamp"].cast(pa.int64()).to_numpy(zero_copy_only=False),
        numbers,
        _flags(columns["Good"]),
        _flags(columns["Questionable"]),
        _flags(columns["Substituted"]),
        system,
        texts,
        is_text,
    )


def _valid(column: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return found


def _flags(column: Any, missing: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.fill_null(False).to_numpy(zero_copy_only=False)
    return found if missing is None else np.where(_valid(column), found, missing)


def _slowly(body: bytes, web_ids: Sequence[str]) -> Mapping[str, Recorded]:
    """Read value by value what is not of the common form."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise WireFormatError(f"recorded values are no JSON: {error}", getattr(error, "pos", None)) from None
    if not isinstance(content, dict):
        raise WireFormatError("recorded values are no JSON object")
    check_whole(content, "recorded values")
    if len(web_ids) == 1:
        return {web_ids[0]: _values(content)}
    streams = content.get("Items")
    if not isinstance(streams, list) or not all(isinstance(each, dict) for each in streams):
        raise WireFormatError("recorded values of several streams have no list of streams")
    for each in streams:
        check_whole(each, f"stream {each.get('Name')}")
    return _once((str(each.get("WebId")), _values(each)) for each in streams)


def _values(content: Mapping[str, Any]) -> Recorded:
    items = content.get("Items")
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise WireFormatError("a stream has no list of values")
    rows = [_row(item) for item in items]
    if not rows:
        return NO_VALUES
    times, numbers, good, questionable, substituted, system, texts, words = zip(*rows, strict=True)
    return Recorded(
        np.array(times, np.int64),
        np.array(numbers, np.float64),
        np.array(good, bool),
        np.array(questionable, bool),
        np.array(substituted, bool),
        np.array(system, bool),
        pa.array(texts, pa.string()),
        np.array(words, bool),
    )


def _row(item: Mapping[str, Any]) -> tuple[int, float, bool, bool, bool, bool, str | None, bool]:
    at, value, good = item.get("Timestamp"), item.get("Value"), item.get("Good")
    try:
        time_ns = parse_time(at) if isinstance(at, str) else None
    except ValueError:
        time_ns = None
    if time_ns is None or not isinstance(good, bool):
        raise WireFormatError(f"a value with Timestamp {str(at)[:40]!r} and Good {str(good)[:10]!r}")
    errors = item.get("Errors") or (value.get("Errors") if isinstance(value, dict) else None)
    if errors:
        raise IncompleteReadError(f"the value at {at} carries Errors instead of what is recorded: {str(errors)[:200]}")
    flags = (good, item.get("Questionable") is True, item.get("Substituted") is True)
    if isinstance(value, dict) and isinstance(value.get("Value"), int) and not isinstance(value["Value"], bool):
        mark = value.get("IsSystem")
        name = value.get("Name")
        system = mark if isinstance(mark, bool) else not good
        return time_ns, float(value["Value"]), *flags, system, name if isinstance(name, str) else None, False
    if isinstance(value, str):
        return time_ns, np.nan, *flags, False, value, True
    if isinstance(value, bool | int | float):
        return time_ns, float(value), *flags, False, None, False
    if value is None and not good:
        return time_ns, np.nan, *flags, True, None, False
    raise WireFormatError(f"the value at {at} is neither a number, a text nor a state: {type(value).__name__}")


def _once(streams: Any) -> dict[str, Recorded]:
    found: dict[str, Recorded] = {}
    for web_id, values in streams:
        if web_id in found:
            raise IncompleteReadError("the response has one stream twice")
        found[web_id] = values
    return found
