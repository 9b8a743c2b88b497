"""Describe a scope: everything that changes which points a series has in a range at the sink.

Coverage counts within one scope only: what was copied with a status filter says nothing about a copy without one. A scope
is a digest of named parts. The parts are written beside it, so that the job can report what it will copy again after a
change of the configuration, and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

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
        return f"is gone: was {_shown(old)}"
    return f"was {_shown(old)}, is now {_shown(new)}"


def _shown(value: str | None) -> str:
    text = value or "none"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
