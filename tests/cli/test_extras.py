"""What an installation without the extras can do, and what it says about the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HIDE = "import sys; sys.modules['aiohttp'] = None; from importlib.machinery import PathFinder as P; f = P.find_spec; \
P.find_spec = lambda name, *a, **k: None if name == 'aiohttp' else f(name, *a, **k); del sys.modules['aiohttp']; \
from omnia_beam.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("command", [["emulator"], ["demo"]])
def test_what_needs_an_extra_names_it(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDE, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the module aiohttp: pip install 'omnia-beam[emulator]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["--help"], ["emulator", "--help"], ["demo", "--help"], ["schema"]])
def test_what_needs_no_extra_works_without(command: list[str], tmp_path: Path) -> None:
    hidden = "'aiohttp', 'multidict', 'yarl', 'pint'"
    program = (
        f"import sys; sys.modules.update(dict.fromkeys([{hidden}])); "
        "from omnia_beam.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: omnia-beam" in done.stdout or "properties" in done.stdout


def test_other_commands_do_not_wait_for_the_emulator() -> None:
    program = "import sys; from omnia_beam.cli import main; main(['schema']); sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0
