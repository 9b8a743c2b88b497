"""The crontab's line, run as cron runs it: by sh, with next to no environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml

from omnia_beam.emulator.process import EmulatorProcess

CRONTAB = Path(__file__).parents[2] / "deploy" / "cron.txt"
KEY = "a key; with $signs & 'quotes'"


def command_of(crontab: str) -> str:
    """What cron hands to the shell: the sixth field of the only entry, without escaped percent signs."""
    lines = [line for line in crontab.splitlines() if line.strip() and not line.startswith("#")]
    settings = [line for line in lines if re.match(r"[A-Z_]+=", line)]
    assert settings == ["SHELL=/bin/sh"]
    (entry,) = (line for line in lines if line not in settings)
    command = entry.split(None, 5)[5]
    assert not re.search(r"(?<!\\)%", command)  # cron would cut the command there
    return command.replace(r"\%", "%")


def run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "LOGNAME": "somebody", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the crontab expects omnia-beam, its job and its secrets."""
    place = tmp_path / "srv" / "omnia-beam"
    (place / ".venv" / "bin").mkdir(parents=True)
    program = place / ".venv" / "bin" / "omnia-beam"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m omnia_beam.cli "$@"\n')
    program.chmod(0o755)
    quoted = KEY.replace("'", "'\\''")
    (place / "secrets.env").write_text(f"GATEWAY_KEY='{quoted}'\n")
    (tmp_path / "home").mkdir()
    return place


@pytest.mark.long
def test_a_night_of_cron(place: Path, tmp_path: Path) -> None:
    command = command_of(CRONTAB.read_text(encoding="utf-8")).replace("/srv/omnia-beam", str(place))
    home = tmp_path / "home"
    arguments = ["--synthetic", "sparse:series=2,days=1,step=60s", "--subscription-key-env", "GATEWAY_KEY"]
    with EmulatorProcess(arguments, env={**os.environ, "GATEWAY_KEY": KEY}) as emulator:
        job = {
            "name": "night",
            "source": {
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "subscription_key_env": "GATEWAY_KEY",
                "series": {"search": {"name": "*"}},
                "retry": {"attempts": 1},
            },
            "window": {"start": "2024-01-01", "end": "2024-01-02"},
            "sink": {"kind": "parquet", "path": "out/"},
            "state": "state/",
        }
        (place / "job.yaml").write_text(yaml.safe_dump(job))
        done = run(command, home)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # no mail
    assert ds.dataset(place / "out").count_rows() > 1_000
    assert json.loads((place / "job.log").read_text().splitlines()[-1])["status"] == "complete"
    assert not list(home.iterdir())

    failed = run(command, home)  # the service is gone
    assert failed.returncode == 3
    assert "cannot be reached" in failed.stdout  # the mail says why


def test_a_place_that_is_not_there_is_mailed(tmp_path: Path) -> None:
    failed = run(command_of(CRONTAB.read_text(encoding="utf-8")), tmp_path)
    assert failed.returncode != 0
    assert "/srv/omnia-beam" in failed.stdout + failed.stderr
