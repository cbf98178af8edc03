"""Which alerts are announced for a job, and when it is read again."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from exporter.collector.record import Change
from exporter.metrics import JobView
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import Expect, Items, Job, Kind, State, Status
from exporter.model.pacing import Pace, Rules, Why
from exporter.views import outlook
from exporter.views.outlook import RATE_LIMITED_FOR, STOPPED_FOR, UNREADABLE_FOR

NOW = 1.8e9
RULES = Path(__file__).parents[2] / "grafana" / "alerts" / "rules.yaml"


def view(
    result: Status | Reason, kind: Kind = Kind.SLOT, before: Status | None = None, **expect: Any
) -> JobView:
    history = History(watched_since=NOW - 5000)
    if before is not None:
        history.observe(before, NOW - 4000)
    status, reason = (None, result) if isinstance(result, Reason) else (result, None)
    if status is not None:
        history.observe(status, NOW - 1000)
    job = Job("docs", "a", kind, "caps", {}, expect=Expect(**expect))
    return JobView(job, history, status, reason, NOW, 0.1)


def found(*arguments: Any, **settings: Any) -> list[tuple[str, float]]:
    shown = view(*arguments, **settings)
    changes = [Change(NOW - 100, shown.status.state if shown.status else None, "", shown.reason)]
    alerts = outlook(shown, changes, NOW)
    return [(each.alert.removeprefix("RemoteJob"), each.at - NOW) for each in alerts]


FAILED = Status(State.FAILED, failed_at=NOW - 2000, ended_at=NOW - 2000)
RUNNING = Status(State.RUNNING, started_at=NOW - 900, progress=0.5)
LONG_AGO = NOW - 90000


@pytest.mark.parametrize(
    ("arguments", "settings", "alerts"),
    [
        ((Status(State.SUCCEEDED, ended_at=NOW - 5),), {}, []),
        ((FAILED,), {}, [("Failed", -2000)]),
        ((RUNNING, Kind.SLOT, FAILED), {}, [("Failed", -4000)]),
        ((Status(State.FAILED, ended_at=LONG_AGO), Kind.RUN), {}, []),
        ((Status(State.FAILED, ended_at=LONG_AGO), Kind.SLOT), {}, [("Failed", -90000)]),
        ((Status(State.SUCCEEDED_WITH_ERRORS, ended_at=NOW - 1007),), {}, [("FinishedWithErrors", -1007)]),
        ((Status(State.SUCCEEDED_WITH_ERRORS, ended_at=LONG_AGO), Kind.RUN), {}, []),
        (
            (RUNNING,),
            {"run_within": 3600, "progress_within": 600, "start_within": 5},
            [("Stuck", -400), ("RunningTooLong", 2700)],
        ),
        ((replace(RUNNING, progress=None),), {"progress_within": 600}, []),
        ((Status(State.QUEUED, queued_at=NOW - 50),), {"start_within": 60}, [("QueuedTooLong", 10)]),
        ((Status(State.QUEUED),), {"start_within": 60, "run_within": 5}, [("QueuedTooLong", -940)]),
        ((Status(State.IDLE),), {"success_within": 6000}, [("Overdue", 1000)]),
        ((Status(State.SUCCEEDED, ended_at=NOW - 1005),), {"success_within": 2000}, [("Overdue", 995)]),
        ((Reason.DNS,), {"success_within": 6000}, [("Unreadable", 200), ("Overdue", 1000)]),
        ((Reason.AUTH,), {}, [("CredentialsRejected", 200)]),
        ((Reason.RATE_LIMITED,), {}, [("RateLimited", 800)]),
        ((Status(State.STOPPED),), {}, [("PublishingStopped", 500)]),
        ((Status(State.UNKNOWN),), {}, [("StateUnknown", -100)]),
        ((Status(State.RUNNING, items=Items(processed=20, failed=1)),), {}, []),
        ((Status(State.RUNNING, items=Items(processed=20, failed=2)),), {}, [("ItemsFailing", 0)]),
        ((Status(State.RUNNING, items=Items(succeeded=17, failed=2)),), {}, []),
        ((Status(State.RUNNING, items=Items(total=100, failed=6)),), {}, [("ItemsFailing", 0)]),
    ],
)
def test_alerts_are_announced_with_the_time_from_which_they_fire(
    arguments: Any, settings: Any, alerts: list[tuple[str, float]]
) -> None:
    assert found(*arguments, **settings) == alerts


def test_the_times_and_runbooks_of_alerts_are_those_of_the_rules() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    waits = {
        "RemoteJobUnreadable": UNREADABLE_FOR,
        "RemoteJobCredentialsRejected": UNREADABLE_FOR,
        "RemoteJobRateLimited": RATE_LIMITED_FOR,
        "RemoteJobPublishingStopped": STOPPED_FOR,
    }
    for name, seconds in waits.items():
        assert rules[name]["for"] == f"{seconds / 60:.0f}m"
    change = Change(NOW, State.FAILED, "", None)
    for each in outlook(view(FAILED, success_within=5), [change], NOW):
        assert rules[each.alert]["annotations"]["runbook_url"] == each.runbook


def test_the_time_until_a_read_is_that_after_which_no_rule_forbids_it() -> None:
    pace = Pace(Rules(min_interval=10, final_interval=600))
    assert pace.due_in(5) == (None, 0)
    pace.asked(5)
    assert [pace.due_in(now) for now in (5, 14, 15)] == [(Why.FRESH, 10), (Why.FRESH, 1), (None, 0)]
    pace.hold(35)
    assert pace.due_in(5) == (Why.PACING, 30), "the rule that lasts longer"
    assert pace.due_in(15, not_before=50) == (Why.PACING, 35)
    pace.final = True
    why, seconds = pace.due_in(15)
    assert (why, seconds, pace.why_not(15 + seconds)) == (Why.FINAL, 590, None)


def test_a_rejected_credential_is_announced_from_the_first_job_of_the_system() -> None:
    changes = [Change(NOW - 10, None, "", Reason.UNAUTHORIZED)]
    [alert] = outlook(view(Reason.UNAUTHORIZED), changes, NOW, NOW - 400)
    assert (alert.alert, alert.at) == ("RemoteJobCredentialsRejected", NOW - 100)
