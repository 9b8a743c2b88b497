"""Count what becomes of each point of the dead letters that are replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.dead_letters import DeadLetterFiles

ReasonsOfSeries = Counter[tuple[str, str]]
"""Number of points by source id and reason."""


@dataclass
class Tally:
    """Counts of points and files so far.

    Args:
        files: number of files.
        windows: keys of the windows that are read again, whose letters left by the first part are counted anew after that.
        read, stored, overtaken, dropped: points in the files, and what became of them.
        gone: points of windows that were read again, which are neither stored nor dead letters now.
        left: by reason, points that are dead letters still.
        left_of: the same of each window in `windows`, by series.
        files_settled, files_left: files with a result, and those of them that still hold points.
        targets: series of the letters.
        failures: why windows could not be replayed.
        problems: why the windows that were read again are not complete.
        warnings: what else has to be known.
        windows_again: number of windows that were read again.
        removed, kept: points at the destination that the windows removed or kept without being in the source.
    """

    files: int = 0
    windows: Collection[ChunkKey] = frozenset()
    read: int = 0
    stored: int = 0
    overtaken: int = 0
    dropped: int = 0
    gone: int = 0
    left: Counter[str] = field(default_factory=Counter)
    left_of: dict[ChunkKey, ReasonsOfSeries] = field(default_factory=dict)
    files_settled: int = 0
    files_left: int = 0
    targets: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    windows_again: int = 0
    removed: int = 0
    kept: int = 0

    @property
    def unsettled(self) -> int:
        """Points that were read from their files and whose result is not known yet."""
        return self.read - self.stored - self.dropped - self.overtaken - self.gone - self.left.total()

    def leave(self, key: ChunkKey, letters: Iterable[DeadLetter]) -> None:
        """Count the letters that stay of one file: none, where all of it is stored."""
        letters = list(letters)
        self.files_settled += 1
        self.files_left += bool(letters)
        for letter in letters:
            self.left[letter.reason] += letter.count
        if key in self.windows:
            reasons = self.left_of.setdefault(key, Counter())
            for letter in letters:
                reasons[letter.source_id, letter.reason] += letter.count

    def leave_counted(self, held: ReasonsOfSeries) -> None:
        """Count the letters of one file, which stays as it is."""
        self.files_settled += 1
        self.files_left += 1
        for (_, reason), points in held.items():
            self.left[reason] += points

    def taken_left_of(self, keys: Collection[ChunkKey]) -> list[ReasonsOfSeries]:
        """Take the letters that the first part left of windows out of the counts, since they are counted anew, and return them."""
        taken = [self.left_of.pop(key) for key in keys if key in self.left_of]
        for reasons in taken:
            for (_, reason), points in reasons.items():
                self.left[reason] -= points
        self.left = +self.left
        return taken

    def summarised(self, elapsed_s: float, details: dict[str, Any]) -> Summary:
        """Return the summary, without the traffic."""
        left = self.left.total()
        incomplete = left or self.failures or self.problems
        return Summary(
            "replay",
            status="incomplete" if incomplete else "complete",
            series=len(self.targets),
            windows_planned=self.files,
            windows_done=self.files_settled - self.files_left,
            windows_failed=len(self.failures),
            points_read=self.read,
            points_written=self.stored,
            points_removed=self.removed,
            points_kept=self.kept,
            dead_letters=left,
            elapsed_s=elapsed_s,
            details=details,
        ).with_warnings(*self.warnings)

    def details(self, files: DeadLetterFiles) -> dict[str, Any]:
        """Return what people should know besides the figures."""
        details: dict[str, Any] = {}
        if self.left:
            details["dead letters in"] = str(files)
            details["reasons"] = dict(self.left.most_common())
            details["most frequent reason"] = "{} ({} points)".format(*self.left.most_common(1)[0])
        if self.windows_again:
            details["windows read again"] = self.windows_again
        if self.overtaken:
            details["overtaken"] = f"{self.overtaken} points were read again since, and were let go"
        if self.gone:
            details["gone"] = (
                f"{counted(self.gone, 'point')} are neither stored nor dead letters now: the source does not show them any "
                "more, or a policy leaves them out"
            )
        if self.dropped:
            details["dropped"] = f"{counted(self.dropped, 'point')}, by nan: drop_counted"
        if self.problems:
            details["incomplete"] = self.problems
        if self.failures:
            details["first failure"] = self.failures[0]
        return details
