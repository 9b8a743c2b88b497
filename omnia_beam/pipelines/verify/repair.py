"""Repair a destination: copy again what differs, and rename files that no receipt names.

    ask the source for what differs ─ announce in the ledger that what it gives is about to be replaced ─ run the job
    ─ set strays aside whose points are in the copy now

The announcement names the series that differ and no others: should the copying fail, those count as missing, so that the next
run continues with them, and the receipts of their neighbours stay. What the source does not give is not announced. Windows are
read as they were recorded, the same series and the same range, so they write over the same files.

Nothing is deleted here. A run of the job deletes files that the ledger names as replaced; every other file is renamed, and
only once the time of its points is whole in the copy: it may be the last that holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig, WindowConfig
from omnia_beam.core.errors import DestinationError, OmniaBeamError, StateError
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.observer import Aside, FileMoves, Stray
from omnia_beam.io.window_reading import WindowPrints
from omnia_beam.ledger.job import JobRun
from omnia_beam.pipelines.job_state import opened_state

Copy = Callable[[JobConfig, RunContext], Summary]
"""A function that runs the job, such as `run_backfill`."""

_FIRST_ASKED: Final = 4
_ASKED_MORE: Final = 8
"""Windows that the source is asked for at first, and the factor by which that grows each time that it gives none of them."""


@dataclass(frozen=True)
class RepairPlan:
    """What a verification has found to repair.

    Args:
        wanted, series_ids: the time and the series that were verified; nothing beyond them is copied.
        concerned: windows to replace, each with its series that differ; an empty set stands for all of them.
        unreadable: of these, the windows that the source does not give, and why.
        uncovered: whether anything was never copied.
        strays: files that no receipt names.
        in_the_way: names of data files that something else than a file has.
        files: renames files of the destination; None where it has none, and then there are no strays either.
    """

    wanted: TimeRange
    series_ids: Sequence[str]
    concerned: Mapping[ChunkKey, Collection[str]] = field(default_factory=dict)
    unreadable: Mapping[ChunkKey, str] = field(default_factory=dict)
    uncovered: bool = False
    strays: Sequence[Stray] = ()
    in_the_way: Sequence[str] = ()
    files: FileMoves | None = None

    @property
    def readable(self) -> dict[ChunkKey, Collection[str]]:
        """The windows that are announced and copied again."""
        return {key: ids for key, ids in self.concerned.items() if key not in self.unreadable}


@dataclass(frozen=True)
class Repair:
    """The result of a repair. Names of files are relative to the destination, and fit to be printed.

    Args:
        windows: the number of windows announced to be copied again.
        copied: the summary of the run that copied; None where nothing could be copied.
        set_aside: files that were renamed, under their new names.
        deleted: files that a receipt names as replaced, and that are deleted.
        left: files that stay in place, each with the reason.
        unreadable: the number of windows that were not announced, since the source does not give them.
        trouble: why the copying ended early; empty where it did not.
    """

    windows: int
    copied: Summary | None = None
    set_aside: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unreadable: int = 0
    trouble: str = ""

    @property
    def windows_copied(self) -> int:
        return 0 if self.copied is None else self.copied.windows_done

    @property
    def points_written(self) -> int:
        return 0 if self.copied is None else self.copied.points_written

    def words(self) -> Iterator[str]:
        """Yield what a person has to know of the repair, a text each."""
        if self.trouble:
            yield f"The copying ended early; the next run of the job continues with what is left: {self.trouble}"
        if self.unreadable:
            yield f"Not copied again, since the source does not give them: {counted(self.unreadable, 'window')} with differences."
        yield from (f"Set aside under another name: {name}" for name in self.set_aside)
        yield from (
            f"Deleted, since a receipt says that the job wrote and replaced it: {name}" for name in self.deleted
        )
        yield from (f"Left where it is: {text}" for text in self.left)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "windows": self.windows,
            "set_aside": list(self.set_aside),
            "deleted": list(self.deleted),
            "left": list(self.left),
            "windows_unreadable": self.unreadable,
            "trouble": self.trouble,
            "status": "incomplete" if self.copied is None else self.copied.status,
            "windows_copied": self.windows_copied,
            "points_written": self.points_written,
        }


def unreadable_windows(
    read: Callable[[Sequence[tuple[ChunkKey, int]]], WindowPrints], keys: Iterable[ChunkKey]
) -> dict[ChunkKey, str]:
    """Ask the source for windows, a few and then more, until it gives one; return those before that it does not give, and why.

    A source that gives nothing is thereby asked for every window once; one that gives something is asked only for a few.
    """
    left = sorted(keys, key=lambda key: (key.range, key.series_ids))
    failures: dict[ChunkKey, str] = {}
    count = _FIRST_ASKED
    while left:
        some, left = left[:count], left[count:]
        found = read([(key, 0) for key in some])
        failures |= {key: found.failures[key] for key in some if key in found.failures}
        if found.prints:
            break
        count *= _ASKED_MORE
    return failures


def repair(config: JobConfig, context: RunContext, copy: Copy, plan: RepairPlan) -> Repair:
    """Copy again what differs, and set strays aside.

    Args:
        copy: runs the job, which then copies what is announced and what was never copied.

    Raises:
        StateError: another run of the job is active, or the ledger cannot be written.
        DestinationError: a file cannot be renamed before the copying.
    """
    announced = plan.readable
    with opened_state(config, context) as state:
        replaced = state.ledger.superseded_files(state.sink)
        keep = state.ledger.live_files(state.sink) | state.ledger.doubtful_files(state.sink)  # as they are by now
        strays = [each for each in plan.strays if each.name not in keep]
        early = [each for each in strays if _would_be_deleted(each, plan, state, replaced)]
        moved, aside = {}, []
        if plan.files is not None:
            moved = {each.name: _set_aside(plan.files, each.name, state) for each in early}
            aside = [*moved.values(), *(_set_aside(plan.files, name, state) for name in plan.in_the_way)]
        with state.writer() as writer:
            writer.intend(*(_announcement(key, ids) for key, ids in announced.items()))
    for each in aside:
        context.notify(f"set aside: {each.shown}")
    copied, trouble = None, ""
    if announced or plan.uncovered or early or any(each.name in replaced for each in plan.strays):
        try:
            copied = copy(_pinned(config, plan.wanted), context)
        except StateError:
            raise
        except OmniaBeamError as error:
            trouble = f"{type(error).__name__}: {error}"
    return _finished(config, context, plan, Repair(len(announced), copied, trouble=trouble), aside, moved)


def _finished(
    config: JobConfig,
    context: RunContext,
    plan: RepairPlan,
    done: Repair,
    aside: list[Aside],
    moved: Mapping[str, Aside],
) -> Repair:
    """Set the other strays aside after the copying, and put back those that may be the last copy of their points."""
    files = plan.files
    if files is None:
        return replace(done, unreadable=len(plan.concerned) - len(plan.readable))
    left: list[str] = []
    deleted: list[str] = []
    with opened_state(config, context) as state:
        open_time = _open_time(plan, state)
        keep = state.ledger.live_files(state.sink) | state.ledger.doubtful_files(state.sink)
        for stray in plan.strays:
            is_open = stray.span is not None and any(stray.span.overlaps(each) for each in open_time)
            if stray.name in moved:
                if (
                    is_open
                    and stray.name not in keep
                    and files.put_back(moved[stray.name], stray.name, state.fence.placing)
                ):
                    aside.remove(moved[stray.name])
                    left.append(
                        f"{stray.shown}: it may be the only file that holds points of a time that is not whole in the copy"
                    )
            elif stray.name in keep:
                continue
            elif not files.is_there(stray.name):
                deleted.append(stray.shown)
            elif stray.outside:
                left.append(f"{stray.shown}: it is outside of the destination, behind a link; remove the link")
            elif is_open:
                left.append(
                    f"{stray.shown}: it may be the only file that holds points of a time that is not whole in the copy"
                )
            else:
                try:
                    aside.append(_set_aside(files, stray.name, state))
                    context.notify(f"set aside: {aside[-1].shown}")
                except DestinationError as error:
                    left.append(f"{stray.shown}: {error}")
    return replace(
        done,
        set_aside=tuple(each.shown for each in aside),
        deleted=tuple(deleted),
        left=tuple(left),
        unreadable=len(plan.concerned) - len(plan.readable),
    )


def _set_aside(files: FileMoves, name: str, state: JobRun) -> Aside:
    """Rename a file while the lease is held: another run may record a file of that name later."""
    return files.set_aside(name, state.run_id, state.fence.placing)


def _announcement(key: ChunkKey, series_ids: Collection[str]) -> ChunkKey:
    return ChunkKey(tuple(sorted(series_ids)), key.range) if series_ids else key


def _pinned(config: JobConfig, wanted: TimeRange) -> JobConfig:
    """Return the job as it was verified: with no later end, and no refresh of what does not differ."""
    window = WindowConfig.model_construct(start=wanted.start_ns, end=wanted.end_ns)
    return config.model_copy(update={"window": window, "refresh": None})


def _would_be_deleted(stray: Stray, plan: RepairPlan, state: JobRun, replaced: Collection[str]) -> bool:
    """Return whether a run would delete a file that must stay for now.

    Nothing proves that the job wrote it, or it may be the last file with points that the copy lacks.
    """
    if stray.outside or not stray.is_own:
        return False
    return stray.name not in replaced or any(
        stray.span is not None and stray.span.overlaps(each) for each in _open_time(plan, state, plan.concerned)
    )


def _open_time(plan: RepairPlan, state: JobRun, keys: Collection[ChunkKey] | None = None) -> list[TimeRange]:
    """Return the times at which the copy is not whole: what the ledger does not cover, and what still differs."""
    missing = state.ledger.missing(state.scope.digest, plan.series_ids, plan.wanted)
    holes = {hole for _, ranges in missing for hole in ranges}
    return sorted(holes | {key.range for key in (plan.unreadable if keys is None else keys)})
