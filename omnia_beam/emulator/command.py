"""The command line of the emulators: `omnia-beam emulator [omnia|pi]`, or `python -m omnia_beam.emulator [omnia|pi]`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from omnia_beam.emulator.common.allocator import keep_freed_memory
from omnia_beam.emulator.common.timetext import parse_time
from omnia_beam.emulator.omnia.faults import KINDS as OMNIA_FAULTS
from omnia_beam.emulator.pi.faults import KINDS as PI_FAULTS
from omnia_beam.emulator.pi.settings import MAX_ITEMS, ROUNDINGS, PiSettings
from omnia_beam.emulator.settings import MAX_BODY, Settings, parse_rate

if TYPE_CHECKING:
    from omnia_beam.emulator.common.serving.server import Server
    from omnia_beam.emulator.common.serving.service import SharedService

_T = TypeVar("_T")
_FAULT_HELP = (
    "a rule such as 'path=/data method=GET status=503 rate=0.1 count=5 after=2'; repeatable, changed at run time by "
    "POST <url>/_emulator/faults (a JSON list of rules); kinds"
)


class _AnyName(ChainMap[str, Any]):
    """The names of the services, which any text passes as: the action below refuses the others with a better message."""

    def __contains__(self, name: object) -> bool:
        return True


class _Services(argparse._SubParsersAction):  # type: ignore[type-arg]  # generic in its stub alone, not when it runs
    """The choice of a service. Its options come behind it, because those before it would be forgotten."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.choices = _AnyName(self._name_parser_map)  # type: ignore[assignment]  # argparse asks for a mapping, not a dict

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        if values[0] not in self._name_parser_map:
            # It may be the value of an option that is misspelt: both are then named together.
            vars(namespace).setdefault(argparse._UNRECOGNIZED_ARGS_ATTR, []).extend(values)
            return
        for name, value in vars(namespace).items():
            if name != self.dest and value != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')} stands before the service: its options come behind it")
        super().__call__(parser, namespace, values, option_string)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a service and the options of each to a parser; without a choice it is `omnia`."""
    _add_omnia(parser)
    services = parser.add_subparsers(
        dest="service",
        metavar="omnia|pi",
        title="services",
        action=_Services,
        description="'omnia' where none is named",
    )
    omnia = services.add_parser("omnia", help="the Omnia Timeseries API (default)")
    _add_omnia(omnia)
    _add_pi(services.add_parser("pi", help="a PI Web API with one data server"))


def serve(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ValueError, OSError, OverflowError: an argument cannot be used.
        ModuleNotFoundError: the extra `emulator` is not installed.
    """
    keep_freed_memory()
    asyncio.run(_serve(settings_of(args)))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return exit code 0 after a clean stop, 2 for arguments that cannot be used.

    Raises ModuleNotFoundError where the extra `emulator` is not installed.
    """
    try:
        serve(args)
    except (ValueError, OSError, OverflowError) as error:  # OverflowError is for a port out of range
        print(f"omnia-beam emulator: {error}", file=sys.stderr)
        return 2
    return 0


def settings_of(args: argparse.Namespace) -> Settings | PiSettings:
    """Return the settings of parsed arguments."""
    kind: type[Settings] | type[PiSettings] = PiSettings if args.service == "pi" else Settings
    given: dict[str, Any] = {field.name: getattr(args, field.name) for field in fields(kind)}
    given.update({name: tuple(value) for name, value in given.items() if isinstance(value, list)})
    return kind(**given)


def settings_from(arguments: list[str]) -> Settings | PiSettings:
    """Return the settings of a command line; argparse ends the process where the command line is wrong."""
    parser = argparse.ArgumentParser(prog="omnia-beam emulator")
    add_arguments(parser)
    return settings_of(parser.parse_args(arguments))


def built(
    settings: Settings | PiSettings, series: Mapping[str, Any] | None = None, control_token: str | None = None
) -> tuple[SharedService, Server]:
    """Return the service that the settings describe, and its server, not started.

    Raises ValueError or OSError, which names the unusable setting.
    """
    # Imported here, because every command of omnia-beam reads these options and only this one needs a web server.
    if isinstance(settings, PiSettings):
        from omnia_beam.emulator.pi.server import PiServer
        from omnia_beam.emulator.pi.service import build_service as build_pi

        pi = build_pi(settings, series, control_token)
        return pi, PiServer(pi)
    from omnia_beam.emulator.omnia.server import OmniaServer
    from omnia_beam.emulator.omnia.service import build_service

    omnia = build_service(settings, dict(series or {}), control_token)
    return omnia, OmniaServer(omnia)


async def _serve(settings: Settings | PiSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores it
            loop.add_signal_handler(number, stop.set)
    gc.disable()  # a hundred thousand series are a million objects that stay: none can be collected
    service, server = built(settings)
    gc.freeze()
    gc.enable()
    try:
        await server.start()
        print(json.dumps({"url": server.url, "pid": os.getpid()}), flush=True)
        await stop.wait()
        await server.stop()
    finally:
        await service.close()


def _add_omnia(parser: argparse.ArgumentParser) -> None:
    """Add every option of the emulated Omnia service."""
    kinds = "dense, sparse, bursty, stepped, mixed, late, hostile"
    data = _add_shared_data(parser, kinds)
    data.add_argument("--facility", default="EMU", help="facility of the series from files (default: %(default)s)")
    add = parser.add_argument_group("access").add_argument
    add("--auth", choices=("none", "bearer"), default="none", help="'bearer' wants a token (default: none)")
    add("--jwks", metavar="FILE", help="JSON Web Key Set of the tokens' issuer; without it signatures are not checked")
    add("--audience", action="append", default=[], metavar="ID", help="audience that a token must have; repeatable")
    add("--issuer", metavar="URL", help="issuer that a token must have")
    add("--subscription-key-env", metavar="NAME", help="environment variable with the subscription key to require")
    behaviour = parser.add_argument_group("behaviour")
    _add_shared_behaviour(behaviour, OMNIA_FAULTS, retry_after="seconds")
    add = behaviour.add_argument
    add("--end-time", choices=("exclusive", "inclusive"), default="exclusive", help="whether endTime is part of it")
    add("--limit-scope", choices=("item", "answer"), default="item", help="what `limit` counts in a query of many")
    add("--protobuf", choices=("on", "off"), default="on", help="'off' answers JSON only")
    add("--token-ttl", type=float, metavar="SECONDS", help="continuation tokens expire")
    add("--async-delay-ms", type=float, default=0.0, metavar="N", help="when queued writes become visible")
    add("--max-write-points", type=int, metavar="N", help="413 for writes of more points")


def _add_pi(parser: argparse.ArgumentParser) -> None:
    """Add every option of the emulated PI Web API."""
    kinds = "dense, sparse, bursty, stepped, mixed, late, hostile; 'hostile-pi' adds points that are hard to read"
    data = _add_shared_data(parser, kinds)
    data.add_argument("--data-server", default="EMU", metavar="NAME", help="its name (default: %(default)s)")
    add = parser.add_argument_group("access").add_argument
    text = "'basic' wants the user and the password in PI_USER and PI_PASSWORD (default: none)"
    add("--auth", choices=("none", "basic"), default="none", help=text)
    behaviour = parser.add_argument_group("behaviour")
    _add_shared_behaviour(behaviour, PI_FAULTS, retry_after="none")
    add = behaviour.add_argument
    text = "most items that a request may ask for, 400 above (default: %(default)s)"
    add("--max-items", type=int, default=MAX_ITEMS, metavar="N", help=text)
    text = "how times are put on the archive's grid of 1/65536 s; 'none' keeps 100 ns (default: %(default)s)"
    add("--rounding", choices=ROUNDINGS, default="nearest", help=text)
    text = "what maxCount counts in streamsets/recorded (default: %(default)s)"
    add("--streamset-limit", choices=("stream", "request"), default="stream", help=text)
    text = "the server's own, for times without one (default: %(default)s)"
    add("--time-zone", default="UTC", metavar="NAME", help=text)
    add("--csrf", action="store_true", help="refuse requests other than GET without the header X-Requested-With")


def _add_shared_data(parser: argparse.ArgumentParser, kinds: str) -> argparse._ArgumentGroup:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--data", nargs="+", action="extend", default=[], metavar="FILE", help="CSV or Parquet files, globs, folders")
    text = f"'default', or KIND:series=N,days=D,step=1s[,start=2024-01-01] with KIND one of {kinds}; repeatable"
    add("--synthetic", action="append", default=[], metavar="SPEC", help=text)
    add("--seed", type=int, default=0, help="seed of synthetic points, faults and tokens (default: %(default)s)")
    add("--state-dir", metavar="DIR", help="keep what is written here; survives a kill -9")
    return data


def _add_shared_behaviour(group: argparse._ArgumentGroup, faults: Iterable[str], *, retry_after: str) -> None:
    add = group.add_argument
    text = "environment variable with a bearer token for the emulator's own endpoints, beside what the service takes"
    add("--control-token-env", metavar="NAME", help=text)
    add("--rate-limit", type=_checked(parse_rate), metavar="N/s", help="429 above this rate")
    text = "the header of a 429 (default: %(default)s)"
    add("--retry-after", choices=("seconds", "date", "none"), default=retry_after, help=text)
    add("--latency-ms", type=float, default=0.0, metavar="N", help="delay of every answer")
    add("--gzip", action="store_true", help="compress answers for clients that accept it")
    text = "413 for larger request bodies, unpacked (default: %(default)s)"
    add("--max-body", type=int, default=MAX_BODY, metavar="BYTES", help=text)
    add("--fault", action="append", default=[], metavar="RULE", help=f"{_FAULT_HELP}: {', '.join(faults)}")
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
