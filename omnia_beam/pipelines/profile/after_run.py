"""Check what a run has copied against `expect`: the destination is read, and series that are not as expected are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.summary import Summary
from omnia_beam.core.time_range import TimeRange
from omnia_beam.pipelines.profile.command import profile_files
from omnia_beam.pipelines.profile.expectations import check_expectations

_GAP_NS: Final = 3_600 * 10**9


def with_expectations(
    summary: Summary, config: JobConfig, context: RunContext, names: Mapping[str, str], wanted: TimeRange
) -> Summary:
    """Return the summary of a run with what `expect` says of its series; unchanged where nothing is expected.

    A destination that cannot be read, or not all of it, makes the run incomplete: it was not looked at then.

    Args:
        names: of the job's series, by stored id.
        wanted: points outside of it do not count.
    """
    if config.expect is None:
        return summary
    try:
        found = profile_files(config, context, _GAP_NS, wanted)
    except OmniaBeamError as error:
        return _not_checked(summary, context, str(error))
    mine = [
        replace(each, about=replace(each.about, name="")) for each in found.profile.series if each.series_id in names
    ]
    expected = check_expectations(config.expect, mine, names)
    for line in expected.lines():
        context.notify(line)
    summary = expected.added_to(summary)
    return _not_checked(summary, context, found.problems[0]) if found.problems else summary


def _not_checked(summary: Summary, context: RunContext, why: str) -> Summary:
    text = f"expect: not everything was checked, since the destination could not be read: {why}"
    context.notify(text)
    status = "incomplete" if summary.status == "complete" else summary.status
    return summary.having(status=status).with_warnings(text)
