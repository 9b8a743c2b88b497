"""`omnia-beam check`: try every step from the configuration to the destination, and report which one fails and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.text import Text

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.config.job import wanted_range
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.summary import Summary
from omnia_beam.io.base import Attempt
from omnia_beam.ledger.state_dir import FOLDERS, StateDir
from omnia_beam.ledger.store import is_local
from omnia_beam.pipelines.job import Job

_EXIT_USAGE = 2
_EXIT_UNREACHABLE = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whether it succeeded, and what was found."""

    name: str
    ok: bool
    found: str


def run_check(config: JobConfig, context: RunContext, *, as_json: bool) -> int:
    """Print each step as it is tried; the first that fails ends the walk. Writes no data.

    Returns:
        0; 2 where the configuration is at fault; 3 where the service, the credential or the destination is.
    """
    began = context.clock()
    steps: list[Step] = []
    code = 0
    for name, attempt in _steps(config):
        try:
            with _leaving_no_folders(config):
                step = Step(name, True, attempt())
        except OmniaBeamError as error:
            code = _EXIT_USAGE if isinstance(error, UsageError) else _EXIT_UNREACHABLE
            step = Step(name, False, str(error))
        steps.append(step)
        if not as_json:
            mark = ("ok    ", "green") if step.ok else ("failed", "red")
            context.out.print(Text.assemble(mark, " ", (f"{step.name:<17}", "bold"), "  "), end="")
            context.out.print(step.found, markup=False, highlight=False, soft_wrap=True)
        if code:
            break
    if as_json:
        summary = Summary("check", "failed" if code else "complete", elapsed_s=context.clock() - began)
        print(json.dumps(summary.having(details={"steps": [asdict(step) for step in steps]}).to_json()), flush=True)
    return code


def _steps(config: JobConfig) -> Iterator[Attempt]:
    yield "configuration", lambda: f"{config.name}: {config.source.kind} to {config.sink.kind}{_window(config)}"
    yield from config.source.source(config).check()
    if config.mapping is not None and config.mapping.file is not None:
        yield "mapping file", lambda: f"{len(Job.of(config).rows):,} rows"
    yield from config.sink.sink(config).check()
    yield "state", lambda: str(StateDir.open(config.state, config.name))


@contextmanager
def _leaving_no_folders(config: JobConfig) -> Iterator[None]:
    """Remove the local folders that the write test has made: a user who checks a job has not decided to run it."""
    places = [config.sink.folder() or "", *(f"{config.state}/{config.name}/{folder}" for folder in FOLDERS)]
    missing = {
        folder
        for place in places
        if place and is_local(place)
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
