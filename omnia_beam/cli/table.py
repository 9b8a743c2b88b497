"""The table of commands. Each imports its pipeline when it runs, so that `--help` and the light ones start at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.cli.arguments import add_job_arguments, add_output_arguments
from omnia_beam.cli.command import Call, Command
from omnia_beam.core.errors import UsageError
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import printable
from omnia_beam.pipelines.result import CommandResult

if TYPE_CHECKING:  # rich comes with it
    from omnia_beam.beam.context import RunContext


def _backfill(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.measured import measured
    from omnia_beam.pipelines.run import run_backfill

    return _summed_up(measured(run_backfill, job, context), context)


def _migrate(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.measured import measured
    from omnia_beam.pipelines.run import run_migrate

    return _summed_up(measured(run_migrate, job, context), context)


def _tail_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--until-lag",
        metavar="DURATION",
        help="end with 0 as soon as the copy is no further behind than this, such as 10m",
    )


def _tail(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.measured import measured
    from omnia_beam.pipelines.tail.tail import run_tail, until_lag

    follow = partial(run_tail, until_lag_ns=until_lag(job, call.args.until_lag))
    return _summed_up(measured(follow, job, context), context)


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--dead-letters",
        metavar="PATH",
        type=os.path.expanduser,
        help="a folder of dead letters or one file of it, instead of the job's own",
    )


def _replay(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.measured import measured
    from omnia_beam.pipelines.replay.replay import run_replay

    return _summed_up(
        measured(run_replay, job, context, call.args.dead_letters and job.placed(call.args.dead_letters)), context
    )


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--mapping-template",
        metavar="FILE.csv",
        help="write a mapping file for review, with the best target of each series",
    )


def _plan(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.plan import run_plan

    return run_plan(job, context, call.args.mapping_template)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument("--source", action="store_true", help="read the source again too, and compare with it")
    parser.add_argument("--repair", action="store_true", help="copy again only what differs, then verify it")
    parser.add_argument(
        "--report",
        metavar="DIR",
        type=os.path.expanduser,
        help="where to put report.html, report.json and differences.csv (default: runs/ of the job's state)",
    )


def _verify(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.verify.verify import run_verify

    args = call.args
    summary = run_verify(
        job, context, source=args.source, repair=args.repair, report=args.report and job.placed(args.report)
    )
    return _summed_up(summary, context)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="check", choices=["check"], help="compare a report with the digest that it carries"
    )
    parser.add_argument("file", metavar="FILE", type=os.path.expanduser, help="a report.html or report.json of verify")
    parser.add_argument("--json", action="store_true", help="the last line of stdout is one JSON summary object")


def _report(call: Call) -> CommandResult:
    from omnia_beam.pipelines.verify.report_digest import check_report

    found = check_report(call.args.file)
    details = {
        "file": call.args.file,
        "digest": found.digest,
        "problems": list(found.problems),
        "beside": list(found.beside),
    }
    summary = Summary("report", status="incomplete" if found.problems else "complete", details=details)
    lines = found.problems or tuple(
        f"{printable(file)}: unchanged since it was written" for file in (call.args.file, *found.beside)
    )
    return CommandResult(summary, partial(print, *lines, sep="\n"))


def _status(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.status.command import run_status

    return run_status(job, context)


def _check(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.check import print_step, run_check

    # A step may take long, so each is printed once it has been tried, and nothing is left to print at the end.
    return run_check(job, context, (lambda step: None) if call.as_json else partial(print_step, context.out))


def _series_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument("--format", choices=["table", "csv", "json"], default="table", help="how to print")


def _series(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.series_list import run_series

    form = call.args.format
    return run_series(job, context, "json" if call.as_json and form == "table" else form)


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument("--gap", metavar="DURATION", default="1h", help="longest time that is no gap (1h)")
    parser.add_argument("--html", metavar="FILE", type=os.path.expanduser, help="write the figures as a page")


def _profile(call: Call) -> CommandResult:
    job, context = call.job()
    from omnia_beam.pipelines.profile.command import run_profile

    args = call.args
    return run_profile(job, context, args.gap, html=args.html, given=(args.start is not None, args.end is not None))


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="the kind of source, such as omnia or csv")
    parser.add_argument("sink", metavar="SINK", help="the kind of sink, such as parquet or omnia")
    text = "write it there, and the JSON Schema beside it for the editor"
    parser.add_argument("--output", metavar="job.yaml", type=os.path.expanduser, help=text)
    text = "files of the source to inspect: the job gets the keys that they need; repeatable"
    parser.add_argument("--path", action="append", default=[], metavar="FILES", help=text)


def _init(call: Call) -> CommandResult:
    from omnia_beam.pipelines.config.starter import found_keys, starter_job, write_starter

    args = call.args
    keys: dict[str, Any] = {}
    seen: list[str] = []
    if args.path:
        keys, seen = found_keys(args.source, tuple(args.path))
    if args.output is None:
        text = starter_job(args.source, args.sink, keys, seen)
        return _printed("init", partial(print, text, end=""))
    lines = write_starter(args.source, args.sink, args.output, keys, seen)
    return _printed("init", partial(print, *lines, sep="\n", file=sys.stderr))


def _schema(call: Call) -> CommandResult:
    from omnia_beam.pipelines.config.schema import json_schema

    return _printed("schema", partial(print, json.dumps(json_schema(), indent=2)))


def _emulator_arguments(parser: argparse.ArgumentParser) -> None:
    from omnia_beam.emulator.command import add_arguments

    add_arguments(parser)


def _emulator(call: Call) -> CommandResult:
    from omnia_beam.emulator.command import serve

    try:
        serve(call.args)
    except ModuleNotFoundError as error:
        raise _extra_is_missing(error.name) from None
    except (ValueError, OSError, OverflowError) as error:  # OverflowError is for a port out of range
        raise UsageError(str(error)) from None
    return _printed("emulator", lambda: None)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path", default="demo-out", type=os.path.expanduser, help="where to write (default: demo-out)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the emulator running, so that the job can be run again"
    )
    add_output_arguments(parser)


def _demo(call: Call) -> CommandResult:
    if find_spec("aiohttp") is None:
        raise _extra_is_missing("aiohttp")
    from omnia_beam.emulator.process import EmulatorProcess
    from omnia_beam.pipelines.demo import run_demo

    args, context = call.args, call.context()
    serve = partial(EmulatorProcess, detached=args.keep)
    return _summed_up(run_demo(args.path, context, serve, keep=args.keep), context)


def _summed_up(summary: Summary, context: RunContext) -> CommandResult:
    """Return the result of a command that shows people its summary."""
    from omnia_beam.cli.summary_table import print_summary

    return CommandResult(summary, partial(print_summary, summary, context.out))


def _printed(command: str, render: Callable[[], None]) -> CommandResult:
    """Return the result of a command that has no figures: it did what it is for, and prints the rest."""
    return CommandResult(Summary(command, status="complete"), render)


def _extra_is_missing(module: str | None) -> UsageError:
    return UsageError(
        f"this command needs the module {module}: pip install 'omnia-beam[emulator]', or '.[emulator]' in a clone"
    )


COMMANDS: Final = (
    Command(
        "backfill",
        "copy the selected series as they are, whole windows at a time; run it again to continue",
        add_job_arguments,
        _backfill,
    ),
    Command(
        "migrate",
        "copy series to another historian or to files, with ids, units and statuses mapped; run it again to continue",
        add_job_arguments,
        _migrate,
    ),
    Command(
        "tail",
        "keep a copy up to date: poll the source, and read late points again; stop it with Ctrl-C",
        _tail_arguments,
        _tail,
    ),
    Command(
        "replay",
        "move a job's dead letters, after what refused them was repaired: send them again, or read their windows again",
        _replay_arguments,
        _replay,
    ),
    Command(
        "plan",
        "show what a job would copy, and what a migration would lose, without moving anything",
        _plan_arguments,
        _plan,
        only_shows=True,
    ),
    Command(
        "verify",
        "read the destination again, compare it with what was copied, and report every difference",
        _verify_arguments,
        _verify,
    ),
    Command(
        "report",
        "check that a verification report is as verify wrote it: `report check FILE`",
        _report_arguments,
        _report,
        only_shows=True,
    ),
    Command(
        "status",
        "show what is copied and what is missing, from the job's own records, without calling the service",
        add_job_arguments,
        _status,
        only_shows=True,
    ),
    Command(
        "check",
        "test configuration, token, service, one read and the destination; writes nothing",
        add_job_arguments,
        _check,
        only_shows=True,
    ),
    Command(
        "profile",
        "show figures, gaps and flat stretches of every series that the destination holds",
        _profile_arguments,
        _profile,
        only_shows=True,
    ),
    Command("series", "list what the selection resolves to", _series_arguments, _series, only_shows=True),
    Command(
        "init",
        "print a commented job for two kinds, to be filled in",
        _init_arguments,
        _init,
        is_described=False,
        only_shows=True,
    ),
    Command(
        "schema",
        "print the JSON Schema of the configuration",
        lambda parser: None,
        _schema,
        is_described=False,
        only_shows=True,
    ),
    Command(
        "emulator",
        "serve an Omnia Timeseries API or a PI Web API on this machine",
        _emulator_arguments,
        _emulator,
        is_described=False,
    ),
    Command(
        "demo",
        "back up a synthetic plant from an emulator to Parquet, on this machine",
        _demo_arguments,
        _demo,
        is_described=False,
    ),
)
