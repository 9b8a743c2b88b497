"""Choose the runner of a pipeline, and refuse those that are unsafe.

`DirectRunner` is a switch in Beam: it first looks for Prism, whose binary it downloads without a time-out, and may then take a
runner that cannot run splittable DoFns. Locally FnApiRunner is always used in memory, in this process: measured with
Beam 2.77, its other modes lose elements silently, with the job's state DONE.

Beam is imported inside the functions that need it, since it takes seconds: None stands for the options of the local runner,
so that commands that build no pipeline do without.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any, Final

from omnia_beam.core.errors import UnsafeRunnerError, UsageError

_LOCAL: Final = {"", "directrunner", "fnapirunner", "localrunner"}

_REMOTE: Final = {
    "flinkrunner": "FlinkRunner",
    "portablerunner": "PortableRunner",
    "dataflowrunner": "DataflowRunner",
    "prismrunner": "PrismRunner",
}

_UNSAFE: Final = {
    "bundlebaseddirectrunner": "it cannot run splittable sources",
    "switchingdirectrunner": "it downloads a binary and picks a runner by what the pipeline contains",
    "daskrunner": "it drops what a splittable source defers, and reports no metrics",
    "interactiverunner": "it keeps every element of every collection",
    "testdirectrunner": "it is made for Beam's own tests",
}


_ITS_OWN: Final = dict.fromkeys(
    ("flinkrunner", "portablerunner"),
    frozenset(
        {
            "number_of_execution_retries",
            "execution_retry_delay",
            "execution_mode_for_batch",
            "flink_conf_dir",
            "checkpointing_mode",
            "checkpoint_timeout_millis",
            "min_pause_between_checkpoints",
            "state_backend",
            "state_backend_storage_path",
            "max_bundle_size",
            "max_bundle_time_mills",
            "auto_watermark_interval",
            "shutdown_sources_after_idle_ms",
            "savepoint_path",
            "object_reuse",
            "disable_metrics",
        }
    ),
)
"""Runner -> options that Beam's Python does not define, but gets from the job server."""


def is_local(options: Any) -> bool:
    """Return whether the pipeline runs inside this process."""
    return options is None or runner_name(options) in _LOCAL


def pipeline_options(runner: str | None, beam_args: Sequence[str]) -> Any:
    """Return Beam's options from the command line, checked.

    Args:
        runner: a runner's name, None for the local one.
        beam_args: Beam's own options, as after `--` on the command line.

    Raises:
        UnsafeRunnerError: a runner or mode that is known to lose data.
        UsageError: an option that Beam does not know.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

    from omnia_beam.beam import flink_options  # noqa: F401  # makes these options known

    flags = list(beam_args)
    if runner:
        flags.append(f"--runner={runner}")
    flags.extend(_defaults(runner, flags))
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):  # argparse prints two pages of usage before the error
            options = PipelineOptions(flags)
            unknown = _unknown_flags(options, _ITS_OWN.get(runner_name(options), frozenset()))
    except SystemExit:
        last = complaint.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"Beam cannot read these options: {last}") from None
    if unknown:
        raise UsageError(
            f"Beam knows no option {', '.join(unknown)}: see the pages of the runner {runner or 'DirectRunner'}"
        )
    _refuse_unsafe(options)
    # Workers import omnia_beam and need nothing of __main__, and pickling it fails on what cannot be pickled.
    options.view_as(SetupOptions).save_main_session = False
    return options


def _defaults(runner: str | None, flags: Sequence[str]) -> list[str]:
    """Return options for Flink that apply unless they are given: it runs a batch job stage by stage.

    Otherwise all stages of a job are one region of failure, and a worker that dies makes Flink begin the whole job again.
    What stages pass on is small (descriptors, receipts), so that keeping it costs nothing.
    """
    name = "execution_mode_for_batch"
    if (runner or "").lower() != "flinkrunner" or any(flag.startswith(f"--{name}") for flag in flags):
        return []
    return [f"--{name}=BATCH_FORCED"]


def make_runner(options: Any) -> Any:
    """Return the runner to give to `beam.Pipeline`: an instance for the local one, a name for the rest."""
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    return FnApiRunner() if is_local(options) else _REMOTE[runner_name(options)]


def runner_name(options: Any) -> str:
    """Return the runner's name in lower case, without its module; empty for the default."""
    if options is None:
        return ""
    from apache_beam.options.pipeline_options import StandardOptions

    return (options.view_as(StandardOptions).runner or "").rsplit(".", 1)[-1].lower()


def _refuse_unsafe(options: Any) -> None:
    from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

    name = runner_name(options)
    if name in _UNSAFE:
        raise UnsafeRunnerError(
            f"--runner={name} is refused: {_UNSAFE[name]}. Leave --runner out to run in this process."
        )
    if name not in _LOCAL and name not in _REMOTE:
        known = ", ".join(["DirectRunner", *_REMOTE.values()])
        raise UsageError(f"--runner={options.view_as(StandardOptions).runner} is not known here: one of {known}")
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "in_memory":
        raise UnsafeRunnerError(
            f"--direct_running_mode={direct.direct_running_mode} is refused: it loses elements silently as soon as a stage "
            "takes longer than a second. Leave it out: in_memory is the mode that is exact."
        )
    if direct.direct_num_workers != 1:
        raise UnsafeRunnerError(
            f"--direct_num_workers={direct.direct_num_workers} is refused: Beam's local workers lose elements silently. "
            "Leave it out; raise source.rate.max_in_flight for more requests at a time."
        )


def _unknown_flags(options: Any, of_runner: frozenset[str]) -> list[str]:
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)  # it logs "discarding"; we raise
    known = options.get_all_options(retain_unknown_options=False)
    requested = options.get_all_options(retain_unknown_options=True)
    return sorted(f"--{name}" for name in requested.keys() - known.keys() - of_runner)
