"""`python -m omnia_beam.cli`: the same program as `omnia-beam`."""

import sys

from omnia_beam.cli import main

if __name__ == "__main__":
    sys.exit(main())
