"""The same data through the official SDK and through our client: equal to the last bit."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.api.client import OmniaClient
from tests.wire.timeseries_pb2 import CompactDatapointsDto

ROOT = Path(__file__).parents[3]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
START, END = "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"
FIRST_PAGE = 700

pytestmark = pytest.mark.skipif(not SDK_PYTHON.exists(), reason="the SDK's environment is not there: make install")


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", "dense:series=3,days=2,step=60s"]) as running:
        yield running


def read_by_sdk(url: str, series_id: str, form: str) -> list[object]:
    script = Path(__file__).parent / "sdk_read.py"
    command = [str(SDK_PYTHON), str(script), url, series_id, START, END, form]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    pages: list[object] = json.loads(done.stdout)
    return pages


def ns_of(text: str) -> int:
    """By decimal arithmetic, so that no digit is lost: the SDK hands times over as texts."""
    seconds = np.datetime64(text[:19], "s").astype(np.int64)
    fraction = Decimal("0" + text[19:].rstrip("Z")) if "." in text else Decimal(0)
    return int(seconds) * 1_000_000_000 + int(fraction * 1_000_000_000)


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_all_points_of_all_pages(emulator: EmulatorThread, form: str) -> None:
    compared = 0
    with OmniaClient(emulator.url, requests_per_second=None, format=form) as omnia:
        for series in emulator.store.listed():
            ours = omnia.get_datapoints(series.id, START, END)
            pages = read_by_sdk(emulator.url, series.id, form)
            if form == "json":
                points = [point for page in pages for item in page["data"]["items"] for point in item["datapoints"]]
                theirs = [(ns_of(p["time"]), p["value"], p["status"]) for p in points]
            else:
                (body,) = pages
                (item,) = CompactDatapointsDto.FromString(base64.b64decode(body)).data
                flat = item.values
                theirs = [(flat[i].int64, flat[i + 1].double, flat[i + 2].uint32) for i in range(0, len(flat), 3)]
                assert list(item.fields) == ["time", "value", "status"]
                ours = ours.head(FIRST_PAGE)
            assert ours.times.tolist() == [time for time, _, _ in theirs]
            sent = np.array([value for _, value, _ in theirs], np.float64)
            assert ours.values.view(np.uint64).tolist() == sent.view(np.uint64).tolist()
            assert ours.statuses.tolist() == [status for _, _, status in theirs]
            compared += len(theirs)
    assert compared >= 3 * FIRST_PAGE
