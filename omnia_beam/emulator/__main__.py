"""The entry point of `python -m omnia_beam.emulator`."""

import argparse
import sys

from omnia_beam.emulator.command import add_arguments, run

if __name__ == "__main__":
    _parser = argparse.ArgumentParser(
        prog="python -m omnia_beam.emulator", description=sys.modules[__package__].__doc__
    )
    add_arguments(_parser)
    try:
        sys.exit(run(_parser.parse_args()))
    except ModuleNotFoundError as _error:
        print(f"emulator: needs the module {_error.name}: pip install 'omnia-beam[emulator]'", file=sys.stderr)
        sys.exit(2)
