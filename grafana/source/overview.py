"""What is wrong now, what runs, what failed."""

from grafana_foundation_sdk.builders import bargauge, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts, links
from grafana.source.frame import Row, framed, marks
from grafana.source.panels import (
    NO_RULES,
    Column,
    Text,
    bars,
    colored,
    lines,
    now,
    over_time,
    rows,
    stacked,
    timeline,
)
from grafana.source.queries import (
    JOB,
    LAST_FAILURE,
    LAST_SUCCESS,
    PROVIDER,
    STATE_CODE,
    each_job,
    ended,
    firing,
    of_systems,
    one_each,
    provided,
    recorded,
    with_name,
)
from grafana.source.words import RESULTS, STATE, STATES

_ABOUT = "All jobs: what is wrong now, what runs and its progress, what failed and when."


def dashboard() -> Dashboard:
    """The dashboard to open first."""
    return framed(
        "overview",
        _ABOUT,
        [
            Row(
                "What is wrong now", [*alerts.counters(), alerts.table_of_firing(size=(14, 10)), _progress()]
            ),
            Row("All jobs", [_states(), _jobs()]),
            Row("What happened", [_ended(), _ended_in_range(), _failures(), _in_states()]),
        ],
        marks(),
    )


def _progress() -> bargauge.Panel:
    text = Text(
        "Progress of running jobs",
        "Running jobs whose vendor reports progress. If a bar does not grow, the job is stuck: see its "
        "dashboard.",
        "No running job has a known progress. If one should: is grafana/alerts/rules.yaml loaded?",
    )
    running = of_systems("remote_job_state", 'remote_job_state=~"running|canceling"')
    progress = f"({each_job(of_systems('remote_job_progress_ratio'))} and on ({JOB}) {running} == 1)"
    query = now(f"sort_desc({with_name(progress)})", "{{system}}: {{job_name}}")
    return bars(text, "percentunit", (10, 10), query).max(1).data_links([links.job_of_series()])


def _states() -> statetimeline.Panel:
    text = Text(
        "States",
        "State of every job over time. Gaps: the job was not monitored. Click a bar for the dashboard of the "
        "job. If there are too many, select systems above.",
        NO_RULES,
    )
    panel = timeline(text, STATE, (24, 14), over_time(one_each(STATE_CODE), "{{system}}: {{job_name}}"))
    return panel.data_links([links.job_of_series()])


def _jobs() -> table.Panel:
    text = Text(
        "Jobs",
        "Every job with its state, in the words of the exporter and of the vendor. Labels of the "
        "configuration are last. Click a name for the dashboard of the job.",
        NO_RULES,
    )
    columns = [
        Column("Value #A", "State", mappings=STATE, width=150),
        Column("system", "System", link=links.system_of_row(), width=130),
        Column("job_name", "Job", link=links.job_of_row(), width=260),
        Column("Value #B", "Alerts", width=70),
        Column("Value #C", "Progress", unit="percentunit", gauge=True, width=140),
        Column("Value #D", "Items", unit="short", width=80),
        Column("Value #E", "Failed items", unit="short", width=100),
        Column("Value #F", "In this state since", unit="dateTimeFromNow", width=150),
        Column("status", "Vendor's status", width=140),
        Column("step", "Step", width=140),
        Column("Value #H", "Last success", unit="dateTimeFromNow", width=140),
        Column("Value #I", "Last failure", unit="dateTimeFromNow", width=140),
        Column("provider", "Provider", width=100),
        Column("job_kind", "Kind", width=70),
        Column("job_id", "Job ID"),
    ]
    said = f"max by ({JOB}, status, step) ({of_systems('remote_job_status_info')})"
    expressions = [
        one_each(STATE_CODE),
        _shown(f"count by ({JOB}) ({firing(PROVIDER)})"),
        *(
            _shown(each_job(of_systems(f"remote_job_{name}")))
            for name in ("progress_ratio", "items", "items_failed")
        ),
        _shown(f"1000 * {each_job(of_systems('remote_job_state_timestamp_seconds'))}"),
        _shown(f"topk by ({JOB}) (1, {said})"),
        *(_shown(f"1000 * {each_job(recorded(name))}") for name in (LAST_SUCCESS, LAST_FAILURE)),
    ]
    return rows(text, columns, (24, 14), *expressions, hide=("job", "Value #G"), sort="Alerts")


def _shown(expression: str) -> str:
    """Of those jobs alone that have a row."""
    return f"{expression} and on ({JOB}) {recorded(STATE_CODE, PROVIDER)}"


def _ended() -> timeseries.Panel:
    text = Text(
        "Runs ended within an hour",
        "Runs that ended in the hour before each point, by result. Replicas count once. If many fail "
        "together, they have one cause: see Failures by system.",
        "No run of these jobs has ended. Runs that ended before the exporter started are not counted.",
    )
    return colored(stacked(text, "short", (16, 9), over_time(ended(), "{{result}}")), RESULTS)


def _ended_in_range() -> bargauge.Panel:
    text = Text(
        "Runs ended in the time shown",
        "How many runs ended in the time range above, by result.",
        "No run of these jobs has ended. Runs that ended before the exporter started are not counted.",
    )
    return colored(bars(text, "short", (8, 9), now(ended(within="$__range"), "{{result}}")), RESULTS)


def _failures() -> timeseries.Panel:
    text = Text(
        "Failures by system",
        "Runs that failed in the hour before each point, by system. If many of one system fail together, "
        "check the system, not the jobs.",
        "No run of these jobs has ended. Runs that ended before the exporter started are not counted.",
    )
    query = over_time(ended('result="failed"', by="system"), "{{system}}")
    return lines(text, "short", (12, 9), query)


def _in_states() -> timeseries.Panel:
    text = Text(
        "Jobs by state",
        "Number of jobs in each state. A growing number of queued jobs means that the vendor does not keep "
        "up.",
        NO_RULES,
    )
    each = f"max by ({JOB}, remote_job_state) ({of_systems('remote_job_state')})"
    unread = f"{each_job(of_systems('remote_job_up'))} == 0"
    queries = [
        over_time(f"sum by (remote_job_state) ({provided(each)}) > 0", "{{remote_job_state}}"),
        over_time(f"count({provided(unread)})", "unreadable"),
    ]
    return colored(stacked(text, "short", (12, 9), *queries), STATES)
