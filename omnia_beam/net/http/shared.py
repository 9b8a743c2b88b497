"""Keep one session per process and service, for all parts of a pipeline that need it.

Several DoFn instances live in one process, and the budget belongs to the process: they must share the pool and the limiter.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.stats import StatsSnapshot

if TYPE_CHECKING:  # to import it brings in requests, which a command that asks no service does without
    from omnia_beam.net.http.session import ServiceSession


class _Shared:
    """The sessions of this process. A forked child starts without any: sockets and locks do not survive a fork."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.lock = threading.Lock()
        self.sessions: dict[ServiceSettings, ServiceSession] = {}


_shared: Final = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def shared_session(settings: ServiceSettings) -> ServiceSession:
    """Return this process's session for these settings. The first call makes it; equal settings share one.

    Raises:
        UsageError, CredentialError: as `ServiceSession`.
    """
    from omnia_beam.net.http.session import ServiceSession

    with _shared.lock:
        session = _shared.sessions.get(settings)
        if session is None or session.closed:
            session = _shared.sessions[settings] = ServiceSession(settings)
        return session


def shared_traffic() -> StatsSnapshot:
    """Return the combined counts of this process's sessions so far."""
    with _shared.lock:
        return StatsSnapshot.together([each.stats.snapshot() for each in _shared.sessions.values()])


def reset_shared_sessions() -> None:
    """Close and forget this process's sessions, for tests and a clean stop. Requests under way end with an error."""
    with _shared.lock:
        sessions = list(_shared.sessions.values())
        _shared.sessions.clear()
    for session in sessions:
        session.close()
