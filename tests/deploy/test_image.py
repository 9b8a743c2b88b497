"""The image of workers, as far as that can be told without a container engine: its form, what it copies, which Beam it holds."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from packaging.specifiers import SpecifierSet

from omnia_beam import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Keyword and the rest, without comments, continued lines in one."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in whole.splitlines() if line.strip()]  # type: ignore[misc]


def arguments() -> dict[str, str]:
    return dict(rest.split("=", 1) for keyword, rest in instructions() if keyword == "ARG")


def test_it_is_built_on_the_beam_that_the_tests_run_with() -> None:
    given = arguments()
    assert given["BEAM"] == version("apache-beam")
    [base] = [rest for keyword, rest in instructions() if keyword == "FROM"]
    assert base == "apache/beam_python${PYTHON}_sdk:${BEAM}"
    [python] = re.findall(r'python_requires="(.*)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert given["PYTHON"] in SpecifierSet(python)


def test_what_it_copies_is_there() -> None:
    sources = [source for keyword, rest in instructions() if keyword == "COPY" for source in rest.split()[:-1]]
    assert {"setup.py", "omnia_beam"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)


def test_it_stays_beams_worker_and_holds_no_secret() -> None:
    assert {keyword for keyword, _ in instructions()} == {
        "ARG",
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
    }  # no ENTRYPOINT, no ENV
    assert not any(re.search(r"(?i)secret|password|token", rest) for _, rest in instructions())


def test_recipes_name_the_image_that_it_says_to_build() -> None:
    [built] = re.findall(r"docker build -f deploy/Dockerfile -t (\S+) \.", DOCKERFILE.read_text(encoding="utf-8"))
    assert built.endswith(f":{__version__}")
    for recipe in ("flink-session-cluster.yaml", "kubernetes-cronjob.yaml"):
        assert f"image: {built}\n" in (ROOT / "deploy" / recipe).read_text(encoding="utf-8")
