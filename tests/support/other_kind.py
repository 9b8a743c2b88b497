"""The example kind of another package, as if it were installed: its folder and its entry point on the path of Python."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnia_beam.io.kinds import kinds
from omnia_beam.pipelines.config import job_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "kind"


@contextmanager
def installed(site: Path, package: Path = EXAMPLE) -> Iterator[None]:
    """Install a package in this process and those that it starts, while the block runs.

    Args:
        site: an empty folder for what an installer would write.
        package: with a `pyproject.toml`, from which the entry points are taken.
    """
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in each.items()) for group, each in groups]
    (info / "entry_points.txt").write_text("".join(lines))
    places = [str(site), str(package)]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *([before] if before else [])])
    sys.path[:0] = places
    _forget()
    try:
        yield
    finally:
        for place in places:
            sys.path.remove(place)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    kinds.cache_clear()
    job_model.cache_clear()
