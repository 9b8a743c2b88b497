"""What a command declares, and what it is called with."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported when a command runs: Beam and the models of the configuration take a second
    from omnia_beam.beam.context import RunContext
    from omnia_beam.config import JobConfig
    from omnia_beam.pipelines.result import CommandResult


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `omnia-beam`.

    Args:
        name: what the user types.
        help: what it does, in one phrase.
        add_arguments: adds its arguments to a parser.
        run: carries it out. It imports what it needs when it is called.
        is_described: whether its own `--help` begins with the phrase.
        only_shows: whether its result is what it prints, so that a reader may close the pipe early (`| head`).
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Call], CommandResult]
    is_described: bool = True
    only_shows: bool = False

    @property
    def description(self) -> str | None:
        """The first paragraph of the command's own help; None for none."""
        return f"{self.help[0].upper()}{self.help[1:]}." if self.is_described else None


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call, and what is made of them.

    Args:
        args: omnia-beam's own, parsed.
        beam_args: those for Beam, which follow `--`.
    """

    args: argparse.Namespace
    beam_args: Sequence[str] = ()

    @property
    def as_json(self) -> bool:
        """Whether the last line of stdout is to be a JSON summary; never for a command without `--json`."""
        return bool(vars(self.args).get("json", False))

    def job(self) -> tuple[JobConfig, RunContext]:
        """Return the job of the configuration file with its overrides, and the surroundings that it runs in.

        Raises:
            UsageError: an option of Beam, the file, or one of its keys cannot be used.
        """
        from omnia_beam.beam.allocator import collect_rarely, use_one_arena

        collect_rarely()  # before the imports, which make the most objects
        use_one_arena()
        from omnia_beam.core.arrow_alone import use_arrow_without_pandas
        from omnia_beam.core.log_lines import LOG_FACTS
        from omnia_beam.pipelines.config import load_config

        use_arrow_without_pandas()
        args = self.args
        context = self.context()
        overrides = args.set if args.workers is None else [*args.set, f"workers={args.workers}"]
        job = load_config(args.config, overrides=overrides, start=args.start, end=args.end, now_ns=time.time_ns())
        LOG_FACTS["job"] = job.name
        return job, context

    def context(self) -> RunContext:
        """Return the surroundings of the command. Beam is imported only where options of it are given, to check them.

        Raises:
            UsageError: an option of Beam cannot be used.
        """
        from omnia_beam.beam.context import RunContext
        from omnia_beam.beam.terminal import console

        out, err = console(), console(stderr=True)
        options = self._beam_options() if self._runner or self.beam_args else None
        if self.args.no_progress or self.args.quiet:
            return RunContext(options, out, err, "none", self.args.quiet)
        return RunContext(options, out, err, "bar" if err.is_terminal else "log", self.args.quiet)

    @property
    def _runner(self) -> str | None:
        return vars(self.args).get("runner")

    def _beam_options(self) -> Any:
        from omnia_beam.beam.runner import pipeline_options

        return pipeline_options(self._runner, self.beam_args)
