"""Start a worker: `python -m omnia_beam.beam.worker FD`, called by `worker_pool` alone. See `worker_process`.

It is a module of its own so that logging is set up before Beam is imported, which warns of libraries that are not needed here.
"""

from __future__ import annotations

import logging
import os
import sys

from omnia_beam.beam.allocator import collect_rarely, use_one_arena
from omnia_beam.core.redaction import RedactingFilter


def main() -> None:
    """Work for the driver at the other end of the file descriptor that the command line names."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactingFilter())
    text = f"%(asctime)s %(levelname)s [worker {os.getpid()}] %(message)s"
    handler.setFormatter(logging.Formatter(text, "%Y-%m-%dT%H:%M:%S%z"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    collect_rarely()
    use_one_arena()
    from omnia_beam.beam.worker_process import work_for

    work_for(int(sys.argv[1]))


if __name__ == "__main__":
    main()
