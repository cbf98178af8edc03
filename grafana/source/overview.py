"""What is wrong now, what runs, what failed."""

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import BarAlignment, GraphDrawStyle, VisibilityMode
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts, links, trouble
from grafana.source.frame import Row, exporters, framed, marks, systems
from grafana.source.panels import (
    Column,
    Text,
    badge,
    bars,
    colored,
    legend,
    limits,
    named,
    now,
    over_time,
    patterns,
    rows,
    stacked,
    timeline,
    word,
)
from grafana.source.queries import (
    JOB,
    NOT_SCRAPED,
    UNREADABLE,
    counted,
    each_job,
    ended,
    of_systems,
    otherwise,
    ranked,
    with_name,
)
from grafana.source.words import CODES, RESULTS, STATE

_ABOUT = "All jobs: what is wrong now, what runs and its progress, what failed and when."
_TILE = (6, 3)
_NOTHING = "not scraped"
_NOT_COUNTED = "No run was seen to end in the time shown. Is the exporter scraped?"
# With thousands of jobs, more would be slow, and too small to see.
_POINTS = 300
_BARS = 150
_SHOWN_STATES = 200
_SHOWN_PROGRESS = 20


def dashboard() -> Dashboard:
    """The dashboard to open first."""
    firing = alerts.table_of_firing(('system=~"$system|"',), size=(24, 9))
    return framed(
        "overview",
        _ABOUT,
        [
            Row("What is wrong now", [exporters(_TILE), _systems(), *_counters(), firing]),
            Row("All jobs", [_states(), _jobs(), _progress(), _in_states()]),
            Row("What happened", [_ended(), _failures()]),
        ],
        [systems()],
        marks(),
    )


def _systems() -> stat.Panel:
    text = Text(
        "Systems",
        "Down: the credentials, or the list of jobs, do not work. Degraded: they work, but jobs "
        "cannot be read or are dropped, or the credentials expire soon. Click it for the reasons.",
        _NOTHING,
    )
    all_ = of_systems("remote_job_system_up")
    down, degraded = (
        f'count_values("{name}", count({which}) or 0 * count({all_}))'
        for name, which in (("down", trouble.down()), ("degraded", trouble.degraded()))
    )
    both = (
        f'label_join({down} * on () group_left (degraded) {degraded}, "both", " down, ", "down", "degraded")'
    )
    query = f'label_replace({both}, "systems", "$1 degraded", "both", "(.+)")'
    colors = {"0 down, 0 .+": "green", "0 .+": "orange", ".+": "red"}
    return word(text, _TILE, query, "systems", patterns(colors)).data_links([links.systems()])


def _counters() -> list[stat.Panel]:
    return [
        _counter(
            "Failed", "red", "whose newest run failed, without a success since", trouble.failed(), "Failed"
        ),
        _counter(
            "Overdue",
            "red",
            "without a success for longer than the configuration expects",
            trouble.beyond("success_within"),
            "Overdue",
        ),
        _counter(
            "Stuck or too long",
            "orange",
            "without progress, or that run or are queued for longer than the configuration expects",
            trouble.too_long(),
            *("Stuck", "RunningTooLong", "QueuedTooLong"),
        ),
        _counter(
            "Partly failed",
            "orange",
            "that ended with errors, or are running while many of their items fail",
            trouble.partly_failed(),
            *("FinishedWithErrors", "ItemsFailing"),
        ),
        _counter(
            "Stopped or unknown",
            "orange",
            "whose publishing is disabled, or whose status is a word that the exporter does not know",
            trouble.in_state("stopped", "unknown"),
            *("PublishingStopped", "StateUnknown"),
        ),
        _counter(
            "Unreadable",
            "orange",
            "that cannot be read, so their state is not known",
            trouble.unreadable(),
            *("Unreadable", "RateLimited", "CredentialsRejected"),
        ),
    ]


def _counter(title: str, color: str, which: str, jobs: str, *names: str) -> stat.Panel:
    about = f"Jobs {which}. The tables below list them. Some alerts fire only after a while."
    panel = badge(Text(title, about, _NOTHING), "none", _TILE, now(counted(jobs)))
    return panel.thresholds(limits((1, color))).data_links(
        [links.runbook(f"RemoteJob{one}", f"Runbook: {one}") for one in names]
    )


def _states() -> statetimeline.Panel:
    text = Text(
        "States",
        "State over time of the jobs that exist at its end, those in trouble first, at most "
        f"{_SHOWN_STATES}. Gaps: the job was not watched. Click a bar for the dashboard of the job.",
    )
    missing = f'label_replace(vector({NOT_SCRAPED}), "system", "exporter", "", "")'
    query = f'{ranked(_SHOWN_STATES)} or on () label_replace({missing}, "job_name", "not scraped", "", "")'
    panel = timeline(text, STATE, (24, 14), over_time(query, "{{system}}: {{job_name}}"))
    return panel.max_data_points(_POINTS).data_links([links.job_of_series()])


