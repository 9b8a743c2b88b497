"""Encode and decode the lines of a ledger's segment, JSON objects with a checksum each, and the scope that their header names.

    {"omnia_beam_ledger":1,"job":…,"run":…,"writer":…,"part":…,"scope":{…},"created":…,"crc":"1f2e3d4c"}     the header
    {"v":1,"kind":"receipt","at":…,"start":…,"end":…,"sink":…,"ids":["…"],"files":[…],"dead_letters":0,
     "stamps":[[size,mtime_ns]],"series":[[…]],"crc":…}
    {"v":1,"kind":"intent","at":…,"start":…,"end":…,"sink":…,"ids":["…"],"crc":…}

`ids` are the source's. `stamps` has, for each of `files`, its bytes and its time of change (null on stores); it is absent
where no file was stamped, as in the records of earlier releases. `series` has, for each of `ids`, what `Receipt.to_json`
returns after the id. `at` is ns since the Unix epoch, and strictly increasing within a writer. `crc` is always the last
member: the CRC-32 (zlib's) of the bytes before `,"crc":`, as 8 hex digits, so that any tool reads the lines as JSON and a few
lines of any language check them.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import crc32
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from omnia_beam.core.receipt import Receipt
from omnia_beam.core.window import ChunkKey

SINK_PART = "sink"
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Scope:
    """Named parts, and their digest.

    Args:
        parts: (name, value) pairs, ascending by name, such as `source`, `federation_source`, `status`, `mapping`, and
            always `sink`, which equals the `sink` of the receipts. Values are written into the ledger and into messages, so
            no secret may be among them.

    Raises:
        ValueError: there is no sink, or the names are not ascending.
    """

    parts: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parts]
        if names != sorted(set(names)):
            raise ValueError("the parts of a scope are ascending by name, each once: use Scope.of")
        if SINK_PART not in names:
            raise ValueError(f"a scope has a part named {SINK_PART!r}: what its receipts name as their sink")

    @classmethod
    def of(cls, parts: Mapping[str, str]) -> Scope:
        return cls(tuple(sorted(parts.items())))

    @property
    def sink(self) -> str:
        return dict(self.parts)[SINK_PART]

    @property
    def digest(self) -> str:
        """32 hex digits: the BLAKE2b of the parts as compact JSON with sorted names."""
        text = json.dumps(dict(self.parts), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def describe_scope_change(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return what changed between two scopes' parts, and what the job will do because of it.

    Args:
        old: the parts under which windows are recorded.
        new: the parts of the run that is about to start.

    Returns:
        One line for the user; empty where nothing changed.
    """
    changes = [
        f"{name.replace('_', ' ')} {_change(old.get(name), new.get(name))}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if not changes:
        return ""
    if old.get(SINK_PART) != new.get(SINK_PART):
        effect = (
            "what is recorded is in another destination: all windows are copied again to this one, and what was written "
            "there stays"
        )
    else:
        effect = (
            "what is recorded was copied under the earlier configuration: all windows are read again, and what was "
            "written before is replaced"
        )
    return f"changed since the last run: {'; '.join(changes)}. Because of that, {effect}."


def _change(old: str | None, new: str | None) -> str:
    if old is None:
        return f"is new: {_shown(new)}"
    if new is None:
        return f"is not set any more: was {_shown(old)}"
    return f"was {_shown(old)}, is now {_shown(new)}"


def _shown(value: str | None) -> str:
    text = value or "none"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


FORMAT: Final = 1
"""Version of segments and their records; it is increased whenever an older reader would misread them."""

HEADER_TAG: Final = "omnia_beam_ledger"
_CRC_CHARS: Final = len(',"crc":"00000000"}')
_SEGMENT = re.compile(r"segment-(?P<run>\d{8,})-(?P<writer>[0-9a-z]+)-(?P<part>\d{4,})\.jsonl", re.ASCII)
RUN_IN_NAME: Final = re.compile(r"(?:segment|snapshot)-(\d{8,})-[0-9a-z]+", re.ASCII)


class UnknownVersionError(ValueError):
    """Raised for a line that is whole, and of a version or kind that this code does not know."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first line of a segment.

    Args:
        job: the job's name.
        run: number of the run, from the lease.
        writer: the writer's id, unique in the run.
        part: number of the segment among those of its writer, from 0.
        scope: of all records of the segment.
        created: RFC 3339; only for people who read the file.
    """

    job: str
    run: int
    writer: str
    part: int
    scope: Scope
    created: str

    @property
    def file_name(self) -> str:
        return f"segment-{self.run:08d}-{self.writer}-{self.part:04d}.jsonl"

    def to_line(self) -> bytes:
        parts = dict(self.scope.parts)
        return encode_line(
            {
                HEADER_TAG: FORMAT,
                "job": self.job,
                "run": self.run,
                "writer": self.writer,
                "part": self.part,
                "scope": parts,
                "created": self.created,
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> SegmentHeader:
        """Parse the first line of a segment.

        Raises:
            UnknownVersionError: the header is of another version.
            ValueError: the line is not a header.
        """
        data = decode_line(line)
        check_version(data, HEADER_TAG)
        try:
            scope = Scope.of(data["scope"])
            return cls(data["job"], int(data["run"]), data["writer"], int(data["part"]), scope, data["created"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a header without a proper {error}") from error


def is_segment(file_name: str) -> bool:
    """Return whether a file of the ledger's folder is a segment, by its name."""
    return _SEGMENT.fullmatch(file_name) is not None


def run_of(file_name: str) -> int:
    """Return the run that wrote a segment or a snapshot, by its name; 0 for other files."""
    match = RUN_IN_NAME.match(file_name)
    return int(match[1]) if match else 0


def encode_receipt(receipt: Receipt, at_ns: int) -> bytes:
    """Encode a receipt as a line; `at_ns` is when it was recorded, ns since the Unix epoch."""
    # With the ids apart from the rest, loading needs only plain columns, which Arrow's JSON reader reads in C++.
    data = receipt.to_json()
    series = data.pop("series")
    ids = [each[0] for each in series]
    rest = [each[1:] for each in series]
    return encode_line({"v": FORMAT, "kind": "receipt", "at": at_ns, "ids": ids, **data, "series": rest})


def encode_intent(key: ChunkKey, sink: str, at_ns: int) -> bytes:
    """Encode an intent as a line; `at_ns` is when it was recorded, ns since the Unix epoch."""
    bounds = {"start": key.range.start_ns, "end": key.range.end_ns}
    return encode_line({"v": FORMAT, "kind": "intent", "at": at_ns, **bounds, "sink": sink, "ids": key.series_ids})


def encode_line(data: Mapping[str, Any]) -> bytes:
    """Encode a JSON object as one line, with its checksum and its newline."""
    body = orjson.dumps(data)[:-1]
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def decode_line(line: bytes) -> dict[str, Any]:
    """Decode one line without its newline.

    Raises:
        ValueError: it is not such a line, or its checksum does not match.
    """
    if not is_whole(line):
        raise ValueError("its checksum does not fit its content")
    data = orjson.loads(line)
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def is_whole(line: bytes) -> bool:
    """Return whether a line's checksum matches; that of a torn line does not."""
    return line[-_CRC_CHARS:] == b',"crc":"%08x"}' % crc32(line[:-_CRC_CHARS])


def check_version(data: Mapping[str, Any], tag: str = "v") -> None:
    """Check that a line is of the version that this code reads.

    Raises:
        UnknownVersionError: it is of another version.
        ValueError: it has no version.
    """
    version = data.get(tag)
    if not isinstance(version, int):
        raise ValueError(f"no {tag!r} in it")
    if version != FORMAT:
        raise UnknownVersionError(
            f"it is of format {version}, and this omnia-beam reads format {FORMAT}: "
            "run the omnia-beam that wrote it, or a newer one"
        )
