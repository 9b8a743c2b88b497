"""The state that the endpoints share, and the check of Basic credentials."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

from omnia_beam.emulator.common.journal import Journal, read_records
from omnia_beam.emulator.common.limiter import RateLimiter
from omnia_beam.emulator.common.serving.faults import FaultBook
from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.common.serving.service import SharedService, control_guard_of
from omnia_beam.emulator.pi.archive import Archive, Point, Taken
from omnia_beam.emulator.pi.change import Change, apply_change, decode_change, encode_change
from omnia_beam.emulator.pi.faults import KINDS
from omnia_beam.emulator.pi.loading import load_archive
from omnia_beam.emulator.pi.settings import PiSettings
from omnia_beam.emulator.pi.times import zone_of
from omnia_beam.emulator.pi.webid import POINT, WebIdType, parse_web_id, web_id
from omnia_beam.emulator.settings import clock_of


class BasicGuard:
    """The check of Basic credentials against one user. Neither is kept in a message."""

    def __init__(self, user: str, password: str) -> None:
        self._expected = f"{user}:{password}".encode()

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse with 401 a request without that user and password."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        try:
            shown = base64.b64decode(given.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (ValueError, binascii.Error):
            shown = b""
        if not hmac.compare_digest(shown, self._expected):
            challenge = {"WWW-Authenticate": 'Basic realm="omnia-beam emulator"'}
            raise Refusal(401, "Authorization has been denied for this request.", challenge)


@dataclass(slots=True, eq=False, kw_only=True)
class PiService(SharedService):
    """One running emulator without its HTTP server."""

    settings: PiSettings
    archive: Archive
    zone: tzinfo

    async def commit(self, *changes: Change) -> None:
        """Make the changes, and return once they are durable."""
        for change in changes:
            apply_change(self.archive, change)
        if self.journal is not None:
            for change in changes:
                await self.journal.commit(encode_change(change))

    def point_of(self, given: str) -> Point:
        """Return the point of a WebId; refuse an unknown one with 404, what is no WebId with 400."""
        found = parse_web_id(given, self.archive.guid)
        if found is None or found.marker != POINT:
            raise Refusal(400, f"The specified WebId '{given}' is invalid.")
        if found.path is not None:
            point = self.archive.named(found.path.partition("\\")[2])
        else:
            point = self.archive.points.get(found.number or 0)
        if point is None:
            raise Refusal(404, f"The PI Point of the WebId '{given}' was not found.")
        return point

    def web_id(self, point: Point, kind: WebIdType = "Full") -> str:
        """Return the WebId of a point."""
        return web_id(kind, POINT, self.archive.guid, point.number, f"{self.archive.name}\\{point.name}")


def build_service(
    settings: PiSettings, series: Mapping[str, Any] | None = None, control_token: str | None = None
) -> PiService:
    """Return the service that these settings describe. Raises ValueError or OSError, which names the unusable setting.

    `series` adds points as arrays or rows (see `load_archive`); `control_token` protects the emulator's own endpoints.
    """
    now = clock_of(settings)
    faults = FaultBook(settings.seed, KINDS)
    faults.change(settings.fault)
    try:
        zone = zone_of(settings.time_zone)
    except ValueError as error:
        raise ValueError(f"--time-zone: {error}") from None
    if settings.max_items < 1:
        raise ValueError(f"--max-items {settings.max_items}: at least 1 is needed")
    guard = _guard_of(settings)
    service = PiService(
        settings=settings,
        archive=load_archive(settings, series or {}, now),
        now=now,
        zone=zone,
        faults=faults,
        limiter=RateLimiter(settings.rate_limit) if settings.rate_limit else None,
        guard=guard,
        control=control_guard_of(settings, guard, control_token),
    )
    if settings.state_dir:
        service.journal = _opened_journal(service, Path(settings.state_dir))
    return service


def _guard_of(settings: PiSettings) -> BasicGuard | None:
    if settings.auth == "none":
        return None
    user, password = os.environ.get("PI_USER"), os.environ.get("PI_PASSWORD")
    if not user or not password:
        raise ValueError("--auth basic: the variables PI_USER and PI_PASSWORD are not both set")
    return BasicGuard(user, password)


def _opened_journal(service: PiService, folder: Path) -> Journal:
    """Return the journal of a state directory, after its changes have been made again."""
    journal = Journal(folder)
    records = read_records(journal.path)
    for payload in records:
        try:
            apply_change(service.archive, decode_change(payload))
        except (KeyError, Taken) as error:
            raise ValueError(
                f"--state-dir {folder}: it changes {error}, which is not in the data given, or is there already; "
                "start with the data that it began with, or use another directory"
            ) from None
        except ValueError as error:
            raise ValueError(f"--state-dir {folder}: {error}; use another directory") from None
    journal.begin(records)
    return journal
