"""Where a soak copies to, and what is there in the end."""

from __future__ import annotations

import random
import time
from collections.abc import Set
from pathlib import Path
from typing import Any, Protocol

from omnia_beam.emulator.command import settings_from
from omnia_beam.emulator.omnia.service import build_service
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from tests.soak.judgement import Content, loose_files, store_content, stored_content
from tests.soak.mortal import FILES_ONLY, SERVICE_ONLY
from tests.soak.stage import Service

JOB = "soak"
EVER = 4_000_000_000 * 10**9


class Destination(Protocol):
    """A sink under test."""

    name: str
    command: str
    strange_places: Set[str]
    kills: int

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def job(self) -> dict[str, Any]: ...

    def may_die(self, chance: random.Random) -> bool:
        """Asked now and then during a run; True where it died and came back."""

    def content(self) -> dict[str, Content]: ...

    def named(self, content: dict[str, Content], source: Any) -> dict[str, Content]:
        """The source's content by what `content` calls its series."""

    def loose(self) -> list[str]:
        """What should not be there, one line each."""


class ParquetDestination:
    """Parquet files in a folder."""

    name, command, kills = "parquet", "backfill", 0
    strange_places = frozenset(SERVICE_ONLY)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def job(self) -> dict[str, Any]:
        return {"sink": {"kind": "parquet", "path": str(self._folder / "out")}}

    def may_die(self, chance: random.Random) -> bool:
        return False

    def content(self) -> dict[str, Content]:
        return stored_content((self._folder / "out").rglob("*.parquet"))

    def named(self, content: dict[str, Content], source: Any) -> dict[str, Content]:
        return content

    def loose(self) -> list[str]:
        return loose_files(self._folder / "out", self._folder / "state", JOB)


class OmniaDestination:
    """Another service, with a journal on disk, that is killed and comes back too."""

    name, command = "omnia", "migrate"
    strange_places = frozenset(FILES_ONLY)

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._arguments = ["--state-dir", str(folder / "target"), "--seed", str(seed)]
        self._service = Service(self._arguments)

    @property
    def kills(self) -> int:
        return self._service.kills

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        self._service.stop()

    def job(self) -> dict[str, Any]:
        sink = {
            "kind": "omnia",
            "base_url": self._service.url,
            "credential": {"kind": "anonymous"},
            "create_missing": {"facility": "SOAK", "name": "{name}"},
            "rate": {"requests_per_second": None, "max_in_flight": 2},
        }
        return {"sink": sink}

    def may_die(self, chance: random.Random) -> bool:
        if chance.random() > 0.002:
            return False
        self._service.kill()
        time.sleep(chance.uniform(0, 1))
        self._service.start()
        return True

    def content(self) -> dict[str, Content]:
        """From the target's own journal, without HTTP. Its ids are its own: series are told by their names."""
        self._service.stop()
        store = build_service(settings_from(self._arguments), {}).store
        return self.named(store_content(store, -EVER, EVER), store)

    def named(self, content: dict[str, Content], source: Any) -> dict[str, Content]:
        return {source.series[series_id].metadata.name: each for series_id, each in content.items()}

    def loose(self) -> list[str]:
        return []


def recorded_share(state: Path, wanted_ns: int) -> float:
    """How much of all time of all series the ledger covers."""
    ledger = Ledger.load(StateDir.open(str(state), JOB, create=False))
    covered = 0
    for scope in ledger.scopes():
        digest = scope.scope.digest
        covered += sum(ledger.coverage(digest, each).duration_ns for each in ledger.series_ids(digest))
    return covered / wanted_ns
