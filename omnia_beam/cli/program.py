"""Run one command of the table, and end as it ends."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType

from omnia_beam.beam.stop_signals import handling_stop_signals
from omnia_beam.cli.arguments import command_first, parse, split_at_dashes
from omnia_beam.cli.command import Call, Command
from omnia_beam.cli.command_end import CommandEnd
from omnia_beam.cli.streams import guarded_streams, set_up_logging
from omnia_beam.cli.table import COMMANDS
from omnia_beam.core.errors import Interrupted, OmniaBeamError

_BY_NAME = {each.name: each for each in COMMANDS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    own, beam_args = split_at_dashes(sys.argv[1:] if argv is None else argv)
    arguments = command_first(own)
    name = arguments[0] if arguments else ""
    # Made before anything else is imported, so that a signal during a slow import is reported too.
    end = CommandEnd(name, "--json" in arguments, only_shows=name in _BY_NAME and _BY_NAME[name].only_shows)
    with guarded_streams() as output, _terminated_as_interrupted():
        code = _run(end, arguments, beam_args)
        output.flush()
        return end.written(code, output)


def _run(end: CommandEnd, arguments: Sequence[str], beam_args: Sequence[str]) -> int:
    try:
        if _wants_json_lines(arguments):  # misspelt words are reported as objects, too
            set_up_logging(logging.INFO, "json")
        args = parse(arguments, COMMANDS)
        set_up_logging(_log_level(args), vars(args).get("log_format") or "text")
        call = Call(args, beam_args)
        command: Command = _BY_NAME[args.command]
        return end.finished(command.run(call), as_json=call.as_json)
    except OmniaBeamError as error:
        return end.failed(error)
    except KeyboardInterrupt as interrupt:
        return end.interrupted(interrupt)
    except Exception as error:
        return end.failed_unexpectedly(error)
    finally:
        _end_requests()


def _wants_json_lines(arguments: Sequence[str]) -> bool:
    """Return whether words ask for a JSON log, whether or not the rest of them is a command."""
    words = " ".join(arguments).replace("=", " ").split()
    return ("--log-format", "json") in pairwise(words)


def _log_level(args: argparse.Namespace) -> int:
    options = vars(args)  # not all commands have them
    if options.get("verbose"):
        return logging.DEBUG
    return logging.WARNING if options.get("quiet") else logging.INFO


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as SIGINT does, also in planning, before a pipeline handles signals itself.

    Signal handlers and logging are restored at the end: tests and notebooks call `main` too, and their streams come and go.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with handling_stop_signals(_interrupt):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _end_requests() -> None:
    """Close the sessions, if any were made: a thread that still reads a long response would keep the process alive."""
    shared = sys.modules.get("omnia_beam.net.http.shared")
    if shared is not None:
        shared.reset_shared_sessions()
