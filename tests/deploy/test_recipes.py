"""The recipes under deploy/: they parse, say what their scheduler understands, and start commands that exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from omnia_beam.beam.runner import pipeline_options
from omnia_beam.cli.arguments import build_parser, split_at_dashes
from omnia_beam.cli.table import COMMANDS

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service")) + sorted(DEPLOY.glob("*.timer"))


def text_of(path: Path) -> str:
    """Without comments, and with continued lines in one."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r"\\\n\s*", " ", "\n".join(lines))


def check_command(command: str) -> None:
    """What stands behind `omnia-beam` is something that it takes, Beam's options too."""
    words = shlex.split(command)
    start = max(nth for nth, word in enumerate(words) if Path(word).name == "omnia-beam")
    words = [word for word in words[start + 1 :] if word not in (";", "fi")]
    arguments, beam_args = split_at_dashes([word.rstrip(";") for word in words])
    args = build_parser(COMMANDS).parse_args(arguments)
    pipeline_options(getattr(args, "runner", None), beam_args)


@pytest.mark.parametrize("path", sorted(filter(Path.is_file, DEPLOY.rglob("*"))), ids=lambda path: path.name)
def test_every_recipe_explains_itself(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[:3]
    explained = ('  "description": "',) if path.suffix == ".json" else ("# ", '"""')
    assert any(line.startswith(explained) for line in first)
    assert "AZURE_CLIENT_SECRET=" not in path.read_text(encoding="utf-8")


def test_cron() -> None:
    entries = [line for line in text_of(DEPLOY / "cron.txt").splitlines() if line and "=" not in line.split()[0]]
    [entry] = entries
    *when, command = entry.split(None, 5)
    assert all(re.fullmatch(r"\*|\d+", field) for field in when)
    check_command(command.partition(">")[0])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_units(path: Path) -> None:
    for start in re.findall(r"^ExecStart=(.*)$", text_of(path), re.MULTILINE):
        check_command(start)
    if path.suffix == ".timer":
        assert path.with_suffix(".service").exists()
        assert re.search(r"^OnCalendar=", text_of(path), re.MULTILINE)
    else:
        assert "SuccessExitStatus=130" in text_of(path)
        assert re.search(r"^ExecStart=/usr/bin/env omnia-beam ", text_of(path), re.MULTILINE)


def test_systemd_itself_takes_the_units() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    done = subprocess.run(["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "omnia-beam" in line]
    assert not ours, done.stderr


class _Task:
    made: list[_Task] = []  # noqa: RUF012 - cleared by the test that uses it

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.after: list[_Task] = []
        self.made.append(self)

    def __rshift__(self, other: _Task) -> _Task:
        self.after.append(other)
        return other


class _Dag:
    made: list[_Dag] = []  # noqa: RUF012 - as above

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.made.append(self)

    def __enter__(self) -> _Dag:
        return self

    def __exit__(self, *args: object) -> None: ...


def test_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, members in [
        ("airflow", {"DAG": _Dag}),
        ("airflow.operators", {}),
        ("airflow.operators.bash", {"BashOperator": _Task}),
    ]:
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    _Task.made.clear()
    _Dag.made.clear()
    path = DEPLOY / "airflow_dag.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), {"__name__": "a_dag"})
    [dag] = _Dag.made
    assert dag.options["max_active_runs"] == 1
    assert dag.options["catchup"] is False
    backfill, verify = _Task.made
    assert backfill.after == [verify]
    for task in (backfill, verify):
        check_command(task.options["bash_command"])
        assert all("{{ conn." in value for value in task.options["env"].values())


def test_kubernetes() -> None:
    job = yaml.safe_load(text_of(DEPLOY / "kubernetes-cronjob.yaml"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")  # what a Job allows
    [container] = pod["containers"]
    check_command(shlex.join([*container["command"], *container["args"]]))
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    assert not any("value" in each for each in container.get("env", []))


def test_kubernetes_itself_knows_every_key() -> None:
    job = yaml.safe_load(text_of(DEPLOY / "kubernetes-cronjob.yaml"))
    for version in ("1.27", "1.31"):  # `timeZone` is stable since 1.27
        kubernetes_validate.validate(job, version, strict=True)
    job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolice"):
        kubernetes_validate.validate(job, version, strict=True)


def test_flink_starts_a_task_again_when_its_worker_dies() -> None:
    told = yaml.safe_load(text_of(DEPLOY / "flink/config.yaml"))
    assert told["restart-strategy.type"] == "fixed-delay"
    assert told["restart-strategy.fixed-delay.attempts"] > 1
    properties = yaml.safe_load(text_of(DEPLOY / "flink-session-cluster.yaml"))["services"]["jobmanager"]["environment"]
    of_cluster = yaml.safe_load(properties["FLINK_PROPERTIES"])
    assert told.items() <= of_cluster.items()


def test_flink_session_cluster() -> None:
    path = DEPLOY / "flink-session-cluster.yaml"
    services = yaml.safe_load(text_of(path))["services"]
    assert services["worker"]["network_mode"] == "service:taskmanager"
    assert services["worker"]["volumes"] == services["taskmanager"]["volumes"]
    properties = services["taskmanager"]["environment"]["FLINK_PROPERTIES"]
    slots = int(re.findall(r"numberOfTaskSlots: (\d+)", properties)[0])
    shown = re.sub(r"\\\n#\s*", "", path.read_text(encoding="utf-8"))
    [command] = re.findall(r"^#\s+(omnia-beam .*)$", shown, re.MULTILINE)
    check_command(command)
    assert f"--parallelism={slots}" in command


def test_commands_of_the_page_on_clusters() -> None:
    page = (DEPLOY.parent / "docs/running-on-clusters.md").read_text(encoding="utf-8")
    whole = re.sub(r"\\\n\s*", " ", page)
    commands = re.findall(r"^omnia-beam .*$", whole, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        check_command(command.replace("…", ""))


def test_dataflow() -> None:
    path = DEPLOY / "dataflow.sh"
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    command = next(line for line in text_of(path).splitlines() if "omnia-beam" in line)
    check_command(command.removeprefix("exec "))
