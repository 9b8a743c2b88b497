"""Commands as documentation shows them, run in this process."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread

CONFIGS = Path(__file__).parents[2] / "configs"

# Times, speeds and traffic differ from run to run.
_VARIES = re.compile(r"in [\d.,]+ s\b|\([\d,]+ points/s\)|[\d.,]+ MB")


def settled(line: str) -> str:
    """A line of output without what differs from run to run."""
    return " ".join(_VARIES.sub("~", line).split())


class Terminal:
    """Runs the commands of an example in a folder of its own; emulators get free ports, and configurations learn of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.emulators: dict[str, EmulatorThread] = {}
        shutil.copytree(CONFIGS, folder / "configs")

    def run(self, command: str) -> int:
        words = shlex.split(command.removesuffix("&"))
        if words[0] == "curl":  # new rules for an emulator
            port = re.findall(r"127\.0\.0\.1:(\d+)", words[-1])[0]
            self.emulators[port].set_faults(json.loads(words[words.index("-d") + 1]))
            return 0
        assert words[0] == "omnia-beam"
        if words[1] != "emulator":
            return main([*words[1:], "--no-progress"])
        port = words[words.index("--port") + 1]
        at = words.index("--port")
        emulator = EmulatorThread([*words[2:at], *words[at + 2 :]]).start()
        self.emulators[port] = emulator
        for path in (self.folder / "configs").glob("*.yaml"):
            path.write_text(re.sub(rf"http://127\.0\.0\.1:{port}/[\w/.]+", emulator.url, path.read_text()))
        return 0

    def stop(self) -> None:
        for emulator in self.emulators.values():
            emulator.stop()
