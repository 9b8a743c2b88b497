"""Parse the command line: its commands, their options, and those that are for Beam."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from omnia_beam.cli.command import Command
from omnia_beam.cli.command_end import EXIT_USAGE
from omnia_beam.core.text import did_you_mean

_TIME_OPTIONS: Final = ("--start", "--end")
_OPTIONS_WITH_VALUE: Final = (
    *_TIME_OPTIONS,
    "--set",
    "--runner",
    "--workers",
    "--mapping-template",
    "--log-format",
    "--gap",
    "--until-lag",
    "--html",
)
_OWN_OPTIONS: Final = ("-h", "--help", "--version")
"""Options of `omnia-beam` itself. All others belong to the command, wherever they are written."""

_MINUS_TIME: Final = re.compile(r"-\d")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the help to read."""

    commands: dict[str, Parser]

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    @property
    def options(self) -> list[str]:
        inner = (action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction))
        own = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        return own + [name for choices in inner for parser in choices.values() for name in parser.options]


def build_parser(commands: Iterable[Command], only: str | None = None) -> Parser:
    """Return the parser of the program.

    Args:
        commands: the table.
        only: the command whose arguments are added, since those of others may have to be imported first; None for all.
    """
    from omnia_beam import __version__

    parser = Parser(
        prog="omnia-beam",
        description="Move industrial time series, fast and provably complete.",
        epilog="Begin with `omnia-beam demo`, or with `omnia-beam init SOURCE SINK` for a job of your own. "
        "omnia-beam COMMAND --help shows a command's options, which may be anywhere; Beam's own options follow --",
    )
    parser.add_argument("--version", action="version", version=f"omnia-beam {__version__}")
    choices = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for each in commands:
        command = choices.add_parser(each.name, help=each.help, description=each.description)
        if only in (None, each.name):
            each.add_arguments(command)
        command.set_defaults(command=each.name)
    parser.commands = dict(choices.choices)
    return parser


def parse(arguments: Sequence[str], commands: Iterable[Command]) -> argparse.Namespace:
    """Return the parsed arguments. An unknown command or option ends the process with a message that names the nearest one.

    Args:
        arguments: with the command first (see `command_first`).
        commands: the table.
    """
    parser = build_parser(commands, only=arguments[0] if arguments else "")
    if not arguments:
        parser.error(
            "give a command, such as `omnia-beam demo`, or `omnia-beam init csv parquet` for a job of your own"
        )
    if arguments and not arguments[0].startswith("-") and arguments[0] not in parser.commands:
        near = did_you_mean(arguments[0], parser.commands)
        parser.error(f"there is no command {arguments[0]!r}{near or '.'} The commands are {', '.join(parser.commands)}")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = parser.commands[args.command]
        shown = (f"{each}{did_you_mean(each.partition('=')[0], command.options)}" for each in unknown)
        command.error(f"unrecognized arguments: {' '.join(shown)}")
    return args


def split_at_dashes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return omnia-beam's own arguments, and those for Beam behind `--`."""
    arguments = list(argv)
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def command_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the command first, and times that begin with a minus bound to their option.

    `--json backfill job.yaml` means what `backfill job.yaml --json` does; argparse takes `-7d` in `--start -7d` for an
    option that it does not know.
    """
    bound: list[str] = []
    for argument in arguments:
        if bound and bound[-1] in _TIME_OPTIONS and _MINUS_TIME.match(argument):
            bound[-1] += f"={argument}"
        else:
            bound.append(argument)
    at = 0
    while at < len(bound) and bound[at].startswith("-") and bound[at] not in _OWN_OPTIONS:
        at += 2 if bound[at] in _OPTIONS_WITH_VALUE else 1
    return [*bound[at : at + 1], *bound[:at], *bound[at + 1 :]]


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a command prints."""
    parser.add_argument("--json", action="store_true", help="the last line of stdout is one JSON summary object")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors and the summary")
    parser.add_argument("--verbose", action="store_true", help="log each request and each window to stderr")
    parser.add_argument("--log-format", choices=["text", "json"], help="json: every line of stderr is one object")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar and no progress lines")


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every command that takes a job's configuration."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="the job's configuration")
    parser.add_argument(
        "--set", metavar="KEY.PATH=VALUE", action="append", default=[], help="override a configuration key; repeatable"
    )
    parser.add_argument("--start", metavar="TIME", help="override window.start")
    parser.add_argument("--end", metavar="TIME", help="override window.end")
    parser.add_argument("--workers", metavar="N", help="override workers: processes on this machine, one budget")
    add_output_arguments(parser)
    parser.add_argument("--runner", help="a Beam runner; the default runs in this process. Its options follow --")
