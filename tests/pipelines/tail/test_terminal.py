"""What a tail looks like on a terminal: a bar while it reads, and one line a cycle that stays."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.emulator.process import EmulatorProcess

pytestmark = pytest.mark.long  # a tail on a terminal takes the time that it takes

CYCLES = 3


def shown(command: list[str], until: Callable[[bytes], bool]) -> tuple[int, str]:
    """What a command writes to a terminal of 120 columns until a signal ends it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    out, is_told = b"", False
    while True:
        if not select.select([ours], [], [], 60)[0]:
            process.kill()
        try:
            some = os.read(ours, 65_536)
        except OSError:  # Linux's word for the end of a terminal
            break
        if not some:
            break
        out += some
        if until(out) and not is_told:
            process.send_signal(signal.SIGINT)
            is_told = True
    os.close(ours)
    return process.wait(10), out.decode()


def test_a_bar_that_goes_and_a_line_that_stays(job_file: Callable[..., Path]) -> None:
    with EmulatorProcess(["--synthetic", "dense:series=2,days=1,step=1s"]) as emulator:
        job = job_file(emulator.url, tail={"poll": "1s"}, window={"start": "2024-01-01"})
        command = [sys.executable, "-m", "omnia_beam.cli", "tail", str(job)]
        code, text = shown(command, lambda out: out.count(b" complete to ") >= CYCLES)
    assert code == 130
    assert "windows" in text.partition(" complete to ")[0]  # the bar was there before the first line was
    assert "ETA" in text  # eighty columns have room for its facts, and not for its picture
    # Each line stands where the bar was: one up, and cleared.
    assert len(re.findall(r"\x1b\[1A\x1b\[2K\S+Z complete to ", text)) >= CYCLES
