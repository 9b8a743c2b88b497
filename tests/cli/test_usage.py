"""Misspelt commands and options: one line, and the nearest name."""

from __future__ import annotations

import pytest

from omnia_beam.cli import main

UNKNOWN = {
    "bakfill job.yaml": "there is no command 'bakfill'; did you mean \"backfill\"? The commands are backfill, migrate,",
    "": "give a command, such as `omnia-beam demo`, or `omnia-beam init csv parquet`",
    "report": "the following arguments are required: check, FILE",
    "xyzzy": "there is no command 'xyzzy'. The commands are backfill, migrate,",
    "plan job.yaml --jsno": 'unrecognized arguments: --jsno; did you mean "--json"?',
    "--no-progres2=1 plan job.yaml": 'unrecognized arguments: --no-progres2=1; did you mean "--no-progress"?',
    "emulator --latency 5 --prt 1": 'unrecognized arguments: --prt; did you mean "--port"?',
    "verify job.yaml --xyzzy": "unrecognized arguments: --xyzzy (see omnia-beam verify --help)",
}


@pytest.mark.parametrize("line", UNKNOWN)
def test_the_nearest_command_or_option_is_named(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert UNKNOWN[line] in told
