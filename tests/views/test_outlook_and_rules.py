"""The alerts that a job's page announces, compared with those that the real rules fire."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.collector.outages import Outages
from exporter.collector.plan import Plan
from exporter.collector.record import JobRecord
from exporter.metrics import JOB_METRICS, JobView
from exporter.metrics.exposition import Format, Page
from exporter.model.failure import Failure, Reason
from exporter.model.job import Expect, Items, Job, Kind, State, Status
from exporter.model.pacing import Rules
from exporter.upstream.reading import Outcome
from exporter.views import outlook
from exporter.views.outlook import REFUSED
from tests.clock import FakeClock
from tests.conftest import Program
from tests.stack import RULES

STEP = 15
"""Seconds between two scrapes, and between two evaluations of the rules."""
STEPS = 100
UP = 'up{job="remote-job-exporter"}'
FIRING = 'group by (alertname, job_id) (ALERTS{alertstate="firing"})'
# No whole seconds: rules compare with `>`, so what is due at the time of an evaluation waits for the next.
EXPECT = Expect(start_within=300.5, progress_within=400.5, run_within=600.5, success_within=1000.5)
SAMPLE = re.compile(r"(remote_job_\w+\{.*\}) (\S+)")

Read = Status | Reason
# What each read finds, by the number of its scrape.
LIVES: Mapping[str, Callable[[int], Read]] = {
    "late": lambda _: Status(State.RUNNING, queued_at=60.0),
    "started": lambda n: Status(State.RUNNING, queued_at=60.0, started_at=300.0, progress=n / 1000),
    "queued": lambda n: Status(State.QUEUED, queued_at=None if n < 50 else 100.0),
    "stalled": lambda n: Status(State.RUNNING, progress=min(n, 20) / 100, started_at=250.0),
    "canceling": lambda n: Status(State.RUNNING if n < 30 else State.CANCELING, progress=0.5),
    "failed": lambda n: Status(State.RUNNING) if n < 10 else Status(State.FAILED),
    "again": lambda n: Status(State.FAILED if n < 10 or n > 60 else State.RUNNING),
    "mended": lambda n: Status(State.FAILED if n % 40 < 20 else State.SUCCEEDED),
    "gone": lambda n: Status(State.SUCCEEDED) if n < 20 else Reason.NOT_FOUND,
    "reasons": lambda n: Status(State.IDLE) if n < 5 else (Reason.DNS, Reason.TIMEOUT)[n // 10 % 2],
    "limited": lambda n: Reason.RATE_LIMITED if n > 10 else Reason.SERVER_ERROR,
    "refused": lambda n: Status(State.IDLE) if n < 8 else (Reason.AUTH, Reason.UNAUTHORIZED)[n // 10 % 2],
    "unknown": lambda n: Status(State.UNKNOWN if n > 7 else State.IDLE, raw="Odd"),
    "stopped": lambda n: Reason.CONNECT if n % 50 in range(30, 45) else Status(State.STOPPED, enabled=False),
    "stopped for long": lambda n: Reason.CONNECT if n > 60 else Status(State.STOPPED),
    "with errors": lambda n: Status(State.SUCCEEDED_WITH_ERRORS if n > 7 else State.RUNNING),
    "items": lambda n: Status(State.RUNNING, items=Items(total=40, processed=n, failed=n // 9)),
}


def record(name: str, page: Page[JobView], clock: FakeClock) -> JobRecord:
    # Each in a system of its own, as the alert on credentials is for the system.
    upstream: Any = object()  # nothing asks it
    job = Job(f"of {name}", name, Kind.SLOT, "caps", {"id": name}, expect=EXPECT)
    plan = Plan(job.system, "origin", upstream, [job], Rules(10, 600), {}, 1, lambda _keys, _name: job)
    return JobRecord(job, plan, page, Outages(job.system), clock)


def read(of: JobRecord, found: Read, clock: FakeClock) -> None:
    if isinstance(found, Reason):
        of.remember(Outcome(None, Failure(found, "x"), clock.time(), 0.1))
    else:
        of.remember(Outcome(found, None, clock.time(), 0.1))


def samples(page: Page[JobView], records: Mapping[str, JobRecord]) -> Iterator[tuple[str, str]]:
    for line in page.render(Format.TEXT).decode().splitlines():
        if match := SAMPLE.fullmatch(line):
            yield match[1], match[2]
    for each in records.values():
        assert each.view is not None
        if each.view.reason in REFUSED:
            labels = f'system="{each.job.system}", reason="{each.view.reason}"'
            yield f"remote_job_system_read_error_info{{{labels}}}", "1"


def announced(records: Mapping[str, JobRecord], now: float) -> list[dict[str, Any]]:
    """The samples of `FIRING` by what the pages show."""
    shown = set()
    for name, each in records.items():
        assert each.view is not None
        for alert in outlook(each.view, each.changes, now):
            if alert.at <= now:
                of_job = "" if alert.alert == "RemoteJobCredentialsRejected" else f', job_id="{name}"'
                shown.add(f'{{alertname="{alert.alert}"{of_job}}}')
    return [{"labels": labels, "value": 1} for labels in sorted(shown)]


@pytest.mark.process
def test_the_page_shows_the_alerts_that_the_rules_fire_at_the_same_time(
    program: Program, tmp_path: Path
) -> None:
    promtool = program("promtool", "prometheus")
    clock, page = FakeClock(epoch=0.0), Page(JOB_METRICS)
    records = {name: record(name, page, clock) for name in LIVES}
    values: defaultdict[str, list[str]] = defaultdict(list, {UP: ["1"] * STEPS})
    expected = []
    for number in range(STEPS):
        for name, life in LIVES.items():
            read(records[name], life(number), clock)
        for series, value in samples(page, records):
            # A series that ends is marked as stale, as Prometheus does.
            gap = ["stale"] if values[series] else ["_"]
            values[series] += gap * (number - len(values[series])) + [value]
        expected.append((clock.time(), announced(records, clock.time())))
        clock.turn(STEP)
    names = {sample["labels"] for _, alerts in expected for sample in alerts}
    assert len(names) > len(LIVES), names
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            # Pages do not show that an alert is still active for a while after its reason has ended.
            rule.pop("keep_firing_for", None)
            rule.pop("annotations", None)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": series, "values": " ".join(given + ["stale"] * (len(given) < STEPS))}
                    for series, given in values.items()
                ],
                "promql_expr_test": [
                    {"expr": FIRING, "eval_time": f"{at:.0f}s", "exp_samples": alerts}
                    for at, alerts in expected
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    ended = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
