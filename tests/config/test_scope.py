"""What counts as another answer, part by part, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from omnia_beam.config import scope_parts
from omnia_beam.ledger.record import Scope

from .conftest import GOOD, Files

CSV = GOOD[: GOOD.index("source:")] + "source: {kind: csv, path: [x/*.csv, gs://b/y]}\n" + GOOD[GOOD.index("window:") :]
TO_OMNIA = GOOD.replace("{kind: parquet, path: out/}", "{kind: omnia, environment: dev, credential: {kind: default}}")


def changed(files: Files, text: str, other: str) -> set[str]:
    before, after = scope_parts(files.load(text)), scope_parts(files.load(other))
    assert list(before) == list(after)
    return {name for name in before if before[name] != after[name]}


def test_the_parts_can_be_read(files: Files) -> None:
    assert scope_parts(files.load()) == {
        "source": "omnia http://127.0.0.1:8080/plant/timeseries/v1.7",
        "federation_source": "not given",
        "reading": "as served",
        "statuses": "all",
        "mapping": "none",
        "sink": f"parquet {os.getcwd()}/out",
        "writing": "as read",
    }
    assert scope_parts(files.load(TO_OMNIA))["sink"] == "omnia dev"
    assert scope_parts(files.load(CSV))["source"] == f"csv {os.getcwd()}/x/*.csv gs://b/y"


@pytest.mark.parametrize(
    ("text", "old", "new", "parts"),
    [
        (GOOD, "8080", "8081", {"source"}),
        (GOOD, "base_url: http://127.0.0.1:8080/plant/timeseries/v1.7", "environment: test", {"source"}),
        (GOOD, "  series", "  federation_source: TSDB\n  series", {"federation_source"}),
        (GOOD, "  series", "  status: [192]\n  series", {"statuses"}),
        (GOOD, "path: out/", "path: out2/", {"sink"}),
        (GOOD, "{kind: parquet, path: out/}", "{kind: csv, path: out/}", {"sink"}),
        (GOOD, "state: state/", "state: state/\nmapping: {by: same_id}", {"mapping"}),
        (TO_OMNIA, "environment: dev", "environment: prod", {"sink"}),
        (TO_OMNIA, "environment: dev", "environment: dev, nan: drop_counted", {"writing"}),
        (TO_OMNIA, "environment: dev", "environment: dev, nan: as_bad_status", {"writing"}),
        (TO_OMNIA, "environment: dev", "environment: dev, time_resolution: truncate", {"writing"}),
        (CSV, "kind: csv", "kind: csv, timezone: Europe/Oslo", {"reading"}),
        (CSV, "kind: csv", "kind: csv, default_status: 0", {"reading"}),
        (CSV, "x/*.csv", "z/*.csv", {"source"}),
    ],
)
def test_what_changes_the_answer(files: Files, text: str, old: str, new: str, parts: set[str]) -> None:
    assert old in text
    assert changed(files, text, text.replace(old, new)) == parts


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (GOOD, "v1.7", "v1.7/"),
        (GOOD, "[a, b]", "[c]"),
        (GOOD, "2023-01-01", "2022-01-01"),
        (GOOD, "name: job", "name: other"),
        (GOOD, "state: state/", "state: elsewhere/"),
        (GOOD, "path: out/", f"path: {os.getcwd()}/out"),
        (GOOD, "path: out/", "path: ./out/../out"),
        (GOOD, "path: out/", "path: out/, compression: snappy"),
        (
            GOOD,
            "  series",
            "  rate: {max_in_flight: 2}\n  retry: {attempts: 2}\n  page_limit: 5\n  format: json\n  series",
        ),
        (
            GOOD,
            "state: state/",
            "state: s\nworkers: 3\norder: newest_first\nrefresh: 1d\ndeadline: 1h\nmax_chunk_points: 9",
        ),
        (TO_OMNIA, "kind: default", "kind: managed_identity"),
        (TO_OMNIA, "environment: dev", "environment: dev, batch_points: 3, create_missing: {facility: x}"),
        (TO_OMNIA, "environment: dev", "environment: dev, bad_status: 3"),
        (CSV, "kind: csv", "kind: csv, exclude: x"),
        (GOOD, "state: state/", 'state: s\nexpect: {max_gap: 1h, bad_share: 1%, series: {"PT*": {range: [0, 250]}}}'),
    ],
)
def test_what_does_not(files: Files, text: str, old: str, new: str) -> None:
    assert old in text
    assert changed(files, text, text.replace(old, new)) == set()


def test_a_status_filter_is_a_set(files: Files) -> None:
    texts = [
        GOOD.replace("  series", f"  status: {status}\n  series") for status in ("[192, 64]", "[64, 192, 64]", "192")
    ]
    assert changed(files, texts[0], texts[1]) == set()
    assert changed(files, texts[0], texts[2]) == {"statuses"}


MAPPED = GOOD + "mapping: {file: DIRECTORY/tags.csv, status_maps: {mine: {1: 2}}}\n"


def mapping_part(files: Files, table: str, name: str = "tags.csv", text: str = MAPPED) -> str:
    files.write(table, name)
    return scope_parts(files.load(text.replace("DIRECTORY", str(files.directory)).replace("tags.csv", name)))["mapping"]


def test_the_mapping_file_counts_by_what_it_says(files: Files) -> None:
    part = mapping_part(files, "source,scale,status_map\na,2,mine\nb,,\n")
    assert part.startswith("2 rows, sha256:")
    assert mapping_part(files, "# again\nstatus_map;source;scale\n;b;\nmine;a;2.0\n", "other.csv") == part
    assert mapping_part(files, "source,scale,status_map\na,3,mine\nb,,\n") != part
    assert mapping_part(files, "source,scale,status_map\na,2,\nb,,\n") != part
    assert mapping_part(files, "source,scale,status_map\na,2,mine\n") != part
    assert mapping_part(files, "source,offset,status_map\na,2,mine\nb,,\n") != part
    assert mapping_part(files, "source,scale,status_map\na,2,mine\nb,,\n", text=MAPPED.replace("1: 2", "1: 3")) != part


@pytest.mark.parametrize(
    ("mapping", "same"),
    [
        ("by: same_id", True),
        ("by: same_id, on_unmapped: skip", True),
        ("by: same_id, status_maps: {x: {1: 2}}", True),
        ("by: name_and_facility", False),
        ("by: same_id, status_map: pi", False),
        ("by: same_id, unlisted_status: 0", False),
        ("by: same_id, units: {psi: bar}", False),
        ("by: same_id, units: {psi: {to: bar, scale: 2}}", False),
    ],
)
def test_rules_count_where_they_can_change_a_point(files: Files, mapping: str, same: bool) -> None:
    found = changed(files, f"{GOOD}mapping: {{by: same_id}}\n", f"{GOOD}mapping: {{{mapping}}}\n")
    assert found == (set() if same else {"mapping"})


def test_a_status_map_counts_by_its_table_and_not_by_its_name(files: Files) -> None:
    by_name = f"{GOOD}mapping: {{status_map: ip21}}\n"
    by_table = f"{GOOD}mapping: {{status_map: {{0: 192, 1: 64, 2: 0, 4: 24, 5: 8, 6: 60}}}}\n"
    assert changed(files, by_name, by_table) == set()


def test_the_parts_are_pinned(files: Files) -> None:
    """They outlive upgrades: another text here would make every job in the world copy everything again."""
    text = CSV.replace("[x/*.csv, gs://b/y]", "gs://b/y, timezone: Europe/Oslo").replace(
        "path: out/", "path: gs://b/out"
    )
    text += "mapping: {by: template, target_name: '{name}', units: {psi: bar}, status_map: pi}\n"
    assert scope_parts(files.load(text)) == {
        "source": "csv gs://b/y",
        "federation_source": "not given",
        "reading": "sha256:9b1a9842c4b0a5198eab8db09ffec38c",
        "statuses": "all",
        "mapping": "0 rows, sha256:f5147bea6538cf4f970f2a6b4ae0d52a",
        "sink": "parquet gs://b/out",
        "writing": "as read",
    }


def test_the_parts_are_the_same_in_another_process(files: Files) -> None:
    path = files.write(GOOD)
    imports = "from omnia_beam.config import scope_parts; from omnia_beam.pipelines.config import load_config"
    code = f"{imports}; print(scope_parts(load_config({path!r}, now_ns=0)))"
    runs = set()
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        runs.add(
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ).stdout
        )
    assert runs == {f"{scope_parts(files.load())}\n"}


PINNED = ["023f582fd42c0d9aceae3cd40095bcf1", "547968533649bc3d3fc30c86c36edf76", "f103749dc9e1a853fee7aec3e81dd1aa"]


def scope_digest(files: Files, text: str) -> str:
    """The digest, with the folder of the test left out."""
    parts = {name: part.replace(os.getcwd(), "/jobs") for name, part in scope_parts(files.load(text)).items()}
    return Scope.of(parts).digest


def test_digests_of_jobs_are_what_they_were(files: Files) -> None:
    """Byte for byte: a changed digest would make every recorded window of such a job be copied again."""
    assert [scope_digest(files, text) for text in (GOOD, TO_OMNIA, CSV)] == PINNED
    beside = "state: state/\nexpect: {max_gap: 1h, min_points: 1000, bad_share: 1%, range: [0, 250]}"
    assert scope_digest(files, GOOD.replace("state: state/", beside)) == PINNED[0]
