"""Jobs that live on S3 and on Azure, and are killed, taken over and disturbed there: each looked at by an independent client."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.timestamps import format_time, parse_time
from tests.store.clouds import AZURITE, KEYS, Lake, azure_lakes, s3_lakes
from tests.store.servers import Fault, Front

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
T0 = parse_time("2024-01-30")
MINUTE = 60 * 10**9
FAULTS: Final[list[Fault]] = ["reset before", "reset after", "503", "412", "cut", "slow"]
KILLS = 10
TRIES = 20

Truth = dict[tuple[str, int], float]
"""Values by series and minute."""


@pytest.fixture(
    scope="module",
    params=[
        "s3",
        pytest.param(
            "azure",
            marks=[
                pytest.mark.services,
                pytest.mark.skipif(not AZURITE, reason="Azurite is not named: make test-services"),
            ],
        ),
    ],
)
def lakes(request: pytest.FixtureRequest) -> Iterator[Callable[[], Lake]]:
    with s3_lakes() if request.param == "s3" else azure_lakes() as new:
        yield new


@pytest.fixture
def lake(lakes: Callable[[], Lake], monkeypatch: pytest.MonkeyPatch) -> Lake:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return lakes()


@pytest.fixture
def front(lake: Lake) -> Iterator[Front]:
    front = Front(lake.url)
    yield front
    front.close()


class Life:
    """One job of CSV files to Parquet files, with everything in one lake.

    Args:
        lake: where it lives.
        folder: for configurations.
    """

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.lake = lake
        self.folder = folder
        self.source: dict[str, Truth] = {}
        for name in "abc":
            self.show(name, {(name, minute): minute / 7 for minute in range(0, 3 * 1_440, 10)})

    def show(self, name: str, points: Truth) -> None:
        """Let a file of the source hold these points."""
        self.source[name] = points
        rows = [f"{series},{format_time(T0 + minute * MINUTE)},{value!r}" for (series, minute), value in points.items()]
        self.lake.put(f"in/{name}.csv", "\n".join(["series_id,time,value", *rows, ""]).encode())

    def change(self, draw: random.Random) -> None:
        """Correct values of one series, and add points to it."""
        name, more = draw.choice("abc"), draw.randrange(1, 1_000)
        points = {cell: value + 1_000 for cell, value in self.source[name].items()}
        self.show(name, points | {(name, 10 * (432 + more) + minute): -1.0 for minute in range(5)})

    def job(self, url: str) -> Path:
        """Write the configuration, with the service at this URL."""
        place = self.lake.place
        job = {
            "name": "life",
            "source": {"kind": "csv", "path": f"{place}/in/*.csv"},
            "sink": {"kind": "parquet", "path": f"{place}/out"},
            "state": f"{place}/state",
            "max_chunk_points": 60,
            "storage": self.lake.storage(url),
        }
        path = self.folder / f"job-{url.rpartition(':')[2]}.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    def started(self, url: str, *command: str, module: str = "omnia_beam.cli") -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        name, *options = command
        line = [sys.executable, "-m", module, name, str(self.job(url)), "--json", "--no-progress", *options]
        return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *command: str, url: str = "") -> int:
        """Run a command in this process, and return its exit code."""
        name, *options = command
        return main([name, str(self.job(url or self.lake.url)), "--quiet", "--no-progress", *options])

    def data(self) -> dict[str, tuple[str, int]]:
        """Return the files of points, with version and size."""
        found = self.lake.listed()
        return {
            key: facts
            for key, facts in found.items()
            if key.startswith("out/year=") and "/_" not in key and ".parquet" in key
        }

    def check(self) -> None:
        """Check that the files hold exactly the source's points, each once."""
        found: list[tuple[tuple[str, int], float]] = []
        for key in self.data():
            table = pq.read_table(io.BytesIO(self.lake.get(key)))
            minutes = [(at - T0) // MINUTE for at in table["time"].cast("int64").to_pylist()]
            cells = zip(table["series_id"].to_pylist(), minutes, strict=True)
            found += zip(cells, table["value"].to_pylist(), strict=True)
        assert sorted(found) == sorted(cell for points in self.source.values() for cell in points.items())


def at_request(front: Front, number: int, act: Callable[[], object]) -> None:
    """Act at the so-many-th request from now on, before it is passed on."""
    left = [number]

    def choose(method: str, path: str) -> Fault | None:
        left[0] -= 1
        if left[0] == 0:
            act()
        return None

    front.choose = choose


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_at_ten_moments(lake: Lake, front: Front, tmp_path: Path) -> None:
    life, draw = Life(lake, tmp_path), random.Random(1)
    commands = [("migrate",), ("migrate",), ("tail", "--until-lag", "1d"), ("verify", "--source", "--repair")]
    killed = 0
    for number in range(3 * KILLS):
        if killed == KILLS:
            break
        life.change(draw)
        process = life.started(front.url, *commands[number % 4 if number > 3 else 0])
        at_request(front, draw.randrange(1, 120), process.kill)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (-signal.SIGKILL, 0, 1), errors
        killed += process.returncode == -signal.SIGKILL
    assert killed == KILLS
    front.choose = lambda method, path: None
    assert life.run("migrate") == 0
    life.check()
    assert life.run("verify", "--source") == 0
    assert life.run("status") == 0
    before = life.lake.listed()
    assert life.run("migrate") == 0
    assert {key: each for key, each in life.data().items() if before[key] != each} == {}


@pytest.mark.timeout(300)
def test_a_second_driver_is_refused(
    lake: Lake, front: Front, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life, reached = Life(lake, tmp_path), threading.Event()
    goes_on = threading.Event()

    def stand_still() -> None:
        reached.set()
        assert goes_on.wait(60)

    at_request(front, 30, stand_still)
    process = life.started(front.url, "migrate")
    assert reached.wait(60)
    capsys.readouterr()
    assert life.run("migrate") == 3
    assert "another run of job 'life' is running" in capsys.readouterr().err
    goes_on.set()
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(out.splitlines()[-1])["status"] == "complete"
    life.check()


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_driver_that_wakes_up_does_no_harm(lakes: Callable[[], Lake], lake: Lake, tmp_path: Path) -> None:
    """A driver sleeps past its lease, with a request in flight or between two; the source changes, and another one takes over."""
    taken_over = 0
    for number in range(TRIES):
        draw = random.Random(number)
        folder = tmp_path / str(number)
        folder.mkdir()
        life = Life(lakes(), folder)
        if number % 2:
            assert life.run("migrate") == 0
            life.change(draw)
        front, asleep, wakes = Front(life.lake.url), threading.Event(), threading.Event()
        try:
            process = life.started(front.url, "migrate", module="tests.soak.elsewhere")
            in_flight = draw.random() < 0.5

            def sleep(process: subprocess.Popen[str] = process, asleep: Any = asleep, wakes: Any = wakes) -> None:
                process.send_signal(signal.SIGSTOP)
                asleep.set()
                if in_flight:  # noqa: B023 - this round's
                    wakes.wait(120)

            at_request(front, draw.randrange(10, 90), sleep)
            while not asleep.wait(0.1) and process.poll() is None:
                pass
            life.change(draw)
            second = life.run("migrate")
            left = life.data()
            process.send_signal(signal.SIGCONT)
            wakes.set()
            _, errors = process.communicate(timeout=120)
            now = life.data()
            harmed = {key for key, each in left.items() if now.get(key) != each}
            told = (
                f"try {number}: request in flight {in_flight}, exits {process.returncode} and {second}, {errors[-300:]}"
            )
            assert second == 0, told
            assert not harmed, told
            if asleep.is_set():
                taken_over += process.returncode != 0
            assert life.run("migrate") == 0, told
            life.check()
            assert life.run("verify", "--source") == 0, told
        finally:
            wakes.set()
            process.kill()
            process.communicate()
            front.close()
    assert taken_over > TRIES // 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", [*FAULTS, "all"])
def test_exact_over_a_bad_line(lake: Lake, front: Front, tmp_path: Path, fault: str) -> None:
    """One request in eight has a fault; the 412 of a conditional one is not true."""
    life, draw = Life(lake, tmp_path), random.Random(fault)

    def choose(method: str, path: str) -> Fault | None:
        chosen: Any = draw.choice(FAULTS) if fault == "all" else fault
        return chosen if draw.random() < 1 / 8 else None

    front.choose = choose
    for command in (("migrate",), ("migrate",), ("verify", "--source"), ("status",)):
        assert life.run(*command, url=front.url) == 0, command
        if command == ("migrate",):
            life.check()
        if len(life.source["a"]) == 432:
            life.change(draw)
            assert life.run("migrate", url=front.url) == 0
    life.check()
