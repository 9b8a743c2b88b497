"""A tail in a process of its own whose clock runs fast.

    python -m tests.pipelines.tail.tail_process JOB.yaml BASE_NS REAL_S RATE [RUNNER BEAM_OPTION…]

The clock shows BASE_NS at the wall clock's REAL_S, and runs RATE times as fast, as an emulator's does.
"""

from __future__ import annotations

import io
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail


@dataclass(frozen=True)
class FastClock:
    """A wall clock that runs faster than the wall's."""

    base_ns: int
    real_s: float
    rate: float

    def __call__(self) -> int:
        return self.base_ns + int((time.time() - self.real_s) * self.rate * 1e9)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds / self.rate)


def main(path: str, base_ns: str, real_s: str, rate: str, runner: str | None = None, *beam_args: str) -> int:
    clock = FastClock(int(base_ns), float(real_s), float(rate))
    context = RunContext(pipeline_options(runner, beam_args), Console(file=io.StringIO()), Console(stderr=True))
    config = load_config(path, now_ns=clock())
    try:
        summary = run_tail(config, context, TailTimes(clock, clock.wait, clock.rate))
    except KeyboardInterrupt:
        return 130
    except OmniaBeamError as error:
        print(error, file=sys.stderr)
        return 3
    print(json.dumps(summary.to_json()), flush=True)
    return summary.exit_code


if __name__ == "__main__":
    assert Path(sys.argv[1]).exists()
    sys.exit(main(*sys.argv[1:]))
