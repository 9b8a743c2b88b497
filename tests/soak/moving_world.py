"""One job in a world that does not hold still, and the judgement on what each run says of it."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.soak.elsewhere import become_another_machine
from tests.soak.forked import Forked
from tests.soak.world_places import CsvSource, FileTarget, OmniaSource, ServiceTarget

T0: Final = parse_time("2024-01-30")
HOUR: Final = 3_600 * 10**9
HOURS: Final = 96
_TRIES: Final = 4
_LONGEST_S: Final = 60.0
_LIFTED: Final = re.compile(r"--set max_removed=(\d+)")
_IS_NEW: Final = "is new and has no record of them"
_NO_POINTS: Final = ("hold no points", "no such file")


class WorldError(AssertionError):
    """Something false was said."""


@dataclass
class World:
    """One job in its world.

    Args:
        pair: which source and which destination.
        draw: where every choice comes from.
        folder: of this world alone.
        counted: what was done, a count each.
    """

    pair: str
    draw: random.Random
    folder: Path
    told: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    span: tuple[int, int] = (0, HOURS)
    saved: Path | None = None
    counted: Counter[str] = field(default_factory=Counter)
    lost_records: bool = False
    held: set[tuple[str, int, float]] = field(default_factory=set)

    def __post_init__(self) -> None:
        source, _, target = self.pair.partition("-")
        self.source: Any = OmniaSource() if source == "omnia" else CsvSource(self.folder / "in")
        self.target: Any = FileTarget(self.folder / "out") if target == "parquet" else ServiceTarget()
        self.source.put("a", {T0 + h * HOUR: float(h) for h in range(0, HOURS, 2)})
        self.source.put("b", {T0 + h * HOUR: float(-h) for h in range(1, HOURS, 3)})

    def close(self) -> None:
        reset_shared_sessions()
        self.source.close()
        self.target.close()

    def play(self, steps: int) -> None:
        """So many steps; after each the job runs until it is complete, or says what is in its way."""
        self.settle("the start")
        for _ in range(steps):
            step = self.draw.choice(self._steps())
            name = step.__name__.strip("_")
            self.told.append(name)
            self.counted[name] += 1
            step()
            self.settle(name)

    def settle(self, after: str) -> None:
        """Run again and again; the world is quiet, so that a few runs have to be enough."""
        more: dict[str, Any] = {}
        said = ""
        for _ in range(_TRIES):
            summary, error = self.run(**more)
            if summary is None:
                said = error
                if not error.strip():
                    raise WorldError(f"after {after}: failed and does not say why")
                if _IS_NEW in error:  # what it advises
                    self.counted["(refused: the state is new)"] += 1
                    self.target.reset()
                elif any(text in error for text in _NO_POINTS):
                    self.counted["(refused: nothing there to read)"] += 1
                    return
                continue
            if summary.status == "complete":
                self._judge(summary, after)
                return
            said = str(summary.details)
            if not (summary.details.get("incomplete") or summary.details.get("first failure")):
                raise WorldError(f"after {after}: {summary.status} and does not say why: {said}")
            self.counted["(incomplete, with a reason)"] += 1
            if found := _LIFTED.search(said):
                self.counted["(more points would go than may)"] += 1
                more = {"max_removed": int(found[1])}
        raise WorldError(f"after {after}: not complete after {_TRIES} runs: {said}")

    def run(self, **more: Any) -> tuple[Summary | None, str]:
        """One run; what ended it where it did not come to its end."""
        self.counted["(runs)"] += 1
        self._remember()
        context = _silent_context()
        run = run_backfill if self.pair == "omnia-parquet" else run_migrate
        try:
            return run(self._config(**more), context), ""
        except OmniaBeamError as error:
            return None, str(error)
        finally:
            reset_shared_sessions()

    def _remember(self) -> None:
        """What the source has ever held: nothing else may ever be at the destination."""
        for name, points in self.source.points().items():
            self.held |= {(name, t, v) for t, v in points.items()}

    def _judge(self, summary: Summary, after: str) -> None:
        start, end = (T0 + h * HOUR for h in self.span)
        found = self.target.points()
        wanted = self.source.points()
        more = 0
        for series_id in {*wanted, *found}:
            there = [(t, v) for t, v in found.get(series_id, []) if start <= t < end]
            shown = {t: v for t, v in wanted.get(series_id, {}).items() if start <= t < end}
            if len({t for t, _ in there}) != len(there):
                raise WorldError(f"after {after}: {series_id}: points twice")
            missing = shown.items() - dict(there).items()
            extra = [(t, v) for t, v in there if t not in shown]
            if missing:
                raise WorldError(
                    f"after {after}: complete, and {len(missing)} points of {series_id} are missing or wrong"
                )
            if any((series_id, t, v) not in self.held for t, v in extra):
                raise WorldError(f"after {after}: complete, with points of {series_id} that the source never held")
            more += len(extra)
        if more > summary.points_kept and not self._forgotten(summary):
            raise WorldError(
                f"after {after}: complete, and {more} points are not the source's; {summary.points_kept} are said to be kept"
            )
        self._judge_strays(summary, after)

    def _forgotten(self, summary: Summary) -> bool:
        """Whether points can lie there that a lost record was the last to know: nothing may take them away then.

        Files without a record are told. Of a service, nobody can tell whose points those are.
        """
        if not self.lost_records:
            return False
        self.counted["(points that no record knows any more)"] += 1
        return isinstance(self.target, ServiceTarget) or any("without a receipt" in each for each in summary.warnings)

    def _judge_strays(self, summary: Summary, after: str) -> None:
        """Copies that the job did not write stay as they are, and are told."""
        if harmed := self.target.harmed_strays():
            raise WorldError(f"after {after}: a run touched what it did not write: {harmed}")
        if not self.target.strays:
            return
        if not any("without a receipt" in text for text in summary.warnings):
            raise WorldError(f"after {after}: complete without a word of {len(self.target.strays)} stray files")
        if after == "copy_at_the_target" and self.draw.random() < 0.3:
            self.counted["(verify looked for strays)"] += 1
            report = self.folder / "report"
            exit_code = run_verify(self._config(), _silent_context(), report=str(report)).exit_code
            reset_shared_sessions()
            kinds = json.loads((report / "report.json").read_text())["before"]["by_kind"]
            if exit_code != 1 or kinds.get("stray_file", 0) < len(self.target.strays):
                raise WorldError(f"after {after}: verify ends with {exit_code} and finds {kinds}")

    def _config(self, **more: Any) -> Any:
        start, end = (format_time(T0 + h * HOUR) for h in self.span)
        job = {
            "name": "world",
            "source": self.source.config(),
            "sink": self.target.config(),
            "state": str(self.folder / "state"),
            "window": {"start": start, "end": end},
            "max_chunk_points": 20,
            # A service does not say what has changed: only what is read again is known to be what it shows.
            **({"refresh": "200h"} if self.pair == "omnia-parquet" else {}),
            **self.options,
            **more,
        }
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(job))  # JSON is YAML
        return load_config(str(path), now_ns=time.time_ns())

    def _steps(self) -> list[Callable[[], None]]:
        copies = [self._copy_at_the_source] if isinstance(self.source, CsvSource) else []
        copies += [self._copy_at_the_target] if isinstance(self.target, FileTarget) else []
        return [
            *copies,
            self._append,
            self._run_again,
            self._stop_half_way,
            self._narrow,
            self._widen,
            self._change_an_option,
            self._lose_a_segment,
            self._restore_the_ledger,
            self._save_the_ledger,
            self._shrink_the_source,
            self._archive,
            self._harm_the_target,
            self._reset_the_target,
            self._lose_letters,
            self._kill,
            self._suspend,
        ]

    def _append(self) -> None:
        at = self.draw.randrange(HOURS)
        self.source.put(self.draw.choice("abc"), {T0 + h * HOUR + 1: float(h) for h in range(at, min(HOURS, at + 5))})

    def _run_again(self) -> None:
        self.run(refresh=f"{self.draw.randrange(1, 90)}h")

    def _stop_half_way(self) -> None:
        self.run(deadline="1ms", refresh="96h")

    def _kill(self) -> None:
        """A run ends with signal 9 somewhere between its start and its end."""
        with Forked(lambda: self.run(refresh="200h")) as process:
            over = process.wait(self.draw.uniform(0.0, 0.6))
        self.counted["(killed behind its end)" if over else "(killed before its end)"] += 1

    def _suspend(self) -> None:
        """A driver of another machine sleeps while the source changes and another driver takes over; then it goes on."""

        def work() -> None:
            become_another_machine()
            self.run(refresh="200h")

        with Forked(work) as process:
            over = process.wait(self.draw.uniform(0.0, 0.6))
            process.signal(signal.SIGSTOP)
            if self.draw.random() < 0.7:
                self._append()
            summary, error = self.run()
            if summary is None and not error.strip():
                raise WorldError("a run beside a suspended one failed and does not say why")
            process.signal(signal.SIGCONT)
            if not process.wait(_LONGEST_S):
                raise WorldError("a driver that was taken over does not come to its end")
        self.counted["(suspended behind its end)" if over else "(suspended before its end)"] += 1

    def _copy_at_the_source(self) -> None:
        self.source.copy(self.draw)

    def _copy_at_the_target(self) -> None:
        self.target.copy(self.draw)

    def _narrow(self) -> None:
        at = self.draw.randrange(HOURS - 10)
        self.span = at, self.draw.randrange(at + 10, HOURS + 1)

    def _widen(self) -> None:
        self.span = 0, HOURS

    def _change_an_option(self) -> None:
        self.options = self.draw.choice(
            [
                {},
                {"order": "newest_first"},
                {"max_chunk_points": 7},
                {"max_chunk_points": 1_000},
                {"workers": 1, "deadline": "10m"},
                {"vanished": "follow"},
                {"max_removed": 1},
            ]
        )

    def _segments(self) -> list[Path]:
        folder = self.folder / "state" / "world" / "ledger"
        return sorted(folder.glob("segment-*")) if folder.is_dir() else []

    def _lose_a_segment(self) -> None:
        if found := self._segments():
            self.draw.choice(found).unlink()
            self.lost_records = True

    def _save_the_ledger(self) -> None:
        ledger = self.folder / "state" / "world" / "ledger"
        if ledger.is_dir():
            self.saved = self.folder / "saved"
            shutil.rmtree(self.saved, ignore_errors=True)
            shutil.copytree(ledger, self.saved)
        self.target.remember()

    def _restore_the_ledger(self) -> None:
        if self.saved is not None:
            ledger = self.folder / "state" / "world" / "ledger"
            shutil.rmtree(ledger, ignore_errors=True)
            shutil.copytree(self.saved, ledger)
            self.lost_records = True

    def _shrink_the_source(self) -> None:
        self.source.shrink(self.draw)

    def _archive(self) -> None:
        self.source.archive(self.draw)

    def _harm_the_target(self) -> None:
        self.counted[f"(harmed: {self.target.harm(self.draw)})"] += 1

    def _reset_the_target(self) -> None:
        self.target.reset()

    def _lose_letters(self) -> None:
        for each in (self.folder / "state" / "world" / "dead_letters").glob("*.parquet"):
            each.unlink()


def _silent_context() -> RunContext:
    silent = Console(file=io.StringIO())
    return RunContext(_options(), silent, silent)


@cache
def _options() -> Any:
    return pipeline_options(None, [])
