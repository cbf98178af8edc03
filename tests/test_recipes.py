"""Every recipe, as it stands, through a whole exporter and against answers of the documented shape."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from exporter.config import load, warnings
from exporter.model.job import RESULTS, State, Status
from exporter.providers.values import instant
from tests.providers.conftest import drive, response_of
from tests.vendor import Asked, Exporter, Samples, Told, Vendor, exporter, vendor

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "examples" / "recipes"
DATA = Path(__file__).parent / "data" / "recipes"

CREATED, STARTED, ENDED = 1_772_359_200, 1_772_359_320, 1_772_359_650
"""10:00:00, 10:02:00 and 10:07:30 of 2026-03-01."""


def at(time: str) -> float:
    """A time of the day on which the answers of real servers were recorded."""
    found = instant(f"2026-11-28T{time}Z")
    assert found is not None
    return found


QUEUED_AT = "remote_job_queued_timestamp_seconds"
STARTED_AT = "remote_job_start_timestamp_seconds"
ENDED_AT = "remote_job_end_timestamp_seconds"

MLFLOW = "/api/2.0/mlflow"
UNFINISHED = "status != 'FINISHED' AND status != 'FAILED' AND status != 'KILLED'"

NOT_ENDED = "inProgress,cancelling,postponed,notStarted"
"""The states of builds in Azure Pipelines before their end."""

MAPPED = "manual__2026-11-28T18:31:04.204030+00:00"
"""A run of Airflow with mapped tasks, which was cleared after it had failed."""


@dataclass(frozen=True)
class Recipe:
    """What one recipe asks and what it makes of the answers.

    Args:
        answers: files by path; after a ``?`` the parameters that the request must have, in its query or, with
            dots, in its body; the first that fits is answered.
        states: of every job, by ``job_id``.
        samples: values by metric and ``job_id``; ``None`` is no series.
        info: labels of ``remote_job_info`` of one job.
        headers: of the answer to a path.
        query: what the request of the listing must hold besides.
        methods: of all requests.
        repeated: the number of further requests with the same answers.
    """

    answers: Mapping[str, str]
    states: Mapping[str, str]
    samples: Mapping[tuple[str, str], float | None]
    info: tuple[str, Mapping[str, str]]
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = "Bearer sesame"
    methods: frozenset[str] = frozenset({"GET"})
    repeated: int = 0


ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z"

TABLE: dict[str, Recipe] = {
    "github-actions": Recipe(
        answers={
            "/repos/octo-org/octo-repo/actions/runs/30433642": "run.json",
            "/repos/octo-org/octo-repo/actions/runs?status=in_progress": "none.json",
            "/repos/octo-org/octo-repo/actions/runs?status=queued": "queued.json",
            "/repos/octo-org/octo-repo/actions/runs?status=waiting": "none.json",
            "/repos/octo-org/octo-repo/actions/runs?status=pending": "none.json",
            "/repos/octo-org/octo-repo/actions/runs": "runs.json",
        },
        states={
            "30400001": "queued",  # for longer than newer_than
            "30433642": "succeeded",
            "30433700": "running",
            "30433701": "queued",
            "30433702": "failed",
            "30433703": "canceled",
            "30433704": "failed",
            "30433705": "idle",
            "30433706": "unknown",
            "30433707": "queued",
        },
        samples={
            (QUEUED_AT, "30433642"): STARTED,  # its second attempt
            (QUEUED_AT, "30433700"): CREATED,
            (STARTED_AT, "30433642"): STARTED,
            (ENDED_AT, "30433642"): ENDED,
            ("remote_job_run_duration_seconds", "30433642"): 330,
            ("remote_job_run_number", "30433702"): 562,
            (STARTED_AT, "30433700"): STARTED,
            (ENDED_AT, "30433700"): None,
            (STARTED_AT, "30433701"): None,
            # Restarted: created_at is of the first attempt, five days ago.
            (QUEUED_AT, "30433707"): STARTED,
        },
        info=("30433700", {"job_name": "Build", "job_type": "push", "job_level": "main"}),
        query={"per_page": "100", "created": f">={ISO}"},
    ),
    "gitlab-pipelines": Recipe(
        answers={
            "/api/v4/projects/21/pipelines/287": "pipeline.json",
            "/api/v4/projects/21/pipelines?scope=running": "none.json",
            "/api/v4/projects/21/pipelines?scope=pending": "pending.json",
            "/api/v4/projects/21/pipelines": "pipelines.json",
        },
        states={
            "280": "queued",  # for longer than newer_than
            "287": "succeeded",
            "288": "running",
            "289": "queued",
            "290": "failed",
            "291": "canceling",
            "292": "canceled",
            "293": "idle",
        },
        samples={
            (QUEUED_AT, "287"): CREATED,
            (QUEUED_AT, "289"): CREATED + 351.185,
            (STARTED_AT, "287"): CREATED + 14,
            (ENDED_AT, "287"): CREATED + 350,
            (ENDED_AT, "290"): CREATED + 351.185,
            (STARTED_AT, "290"): None,
            (ENDED_AT, "288"): None,
        },
        info=("288", {"job_name": "Build pipeline", "job_type": "push", "job_level": "main"}),
        query={"per_page": "100", "updated_after": ISO},
    ),
    "jenkins": Recipe(
        answers={"/job/nightly/api/json": "job.json", "/api/json": "jobs.json"},
        states={
            "nightly": "succeeded_with_errors",
            "compile": "running",
            "deploy": "queued",
            "lint": "failed",
            "docs": "canceled",
        },
        samples={
            (STARTED_AT, "nightly"): CREATED,
            (ENDED_AT, "nightly"): CREATED + 330.5,
            ("remote_job_last_success_timestamp_seconds", "nightly"): CREATED + 330.5,
            ("remote_job_last_success_timestamp_seconds", "deploy"): 1_772_273_100,
            ("remote_job_last_failure_timestamp_seconds", "lint"): CREATED + 330.5,
            ("remote_job_run_number", "compile"): 101,
            (STARTED_AT, "compile"): CREATED,
            (ENDED_AT, "compile"): None,
            (STARTED_AT, "deploy"): None,
            ("remote_job_enabled", "docs"): 0,
            ("remote_job_enabled", "nightly"): 1,
        },
        info=("lint", {"job_name": "lint", "job_kind": "slot"}),
        query={"tree": r"jobs\[name,.*lastBuild\[number,.*"},
        authorization="Basic ZXhwb3J0ZXI6c2VzYW1l",
    ),
    "azure-pipelines": Recipe(
        answers={
            "/fabrikam/Fiber/_apis/build/builds/506": "build.json",
            f"/fabrikam/Fiber/_apis/build/builds?statusFilter={NOT_ENDED}": "active.json",
            "/fabrikam/Fiber/_apis/build/builds?continuationToken=2026/03": "builds-2.json",
            "/fabrikam/Fiber/_apis/build/builds": "builds.json",
        },
        states={
            "506": "succeeded_with_errors",
            "510": "running",
            "511": "queued",
            "512": "failed",
            "505": "canceled",
            "504": "canceling",
        },
        samples={
            (QUEUED_AT, "506"): CREATED + 0.123456,
            (STARTED_AT, "506"): STARTED,
            (ENDED_AT, "506"): ENDED,
            (STARTED_AT, "511"): None,
        },
        info=("512", {"job_name": "Fiber-CI", "job_type": "individualCI", "job_level": "refs/heads/main"}),
        headers={"builds.json": {"x-ms-continuationtoken": "2026/03"}},
        query={"api-version": "7.1", "$top": "200", "minTime": ISO},
        authorization="Basic ZXhwb3J0ZXI6c2VzYW1l",
    ),
    "airflow": Recipe(
        answers={
            "/api/v2/dags/billing/dagRuns/manual__2026-03-01T06:00:00+00:00": "run.json",
            "/api/v2/dags/~/dagRuns?offset=0&state=queued&state=running": "active.json",
            "/api/v2/dags/~/dagRuns?offset=0": "updated.json",
            "/auth/token": "",
        },
        states={
            "billing/manual__2026-03-01T06:00:00+00:00": "succeeded",
            "paused/manual__2026-11-28T18:31:04.178674+00:00": "queued",
            "poolzero/manual__2026-11-28T18:31:04.149620+00:00": "running",
            "retrying/manual__2026-11-28T18:31:04.125412+00:00": "running",
            "many/manual__2026-11-28T18:42:33.355789+00:00": "succeeded",
            f"mapped/{MAPPED}": "failed",
            "skipped/manual__2026-11-28T18:31:04.135620+00:00": "succeeded",
            "long/manual__2026-11-28T18:31:04.113476+00:00": "failed",
            "bad/manual__2026-11-28T18:31:04.068797+00:00": "failed",
            "good/manual__2026-11-28T18:31:04.030216+00:00": "succeeded",
            "daily/scheduled__2026-11-28T00:00:00+00:00": "succeeded",
            "daily/backfill__2026-11-25T00:00:00+00:00": "succeeded",
        },
        samples={
            (QUEUED_AT, f"mapped/{MAPPED}"): at("19:21:18.250845"),
            (STARTED_AT, f"mapped/{MAPPED}"): at("19:21:18.292485"),
            (ENDED_AT, f"mapped/{MAPPED}"): at("19:21:30.290402"),
            (QUEUED_AT, "paused/manual__2026-11-28T18:31:04.178674+00:00"): at("18:31:04.181191"),
            (STARTED_AT, "paused/manual__2026-11-28T18:31:04.178674+00:00"): None,
            (ENDED_AT, "poolzero/manual__2026-11-28T18:31:04.149620+00:00"): None,
        },
        info=(
            "daily/scheduled__2026-11-28T00:00:00+00:00",
            {"job_name": "daily", "job_type": "scheduled", "dag": "daily"},
        ),
        query={"limit": "100", "updated_at_gte": ISO},
    ),
    "airflow-dags": Recipe(
        answers={
            "/api/v2/dags?offset=0": "dags.json",
            "/api/v2/dags/bad/dagRuns?limit=1": "newest.json",
            "/api/v2/dags/daily/dagRuns?limit=1": "none.json",
            "/api/v2/dags/bad": "dag-bad.json",
            "/api/v2/dags/daily": "dag-daily.json",
            "/auth/token": "",
        },
        states={"bad": "failed", "daily": "idle"},
        samples={
            (QUEUED_AT, "bad"): at("18:37:35.749327"),
            (ENDED_AT, "bad"): at("18:37:36.953990"),
            ("remote_job_last_failure_timestamp_seconds", "bad"): at("18:37:36.953990"),
            (STARTED_AT, "daily"): None,
            ("remote_job_enabled", "bad"): 1,
            ("remote_job_enabled", "daily"): 0,
        },
        info=("bad", {"job_name": "bad", "job_type": "manual", "job_kind": "slot"}),
        query={"limit": "1", "order_by": "-run_after"},
    ),
    "airflow-tasks": Recipe(
        answers={
            "/api/v2/dags/~/dagRuns?offset=0&state=queued&state=running": "active.json",
            "/api/v2/dags/~/dagRuns?offset=0": "updated.json",
            f"/api/v2/dags/mapped/dagRuns/{MAPPED}": "run.json",
            f"/api/v2/dags/mapped/dagRuns/{MAPPED}/taskInstances": "tasks.json",
            "/auth/token": "",
        },
        states={f"mapped/{MAPPED}": "failed"},
        samples={
            ("remote_job_items", f"mapped/{MAPPED}"): 4,
            ("remote_job_items_succeeded", f"mapped/{MAPPED}"): 3,
            ("remote_job_items_failed", f"mapped/{MAPPED}"): 1,
            ("remote_job_items_skipped", f"mapped/{MAPPED}"): 0,
            ("remote_job_progress_ratio", f"mapped/{MAPPED}"): 1,
            (STARTED_AT, f"mapped/{MAPPED}"): at("19:21:18.292485"),
            (ENDED_AT, f"mapped/{MAPPED}"): at("19:21:30.290402"),
        },
        info=(f"mapped/{MAPPED}", {"job_name": "mapped", "dag": "mapped"}),
        query={"limit": "100", "updated_at_gte": ISO},
    ),
    "argo-workflows": Recipe(
        answers={
            "/api/v1/workflows/argo/nightly-import-x7k2p": "workflow.json",
            "/api/v1/workflows/argo?listOptions.continue=eyJ2IjoibWV0YSJ9==": "workflows-2.json",
            "/api/v1/workflows/argo": "workflows.json",
        },
        states={
            "nightly-import-x7k2p": "running",
            "build-aaaaa": "succeeded",
            "build-bbbbb": "failed",
            "build-ccccc": "failed",
            "build-ddddd": "queued",
            "build-eeeee": "canceled",
            "build-fffff": "canceled",
            "build-ggggg": "canceling",
            "build-hhhhh": "failed",
        },
        samples={
            ("remote_job_items", "nightly-import-x7k2p"): 7,
            ("remote_job_items_processed", "nightly-import-x7k2p"): 3,
            ("remote_job_progress_ratio", "nightly-import-x7k2p"): None,
            ("remote_job_items", "build-ddddd"): None,
            (QUEUED_AT, "build-bbbbb"): CREATED,
            (STARTED_AT, "build-bbbbb"): STARTED,
            (ENDED_AT, "build-bbbbb"): ENDED,
        },
        info=("build-aaaaa", {"job_name": "build", "job_kind": "run"}),
        query={"listOptions.limit": "100", "fields": r"metadata\.continue,items\.metadata\.name,.*"},
    ),
    "kubernetes-jobs": Recipe(
        answers={
            "/apis/batch/v1/namespaces/jobs/jobs/parallel": "job.json",
            "/apis/batch/v1/jobs?continue=CONTINUE": "jobs-2.json",
            "/apis/batch/v1/jobs": "jobs.json",
        },
        states={
            "jobs/deadline": "failed",
            "jobs/done": "succeeded",
            "jobs/fails": "failed",
            "jobs/hangs-29931564": "failed",
            "jobs/indexed": "running",
            "jobs/many-0": "succeeded",
            "jobs/nightly-29931563": "succeeded",
            "jobs/parallel": "running",
            "jobs/pending": "queued",
            "jobs/retry": "running",
            "jobs/run": "running",
            "jobs/stopping": "queued",
            "jobs/suspended": "stopped",
        },
        samples={
            (QUEUED_AT, "jobs/pending"): at("19:22:41"),
            (STARTED_AT, "jobs/pending"): None,
            (STARTED_AT, "jobs/done"): at("19:22:41"),
            (ENDED_AT, "jobs/done"): at("19:23:22"),
            (ENDED_AT, "jobs/deadline"): at("19:23:32"),
            (ENDED_AT, "jobs/parallel"): None,
            ("remote_job_items", "jobs/parallel"): 5,
            ("remote_job_items_succeeded", "jobs/parallel"): 1,
            ("remote_job_progress_ratio", "jobs/parallel"): 0.2,
            ("remote_job_items_succeeded", "jobs/run"): 0,
            ("remote_job_items_failed", "jobs/retry"): None,
        },
        info=(
            "jobs/nightly-29931563",
            {
                "job_name": "nightly",
                "job_type": "CronJob",
                "kubernetes_namespace": "jobs",
                "cronjob": "nightly",
            },
        ),
        query={"limit": "250"},
    ),
    "kubernetes-cronjobs": Recipe(
        answers={
            "/apis/batch/v1/namespaces/jobs/cronjobs/nightly": "cronjob.json",
            "/apis/batch/v1/cronjobs": "cronjobs.json",
        },
        states={
            "jobs/hangs": "failed",
            "jobs/nightly": "succeeded",
            "jobs/sleeping": "idle",
            "jobs/yearly": "idle",
        },
        samples={
            (STARTED_AT, "jobs/nightly"): at("19:24:00"),
            (ENDED_AT, "jobs/nightly"): at("19:24:01"),
            ("remote_job_last_success_timestamp_seconds", "jobs/nightly"): at("19:24:01"),
            ("remote_job_last_success_timestamp_seconds", "jobs/hangs"): None,
            ("remote_job_enabled", "jobs/sleeping"): 0,
            ("remote_job_enabled", "jobs/yearly"): 1,
        },
        info=(
            "jobs/nightly",
            {
                "job_name": "nightly",
                "job_type": "* * * * *",
                "kubernetes_namespace": "jobs",
                "job_kind": "slot",
            },
        ),
        query={"limit": "250"},
    ),
    "prefect": Recipe(
        answers={
            "/api/flow_runs/f6768032-b362-44bd-9477-affade16c8f6": "run.json",
            "/api/flow_runs/filter?sort=ID_DESC&offset=0": "active.json",
            "/api/flow_runs/filter?sort=ID_DESC&offset=6": "none.json",
            "/api/flow_runs/filter?sort=END_TIME_DESC&offset=0": "ended.json",
            "/api/flow_runs/filter?sort=END_TIME_DESC&offset=5": "none.json",
        },
        states={
            "f6768032-b362-44bd-9477-affade16c8f6": "idle",  # Scheduled
            "e8f27a0f-b122-42bd-9a5a-bea4adf58d3e": "idle",  # Paused
            "21163e79-5f49-4b5b-9812-d413fb1a51b8": "idle",  # Suspended
            "e42261c3-fff1-4eb6-bff0-3d90349451b3": "queued",  # Late
            "c9d75a63-4743-472f-a655-dd1c63b5393a": "queued",  # AwaitingRetry
            "1f4ea0b0-f2a2-4d26-8bfb-3c31ee3cc1f1": "queued",
            "29f267a0-b3e5-4563-8431-bdf7eacf9ae2": "running",
            "ff9e06b4-5bff-4e9f-a5a4-d4950d74f85b": "succeeded",
            "d5f4e739-a1ec-4c7d-a5e2-dcf3645ca3f6": "canceled",
            "5c9fa0cf-ada8-49ef-a4a1-a89e62e01e35": "failed",
            "561b5339-1ea4-4684-a924-363eb3fb5cec": "failed",  # TimedOut
            "191ea32e-3736-4456-92d9-d2d0ff2c0063": "failed",  # Crashed
        },
        samples={
            (STARTED_AT, "561b5339-1ea4-4684-a924-363eb3fb5cec"): at("18:38:33.518921"),
            (ENDED_AT, "561b5339-1ea4-4684-a924-363eb3fb5cec"): at("18:38:34.558874"),
            (STARTED_AT, "29f267a0-b3e5-4563-8431-bdf7eacf9ae2"): at("18:38:35.283020"),
            (ENDED_AT, "29f267a0-b3e5-4563-8431-bdf7eacf9ae2"): None,
            # A retry that waits is queued since its first attempt began.
            (QUEUED_AT, "c9d75a63-4743-472f-a655-dd1c63b5393a"): at("18:38:35.810868"),
            (STARTED_AT, "c9d75a63-4743-472f-a655-dd1c63b5393a"): None,
            ("remote_job_run_number", "c9d75a63-4743-472f-a655-dd1c63b5393a"): 1,
        },
        info=("561b5339-1ea4-4684-a924-363eb3fb5cec", {"job_name": "private-swift", "job_kind": "run"}),
        query={"limit": "200", "flow_runs.end_time.after_": ISO},
        authorization="Basic YWRtaW46c2VzYW1l",
        methods=frozenset({"GET", "POST"}),
    ),
    "prefect-flows": Recipe(
        answers={
            "/api/flows/filter?offset=0": "flows.json",
            "/api/flows/filter?offset=4": "none.json",
            '/api/flow_runs/filter?flows.name.any_=["good"]': "newest-good.json",
            '/api/flow_runs/filter?flows.name.any_=["bad"]': "newest-bad.json",
            '/api/flow_runs/filter?flows.name.any_=["slow"]': "newest-slow.json",
            '/api/flow_runs/filter?flows.name.any_=["unused"]': "none.json",
        },
        states={"good": "succeeded", "bad": "failed", "slow": "failed", "unused": "idle"},
        samples={
            (STARTED_AT, "slow"): at("18:38:33.518921"),
            (ENDED_AT, "slow"): at("18:38:34.558874"),
            ("remote_job_last_failure_timestamp_seconds", "bad"): at("18:38:33.394976"),
            (STARTED_AT, "unused"): None,
        },
        info=("slow", {"job_kind": "slot"}),
        query={"limit": "1", "sort": "START_TIME_DESC"},
        authorization="Basic YWRtaW46c2VzYW1l",
        methods=frozenset({"POST"}),
    ),
    "dagster": Recipe(
        answers={
            "/graphql?variables.id=1cefff85-5a5d-43e4-acd2-34a799ca0a28": "run.json",
            "/graphql?variables.steps=true": "active.json",
            "/graphql?variables.steps=false": "updated.json",
        },
        states={
            "1cefff85-5a5d-43e4-acd2-34a799ca0a28": "running",
            "dff6fdea-b882-437e-91ec-3a2e3affaf2c": "running",
            "fc78c603-1196-4ddc-a13f-ae834a3a7fbc": "running",  # STARTING
            "f1c32149-8225-4d39-b4d9-c269e91cc8ed": "canceling",
            "55f76bce-61e0-4fea-87b6-b56291010961": "queued",  # NOT_STARTED
            "c2d4f4e1-4ef5-4350-ad8c-af25e519491a": "idle",  # MANAGED
            "0a92f7ec-d2ab-474f-8c91-42fe0fb0b40e": "failed",
            "2c3ee8c8-bafa-45ee-bb14-d5e0d6c01b09": "failed",
            "00cb444d-26b3-4b7a-a400-1a6cf54f93ce": "succeeded",
            "7457fac8-5441-451f-b414-b2d3c64a7d92": "canceled",
        },
        samples={
            ("remote_job_items_succeeded", "1cefff85-5a5d-43e4-acd2-34a799ca0a28"): 2,
            ("remote_job_items_failed", "1cefff85-5a5d-43e4-acd2-34a799ca0a28"): 0,
            ("remote_job_items_failed", "2c3ee8c8-bafa-45ee-bb14-d5e0d6c01b09"): None,
            (QUEUED_AT, "55f76bce-61e0-4fea-87b6-b56291010961"): 1795891590.223721,
            (STARTED_AT, "2c3ee8c8-bafa-45ee-bb14-d5e0d6c01b09"): 1795891512.827518,
            (ENDED_AT, "2c3ee8c8-bafa-45ee-bb14-d5e0d6c01b09"): 1795891517.235735,
            ("remote_job_cancelable", "dff6fdea-b882-437e-91ec-3a2e3affaf2c"): 1,
        },
        info=("2c3ee8c8-bafa-45ee-bb14-d5e0d6c01b09", {"job_name": "bad_job", "dagster_job": "bad_job"}),
        query={"variables.filter.updatedAfter": r"\d+"},
        authorization=None,
        methods=frozenset({"POST"}),
    ),
    "buildbot": Recipe(
        answers={
            "/api/v2/builds/1": "build.json",
            "/api/v2/builds?complete=false&offset=0": "active.json",
            "/api/v2/builds?offset=0": "ended.json",
        },
        states={
            "187": "running",
            "186": "succeeded",
            "185": "succeeded",
            "114": "canceled",
            "4": "succeeded",
            "3": "failed",
            "2": "failed",
            "1": "succeeded",
        },
        samples={
            ("remote_job_run_number", "185"): 180,
            (STARTED_AT, "187"): 1795893351,
            (ENDED_AT, "187"): None,
            (STARTED_AT, "3"): 1795892432,
            (ENDED_AT, "3"): 1795892435,
        },
        info=("187", {"job_name": "long", "builder": "long"}),
        query={"limit": "100", "property": "buildername", "complete_at__ge": r"\d+"},
        authorization=None,
    ),
    "buildbot-builders": Recipe(
        answers={
            "/api/v2/builders": "builders.json",
            "/api/v2/builders/bad/builds?limit=1&order=-number": "newest.json",
            "/api/v2/builders/long/builds?limit=1&order=-number": "running.json",
            "/api/v2/builders/noworker/builds?limit=1&order=-number": "none.json",
        },
        states={"bad": "failed", "long": "running", "noworker": "idle"},
        samples={
            ("remote_job_run_number", "long"): 2,
            ("remote_job_last_failure_timestamp_seconds", "bad"): 1795892433,
            (STARTED_AT, "noworker"): None,
        },
        info=("bad", {"job_kind": "slot"}),
        authorization=None,
    ),
    "flower": Recipe(
        answers={
            "/api/task/info/7870b941-74ab-4a34-aaac-0fe6ff71535f": "task.json",
            "/api/tasks?offset=0": "tasks.json",
            "/api/tasks?offset=5": "none.json",
        },
        states={
            "7870b941-74ab-4a34-aaac-0fe6ff71535f": "running",
            "f172d207-1cff-4db0-b543-a7af30b8ad73": "queued",
            "0dc0304a-c241-4c3c-93ec-01e838c0ef80": "queued",  # RETRY
            "b545cbf4-aed8-4a8c-9f9f-780dfde85e6f": "failed",
            "71e69aad-3c9a-4eac-b64e-c6f300eb6117": "succeeded",
        },
        samples={
            (QUEUED_AT, "f172d207-1cff-4db0-b543-a7af30b8ad73"): 1795892755.1090975,
            (STARTED_AT, "7870b941-74ab-4a34-aaac-0fe6ff71535f"): 1795892755.1153014,
            (STARTED_AT, "71e69aad-3c9a-4eac-b64e-c6f300eb6117"): 1795892752.2039146,
            (ENDED_AT, "71e69aad-3c9a-4eac-b64e-c6f300eb6117"): 1795892752.2078521,
            (ENDED_AT, "b545cbf4-aed8-4a8c-9f9f-780dfde85e6f"): 1795892752.2396154,
        },
        info=(
            "b545cbf4-aed8-4a8c-9f9f-780dfde85e6f",
            {"job_name": "tasks.bad", "job_type": "celery", "job_level": "celery@vm", "task": "tasks.bad"},
        ),
        query={"limit": "1000", "sort_by": "-received"},
        authorization="Basic ZXhwb3J0ZXI6c2VzYW1l",
    ),
    "databricks-jobs": Recipe(
        answers={
            "/oidc/v1/token": "",
            "/api/2.2/jobs/runs/get?run_id=455644833": "run.json",
            "/api/2.2/jobs/runs/list?active_only=true": "active.json",
            "/api/2.2/jobs/runs/list?page_token=CAEomPuciYcxMKbM9JvMlwU=": "runs-2.json",
            "/api/2.2/jobs/runs/list": "runs.json",
        },
        states={
            "455644833": "succeeded",
            "1": "queued",  # for longer than newer_than
            "900000000000000001": "running",
            "2": "running",
            "3": "failed",
            "4": "succeeded_with_errors",
            "5": "failed",
            "6": "canceled",
            "7": "queued",
        },
        samples={
            (STARTED_AT, "455644833"): STARTED,
            (ENDED_AT, "455644833"): ENDED,
            (ENDED_AT, "900000000000000001"): None,
        },
        info=("3", {"job_name": "Nightly load", "job_type": "JOB_RUN"}),
        query={"limit": "25", "start_time_from": r"\d+"},
    ),
    "mlflow": Recipe(
        answers={
            f"{MLFLOW}/experiments/search?page_token=cDI=": "experiments-2.json",
            f"{MLFLOW}/experiments/search": "experiments.json",
            f"{MLFLOW}/runs/search?max_results=1": "run.json",
            f'{MLFLOW}/runs/search?experiment_ids=["1"]&filter={UNFINISHED}': "active.json",
            f'{MLFLOW}/runs/search?experiment_ids=["1"]': "ended.json",
            f'{MLFLOW}/runs/search?experiment_ids=["0"]': "none.json",
        },
        states={
            "1/4f8c2d1e9b7a4c0f8e6d5b3a2c1f0e9d": "succeeded",
            "1/a1": "running",
            "1/a2": "queued",
            "1/b1": "succeeded",
            "1/b2": "failed",
            "1/b3": "canceled",
        },
        samples={
            (STARTED_AT, "1/b2"): STARTED,
            (ENDED_AT, "1/b2"): ENDED,
            (ENDED_AT, "1/a1"): None,
        },
        info=("1/b2", {"job_name": "train", "job_kind": "run"}),
        query={"max_results": "1000", "filter": r"end_time >= \d+"},
        authorization="Basic ZXhwb3J0ZXI6c2VzYW1l",
        methods=frozenset({"POST"}),
        repeated=3,  # each listing has its own request for each page of experiments, and for experiment 0
    ),
    "awx": Recipe(
        answers={
            "/api/v2/jobs/1042/": "job.json",
            "/api/v2/jobs/?page=2": "jobs-2.json",
            "/api/v2/jobs/": "jobs.json",
        },
        states={
            "1042": "succeeded",
            "1050": "running",
            "1049": "queued",
            "1048": "failed",
            "1047": "failed",
            "1046": "canceled",
            "1045": "canceling",
        },
        samples={
            (QUEUED_AT, "1042"): CREATED + 0.123456,
            (STARTED_AT, "1042"): STARTED,
            (ENDED_AT, "1042"): ENDED,
            (STARTED_AT, "1049"): None,
        },
        info=("1048", {"job_name": "Patch", "job_type": "scheduled"}),
        query={"page_size": "100", "or__finished__gte": ISO},
    ),
}

TOKEN = Told({"access_token": "sesame", "token_type": "Bearer", "expires_in": 3600})


def config(name: str, url: str, folder: Path) -> str:
    """The recipe's text, at the vendor's address, with a secret that is there and no old runs left out."""
    return configured((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"), url, folder)


def configured(text: str, url: str, folder: Path) -> str:
    """The same for a text."""
    secret = folder / "secret"
    secret.write_text("sesame\n")
    found = re.search(r"base_url: (https://[^/\s]+)", text)
    assert found is not None
    text = text.replace(found[1], url)
    text = re.sub(r"\n    tls: .*", "", text)
    text = re.sub(r"\{file: [^}]+\}", f"{{file: {secret}}}", text)
    return re.sub(r"newer_than: \w+", "newer_than: 50y", text)


def parameters(asked: Asked) -> dict[str, str]:
    """What a request has in its query, and by dots in its body; a list as JSON."""
    is_json = asked.headers.get("content-type") == "application/json"
    body = json.loads(asked.body) if asked.body and is_json else {}
    found = dict(parse_qsl(urlsplit(asked.path).query, keep_blank_values=True))
    inside: list[tuple[str, Any]] = list(body.items())
    while inside:
        name, value = inside.pop()
        if isinstance(value, dict):
            inside += [(f"{name}.{each}", inner) for each, inner in value.items()]
        else:
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


def told(name: str, asked: Asked) -> Told:
    recipe = TABLE[name]
    url = urlsplit(asked.path)
    given = {*parse_qsl(url.query), *parameters(asked).items()}
    for place, file in recipe.answers.items():
        path, _, query = place.partition("?")
        wanted = {tuple(pair.split("=", 1)) for pair in query.split("&") if pair}
        if path == unquote(url.path) and wanted <= given:
            if not file:
                return TOKEN
            return Told((DATA / name / file).read_bytes(), headers=recipe.headers.get(file, {}))
    return Told({"message": "not found"}, status=404)


async def scraped(name: str, folder: Path) -> tuple[Samples, Vendor]:
    async with vendor(lambda asked: told(name, asked)) as playing:
        running: Exporter
        async with exporter(config(name, playing.url, folder), folder) as running:
            return await running.scrape(), playing


def test_every_recipe_is_tested() -> None:
    assert {file.stem for file in RECIPES.glob("*.yaml")} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
async def test_a_recipe_reads_and_lists_what_its_vendor_documents(name: str, tmp_path: Path) -> None:
    recipe = TABLE[name]
    samples, _ = await scraped(name, tmp_path)
    assert {job_id: samples.state(job_id) for job_id in recipe.states} == recipe.states
    jobs = {labels["job_id"] for labels, _ in samples.all("remote_job_up")}
    assert jobs == set(recipe.states)
    assert all(value == 1 for _, value in samples.all("remote_job_up"))
    assert [value for _, value in samples.all("remote_job_system_up")] == [1]
    assert not samples.all("remote_job_system_read_error_info")
    for (metric, job_id), value in recipe.samples.items():
        got = samples.get_one(metric, job_id=job_id)
        assert got == (None if value is None else pytest.approx(value, abs=1e-3)), (metric, job_id)
    job_id, labels = recipe.info
    (info,) = samples.all("remote_job_info", job_id=job_id, provider="json")
    assert labels.items() <= info[0].items()


@pytest.mark.parametrize("name", TABLE)
async def test_a_recipe_costs_one_call_a_page_and_one_a_job_by_hand(name: str, tmp_path: Path) -> None:
    recipe = TABLE[name]
    _, playing = await scraped(name, tmp_path)
    calls = [asked for asked in playing.asked if not asked.path.startswith(("/oidc/", "/auth/token"))]
    assert len(calls) == len([file for file in recipe.answers.values() if file]) + recipe.repeated
    assert {asked.headers.get("authorization") for asked in calls} == {recipe.authorization}
    assert {asked.method for asked in calls} == recipe.methods
    assert any(
        all(re.fullmatch(value, given.get(key, "")) for key, value in recipe.query.items())
        for given in map(parameters, calls)
    )


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_has_no_warnings(name: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(config(name, "https://vendor.example.com", tmp_path))
    assert warnings(load(file)) == []


@pytest.mark.parametrize(
    ("name", "file"), [("argo-workflows", "none.json"), ("databricks-jobs", "none.json")]
)
async def test_a_listing_without_jobs_is_understood(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = TABLE[name]
    listing = list(recipe.answers)[-1]
    monkeypatch.setitem(
        TABLE,
        name,
        Recipe(
            {
                place: file if place.partition("?")[0] == listing else own
                for place, own in recipe.answers.items()
            },
            recipe.states,
            {},
            recipe.info,
        ),
    )
    samples, _ = await scraped(name, tmp_path)
    assert [value for _, value in samples.all("remote_job_system_up")] == [1]
    assert len(samples.all("remote_job_up")) == 1


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_cites_where_its_facts_are_documented(name: str) -> None:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert re.search(r"https://[a-z.-]+\.(com|io|org)/", comments)


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_names_only_states_that_there_are(name: str) -> None:
    assert set(TABLE[name].states.values()) <= set(State)


def words(name: str, place: str, meanings: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """A response for each word, at a place such as ``state.life_cycle_state``, and its state."""
    found = []
    for word, state in meanings.items():
        body: Any = word
        for key in reversed(place.split(".")):
            body = {key.removesuffix("[0]"): [body] if key.endswith("[0]") else body}
        found.append((name, body, state))
    return found


FIRST, AGAIN = "2026-03-01T10:00:00Z", "2026-03-06T10:00:00Z"


def conditions(*types: str) -> dict[str, Any]:
    """The status of a Job of Kubernetes with these conditions, and no pod that is ready."""
    return {"conditions": [{"type": each, "status": "True"} for each in types], "ready": 0}


# All words of the enumerations that the recipes cite, in their order.
MEANINGS = [
    *words(
        "airflow",
        "state",
        {"queued": "queued", "running": "running", "success": "succeeded", "failed": "failed"},
    ),
    *words(
        "airflow-dags",
        "dag_runs[0].state",
        {"queued": "queued", "running": "running", "success": "succeeded", "failed": "failed"},
    ),
    *(
        ("kubernetes-jobs", {"status": status}, state)
        for status, state in [
            ({}, "queued"),
            ({"active": 1, "ready": 0}, "queued"),
            ({"active": 1, "ready": 1}, "running"),
            ({"active": 1, "ready": 0, "failed": 1}, "running"),
            ({"active": 1, "ready": 0, "succeeded": 1}, "running"),
            (conditions("SuccessCriteriaMet"), "running"),
            (conditions("FailureTarget"), "running"),
            (conditions("SuccessCriteriaMet", "Complete"), "succeeded"),
            (conditions("FailureTarget", "Failed"), "failed"),
            (conditions("Suspended"), "stopped"),
            ({"conditions": [{"type": "Suspended", "status": "False"}], "ready": 1}, "running"),
        ]
    ),
    *(
        ("kubernetes-cronjobs", {"status": status}, state)
        for status, state in [
            ({}, "idle"),
            ({"active": [{"name": "a"}]}, "running"),
            ({"active": [{"name": "a"}], "lastScheduleTime": FIRST}, "running"),
            ({"lastScheduleTime": FIRST}, "failed"),
            ({"lastScheduleTime": FIRST, "lastSuccessfulTime": AGAIN}, "succeeded"),
            ({"lastScheduleTime": AGAIN, "lastSuccessfulTime": FIRST}, "failed"),
        ]
    ),
    *words(
        "dagster",
        "data.runOrError.status",
        {
            "QUEUED": "queued",
            "NOT_STARTED": "queued",
            "MANAGED": "idle",
            "STARTING": "running",
            "STARTED": "running",
            "SUCCESS": "succeeded",
            "FAILURE": "failed",
            "CANCELING": "canceling",
            "CANCELED": "canceled",
        },
    ),
    *(
        (name, {"builds": [{"complete": True, "results": result, "number": 1}]}, state)
        for name in ("buildbot", "buildbot-builders")
        for result, state in enumerate(
            [
                "succeeded",
                "succeeded_with_errors",
                "failed",
                "canceled",
                "failed",
                "canceled",
                "canceled",
            ]
        )
    ),
    ("buildbot", {"builds": [{"complete": False, "results": None}]}, "running"),
    *words(
        "flower",
        "state",
        {
            "PENDING": "queued",
            "RECEIVED": "queued",
            "STARTED": "running",
            "SUCCESS": "succeeded",
            "FAILURE": "failed",
            "REVOKED": "canceled",
            "REJECTED": "failed",
            "RETRY": "queued",
        },
    ),
    *(
        each
        for type_, state in {
            "SCHEDULED": "idle",
            "PENDING": "queued",
            "RUNNING": "running",
            "COMPLETED": "succeeded",
            "FAILED": "failed",
            "CANCELLED": "canceled",
            "CRASHED": "failed",
            "PAUSED": "idle",
            "CANCELLING": "canceling",
        }.items()
        for each in (
            ("prefect", {"state_type": type_, "state_name": type_.capitalize()}, state),
            (
                "prefect-flows",
                [{"state_type": type_, "state_name": "Late"}],
                "queued" if type_ == "SCHEDULED" else state,
            ),
        )
    ),
    *(
        ("prefect", {"state_type": "SCHEDULED", "state_name": name}, "queued")
        for name in ("Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Resuming")
    ),
    *words(
        "mlflow",
        "runs[0].info.status",
        {
            "RUNNING": "running",
            "SCHEDULED": "queued",
            "FINISHED": "succeeded",
            "FAILED": "failed",
            "KILLED": "canceled",
        },
    ),
    *words(
        "argo-workflows",
        "status.phase",
        {
            "": "queued",
            "Pending": "queued",
            "Running": "running",
            "Succeeded": "succeeded",
            "Failed": "failed",
            "Error": "failed",
        },
    ),
    ("argo-workflows", {"status": {"phase": "Failed", "message": "Max duration limit exceeded"}}, "failed"),
    (
        "argo-workflows",
        {"status": {"phase": "Failed", "message": "Stopped with strategy 'Stop'"}},
        "canceled",
    ),
    ("argo-workflows", {"status": {"phase": "Error", "message": 'Stopped with strategy "Stop"'}}, "canceled"),
    ("argo-workflows", {"status": {"phase": "Running"}, "spec": {"shutdown": "Terminate"}}, "canceling"),
    ("argo-workflows", {"status": {"phase": "Succeeded"}, "spec": {"shutdown": "Stop"}}, "succeeded"),
    ("argo-workflows", {"status": {"phase": "Failed"}, "spec": {"shutdown": ""}}, "failed"),
    *words(
        "awx",
        "status",
        {
            "new": "queued",
            "pending": "queued",
            "waiting": "queued",
            "running": "running",
            "successful": "succeeded",
            "failed": "failed",
            "error": "failed",
            "canceled": "canceled",
        },
    ),
    ("awx", {"status": "running", "canceled_on": "2026-03-01T10:00:00Z"}, "canceling"),
    ("awx", {"status": "successful", "canceled_on": "2026-03-01T10:00:00Z"}, "succeeded"),
    *words(
        "azure-pipelines",
        "status",
        {
            "inProgress": "running",
            "cancelling": "canceling",
            "postponed": "queued",
            "notStarted": "queued",
        },
    ),
    *(
        ("azure-pipelines", {"status": "completed", "result": result}, state)
        for result, state in {
            "succeeded": "succeeded",
            "partiallySucceeded": "succeeded_with_errors",
            "failed": "failed",
            "canceled": "canceled",
        }.items()
    ),
    *words(
        "databricks-jobs",
        "state.life_cycle_state",
        {
            "BLOCKED": "queued",
            "INTERNAL_ERROR": "failed",
            "PENDING": "queued",
            "QUEUED": "queued",
            "RUNNING": "running",
            "SKIPPED": "canceled",
            "TERMINATING": "running",
            "WAITING_FOR_RETRY": "queued",
        },
    ),
    *(
        ("databricks-jobs", {"state": {"life_cycle_state": "TERMINATED", "result_state": result}}, state)
        for result, state in {
            "CANCELED": "canceled",
            "DISABLED": "canceled",
            "EXCLUDED": "canceled",
            "FAILED": "failed",
            "MAXIMUM_CONCURRENT_RUNS_REACHED": "failed",
            "SUCCESS": "succeeded",
            "SUCCESS_WITH_FAILURES": "succeeded_with_errors",
            "TIMEDOUT": "failed",
            "UPSTREAM_CANCELED": "canceled",
            "UPSTREAM_FAILED": "failed",
        }.items()
    ),
    *(
        ("databricks-jobs", {"state": {"life_cycle_state": "TERMINATING", "result_state": result}}, "running")
        for result in ("SUCCESS", "FAILED", "CANCELED")
    ),
    *words(
        "databricks-jobs",
        "status.state",
        {
            "BLOCKED": "queued",
            "PENDING": "queued",
            "QUEUED": "queued",
            "RUNNING": "running",
            "TERMINATING": "running",
            "WAITING": "queued",
        },
    ),
    *(
        (
            "databricks-jobs",
            {
                "state": None,
                "status": {"state": "TERMINATED", "termination_details": {"code": code}},
            },
            meaning,
        )
        for code, meaning in (
            ("SUCCESS", "succeeded"),
            ("SUCCESS_WITH_FAILURES", "succeeded_with_errors"),
            ("USER_CANCELED", "canceled"),
            ("SKIPPED", "canceled"),
            ("DISABLED", "canceled"),
            ("CANCELED", "failed"),
            ("RUN_EXECUTION_ERROR", "failed"),
            ("MAX_JOB_QUEUE_SIZE_EXCEEDED", "failed"),
        )
    ),
    *words(
        "github-actions",
        "status",
        {
            "queued": "queued",
            "in_progress": "running",
            "requested": "queued",
            "waiting": "queued",
            "pending": "queued",
        },
    ),
    *(
        ("github-actions", {"status": "completed", "conclusion": conclusion}, state)
        for conclusion, state in {
            "action_required": "idle",
            "cancelled": "canceled",
            "failure": "failed",
            "neutral": "succeeded",
            "skipped": "canceled",
            "stale": "canceled",
            "startup_failure": "failed",
            "success": "succeeded",
            "timed_out": "failed",
        }.items()
    ),
    *words(
        "gitlab-pipelines",
        "status",
        {
            "created": "queued",
            "waiting_for_resource": "queued",
            "preparing": "queued",
            "waiting_for_callback": "queued",
            "pending": "queued",
            "running": "running",
            "success": "succeeded",
            "failed": "failed",
            "canceling": "canceling",
            "canceled": "canceled",
            "skipped": "canceled",
            "manual": "idle",
            "scheduled": "idle",
        },
    ),
    *words(
        "jenkins",
        "lastBuild.result",
        {
            "SUCCESS": "succeeded",
            "UNSTABLE": "succeeded_with_errors",
            "FAILURE": "failed",
            "NOT_BUILT": "canceled",
            "ABORTED": "canceled",
        },
    ),
    ("jenkins", {"lastBuild": {"building": True, "result": "UNSTABLE"}}, "running"),
    ("jenkins", {"lastBuild": {"building": False, "result": None}}, "running"),
    ("jenkins", {"lastBuild": None, "inQueue": True}, "queued"),
    ("jenkins", {"lastBuild": None, "inQueue": False}, "idle"),
]


SLOTS = {"jenkins", "kubernetes-cronjobs", "airflow-dags", "prefect-flows", "buildbot-builders"}


def status_of(name: str, body: object, folder: Path) -> Status:
    """What a recipe makes of the response to the request for one job."""
    file = folder / "recipe.yaml"
    file.write_text(config(name, "https://vendor.example.com", folder))
    (system,) = load(file).systems
    return drive(system.provider, dict.fromkeys(system.provider.key_names(), "1"), response_of(body)).status


@pytest.mark.parametrize(("name", "body", "state"), MEANINGS)
def test_a_recipe_knows_every_word_of_its_vendor(name: str, body: object, state: str, tmp_path: Path) -> None:
    status = status_of(name, body, tmp_path)
    assert status.state == state
    assert status.final is (name not in SLOTS and status.state in RESULTS)


@pytest.mark.parametrize(
    ("name", "body", "queued", "started"),
    [
        (
            "github-actions",
            {"status": "in_progress", "run_attempt": 2, "created_at": FIRST, "run_started_at": AGAIN},
            AGAIN,
            AGAIN,
        ),
        (
            "gitlab-pipelines",
            {
                "status": "pending",
                "created_at": FIRST,
                "started_at": FIRST,
                "finished_at": FIRST,
                "updated_at": AGAIN,
            },
            AGAIN,
            None,
        ),
        (
            "gitlab-pipelines",
            {
                "status": "running",
                "created_at": FIRST,
                "started_at": FIRST,
                "finished_at": FIRST,
                "updated_at": AGAIN,
            },
            FIRST,
            AGAIN,
        ),
        (
            "gitlab-pipelines",
            {"status": "running", "created_at": FIRST, "started_at": FIRST, "updated_at": AGAIN},
            FIRST,
            FIRST,
        ),
        (
            "airflow",
            {"state": "queued", "queued_at": AGAIN, "start_date": None, "end_date": FIRST},
            AGAIN,
            None,
        ),
    ],
)
def test_a_run_that_is_started_again_has_the_times_of_its_new_attempt(
    name: str, body: object, queued: str | None, started: str | None, tmp_path: Path
) -> None:
    status = status_of(name, body, tmp_path)
    assert (status.queued_at, status.started_at, status.ended_at) == (instant(queued), instant(started), None)


@pytest.mark.parametrize(
    ("name", "first", "again"),
    [
        ("github-actions", {"status": "queued", "run_attempt": 1}, {"status": "queued", "run_attempt": 2}),
        ("airflow", {"state": "queued", "queued_at": FIRST}, {"state": "queued", "queued_at": AGAIN}),
        (
            "airflow-dags",
            {"dag_runs": [{"state": "queued", "queued_at": FIRST}]},
            {"dag_runs": [{"state": "queued", "queued_at": AGAIN}]},
        ),
        (
            "kubernetes-jobs",
            {"metadata": {"uid": "364aa85e"}, "status": {}},
            {"metadata": {"uid": "b5420ca6"}, "status": {}},
        ),
        (
            "kubernetes-cronjobs",
            {"status": {"lastScheduleTime": FIRST}},
            {"status": {"lastScheduleTime": AGAIN}},
        ),
        ("argo-workflows", {"status": {"startedAt": FIRST}}, {"status": {"startedAt": AGAIN}}),
    ],
)
def test_a_run_that_is_started_again_is_another_run(
    name: str, first: object, again: object, tmp_path: Path
) -> None:
    assert status_of(name, first, tmp_path).run != status_of(name, again, tmp_path).run


@pytest.mark.parametrize("name", ["kubernetes-jobs", "kubernetes-cronjobs"])
async def test_the_jobs_of_one_namespace_have_the_same_ids(name: str, tmp_path: Path) -> None:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    text = re.sub(r"path: \S+ +# one namespace: (\S+)", r"path: \1", text).replace("NAMESPACE", "jobs")
    place = f"/apis/batch/v1/namespaces/jobs/{name.removeprefix('kubernetes-')}"
    asked_for: set[str] = set()

    def answer(asked: Asked) -> Told:
        path = urlsplit(asked.path).path
        asked_for.add(path)
        if path == place:  # the recorded listing is that of all namespaces
            asked = replace(asked, path=asked.path.replace("/namespaces/jobs", "", 1))
        return told(name, asked)

    async with (
        vendor(answer) as playing,
        exporter(configured(text, playing.url, tmp_path), tmp_path) as running,
    ):
        samples = await running.scrape()
    assert {labels["job_id"] for labels, _ in samples.all("remote_job_up")} == set(TABLE[name].states)
    assert all(path.startswith(place) for path in asked_for)


@pytest.mark.parametrize(
    ("tasks", "step", "progress"),
    [
        (["success", "running", "up_for_retry", None], "one1", 0.25),
        (["success", "up_for_retry"], "up_for_retry", 0.5),
        (["upstream_failed", "removed", "skipped", "failed", "scheduled"], "", 0.8),
        ([None], "", 0),
    ],
)
async def test_the_tasks_of_a_run_are_counted_and_a_waiting_retry_is_shown(
    tasks: list[str | None], step: str, progress: float, tmp_path: Path
) -> None:
    found = [{"task_id": f"one{number}", "state": state} for number, state in enumerate(tasks)]
    samples = await samples_of_tasks({"task_instances": found, "total_entries": len(found)}, tmp_path)
    job_id = f"mapped/{MAPPED}"
    assert samples.state(job_id) == "running"
    assert samples.get_one("remote_job_progress_ratio", job_id=job_id) == progress
    (info,) = samples.all("remote_job_status_info", job_id=job_id)
    assert info[0].get("step", "") == step


async def test_a_run_with_more_tasks_than_a_page_is_not_counted(tmp_path: Path) -> None:
    found = [{"task_id": "one", "state": "success"}]
    samples = await samples_of_tasks({"task_instances": found, "total_entries": 2}, tmp_path)
    assert samples.reason(f"mapped/{MAPPED}") == "invalid_response"


async def samples_of_tasks(tasks: object, folder: Path) -> Samples:
    """The samples of a running run of Airflow with these task instances."""

    def answer(asked: Asked) -> Told:
        path = urlsplit(asked.path).path
        if path == "/auth/token":
            return TOKEN
        if path.endswith("/taskInstances"):
            return Told(tasks)
        if path.endswith("/~/dagRuns"):
            return Told({"dag_runs": [], "total_entries": 0})
        return Told({"dag_id": "mapped", "state": "running"})

    async with (
        vendor(answer) as playing,
        exporter(config("airflow-tasks", playing.url, folder), folder) as running,
    ):
        return await running.scrape()


async def test_airflow_is_also_listed_by_cursor(tmp_path: Path) -> None:
    text = (RECIPES / "airflow.yaml").read_text(encoding="utf-8")
    hint = re.search(r"write: (paging: \{token.*\})", text)
    assert hint is not None
    text = re.sub(r"(query: \{limit: 100,)", r'\1 cursor: "",', text)
    text = re.sub(r"paging: &paging .*", hint[1].replace("paging:", "paging: &paging"), text)
    pages = [["paused", "long"], ["bad"], []]

    def answer(asked: Asked) -> Told:
        if asked.path == "/auth/token":
            return TOKEN
        given = parameters(asked)
        if "cursor" not in given:
            return Told({"detail": "not found"}, status=404)  # the job under jobs:
        page = int(given["cursor"] or 0)
        runs = [{"dag_id": dag, "dag_run_id": "r", "state": "queued"} for dag in pages[page]]
        more = str(page + 1) if "updated_at_gte" not in given and page < 2 else None
        return Told({"dag_runs": runs, "total_entries": 2, "next_cursor": more})

    async with vendor(answer) as playing:
        async with exporter(configured(text, playing.url, tmp_path), tmp_path) as running:
            samples = await running.scrape()
        jobs = {labels["job_id"] for labels, value in samples.all("remote_job_up") if value}
        assert jobs == {"paused/r", "long/r", "bad/r"}


async def test_more_than_a_hundred_runs_of_dagster_are_listed(tmp_path: Path) -> None:
    runs = [{"runId": str(number), "status": "SUCCESS"} for number in range(101)]

    def answer(asked: Asked) -> Told:
        given = parameters(asked)
        after = given.get("variables.cursor")
        first = 0 if after is None else int(after) + 1
        page = runs[first : first + 100] if given.get("variables.steps") == "false" else []
        return Told({"data": {"runsOrError": {"results": page}, "runOrError": None}})

    async with (
        vendor(answer) as playing,
        exporter(config("dagster", playing.url, tmp_path), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert sum(value for _, value in samples.all("remote_job_up")) == 101
        assert not samples.all("remote_job_system_read_error_info")


POSTED = """
systems:
  graph:
    provider: json
    base_url: {url}
    read:
      method: POST
      path: /graphql
      body:
        query: "query($id: ID!) {{ job(id: $id) {{ state }} }}"
        variables: {{id: "{{id}}"}}
      root: data.job
      state: state
      states: {{running: [BUSY]}}
      progress: done / total
    jobs: [{{id: 'a"}},x'}}]
