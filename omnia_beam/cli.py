"""The command line: it reads arguments and returns exit codes. The work is done in `pipelines`.

Exit codes: 0 complete; 1 finished but incomplete; 2 bad usage or configuration; 3 the service or the destination is
unreachable or refuses the credential; 74 complete, but the output could not be written; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Any, Final, NoReturn

from omnia_beam.beam.stop_signals import handling_stop_signals
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.nearest import did_you_mean
from omnia_beam.pipelines.command_end import EXIT_COMPLETE, EXIT_USAGE, CommandEnd
from omnia_beam.pipelines.streams import guarded_streams, set_up_logging

_TIME_OPTIONS: Final = ("--start", "--end")
_OPTIONS_WITH_VALUE: Final = (*_TIME_OPTIONS, "--set", "--runner", "--workers", "--mapping-template")
_OWN_OPTIONS: Final = ("-h", "--help", "--version")
"""Options of `omnia-beam` itself. All others belong to the command, wherever they are written."""

_MINUS_TIME: Final = re.compile(r"-\d")

_CONFIG_COMMANDS: Final = {
    "backfill": "copy the selected series out of the service, whole windows at a time; run it again to go on",
    "migrate": "copy series to another historian or to files, ids, units and statuses mapped; run it again to go on",
    "tail": "keep a copy fresh: look at the source again and again, and read late points once more; stop it with Ctrl-C",
    "replay": "send a job's dead letters again, after what refused them was mended",
    "plan": "show what a job would take, and what a migration would lose, without moving anything",
    "verify": "read the destination again, compare it with what was copied, and tell every difference",
    "status": "show what is copied and what is missing, from the job's own records, without asking the service",
    "check": "try configuration, token, service, one read and the destination; writes nothing",
    "series": "list what the selection resolves to",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    own, beam_args = _split(sys.argv[1:] if argv is None else argv)
    arguments = _command_first(own)
    # Made before anything is imported, so that a signal during a slow import is reported too.
    end = CommandEnd(arguments[0] if arguments else "", "--json" in arguments)
    with guarded_streams() as output, _terminated_as_interrupted():
        code = _run(end, arguments, beam_args)
        output.flush()
        return end.written(code, output)


def _run(end: CommandEnd, arguments: Sequence[str], beam_args: Sequence[str]) -> int:
    try:
        args = _parsed(arguments)
        set_up_logging(_log_level(args))
        command: Callable[[argparse.Namespace, Sequence[str]], int] = args.run
        return command(args, beam_args)
    except OmniaBeamError as error:
        return end.failed(error)
    except KeyboardInterrupt as interrupt:
        return end.interrupted(interrupt)
    except Exception as error:
        return end.failed_unexpectedly(error)
    finally:
        _end_requests()


def _log_level(args: argparse.Namespace) -> int:
    if getattr(args, "verbose", False):
        return logging.DEBUG
    return logging.WARNING if getattr(args, "quiet", False) else logging.INFO


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
    raise KeyboardInterrupt


def _end_requests() -> None:
    """Close the sessions, if any were made: a thread that still reads a long response would keep the process alive."""
    shared = sys.modules.get("omnia_beam.net.http.shared")
    if shared is not None:
        shared.reset_shared_sessions()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the help to read."""

    commands: dict[str, argparse.ArgumentParser]

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    @property
    def options(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments. An unknown command or option ends the process with a message that names the nearest one."""
    parser = _parser(arguments[0] if arguments else "")
    if arguments and not arguments[0].startswith("-") and arguments[0] not in parser.commands:
        near = did_you_mean(arguments[0], parser.commands)
        parser.error(f"there is no command {arguments[0]!r}{near or '.'} The commands are {', '.join(parser.commands)}")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = parser.commands[args.command]
        known = command.options if isinstance(command, _Parser) else []
        told = (f"{each}{did_you_mean(each.partition('=')[0], known)}" for each in unknown)
        command.error(f"unrecognized arguments: {' '.join(told)}")
    return args


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return omnia-beam's own arguments, and those for Beam behind `--`."""
    arguments = list(argv)
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _command_first(arguments: Sequence[str]) -> list[str]:
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


def _parser(chosen: str | None = None) -> _Parser:
    from omnia_beam import __version__

    parser = _Parser(
        prog="omnia-beam",
        description="Move industrial time series, fast and provably complete.",
        epilog="omnia-beam COMMAND --help shows a command's options, which may stand anywhere; Beam's own go behind --",
    )
    parser.add_argument("--version", action="version", version=f"omnia-beam {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, text in _CONFIG_COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _add_config_arguments(command)
        if name == "series":
            command.add_argument("--format", choices=["table", "csv", "json"], default="table", help="how to print")
        if name == "replay":
            command.add_argument(
                "--dead-letters",
                metavar="PATH",
                type=os.path.expanduser,
                help="a folder of dead letters or one file of it, instead of the job's own",
            )
        if name == "verify":
            _add_verify_arguments(command)
        if name == "plan":
            command.add_argument(
                "--mapping-template",
                metavar="FILE.csv",
                help="write a mapping file to be reviewed: each series' best target",
            )
        command.set_defaults(run=_run_config_command, command=name)
    _add_init(commands)
    _add_schema(commands)
    _add_emulator(commands, given=chosen in (None, "emulator"))
    _add_demo(commands)
    parser.commands = dict(commands.choices)
    return parser


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", help="the job's configuration")
    parser.add_argument(
        "--set", metavar="KEY.PATH=VALUE", action="append", default=[], help="override a configuration key; repeatable"
    )
    parser.add_argument("--start", metavar="TIME", help="override window.start")
    parser.add_argument("--end", metavar="TIME", help="override window.end")
    parser.add_argument("--workers", metavar="N", help="override workers: processes on this machine, one budget")
    _add_output_arguments(parser)
    parser.add_argument("--runner", help="a Beam runner; the default runs in this process. Its options go behind --")


def _add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", action="store_true", help="read the source again too, and compare with it")
    parser.add_argument("--repair", action="store_true", help="copy again just what differs, then look again")
    parser.add_argument(
        "--report",
        metavar="DIR",
        type=os.path.expanduser,
        help="where to put report.json and report.html (default: runs/ of the job's state)",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the last line of stdout is one JSON summary object")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors and the summary")
    parser.add_argument("--verbose", action="store_true", help="log each request and each window to stderr")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar and no progress lines")


def _add_init(commands: Any) -> None:
    parser = commands.add_parser("init", help="print a commented job of two kinds, to be filled in")
    parser.add_argument("source", metavar="SOURCE", help="the kind of source, such as omnia or csv")
    parser.add_argument("sink", metavar="SINK", help="the kind of sink, such as parquet or omnia")
    text = "write it there, and the JSON Schema beside it for the editor"
    parser.add_argument("--output", metavar="job.yaml", type=os.path.expanduser, help=text)
    text = "files of the source to look at: what they are seen to be is written into the job; repeatable"
    parser.add_argument("--path", action="append", default=[], metavar="FILES", help=text)
    parser.set_defaults(run=_run_init, command="init")


def _run_init(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from omnia_beam.config.starter import starter_job, write_starter
    from omnia_beam.pipelines.file_description import starter_keys

    known = starter_keys(args.source, tuple(args.path))
    if args.output is None:
        print(starter_job(args.source, args.sink, *known), end="")
    else:
        for line in write_starter(args.source, args.sink, args.output, *known):
            print(line, file=sys.stderr)
    return EXIT_COMPLETE


def _add_schema(commands: Any) -> None:
    parser = commands.add_parser("schema", help="print the JSON Schema of the configuration")
    parser.set_defaults(run=_run_schema, command="schema")


def _add_emulator(commands: Any, *, given: bool) -> None:
    parser = commands.add_parser("emulator", help="serve an Omnia Timeseries API on this machine, for tests and demos")
    if given:  # its options are those of a large module
        from omnia_beam.emulator.command import add_arguments

        add_arguments(parser)
    parser.set_defaults(run=_run_emulator, command="emulator")


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="back up a synthetic plant from an emulator to Parquet, on this machine")
    parser.add_argument(
        "--path", default="demo-out", type=os.path.expanduser, help="where to write (default: demo-out)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="let the emulator serve on, so that the job can be run again"
    )
    _add_output_arguments(parser)
    parser.set_defaults(run=_run_demo, command="demo")


def _run_emulator(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from omnia_beam.emulator.command import run

    try:
        return run(args)
    except ModuleNotFoundError as error:
        return _missing_extra(error.name)


def _missing_extra(module: str | None) -> int:
    raise UsageError(f"this command needs the module {module}: pip install 'omnia-beam[emulator]'")


def _run_schema(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from omnia_beam.config import json_schema

    print(json.dumps(json_schema(), indent=2))
    return EXIT_COMPLETE


def _run_demo(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    if find_spec("aiohttp") is None:
        return _missing_extra("aiohttp")
    from omnia_beam.emulator.process import EmulatorProcess
    from omnia_beam.pipelines.demo import run_demo

    serve = partial(EmulatorProcess, detached=args.keep)
    return _finished(args, run_demo(args.path, _context(args, beam_args), serve, keep=args.keep))


def _run_config_command(args: argparse.Namespace, beam_args: Sequence[str]) -> int:
    from omnia_beam.beam.allocator import use_one_arena
    from omnia_beam.config import load_config

    use_one_arena()
    context = _context(args, beam_args)
    overrides = args.set if args.workers is None else [*args.set, f"workers={args.workers}"]
    job = load_config(args.config, overrides=overrides, start=args.start, end=args.end, now_ns=time.time_ns())
    if args.command == "backfill":
        from omnia_beam.pipelines.backfill import run_backfill

        return _finished(args, run_backfill(job, context))
    if args.command == "migrate":
        from omnia_beam.pipelines.migrate import run_migrate

        return _finished(args, run_migrate(job, context))
    if args.command == "tail":
        from omnia_beam.pipelines.tail.tail import run_tail

        return _finished(args, run_tail(job, context))
    if args.command == "replay":
        from omnia_beam.pipelines.replay.replay import run_replay

        return _finished(args, run_replay(job, context, args.dead_letters and job.placed(args.dead_letters)))
    if args.command == "plan":
        from omnia_beam.pipelines.plan import run_plan

        return _finished(args, run_plan(job, context, args.mapping_template))
    if args.command == "verify":
        from omnia_beam.pipelines.verify.verify import run_verify

        report = args.report and job.placed(args.report)
        return _finished(args, run_verify(job, context, source=args.source, repair=args.repair, report=report))
    if args.command == "status":
        return _run_status(args, job, context)
    if args.command == "check":
        from omnia_beam.pipelines.check import run_check

        return int(run_check(job, context, as_json=args.json))
    from omnia_beam.pipelines.series_list import run_series

    listed = run_series(job, context, "json" if args.json and args.format == "table" else args.format)
    if args.json:
        print(json.dumps(listed.to_json()), flush=True)
    return EXIT_COMPLETE


def _run_status(args: argparse.Namespace, job: Any, context: Any) -> int:
    from omnia_beam.pipelines.status import run_status

    summary = run_status(job, context, as_json=args.json)
    if args.json:
        print(json.dumps(summary.to_json()), flush=True)
    return int(summary.exit_code)


def _context(args: argparse.Namespace, beam_args: Sequence[str]) -> Any:
    from omnia_beam.beam.context import RunContext
    from omnia_beam.beam.runner import pipeline_options
    from omnia_beam.beam.terminal import console

    out, err = console(), console(stderr=True)
    kind = "none" if args.no_progress or args.quiet else "bar" if err.is_terminal else "log"
    runner = getattr(args, "runner", None)
    looks_only = args.command in ("plan", "status", "check", "series") and not runner and not beam_args
    return RunContext(
        options=None if looks_only else pipeline_options(runner, beam_args),
        out=out,
        err=err,
        progress=kind,  # type: ignore[arg-type]  # mypy widens the conditional to str
        quiet=args.quiet,
    )


def _finished(args: argparse.Namespace, summary: Any) -> int:
    from omnia_beam.beam.terminal import console
    from omnia_beam.pipelines.summary import print_summary

    if args.json:
        print(json.dumps(summary.to_json()), flush=True)
    elif summary.command != "plan":  # `plan` has printed its figures
        print_summary(summary, console())
    return int(summary.exit_code)


if __name__ == "__main__":
    sys.exit(main())
