"""Figures and gaps of the copy for the report, where the destination can be read as a whole."""

from __future__ import annotations

from typing import Final

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.pipelines.profile.command import profile_files
from omnia_beam.pipelines.profile.figures import Profile

_GAP_NS: Final = 3_600 * 10**9
_NOT_LOOKED: Final = "Gaps in the data were not looked for"


def profile_of_copy(
    config: JobConfig, context: RunContext, wanted: TimeRange, *, wants: bool
) -> tuple[Profile | None, str]:
    """Read the copy once more, and return its figures, and what could not be read of it, in words.

    Args:
        wanted: points outside of it are left out.
        wants: whether it is to be read at all.
    """
    if not wants:
        return None, f"{_NOT_LOOKED}: verify --report DIR reads the copy once more for them."
    gap_ns = _GAP_NS if config.expect is None or config.expect.max_gap is None else config.expect.max_gap
    try:
        found = profile_files(config, context, gap_ns, wanted)
    except OmniaBeamError as error:
        return None, f"{_NOT_LOOKED}: {error}"
    if not found.problems:
        return found.profile, ""
    return (
        found.profile,
        f"{counted(len(found.problems), 'file')} could not be read for figures and gaps: {found.problems[0]}",
    )
