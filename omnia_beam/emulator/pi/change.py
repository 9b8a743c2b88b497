"""Every change of the data server as a JSON record: it is made, journalled, and made again at the next start."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from omnia_beam.emulator.pi.archive import Archive, Attributes
from omnia_beam.emulator.pi.events import Events

Change = dict[str, Any]


def write_change(number: int, option: str, events: Events) -> Change:
    """Return the write of values to the point of that number."""
    return {
        "do": "write",
        "point": number,
        "option": option,
        "times": events.times.tolist(),
        "numbers": events.numbers.tolist(),
        "marks": events.marks.tolist(),
        "texts": None if events.texts is None else events.texts.tolist(),
    }


def apply_change(archive: Archive, change: Change) -> None:
    """Make a change. Raises KeyError for a point or set that is not there, Taken for a name in use."""
    what = change["do"]
    if what == "write":
        texts = change["texts"]
        events = Events(
            np.array(change["times"], dtype=np.int64),
            np.array(change["numbers"], dtype=np.float64),
            np.array(change["marks"], dtype=np.uint8),
            None if texts is None else np.array(texts, dtype=object),
        )
        archive.points[change["point"]].stored().write(events, change["option"])
    elif what == "create":
        archive.add(Attributes(**change["attributes"]), number=change["point"])
    elif what == "change":
        archive.change(archive.points[change["point"]], change["attributes"])
    elif what == "delete":
        archive.remove(archive.points[change["point"]])
    elif what == "create set":
        archive.add_set(change["name"], change["description"], number=change["set"])
    elif what == "set state":
        archive.sets[change["set"]].states[change["code"]] = change["name"]
    else:
        raise ValueError(f"unknown change {what!r}")


def encode_change(change: Change) -> bytes:
    """Return the record of a change."""
    return orjson.dumps({"service": "pi", **change})


def decode_change(payload: bytes) -> Change:
    """Return the change of a record. Raises ValueError for a record of another service."""
    try:
        change = orjson.loads(payload)
    except orjson.JSONDecodeError:
        change = None
    if not isinstance(change, dict) or change.pop("service", None) != "pi":
        raise ValueError("it holds the state of another service")
    return change
