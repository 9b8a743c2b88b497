"""Files that do not belong in a destination: reported, put out of the way, and nothing taken away that may be missed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.io.files.folder import file_prefix
from omnia_beam.io.files.strays import is_of_another_job, is_own_name
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.conftest import stored_points

POINTS = 90


class Copy:
    """A finished copy of two months of one file, and what to do with it."""

    def __init__(self, config: JobConfig, context: RunContext, tmp_path: Path) -> None:
        self.config, self.context, self.tmp_path, self.out = config, context, tmp_path, tmp_path / "out"
        assert run_migrate(config, context).status == "complete"
        self.files = sorted(self.out.rglob("*.parquet"))

    def verify(self, **options: Any) -> dict[str, Any]:
        summary = run_verify(self.config, self.context, report=str(self.tmp_path / "report"), **options)
        report = json.loads((self.tmp_path / "report" / "report.json").read_text())
        return {"exit": summary.exit_code, "summary": summary.to_json(), **report}

    def points(self) -> int:
        return sum(map(len, stored_points(self.out).values()))


@pytest.fixture
def copy(tmp_path: Path, context: RunContext) -> Copy:
    lines = [f"2024-{1 + n // 60:02d}-{1 + n % 60 // 3:02d}T{n % 3:02d}:00:00Z,{n / 7!r}" for n in range(POINTS)]
    (tmp_path / "plant.csv").write_text("\n".join(["time,PT-1", *lines]) + "\n")
    path = tmp_path / "job.yaml"
    job = {
        "name": "wells",
        "source": {"kind": "csv", "path": str(tmp_path / "plant.csv")},
        "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
        "state": str(tmp_path / "state"),
    }
    path.write_text(yaml.safe_dump(job))
    copy = Copy(load_config(str(path), now_ns=time.time_ns()), context, tmp_path)
    assert (len(copy.files), copy.points()) == (2, POINTS)
    return copy


NAMES: dict[str, Callable[[Path, Path], Path]] = {
    "Copy of": lambda file, out: file.with_name(f"Copy of {file.name}"),
    "(1)": lambda file, out: file.with_name(f"{file.stem} (1).parquet"),
    "a prefix": lambda file, out: file.with_name(f"old-{file.name}"),
    "a prefix that looks like a name": lambda file, out: file.with_name(f"old_{file.name}"),
    "a suffix before the suffix": lambda file, out: file.with_name(f"{file.stem}.bak.parquet"),
    "upper case": lambda file, out: file.with_name(f"{file.stem}.PARQUET"),
    "another suffix": lambda file, out: file.with_name(f"{file.stem}.pq"),
    "another folder": lambda file, out: out / "backup" / file.name,
    "nested folders": lambda file, out: out / "a/b/c/d" / file.name,
    "the top": lambda file, out: out / file.name,
    "another month": lambda file, out: out / "year=2024/month=07" / file.name,
    "any name": lambda file, out: out / "x.parquet",
    "control characters": lambda file, out: file.with_name("a\n\x1b[31m.parquet"),
    "bytes that are no UTF-8": lambda file, out: file.with_name(os.fsdecode(b"\xff\xfe.parquet")),
    "a name as long as names get": lambda file, out: file.with_name("n" * 247 + ".parquet"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_under_another_name_is_reported_and_set_aside(copy: Copy, name: str) -> None:
    stray = NAMES[name](copy.files[0], copy.out)
    stray.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(copy.files[0], stray)
    data = stray.read_bytes()
    found = copy.verify()
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"stray_file": 1})
    mended = copy.verify(repair=True)
    assert (mended["exit"], mended["after"]["by_kind"], mended["repair"]["deleted"]) == (0, {}, [])
    (aside,) = mended["repair"]["set_aside"]
    assert aside in "".join(copy.context.err.file.getvalue())  # type: ignore[attr-defined]  # a StringIO
    assert not stray.exists()
    (kept,) = copy.out.rglob("_*.set-aside")
    assert kept.read_bytes() == data
    assert copy.points() == POINTS
    assert copy.verify()["exit"] == 0


def test_a_run_deletes_no_copy_that_somebody_made(copy: Copy) -> None:
    for name in ("(1)", "a suffix before the suffix", "Copy of"):
        shutil.copyfile(copy.files[0], NAMES[name](copy.files[0], copy.out))
    before = sorted(copy.out.rglob("*.parquet"))
    run_migrate(copy.config, copy.context)
    assert sorted(copy.out.rglob("*.parquet")) == before


def test_a_file_that_was_renamed_stays_until_its_window_is_copied(copy: Copy) -> None:
    moved = copy.files[0].with_name(f"Copy of {copy.files[0].name}")
    copy.files[0].rename(moved)
    (copy.tmp_path / "plant.csv").rename(copy.tmp_path / "gone.csv")
    (copy.tmp_path / "plant.csv").write_text("time,PT-1\n2024-01-01T00:00:00Z,broken\n")
    try:
        left = copy.verify(repair=True)
    except Exception:  # a source that cannot be read ends it; what matters is that nothing is gone
        left = {"exit": 2}
    assert left["exit"] != 0
    assert moved.exists()
    (copy.tmp_path / "gone.csv").replace(copy.tmp_path / "plant.csv")
    mended = copy.verify(repair=True)
    assert (mended["exit"], len(mended["repair"]["set_aside"])) == (0, 1)
    assert copy.points() == POINTS


def test_links_are_named_and_left_alone(copy: Copy) -> None:
    (copy.out / "latest").symlink_to(copy.files[0].parent)
    (copy.out / "loop").symlink_to(copy.out)
    (copy.out / "one.parquet").symlink_to(copy.files[0])
    os.link(copy.files[1], copy.out / "two.parquet")
    found = copy.verify()
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"linked_file": 4})
    mended = copy.verify(repair=True)
    assert (mended["exit"], mended["repair"]["set_aside"], mended["after"]["by_kind"]) == (1, [], {"linked_file": 4})
    assert all(file.is_file() and not file.is_symlink() for file in copy.files)
    for name in ("latest", "loop", "one.parquet", "two.parquet"):
        (copy.out / name).unlink()
    assert (copy.verify()["exit"], copy.points()) == (0, POINTS)


def test_what_lies_outside_behind_a_link_is_reported_and_left(copy: Copy) -> None:
    (copy.tmp_path / "elsewhere").mkdir()
    theirs = copy.tmp_path / "elsewhere/x.parquet"
    shutil.copyfile(copy.files[0], theirs)
    (copy.out / "extra").symlink_to(copy.tmp_path / "elsewhere")
    mended = copy.verify(repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (1, {"stray_file": 1})
    assert any("outside of the destination" in text for text in mended["repair"]["left"])
    assert theirs.exists()


def test_a_destination_whose_folders_were_moved_and_linked_back(copy: Copy) -> None:
    (copy.out / "year=2024").rename(copy.tmp_path / "disk")
    (copy.out / "year=2024").symlink_to(copy.tmp_path / "disk")
    assert copy.verify()["exit"] == 0
    copy.files[0].unlink()
    assert copy.verify(repair=True)["exit"] == 0
    assert copy.files[0].is_file()


def test_no_pipe_is_opened_and_nothing_that_is_no_file_stands_in_the_way(copy: Copy) -> None:
    os.mkfifo(copy.out / "pipe.parquet")
    (copy.out / "nowhere.parquet").symlink_to("none")
    for file, make in zip(copy.files, (os.mkdir, os.mkfifo), strict=True):
        file.unlink()
        make(file)  # type: ignore[operator]  # mypy knows no common type of the two
    found = copy.verify()
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"stray_file": 2, "unreadable_file": 2})
    mended = copy.verify(repair=True)
    assert (mended["exit"], len(mended["repair"]["set_aside"])) == (0, 4)
    assert all(file.is_file() for file in copy.files)
    assert copy.verify()["exit"] == 0


def test_files_without_content(copy: Copy) -> None:
    copy.files[0].write_bytes(b"")
    (copy.out / "empty.parquet").write_bytes(b"")
    found = copy.verify()
    assert found["before"]["by_kind"] == {"stray_file": 1, "unreadable_file": 1}
    assert copy.verify(repair=True)["exit"] == 0


def test_files_of_other_jobs_are_left_alone_and_counted(copy: Copy) -> None:
    other = copy.files[0].name.replace(file_prefix("wells"), file_prefix("other job"))
    shutil.copyfile(copy.files[0], copy.files[0].with_name(other))
    found = copy.verify(repair=True)
    assert (found["exit"], found["before"]["foreign_files"], found["repair"]) == (0, 1, None)
    assert any("1 file of other jobs" in note for note in found["before"]["notes"])
    shutil.move(copy.files[0].with_name(other), copy.out / other)  # no job writes there
    assert copy.verify()["before"]["by_kind"] == {"stray_file": 1}


def test_names_tell_whose_a_file_is() -> None:
    mine, window = file_prefix("wells"), "20240101T000000Z-20240201T000000Z-0123456789abcdef"
    folder = "year=2024/month=01"
    assert is_own_name(f"{folder}/{mine}-{window}.parquet", mine)
    for name in (
        f"{mine}-{window}.parquet",
        f"{folder}/{mine}-{window} (1).parquet",
        f"{folder}/old-{mine}-{window}.csv",
    ):
        assert not is_own_name(name, mine)
        assert not is_of_another_job(name, mine)
    assert is_of_another_job(f"{folder}/{file_prefix('pumps #2')}-{window}.csv.gz", mine)
    assert not is_of_another_job(f"{folder}/old-{file_prefix('pumps')}-{window}.parquet", mine)


def test_files_without_checksums_are_counted(copy: Copy) -> None:
    import pyarrow.parquet as pq

    assert copy.verify()["before"]["files_without_checksums"] == 0
    pq.write_table(pq.ParquetFile(copy.files[0]).read(), copy.files[0])
    found = copy.verify()
    assert (found["exit"], found["before"]["files_without_checksums"]) == (0, 1)
    assert any(note.startswith("Without page checksums: 1 of 2 files") for note in found["before"]["notes"])
