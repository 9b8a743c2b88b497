"""The command line: it reads arguments, prints results and returns exit codes. The work is done in `pipelines`.

Exit codes: 0 complete; 1 finished but incomplete; 2 bad usage or configuration; 3 the service or the destination is
unreachable or refuses the credential before the first window; 74 complete, but the output could not be written; 130 interrupted.
"""

from omnia_beam.cli.program import main

__all__ = ["main"]
