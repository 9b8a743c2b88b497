"""Fetch Flink's job server for Beam through Maven: `make flink-jar`, or `python deploy/flink_job_server.py FILE.jar`.

Beam publishes it as one large jar for each version of Flink and of Beam. A mirror may lack it, so there are two ways, in order:

1. the large jar of the installed Beam's version;
2. the runner's own small jar with all that it depends on, of the newest Beam, not above the installed one, of which the mirror has
   all parts: put beside a jar of one page that names them. A job server of another Beam than the pipeline's is what Beam's
   protocol is made for; 2.62 with a pipeline of 2.77 is what the tests of this project have seen.

Beside the jar a file `.json` says which Flink and which Beam it is. Needs Java 11 or later, and `mvn` with your own settings.xml;
`MAVEN_REPO` names where versions are looked up, if not at Maven Central.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

CENTRAL = "https://repo1.maven.org/maven2"
WHOLE = "1.20"
"""The Flink whose large jar is asked for."""
PARTS = ("1.20", "1.19")
"""Flinks whose runner may be put together from parts: those that Beam's Python knows, and that have Beam's batch runner."""
OF_BEAM = (
    "beam-runners-java-job-service",
    "beam-runners-java-fn-execution",
    "beam-sdks-java-core",
    "beam-sdks-java-harness",
)
"""What the runner's jar needs in its own version; where one lacks, looking for the other 160 jars would take minutes."""
KNOWN_TO_WORK = "2.62.0"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# Flink and Beam look into the JDK's own classes, which Java 17 closes otherwise.
OPENS = ("lang", "lang.invoke", "nio", "time", "util", "util.concurrent")

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>flink-job-server</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId><artifactId>beam-runners-flink-{flink}</artifactId><version>{beam}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.30</version></dependency>
  </dependencies>
</project>
"""


def main(argv: Sequence[str]) -> int:
    """0 when the jar is there, 1 when the mirror has none, 2 without Java or Maven."""
    jar = Path(argv[0] if argv else "build/flink-job-server.jar")
    if not (shutil.which("java") and shutil.which("mvn")):
        print("Flink needs Java 11 or later, and Maven (mvn)", file=sys.stderr)
        return 2
    folder = jar.parent / "flink"
    folder.mkdir(parents=True, exist_ok=True)
    installed = version("apache-beam")
    print(f"Looking for Flink {WHOLE}'s job server of Beam {installed}", flush=True)
    if fetch_whole(folder, jar, installed):
        return told(jar, WHOLE, installed, "Beam's own jar")
    print("This Maven repository does not have it. Looking for its parts", flush=True)
    for flink, beam in candidates(installed):
        print(f"Putting it together from the parts of Beam {beam} for Flink {flink}: about 160 MB", flush=True)
        if fetch_parts(folder, flink, beam):
            shutil.rmtree(jar.parent / "flink-lib", ignore_errors=True)
            (folder / "lib").rename(jar.parent / "flink-lib")
            write_jar(jar, "flink-lib", sorted(path.name for path in (jar.parent / "flink-lib").glob("*.jar")))
            return told(jar, flink, beam, f"put together from parts, since the repository has none of Beam {installed}")
    print("No job server for Flink can be had from this Maven repository", file=sys.stderr)
    return 1


def told(jar: Path, flink: str, beam: str, how: str) -> int:
    """Say which one it is, in words and in a file."""
    jar.with_suffix(".json").write_text(json.dumps({"flink": flink, "beam": beam}) + "\n", encoding="utf-8")
    print(f"{jar}: Flink {flink}, Beam {beam} ({how})")
    return 0


def fetch_whole(folder: Path, jar: Path, beam: str) -> bool:
    """Copy Beam's own jar; False where there is none."""
    name = f"beam-runners-flink-{WHOLE}-job-server"
    if maven(f"{PLUGIN}:copy", f"-Dartifact=org.apache.beam:{name}:{beam}", f"-DoutputDirectory={folder}"):
        (folder / f"{name}-{beam}.jar").rename(jar)
        return True
    return False


def fetch_parts(folder: Path, flink: str, beam: str) -> bool:
    """Copy the runner and all that it needs into `lib` of the folder; False where a part is missing."""
    shutil.rmtree(folder / "lib", ignore_errors=True)
    pom = folder / "pom.xml"
    pom.write_text(POM.format(flink=flink, beam=beam), encoding="utf-8")
    arguments = [f"-DoutputDirectory={(folder / 'lib').resolve()}", "-DincludeScope=runtime"]
    return maven("-f", str(pom), f"{PLUGIN}:copy-dependencies", *arguments)


def maven(*arguments: str) -> bool:
    """Whether Maven did it; the first line of what it says otherwise is shown."""
    command = ["mvn", "-q", "-B", "-Dstyle.color=never", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our own words
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # it colours resets even when told not to
    said = [line.removeprefix("[ERROR]").strip() for line in plain.splitlines()]
    if done.returncode:
        print(f"  Maven: {next(filter(None, said), done.stderr.strip())[:400]}", flush=True)
    return done.returncode == 0


def candidates(installed: str) -> list[tuple[str, str]]:
    """Flink and Beam versions to try, best first: at most one for each Flink."""
    needed = [set(published(name)) for name in OF_BEAM]
    found = []
    for flink in PARTS:
        whole = set(published(f"beam-runners-flink-{flink}")).intersection(*needed)
        if fitting := [each for each in whole if as_numbers(each) <= as_numbers(installed)]:
            found.append((flink, max(fitting, key=as_numbers)))
    # A repository that shows no list of versions may have them all the same.
    return found or [(PARTS[-1], KNOWN_TO_WORK)]


def published(artifact: str) -> list[str]:
    """The versions that the repository lists; none where it does not answer."""
    url = f"{os.environ.get('MAVEN_REPO', CENTRAL)}/org/apache/beam/{artifact}/maven-metadata.xml"
    try:
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - https, or what the user names
            text = response.read().decode()
    except (OSError, ValueError):
        return []
    return re.findall(r"<version>(\d+(?:\.\d+)+)</version>", text)


def as_numbers(text: str) -> tuple[int, ...]:
    """2.9.0 before 2.10.0."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def write_jar(jar: Path, lib: str, names: Iterable[str]) -> None:
    """A jar with nothing in it but where to begin and where the rest is, relative to itself."""
    attributes = {
        "Manifest-Version": "1.0",
        "Main-Class": MAIN,
        "Class-Path": " ".join(f"{lib}/{name}" for name in names),
        "Add-Opens": " ".join([*(f"java.base/java.{each}" for each in OPENS), "java.base/sun.nio.ch"]),
    }
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "".join(map(folded, attributes, attributes.values())) + "\r\n")


def folded(name: str, value: str) -> str:
    """One attribute of a manifest: lines of at most 72 bytes, those that go on begin with a space."""
    line = f"{name}: {value}"
    lines = [line[:70], *(f" {line[start : start + 69]}" for start in range(70, len(line), 69))]
    return "".join(f"{each}\r\n" for each in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
