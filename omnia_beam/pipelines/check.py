"""`omnia-beam check`: try every step from the configuration to the destination, and report which one fails and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.text import Text

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig, OmniaSink, OmniaSource, ParquetSink
from omnia_beam.config.connection import OmniaConnection
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.files.folder import check_writable
from omnia_beam.io.omnia.raw_data import RawQuery, fetch_page
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.io.omnia.settings import read_options, service_settings
from omnia_beam.ledger.state_dir import FOLDERS, StateDir
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.backfill import wanted_range
from omnia_beam.pipelines.file_description import describe_files
from omnia_beam.pipelines.migration import MigrationJob
from omnia_beam.pipelines.summary import Summary
from omnia_beam.store import is_remote
from omnia_beam.wire import decode_body

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


def _steps(config: JobConfig) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "configuration", lambda: f"{config.name}: {config.source.kind} to {config.sink.kind}{_window(config)}"
    if isinstance(config.source, OmniaSource):
        yield from _service_steps("source", config.source)
        yield "selection", lambda: _try_selection(config)
        yield "one read", lambda: _try_read(config)
    else:
        yield "source files", lambda: _try_files(config)
    if config.mapping is not None and config.mapping.file is not None:
        yield "mapping file", lambda: f"{len(MigrationJob.of(config).rows):,} rows"
    if isinstance(config.sink, OmniaSink):
        yield from _service_steps("sink", config.sink)
    else:
        yield "destination", lambda: _try_destination(config)
    yield "state", lambda: str(StateDir.open(config.state, config.name))


def _service_steps(what: str, connection: OmniaConnection) -> Iterator[tuple[str, Callable[[], str]]]:
    yield f"{what} address", lambda: _try_address(connection)
    yield f"{what} credential", lambda: _try_token(connection)
    yield f"{what} service", lambda: _try_service(connection)


def _try_address(connection: OmniaConnection) -> str:
    settings = service_settings(connection)
    check_reachable(settings)
    return f"{settings.base_url} can be reached"


def _try_token(connection: OmniaConnection) -> str:
    session = shared_session(service_settings(connection))
    return f"{connection.credential.kind}: {'a token' if session.sign_in() else 'no token needed'}"


def _try_service(connection: OmniaConnection) -> str:
    session = shared_session(service_settings(connection))
    session.send("GET", "", params=[("limit", "1")], idempotent=True)
    return f"{session.settings.base_url} answers"


def _try_selection(config: JobConfig) -> str:
    source = config.source
    assert isinstance(source, OmniaSource)
    ids = select_series(shared_session(service_settings(source)), source.series)
    return f"{len(ids):,} series"


def _try_read(config: JobConfig) -> str:
    source = config.source
    assert isinstance(source, OmniaSource)
    session = shared_session(service_settings(source))
    ids = select_series(session, source.series)
    return _read_one(session, source, ids[:MAX_SERIES_PER_REQUEST], config)


def _read_one(session: ServiceSession, source: OmniaSource, ids: tuple[str, ...], config: JobConfig) -> str:
    options = read_options(source, config.max_chunk_points)
    wanted = wanted_range(config)
    query = RawQuery(
        ids[:1],
        wanted.start_ns,
        wanted.end_ns,
        limit=1,
        statuses=options.statuses,
        federation_source=source.federation_source,
        format=options.format,
    )
    page = decode_body(fetch_page(session, query), options.format)
    times = [int(item.times[0]) for item in page.items if item.times is not None and len(item.times)]
    if not times:
        return f"{ids[0]} can be read and has no points in the window"
    return f"{ids[0]} can be read; its first point in the window is at {format_time(times[0])}"


def _try_files(config: JobConfig) -> str:
    if isinstance(config.source, OmniaSource):
        raise TypeError("a service has no files")
    return "\n    ".join(describe_files(config.source).lines())


def _try_destination(config: JobConfig) -> str:
    path = config.sink.path if isinstance(config.sink, ParquetSink) else getattr(config.sink, "path", "")
    check_writable(path)
    return f"{path} can be written"


@contextmanager
def _leaving_no_folders(config: JobConfig) -> Iterator[None]:
    """Remove the local folders that the write test has made: a user who checks a job has not decided to run it."""
    places = [getattr(config.sink, "path", ""), *(f"{config.state}/{config.name}/{folder}" for folder in FOLDERS)]
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
