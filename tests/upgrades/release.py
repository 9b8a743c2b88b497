"""Jobs whose state and destination are kept, a set a release, so that later versions are tried on them.

`python -m tests.upgrades.release VERSION` records a set with the installed version; `laid_out` lays one out where it was recorded:
a job's scope holds absolute paths and the address of its service, so that both have to be the same again.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread

RELEASES: Final = Path(__file__).parent
PLACE: Final = Path("/tmp/omnia-beam-upgrades")  # the same on every machine, and held by a lock
PORT: Final = 18173
BASE_URL: Final = f"http://127.0.0.1:{PORT}/plant/timeseries/v1.7"

PLANT: Final = "dense:series=3,days=40,step=1h,start=2024-01-01"
JOBS: Final = {"lake": "backfill", "mapped": "migrate", "target": "migrate"}
"""Jobs by name, and the command that runs each: a service to Parquet, CSV to Parquet with a mapping, CSV to a service with
dead letters."""

WRITTEN_NS: Final = 1_700_000_000 * 10**9
"""When the source files were last changed: jobs remember that, and a checkout does not keep it."""

DEAD_LETTERS: Final = {"lake": 0, "mapped": 0, "target": 2}


@contextmanager
def emulator(place: Path) -> Iterator[EmulatorThread]:
    """Run the service that the jobs know, with what was written to it before."""
    arguments = ["--port", str(PORT), "--synthetic", PLANT, "--state-dir", str(place / "service")]
    with EmulatorThread(arguments) as running:
        yield running


@contextmanager
def laid_out(release: str) -> Iterator[Path]:
    """Lay a release's set out at its place, alone on this machine while the block runs."""
    import fcntl

    PLACE.parent.mkdir(exist_ok=True)
    with open(f"{PLACE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(PLACE, ignore_errors=True)
        try:
            shutil.copytree(RELEASES / release, PLACE)
            _date_inputs()
            with emulator(PLACE):
                yield PLACE
        finally:
            shutil.rmtree(PLACE, ignore_errors=True)


def _date_inputs() -> None:
    for path in PLACE.glob("*.csv"):
        os.utime(path, ns=(WRITTEN_NS, WRITTEN_NS))


def _write_inputs() -> None:
    rows = [f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z,{i / 7!r},{(i * i) % 101 / 3!r}" for i in range(480)]
    (PLACE / "pump.csv").write_text("\n".join(["time,PT-1,FT-1", *rows]) + "\n")
    letters = [f"2024-02-01T{i:02d}:00:00Z,{'NaN' if i in (3, 5) else repr(i / 3)}" for i in range(24)]
    (PLACE / "refused.csv").write_text("\n".join(["time,PT-2", *letters]) + "\n")
    tags = ["source,target_name,scale,offset", "PT-1,1191-PT-1,100000,0", "FT-1,1191-FT-1,1,0.5"]
    (PLACE / "tags.csv").write_text("\n".join(tags) + "\n")
    _date_inputs()
    anonymous = {"kind": "anonymous"}
    selection = {"search": {"name": "dense*"}}
    service = {"kind": "omnia", "base_url": BASE_URL, "credential": anonymous}
    jobs: dict[str, dict[str, object]] = {
        "lake": {
            "source": {**service, "series": selection, "page_limit": 500},
            "window": {"start": "2024-01-01", "end": "2024-02-10"},
            "sink": {"kind": "parquet", "path": str(PLACE / "lake")},
            "max_chunk_points": 400,
        },
        "mapped": {
            "source": {"kind": "csv", "path": str(PLACE / "pump.csv")},
            "mapping": {"file": str(PLACE / "tags.csv")},
            "sink": {"kind": "parquet", "path": str(PLACE / "mapped")},
        },
        "target": {
            "source": {"kind": "csv", "path": str(PLACE / "refused.csv")},
            "sink": {**service, "create_missing": {"facility": "1191", "name": "{name}"}},
            "accept": ["nan_values"],
        },
    }
    for name, job in jobs.items():
        (PLACE / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **job, "state": str(PLACE / "recorded")}))


def record(release: str) -> None:
    """Record a set with the version that is installed, from several runs of each job."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    _write_inputs()
    with emulator(PLACE):
        codes = [
            main(["backfill", str(PLACE / "lake.yaml"), "--end", "2024-01-20"]),
            main(["backfill", str(PLACE / "lake.yaml"), "--set", "refresh=3d"]),
            main(["migrate", str(PLACE / "mapped.yaml")]),
            main(["migrate", str(PLACE / "target.yaml")]),
        ]
    if codes != [0, 0, 0, 1]:
        raise SystemExit(f"the jobs ended with {codes}")
    kept = RELEASES / release
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(PLACE, kept)
    for path in sorted(kept.rglob("*")):
        if path.is_file() and path.stat().st_size > 100_000:
            raise SystemExit(f"{os.path.relpath(path, kept)} is too large to keep")


if __name__ == "__main__":
    record(sys.argv[1])
