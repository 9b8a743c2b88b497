"""What a command hands to the command line, which alone prints JSON and picks the exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.summary import Summary


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command.

    Args:
        summary: its figures, which `--json` prints; its status gives the exit code.
        render: prints the result for people.
        is_listing: whether `render` is called with `--json` too, before the summary is printed: what `series` and `plan` list
            is data of its own.
        error: what ended the command early where the result shows it already; its kind then gives the exit code.
    """

    summary: Summary
    render: Callable[[], None]
    is_listing: bool = False
    error: OmniaBeamError | None = None
