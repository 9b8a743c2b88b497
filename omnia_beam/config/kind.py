"""The base of every kind's options: what the rest of a configuration knows of a source and of a sink.

A kind is one sort of place that points come from or go to. Its options are declared once, in its own folder below `io/`, as a
subclass of `SourceOptions` or `SinkOptions`; what validates a job's keys is then what acts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any, ClassVar, Self, TypeVar

from omnia_beam.config.section import Section, key

T = TypeVar("T")


class KindOptions(Section):
    """What sources and sinks have in common.

    Class attributes:
        beside: names of the keys that do not change which points arrive, such as a credential, a rate or the selection of
            series. Every other key is part of the scope, under which receipts count.
        apart: names of the keys that `identity` states in a part of their own, and that are no part of the digest.
    """

    beside: ClassVar[frozenset[str]] = frozenset()
    apart: ClassVar[frozenset[str]] = frozenset()

    kind: str = key("The kind of source or sink.")

    def options_digest(self) -> str:
        """Return a digest of the keys that change which points arrive.

        Keys that have their default are left out: a key that a later version adds must not change the digest of a job without
        it.
        """
        return digest(self.model_dump(mode="json", exclude={"kind", *self.beside, *self.apart}, exclude_defaults=True))


class SourceOptions(KindOptions):
    """The keys below `source:` of one kind.

    Class attributes:
        refused_status_maps: names of status maps that would map this kind's statuses wrongly, with the reason.
    """

    refused_status_maps: ClassVar[dict[str, str]] = {}

    def identity(self) -> dict[str, str]:
        """Return this source's parts of the scope: short readable texts, `source` (the place) and `reading` among them.

        Without a change of one of them the ledger holds recorded windows to be the same points.
        """
        return {"source": self.kind, "reading": self.options_digest()}

    def folders(self) -> tuple[str, ...]:
        """Return the paths and globs at which files are read; none for a source that is no files."""
        return ()

    def resolved(self, series_ids: tuple[str, ...]) -> Self:
        """Return the options with the selection of series resolved, for workers that may not see what this machine sees."""
        return self

    def selection(self) -> str:
        """Return a text that changes with the selection of series, which is no part of the scope."""
        return ""


class SinkOptions(KindOptions):
    """The keys below `sink:` of one kind.

    Class attributes:
        is_read_whole: whether everything that such a sink holds can be read, for `profile` and `expect`.
    """

    is_read_whole: ClassVar[bool] = False

    def identity(self) -> dict[str, str]:
        """Return this sink's parts of the scope: `sink` (the place) and `writing` (what is stored of points it cannot hold)."""
        return {"sink": self.kind, "writing": self.options_digest()}

    def folder(self) -> str | None:
        """Return the path below which files are written; None for a sink that is no files."""
        return None


def options_as(cls: type[T], options: Section, **others: Any) -> T:
    """Return a dataclass that the code of a kind works with, with the values of the keys that have its fields' names.

    A mapping becomes a tuple of pairs. A field that is no key has its default.

    Args:
        cls: the dataclass.
        options: as validated.
        others: fields whose values are not those of a key of the same name.
    """
    shared = {each.name for each in fields(cls)} & set(type(options).model_fields) - others.keys()  # type: ignore[arg-type]
    return cls(**{name: _plain(getattr(options, name)) for name in shared}, **others)


def _plain(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


def digest(data: Any) -> str:
    """Return 128 bits of SHA-256 over canonical JSON, as `sha256:` and 32 hex digits."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
