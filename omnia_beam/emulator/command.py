"""The command line of the emulator: `omnia-beam emulator`, or `python -m omnia_beam.emulator`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from omnia_beam.emulator.common.allocator import keep_freed_memory
from omnia_beam.emulator.common.timetext import parse_time
from omnia_beam.emulator.omnia.faults import KINDS
from omnia_beam.emulator.settings import MAX_BODY, Settings, parse_rate

_T = TypeVar("_T")
_FAULT_HELP = (
    "a rule such as 'path=/data method=GET status=503 rate=0.1 count=5 after=2'; repeatable, changed at run time by "
    "POST <url>/_emulator/faults (a JSON list of rules); kinds"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option of the emulator to a parser."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--data", nargs="+", action="extend", default=[], metavar="FILE", help="CSV or Parquet files, globs, folders")
    add(
        "--synthetic",
        action="append",
        default=[],
        metavar="SPEC",
        help="'default', or KIND:series=N,days=D,step=1s[,start=2024-01-01] with KIND one of dense, sparse, bursty, "
        "stepped, mixed, late, hostile; repeatable",
    )
    add("--facility", default="EMU", help="facility of the series from files (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of synthetic points, faults and tokens (default: %(default)s)")
    add("--state-dir", metavar="DIR", help="keep what is written here; survives a kill -9")
    _add_access(parser.add_argument_group("access"))
    _add_behaviour(parser.add_argument_group("behaviour"))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return exit code 0 after a clean stop, 2 for arguments that cannot be used.

    Raises ModuleNotFoundError where the extra `emulator` is not installed.
    """
    keep_freed_memory()
    try:
        return asyncio.run(_serve(settings_of(args)))
    except (ValueError, OSError, OverflowError) as error:  # OverflowError is for a port out of range
        print(f"omnia-beam emulator: {error}", file=sys.stderr)
        return 2


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings of parsed arguments."""
    given: dict[str, Any] = {field.name: getattr(args, field.name) for field in fields(Settings)}
    given.update({name: tuple(value) for name, value in given.items() if isinstance(value, list)})
    return Settings(**given)


def settings_from(arguments: list[str]) -> Settings:
    """Return the settings of a command line; argparse ends the process where the command line is wrong."""
    parser = argparse.ArgumentParser(prog="omnia-beam emulator")
    add_arguments(parser)
    return settings_of(parser.parse_args(arguments))


async def _serve(settings: Settings) -> int:
    # Imported here, because every command of omnia-beam reads these options and only this one needs a web server.
    from omnia_beam.emulator.omnia.server import OmniaServer
    from omnia_beam.emulator.omnia.service import build_service

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores it
            loop.add_signal_handler(number, stop.set)
    gc.disable()  # a hundred thousand series are a million objects that stay: none can be collected
    service = build_service(settings)
    gc.freeze()
    gc.enable()
    server = OmniaServer(service)
    try:
        await server.start()
        print(json.dumps({"url": server.url, "pid": os.getpid()}), flush=True)
        await stop.wait()
        await server.stop()
    finally:
        await service.close()
    return 0


def _add_access(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--auth", choices=("none", "bearer"), default="none", help="'bearer' wants a token (default: none)")
    add("--jwks", metavar="FILE", help="JSON Web Key Set of the tokens' issuer; without it signatures are not checked")
    add("--audience", action="append", default=[], metavar="ID", help="audience that a token must have; repeatable")
    add("--issuer", metavar="URL", help="issuer that a token must have")
    add("--subscription-key-env", metavar="NAME", help="environment variable with the subscription key to require")
    add(
        "--control-token-env",
        metavar="NAME",
        help="environment variable with a bearer token for the emulator's own endpoints, beside what the service takes",
    )
    add("--rate-limit", type=_checked(parse_rate), metavar="N/s", help="429 above this rate")
    add("--retry-after", choices=("seconds", "date", "none"), default="seconds", help="the header of a 429")


def _add_behaviour(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--latency-ms", type=float, default=0.0, metavar="N", help="delay of every answer")
    add("--end-time", choices=("exclusive", "inclusive"), default="exclusive", help="whether endTime is part of it")
    add("--limit-scope", choices=("item", "answer"), default="item", help="what `limit` counts in a query of many")
    add("--protobuf", choices=("on", "off"), default="on", help="'off' answers JSON only")
    add("--gzip", action="store_true", help="compress answers for clients that accept it")
    add("--token-ttl", type=float, metavar="SECONDS", help="continuation tokens expire")
    add("--async-delay-ms", type=float, default=0.0, metavar="N", help="when queued writes become visible")
    add(
        "--max-body",
        type=int,
        default=MAX_BODY,
        metavar="BYTES",
        help="413 for larger request bodies, unpacked (default: %(default)s)",
    )
    add("--max-write-points", type=int, metavar="N", help="413 for writes of more points")
    add("--fault", action="append", default=[], metavar="RULE", help=f"{_FAULT_HELP}: {', '.join(KINDS)}")
    add("--now", type=_checked(parse_time), metavar="TIME", help="what the emulator's clock shows at its start")
    add("--clock-rate", type=float, default=1.0, metavar="X", help="how fast the emulator's clock runs")


def _checked(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return the reader with its own message kept: argparse shows only the message of its own error."""

    def checked(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
