"""Listing a destination: what a reader would take in, each file once, and nothing that a link leads to twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnia_beam.core.errors import DestinationError
from omnia_beam.io.files.destination_files import Listing, list_destination, opened_file, shown_name

SUFFIXES = (".parquet", ".pq")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root: Path, *live: str) -> Listing:
    return list_destination(f"{root}/", SUFFIXES, live)


def names(listing: Listing) -> list[str]:
    return [each.name for each in listing.files]


def test_what_a_reader_takes_in(tmp_path: Path) -> None:
    touch(tmp_path, "year=2024/month=01/a.parquet", "year=2024/month=01/_b.parquet", "year=2024/month=01/.c.parquet")
    touch(tmp_path, "year=2024/month=01/d.parquet.set-aside", "_temporary/e.parquet", "f.PARQUET", "deep/er/g.pq")
    touch(tmp_path, "readme.txt", "folder.parquet/h.parquet")
    found = listed(tmp_path)
    assert names(found) == ["deep/er/g.pq", "f.PARQUET", "folder.parquet/h.parquet", "year=2024/month=01/a.parquet"]
    assert not found.links


def test_no_directory_holds_nothing(tmp_path: Path) -> None:
    assert not listed(tmp_path / "none").files


def test_a_file_in_the_directorys_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DestinationError, match="cannot be listed"):
        listed(tmp_path / "out")


def test_links_to_folders_and_files_that_are_listed_anyway(tmp_path: Path) -> None:
    touch(tmp_path, "out/year=2024/month=01/a.parquet", "out/year=2024/month=01/b.parquet")
    out = tmp_path / "out"
    (out / "latest").symlink_to(out / "year=2024/month=01")
    (out / "loop").symlink_to(out)
    (out / "year=2024/up").symlink_to(tmp_path)
    (out / "first.parquet").symlink_to("year=2024/month=01/a.parquet")
    os.link(out / "year=2024/month=01/b.parquet", out / "second.parquet")
    live = ("year=2024/month=01/a.parquet", "year=2024/month=01/b.parquet")
    found = listed(out, *live)
    assert names(found) == sorted(live)
    assert dict(found.links) == {
        "latest": "the folder year=2024/month=01, which is read anyway",
        "loop": "the folder ., which is read anyway",
        "year=2024/up": f"{tmp_path}, in which this destination is",
        "first.parquet": "the file year=2024/month=01/a.parquet",
        "second.parquet": "the file year=2024/month=01/b.parquet",
    }


def test_a_live_file_whose_folder_is_itself_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "disk/month=01/a.parquet", "disk/month=01/b.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/year=2024").symlink_to(tmp_path / "disk")
    found = listed(tmp_path / "out", "year=2024/month=01/a.parquet")
    assert [(each.name, each.outside) for each in found.files] == [
        ("year=2024/month=01/a.parquet", True),
        ("year=2024/month=01/b.parquet", True),
    ]
    (tmp_path / "disk").rename(tmp_path / "out/kept")
    (tmp_path / "out/year=2024").unlink()
    (tmp_path / "out/year=2024").symlink_to("kept")
    found = listed(tmp_path / "out", "year=2024/month=01/a.parquet")
    assert names(found) == ["kept/month=01/b.parquet"]
    assert ("kept/month=01/a.parquet", "the file year=2024/month=01/a.parquet") in found.links


def test_links_that_lead_outside_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x.parquet", "out/a.parquet")
    for name in ("one", "two"):
        (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "out")
    found = listed(tmp_path / "out")
    assert [(each.name, each.outside) for each in found.files] == [("a.parquet", False), ("one/x.parquet", True)]
    assert sorted(name for name, _ in found.links) == ["one/back", "two"]


def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "dangling.parquet").symlink_to("nowhere")
    (tmp_path / "itself.parquet").symlink_to("itself.parquet")
    assert [(each.name, each.what) for each in listed(tmp_path).files] == [
        ("dangling.parquet", "a link that leads nowhere"),
        ("itself.parquet", "a link that leads nowhere"),
        ("pipe.parquet", "a pipe"),
    ]
    with pytest.raises(ValueError, match="it is a pipe and no file"), opened_file(str(tmp_path / "pipe.parquet")):
        pass


def test_names_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\n\x1b.parquet")).write_bytes(b"data")
    (found,) = listed(tmp_path).files
    assert shown_name(found.name) == "\\xff\\n\\x1b.parquet"
    shown_name(found.name).encode()
    with opened_file(f"{tmp_path}/{found.name}") as file:
        assert file.read() == b"data"
    assert shown_name("year=2024/Überdruck 1.parquet") == "year=2024/Überdruck 1.parquet"