def _jobs() -> table.Panel:
    text = Text(
        "Jobs",
        "Every job, those in trouble first. Status: the vendor's word, or the reason why the job cannot be "
        "read. Click a name for the dashboard of the job.",
    )
    columns = [
        Column("Value #A", "State", mappings=STATE, width=92),
        Column("system", "System", link=links.system_of_row(), width=112),
        # It has the space that is left.
        Column("job_name", "Job", link=links.job_of_row()),
        Column("Value #B", "Since", unit="dateTimeFromNow", width=130),
        Column("Value #C", "Progress", unit="percentunit", gauge=True, width=93),
        Column("Value #D", "Items", unit="short", width=69),
        Column("Value #E", "Failed", unit="short", width=76),
        Column("status", "Status", width=88),
        Column("Value #G", "Last success", unit="dateTimeFromNow", width=122),
        # Only if there is nothing else.
        Column("note", "Note"),
    ]
    said = of_systems("remote_job_status_info")
    reason = f'label_replace({of_systems("remote_job_read_error_info")}, "status", "$1", "reason", "(.+)")'
    status = f"topk by ({JOB}) (1, max by ({JOB}, status) ({said} or {reason}))"
    expressions = [
        otherwise(
            ranked(), "note", "No job is watched: is an exporter scraped, and does a job match the filters?"
        ),
        f"1000 * {_value('state_timestamp_seconds')}",
        *(_value(one) for one in ("progress_ratio", "items", "items_failed")),
        status,
        f"1000 * {_value('last_success_timestamp_seconds')}",
    ]
    return rows(text, columns, (24, 14), *expressions, hide=("Value #F",), needed=("job_id",), rank="a_rank")


def _value(name: str) -> str:
    return each_job(of_systems(f"remote_job_{name}"))


def _progress() -> bargauge.Panel:
    text = Text(
        "Progress",
        f"Running jobs whose vendor reports progress, at most {_SHOWN_PROGRESS}. If a bar does not grow, the "
        "job is stuck: see its dashboard.",
        "none known",
    )
    progress = (
        f"topk({_SHOWN_PROGRESS}, {_value('progress_ratio')} and {trouble.in_state('running', 'canceling')})"
    )
    query = now(f"sort_desc({with_name(progress)})", "{{system}}: {{job_name}}")
    return bars(text, "percentunit", (12, 10), query).max(1).decimals(0).data_links([links.job_of_series()])


def _in_states() -> timeseries.Panel:
    text = Text(
        "Jobs by state",
        "Number of jobs in each state. A growing number of queued jobs means that the vendor does not keep "
        "up.",
    )
    code, up = (of_systems(f"remote_job_{one}") for one in ("state_code", "up"))
    readable = over_time(f'count_values("code", {each_job(code)})', "{{code}}")
    unreadable = over_time(f"count({each_job(f'{up} == 0 unless on ({JOB}) {code}')})", str(UNREADABLE))
    panel = stacked(text, "short", (12, 10), readable, unreadable).max_data_points(100).decimals(0)
    return named(panel, CODES)


def _ended() -> timeseries.Panel:
    text = Text(
        "Runs ended",
        "Runs that ended in the time of each bar, by result; the bar appears when its time is over. Replicas "
        "count once. If many fail together, they have one cause.",
        _NOT_COUNTED,
    )
    runs = of_systems("remote_job_runs_finished_total")
    return colored(_in_bars(text, (14, 9), runs, "result"), RESULTS)


def _failures() -> timeseries.Panel:
    text = Text(
        "Failures by system",
        "Runs that failed in the time of each bar, by system. If many of one system fail together, check the "
        "system, not the jobs.",
        _NOT_COUNTED,
    )
    runs = of_systems("remote_job_runs_finished_total", 'result="failed"')
    return _in_bars(text, (10, 9), runs, "system")


def _in_bars(text: Text, size: tuple[int, int], runs: str, by: str) -> timeseries.Panel:
    """Each run is counted in one bar: a moving window would read every sample many times."""
    query = over_time(ended(runs, by, "$__interval"), f"{{{{{by}}}}}").interval("5m")
    panel = stacked(text, "short", size, query).max_data_points(_BARS).decimals(0)
    # A bar is drawn before the time of its number, which counts what happened until then.
    panel.draw_style(GraphDrawStyle.BARS).bar_alignment(BarAlignment.BEFORE).bar_width_factor(
        0.9
    ).show_points(VisibilityMode.NEVER)
    return panel.legend(legend("sum"))
