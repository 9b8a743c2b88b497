"""An Airflow DAG: a backfill every night, and a check of what it copied every Sunday.

Put it into the `dags/` folder. Airflow only starts the command line: it keeps its own state, resumes by itself, and one run at
a time holds the job's lease, so that retries and overlapping runs do no harm.

For a cluster, add `--runner=FlinkRunner -- --flink_master=... --environment_type=...` to the command (see
docs/running-on-clusters.md); BeamRunPythonPipelineOperator has no advantage here, since the driver plans, supervises and
answers for the run in any case.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator

OMNIA_BEAM = "/srv/omnia-beam/.venv/bin/omnia-beam"
JOB = "/srv/omnia-beam/job.yaml"

# Secrets come from Airflow's own store, by the names that the configuration's `*_env` keys give.
SECRETS = {
    name: f"{{{{ conn.omnia.extra_dejson.{name} }}}}"
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
}

with DAG(
    dag_id="omnia_beam_backfill",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    schedule="15 2 * * *",
    catchup=False,  # a run copies all that is missing: there is nothing to catch up day by day
    max_active_runs=1,
    # Exit code 1 is "finished but incomplete": the next try goes on where this one ended.
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
) as dag:
    backfill = BashOperator(
        task_id="backfill",
        bash_command=f"{OMNIA_BEAM} backfill {JOB} --no-progress --json",
        env=SECRETS,
        append_env=True,
        execution_timeout=timedelta(hours=8),
    )
    verify = BashOperator(
        task_id="verify",
        bash_command="if [ $(date -u +%u) = 7 ]; then " + f"{OMNIA_BEAM} verify {JOB} --no-progress --json; fi",
        env=SECRETS,
        append_env=True,
    )
    backfill >> verify
