"""What Beam ships to workers: `--setup_file=./setup.py` builds this package there.

Tool settings live in pyproject.toml; everything a worker needs to import lives here.
"""

import os
import re
from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).parent
REPOSITORY = "https://github.com/omnia-beam/omnia-beam"
# Read, not imported: what the package imports is not installed yet.
[VERSION] = re.findall(
    r'^__version__ = "(.+)"$', (HERE / "omnia_beam/__init__.py").read_text(encoding="utf-8"), re.MULTILINE
)


def readme() -> str:
    """Return the README with absolute links, to the files of this version: a package index shows it without the files beside it."""
    path = HERE / "README.md"
    if not path.exists():  # on a worker that unpacked the code alone
        return ""
    here = rf"\1{REPOSITORY}/blob/v{VERSION}/"
    return re.sub(r"(\]\()(?![a-z]+:|#)", here, path.read_text(encoding="utf-8"))


# The command line and the emulator run on the machine that starts a job; workers need only the core list.
CLI = ["Jinja2>=3.1", "rich>=13.7"]
EMULATOR = ["aiohttp>=3.9", "PyJWT[crypto]>=2.8"]
# Units of a migration are converted by their names; a mapping that gives factors does without.
UNITS = ["pint>=0.24"]
# Kerberos and NTLM of servers of a Windows domain; NTLM needs no more than pyspnego.
KERBEROS = ["pyspnego[kerberos]>=0.12"]
METRICS = ["prometheus-client>=0.20"]
# Statements and COPY into tables by the one, rows that come back as Arrow columns by the other: each is the faster one there.
POSTGRESQL = ["psycopg[binary]>=3.2", "adbc-driver-postgresql>=1.3"]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"]

# Optional twice over: without a C compiler the build goes on without it, and OMNIA_BEAM_KERNEL=off leaves it out. One
# binary serves every Python from 3.11 on (the stable ABI).
KERNEL = Extension(
    "omnia_beam.core._kernel",
    ["omnia_beam/core/_kernel.c", "omnia_beam/core/_recorded.c"],
    depends=["omnia_beam/core/_json.h", "omnia_beam/core/_kernel.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=[] if os.name == "nt" else ["-O3"],
    py_limited_api=True,
    optional=True,
)
WITH_KERNEL = os.environ.get("OMNIA_BEAM_KERNEL", "").lower() != "off"

setup(
    name="omnia-beam",
    version=VERSION,
    description="Move industrial time series between historians, databases and files, fast and provably complete",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The omnia-beam maintainers",
    url=REPOSITORY,
    project_urls={
        "Documentation": f"{REPOSITORY}/tree/main/docs",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
        "Source": REPOSITORY,
    },
    keywords=[
        "time series",
        "historian",
        "Apache Beam",
        "Omnia",
        "migration",
        "backfill",
        "Parquet",
        "industrial data",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Manufacturing",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)),
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Database",
        "Topic :: Scientific/Engineering",
        "Topic :: System :: Archiving :: Backup",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["omnia_beam", "omnia_beam.*"]),
    package_data={"omnia_beam": ["py.typed", "core/*.pyi", "pipelines/*/*.j2", "pipelines/*/*.css"]},
    ext_modules=[KERNEL] if WITH_KERNEL else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if WITH_KERNEL else {},
    install_requires=[
        "apache-beam>=2.74,<3",
        "azure-identity>=1.16",
        "numpy>=1.26",
        "obstore>=0.12,<1",
        "orjson>=3.9",
        "protobuf>=5.29,<7",
        "pyarrow>=15",
        "pydantic>=2.7,<3",
        "PyYAML>=6",
        "requests>=2.31",
        "tenacity>=8.2.3",
        *CLI,
    ],
    extras_require={
        "docs": DOCS,
        "emulator": EMULATOR,
        "kerberos": KERBEROS,
        "metrics": METRICS,
        "pi": [],  # PI is read with what is there; Kerberos and NTLM are the extra `kerberos`
        "postgresql": POSTGRESQL,
        "units": UNITS,
    },
    entry_points={
        "console_scripts": [
            "omnia-beam=omnia_beam.cli:main",
            "omnia-beam-worker=omnia_beam.beam.worker_boot:main",
        ]
    },
)
