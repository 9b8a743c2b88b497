"""Messages between a driver and its workers over a socket pair: pickled, and never written to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.log_lines import LOG_FACTS, LogFormat, log_format
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.stats import StatsSnapshot

STOP_ORDER: Final = "stop"
"""The driver's order to begin no further window."""


@dataclass(frozen=True)
class WorkerTask:
    """All that a worker needs. It holds no secret: credentials are built where they are used.

    Args:
        recipe: returns the function that puts the transforms on a pipeline, and so must be picklable; called in the worker.
        services: whose requests are reported, with this worker's part of their budgets.
        options: Beam's.
        log_level: of the package's logger.
        log_format, log_facts: as this process logs.
    """

    recipe: Callable[[], Callable[[Any], None]]
    services: tuple[ServiceSettings, ...]
    options: Any
    log_level: int
    log_format: LogFormat = field(default_factory=log_format)
    log_facts: Mapping[str, str] = field(default_factory=LOG_FACTS.copy)


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """The progress of a worker.

    Args:
        counts, found: of its board.
        traffic: one for each service of its task.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    traffic: tuple[StatsSnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """The end of a worker: its counters, or the error that ended it."""

    counters: Mapping[str, int] = field(default_factory=dict)
    error: OmniaBeamError | None = None