"""


async def test_a_query_is_posted_and_its_answer_read(tmp_path: Path) -> None:
    answer = Told({"data": {"job": {"state": "busy", "done": 3, "total": 4}}})
    async with (
        vendor(lambda _: answer) as graph,
        exporter(POSTED.format(url=graph.url), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert samples.state('a"},x') == "running"
        assert samples.get_one("remote_job_progress_ratio", job_id='a"},x') == 0.75
        (asked,) = graph.asked
        assert (asked.method, asked.path) == ("POST", "/graphql")
        assert asked.headers["content-type"] == "application/json"
        assert b'"variables": {"id": "a\\"},x"}' in asked.body


@pytest.mark.parametrize("more", ["", "      error: errors\n"])
async def test_a_query_with_an_error_instead_of_its_job_is_a_failed_read(more: str, tmp_path: Path) -> None:
    answer = Told({"errors": [{"message": "no", "path": ["job"]}], "data": {"job": None}})
    config = POSTED.replace("      root: data.job\n", f"      root: data.job\n{more}")
    async with vendor(lambda _: answer) as graph, exporter(config.format(url=graph.url), tmp_path) as running:
        samples = await running.scrape()
        assert samples.reason('a"},x') == "invalid_response"
        assert samples.state('a"},x') is None
        assert samples.get_one("remote_job_system_up", system="graph") == 1


async def test_a_wrong_type_costs_its_value_alone(tmp_path: Path) -> None:
    answer = Told({"data": {"job": {"state": "busy", "done": "three", "total": 4}}})
    async with (
        vendor(lambda _: answer) as graph,
        exporter(POSTED.format(url=graph.url), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert (samples.state('a"},x'), samples.reason('a"},x')) == ("running", None)
        assert samples.get_one("remote_job_progress_ratio", job_id='a"},x') is None
