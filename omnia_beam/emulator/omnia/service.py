"""The state that the endpoints share. One event loop owns it; nothing in it is thread-safe."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnia_beam.emulator.common.journal import Journal, read_records
from omnia_beam.emulator.common.limiter import RateLimiter
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.common.memo import Memo
from omnia_beam.emulator.common.serving.faults import FaultBook
from omnia_beam.emulator.common.serving.service import SharedService, control_guard_of
from omnia_beam.emulator.common.store import Store
from omnia_beam.emulator.omnia.auth import guard_of
from omnia_beam.emulator.omnia.change import Change, WritePoints, apply_change, compacted, decode_change, encode_change
from omnia_beam.emulator.omnia.companion import Companion
from omnia_beam.emulator.omnia.faults import KINDS
from omnia_beam.emulator.omnia.pagetoken import TokenSealer
from omnia_beam.emulator.settings import Settings, clock_of


@dataclass(slots=True, eq=False, kw_only=True)
class Service(SharedService):
    """One running emulator without its HTTP server."""

    settings: Settings
    store: Store
    sealer: TokenSealer
    companion: Companion = field(default_factory=Companion)
    counts: Memo[int] = field(default_factory=Memo)
    buckets: Memo[Any] = field(default_factory=lambda: Memo(64))

    async def commit(self, change: Change) -> int:
        """Make a change, and return how many points it wrote or removed once it is durable.

        It is made in memory first, so that changes are journalled in the order in which they were made. Raises OSError
        where the journal fails: the change is then visible here, although the client receives an error.
        """
        affected = apply_change(self.store, self.companion, change)
        if self.journal is not None:
            await self.journal.commit(encode_change(change))
        return affected

    async def queue(self, change: WritePoints, delay_s: float) -> None:
        """Accept a write, durable when this returns; it becomes visible after the delay, or at once after a restart."""
        if self.journal is not None:
            await self.journal.commit(encode_change(change))
        asyncio.get_running_loop().call_later(delay_s, self._apply_queued, change)

    def _apply_queued(self, change: WritePoints) -> None:
        # A series may have been deleted since; its queued points are dropped, as in any queue.
        kept = tuple(batch for batch in change.batches if batch[0] in self.store.series)
        apply_change(self.store, self.companion, WritePoints(kept))


def build_service(
    settings: Settings, series: dict[str, Any] | None = None, control_token: str | None = None
) -> Service:
    """Return the service that these settings describe. Raises ValueError or OSError, which names the unusable setting.

    `control_token` protects the emulator's own endpoints, like the one that `--control-token-env` names.
    """
    now = clock_of(settings)
    faults = FaultBook(settings.seed, KINDS)
    faults.change(settings.fault)
    guard = guard_of(settings)
    store = load_store(
        settings.data, settings.synthetic, facility=settings.facility, seed=settings.seed, series=series, now=now
    )
    service = Service(
        settings=settings,
        store=store,
        now=now,
        sealer=TokenSealer(settings.seed, settings.token_ttl),
        faults=faults,
        limiter=RateLimiter(settings.rate_limit) if settings.rate_limit else None,
        guard=guard,
        control=control_guard_of(settings, guard, control_token),
    )
    if settings.state_dir:
        service.journal = _opened_journal(service, Path(settings.state_dir))
    return service


def _opened_journal(service: Service, folder: Path) -> Journal:
    """Return the journal of a state directory, compacted, after its changes have been applied again."""
    journal = Journal(folder)
    for payload in read_records(journal.path):
        try:
            apply_change(service.store, service.companion, decode_change(payload))
        except KeyError as error:
            raise ValueError(
                f"--state-dir {folder}: it holds points of series {error}, which is not in the data given; "
                "start with the data that it began with, or use another directory"
            ) from None
    journal.begin(encode_change(change) for change in compacted(service.store, service.companion))
    return journal
