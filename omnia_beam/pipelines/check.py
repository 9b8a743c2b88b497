"""`omnia-beam check`: try every step from the configuration to the destination, and report which one fails and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.config.job import wanted_range
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.summary import Status, Summary
from omnia_beam.core.text import counted
from omnia_beam.io.base import Attempt
from omnia_beam.io.kinds import sink_of, source_of
from omnia_beam.ledger.state_dir import FOLDERS, StateDir
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.store import is_remote


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whether it succeeded, and what was found."""

    name: str
    ok: bool
    found: str


def run_check(config: JobConfig, context: RunContext, on_step: Callable[[Step], None]) -> CommandResult:
    """Try each step; the first that fails ends the walk. Writes no data.

    Args:
        config: the job.
        context: the clock.
        on_step: called with each step once it has been tried.

    Returns:
        The steps, with the error of the one that failed.
    """
    began = context.clock()
    steps: list[Step] = []
    failed: OmniaBeamError | None = None
    for name, attempt in _steps(config):
        try:
            with _leaving_no_folders(config):
                step = Step(name, True, attempt())
        except OmniaBeamError as error:
            failed = error
            step = Step(name, False, str(error))
        steps.append(step)
        on_step(step)
        if failed is not None:
            break
    details = {"steps": [asdict(step) for step in steps]}
    status: Status = "complete" if failed is None else "failed"
    summary = Summary("check", status, elapsed_s=context.clock() - began, details=details)
    return CommandResult(summary, lambda: None, error=failed)


def print_step(out: Console, step: Step) -> None:
    """Print one step for people."""
    mark = ("ok    ", "green") if step.ok else ("failed", "red")
    out.print(Text.assemble(mark, " ", (f"{step.name:<17}", "bold"), "  "), end="")
    out.print(step.found, markup=False, highlight=False, soft_wrap=True)


def _steps(config: JobConfig) -> Iterator[Attempt]:
    yield "configuration", lambda: f"{config.name}: {config.source.kind} to {config.sink.kind}{_window(config)}"
    yield from source_of(config).check()
    if config.mapping is not None and config.mapping.file is not None:
        yield "mapping file", lambda: counted(len(Job.of(config).rows), "row")
    yield from sink_of(config).check()
    yield "state", lambda: str(StateDir.open(config.state, config.name))


@contextmanager
def _leaving_no_folders(config: JobConfig) -> Iterator[None]:
    """Remove the local folders that the write test has made: a user who checks a job has not decided to run it."""
    places = [config.sink.folder() or "", *(f"{config.state}/{config.name}/{folder}" for folder in FOLDERS)]
    missing = {
        folder
        for place in places
        if place and not is_remote(place)
        for folder in (Path(place).absolute(), *Path(place).absolute().parents)
        if not folder.exists()
    }
    try:
        yield
    finally:
        for folder in sorted(missing, key=lambda each: len(each.parts), reverse=True):
            with suppress(OSError):  # it was never made, or something else was put there
                folder.rmdir()


def _window(config: JobConfig) -> str:
    return f", {wanted_range(config)}" if config.window is not None else ""
