"""A backup that is restored into an empty service, as the official SDK sees both."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from tests.emulator.conftest import BASE, SECOND

WINDOW = {"start": "2023-11-14T00:00:00Z", "end": "2023-11-16T00:00:00Z"}


def plant() -> dict[str, Any]:
    """50 series: names with commas, quotes and line ends, units beyond ASCII, metadata of every JSON type."""
    units = ["bar", "°C", "m³/h", None, 'the "unit"']
    found: dict[str, Any] = {}
    for at in range(50):
        count = 3 + at
        points = (
            BASE + np.arange(count) * SECOND,
            np.arange(count) * 0.25 - at,
            np.where(np.arange(count) % 4 == 0, 64, 192),
        )
        found[f'27PT-{at:03}, "A" æ'] = {
            "points": points,
            "facility": ["1191", "JSV", "#3"][at % 3],
            "description": [None, f"Pressure, stage {at}", "two\nlines; and a # mark"][at % 3],
            "unit": units[at % len(units)],
            "step": at % 2 == 0,
            "assetId": f"asset {at}" if at % 4 else None,
            "externalId": f"ext,{at}" if at % 3 else None,
            "metadata": {"area": at, "tags": ["a", "ø"], "nested": {"is": None, "on": True}} if at % 5 else None,
        }
    return found


def seen(python: str, url: str) -> dict[str, Any]:
    script = Path(__file__).parent / "sdk_listing.py"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [python, str(script), url, WINDOW["start"], WINDOW["end"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def service(url: str, **keys: Any) -> dict[str, Any]:
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, **keys}


def test_the_sdk_sees_the_same_metadata_and_points_after_a_restore(
    sdk_python: str, emulator: Callable[..., EmulatorThread], tmp_path: Path
) -> None:
    old, empty = emulator(series=plant()), emulator(series={})
    ids = [each.metadata.id for each in old.store.listed()]
    backup = {
        "name": "backup",
        "source": service(old.url, series={"ids": ids}),
        "window": WINDOW,
        "sink": {"kind": "parquet", "path": str(tmp_path / "lake")},
        "state": str(tmp_path / "state"),
    }
    restore = {
        "name": "restore",
        "source": {"kind": "parquet", "path": str(tmp_path / "lake" / "**" / "*.parquet")},
        "sink": service(empty.url, create_missing={}),
        "state": str(tmp_path / "state"),
    }
    for command, job in (("backfill", backup), ("migrate", restore)):
        path = tmp_path / f"{command}.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        assert main([command, str(path), "--no-progress"]) == 0
    before, after = seen(sdk_python, old.url), seen(sdk_python, empty.url)
    assert len(before) == 50
    assert sum(len(each["points"]) for each in before.values()) == sum(range(3, 53))
    assert after == before
