"""Rules that hold at each operation, judged at the store itself, whatever the drivers believe and whatever comes of it.

- A driver writes below its job's state and its sink alone, and removes or replaces no object of anybody else.
- An object of the ledger is never replaced by other content, but for a manifest that was empty.
- A lease that was superseded never comes back, and none is superseded that was renewed within three heartbeats.
- A file of points is put in place, replaced or deleted only right after a look at the lease that showed the driver's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

LEASE: Final = "state/sim/lease.json"
_LEDGER: Final = "sim/state/sim/ledger/"
_OWN: Final = ("sim/out/", "sim/state/sim/")
_POINTS: Final = "out/year="


@dataclass
class Watch:
    """Looks at operations and notes what breaks a rule.

    Args:
        foreign: keys of objects that are not the job's, beside its own.

    Attributes:
        broken: what was against a rule, a sentence each.
    """

    foreign: frozenset[str] = frozenset()
    broken: list[str] = field(default_factory=list)
    _superseded: set[str] = field(default_factory=set)
    _may_touch: dict[str, bool] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew with another world."""
        self.broken.clear()
        self._superseded = set()
        self._may_touch = {}

    def look(self, driver: str, nonce: str | None, content: bytes) -> None:
        """Note that a driver, whose lease has this nonce, has read the lease."""
        self._may_touch[driver] = nonce is not None and nonce_of(content) == nonce

    def ask(self, driver: str, name: str, path: str) -> None:
        """Judge what a driver asks for, before anything happens to it."""
        if name in ("put", "copy", "delete") and path.startswith(_POINTS) and not self._may_touch.get(driver):
            self.broken.append(f"driver {driver}: {name} {path} without a look at its lease right before")
        if name != "delete":  # many are deleted after one look
            self._may_touch[driver] = False

    def put(self, key: str, old: bytes | None, age_s: float, new: bytes) -> None:
        """Judge an object that is about to be written by a driver in place of one that is `age_s` old."""
        if key in self.foreign or not key.startswith(_OWN):
            self.broken.append(f"{key} is written, which is not the job's")
        if old is None:
            return
        if key.startswith(_LEDGER) and old not in (b"", new):
            self.broken.append(f"{key} is replaced by other content")
        if key.endswith(LEASE):
            self._judge_lease(_lease(old), age_s, _lease(new))

    def delete(self, key: str) -> None:
        """Judge an object that is about to be deleted by a driver."""
        if key in self.foreign or not key.startswith(_OWN):
            self.broken.append(f"{key} is deleted, which is not the job's")

    def _judge_lease(self, old: dict[str, Any], age_s: float, new: dict[str, Any]) -> None:
        if new["nonce"] in self._superseded:
            self.broken.append(f"a lease that was superseded is back: {new['owner']['host']}")
        if old["nonce"] == new["nonce"]:
            return
        self._superseded.add(old["nonce"])
        elsewhere = old["owner"]["machine"] != new["owner"]["machine"]
        if elsewhere and not old["released"] and age_s < 3 * old["interval_s"]:
            self.broken.append(
                f"{new['owner']['host']} takes over the lease of {old['owner']['host']}, renewed {age_s:.0f} s ago"
            )


def nonce_of(content: bytes) -> str:
    """Return what identifies the holder of a lease."""
    return str(_lease(content)["nonce"])


def _lease(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content)
    return found
