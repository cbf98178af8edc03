"""What the configuration expects of a job, and how much of that time is used."""

from grafana_foundation_sdk.builders import bargauge, table

from grafana.source.panels import Column, Text, bars, by_limits, limits, now, rows
from grafana.source.queries import JOB, LAST_SUCCESS, ONE_JOB, WATCHED_SINCE, of_systems, recorded

_EMPTY = "Nothing to measure: the job is not queued or running, and no success is expected."


def used_up() -> bargauge.Panel:
    """Each expectation as a bar, full where its alert fires."""
    text = Text(
        "Expectations used up",
        "Time so far as a share of what the configuration expects: queued (start_within), without progress "
        "(progress_within), running (run_within), without a success (success_within). Over 100 % an alert "
        "fires. Fix the job, or change its expect.",
        _EMPTY,
    )
    panel = bars(
        text, "percentunit", (12, 7), now(f"{_so_far()} / on (expectation) {_allowed()}", "{{expectation}}")
    )
    return panel.max(1).color_scheme(by_limits()).thresholds(limits((0.8, "orange"), (1, "red")))


def how_it_keeps_to_them() -> table.Panel:
    """The same as durations."""
    text = Text(
        "Expectations",
        "What the configuration expects of the job, and the time so far.",
        "The configuration expects nothing of this job, or the job is not monitored.",
    )
    columns = [
        Column("expectation", "Expectation"),
        Column("Value #B", "So far", unit="s"),
        Column("Value #A", "Allowed", unit="s"),
    ]
    return rows(text, columns, (12, 7), _allowed(), _so_far())


def _allowed() -> str:
    return f"max by (expectation) ({_of('remote_job_expected_seconds')})"


def _so_far() -> str:
    """As the alerts compute it; each only while it applies."""
    begun = _first("start", "queued", "state")
    moved = _of("remote_job_progress_changed_timestamp_seconds")
    changed = _of("remote_job_state_timestamp_seconds")
    newest = f'max({moved} or label_replace({changed}, "expectation", "", "", ""))'
    success = f"{recorded(LAST_SUCCESS, ONE_JOB)} or on ({JOB}) {recorded(WATCHED_SINCE, ONE_JOB)}"
    measured = {
        "start_within": f"time() - min({_first('queued', 'state')}) {_while('queued')}",
        "progress_within": f"time() - {newest} {_while('running|canceling')} and on () max({moved})",
        "run_within": f"time() - min({begun}) {_while('running|canceling')}",
        "success_within": f"time() - max({success})",
    }
    return "(" + " or ".join(_labeled(name, since) for name, since in measured.items()) + ")"


def _first(*names: str) -> str:
    """The first of these times that is known."""
    return f" or on ({JOB}) ".join(_of(f"remote_job_{name}_timestamp_seconds") for name in names)


def _while(states: str) -> str:
    matcher = f'remote_job_state=~"{states}"'
    return f"and on () max({_of('remote_job_state', matcher)}) == 1"


def _labeled(name: str, expression: str) -> str:
    return f'label_replace({expression}, "expectation", "{name}", "", "")'


def _of(metric: str, *matchers: str) -> str:
    return of_systems(metric, ONE_JOB, *matchers)
