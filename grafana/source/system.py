"""The systems: whether their jobs can be read, their responses and latency, their limits."""

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import BigValueTextMode
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts, links, trouble
from grafana.source.frame import Row, exporters, framed, marks, systems
from grafana.source.panels import (
    Column,
    Text,
    badge,
    colored,
    limits,
    lines,
    named,
    now,
    over_time,
    patterns,
    rows,
    stacked,
    timeline,
    warmth,
)
from grafana.source.queries import (
    JOB,
    NOT_SCRAPED,
    SYSTEM,
    each_job,
    of_systems,
    otherwise,
    per_second,
    quantile,
    rate,
    share,
    state_code,
    with_name,
)
from grafana.source.words import CODES, HEALTH, NO_LIMIT, STATES

_ABOUT = "The systems that run the jobs: whether they can be read, their latency, their failed requests."
_SYSTEM = ("cluster", "system")
_DAY = 86400
# Over all jobs: each point costs as much as there are jobs.
_POINTS = 120
_BUCKETS = of_systems("remote_job_exporter_request_duration_seconds_bucket")
_UP = of_systems("remote_job_system_up")
_READ = each_job(of_systems("remote_job_up"))
_READ_ERROR = f"max by ({JOB}, reason) ({of_systems('remote_job_read_error_info')})"
# Another replica may have read the job.
_UNREADABLE = f"({_READ_ERROR} and on ({JOB}) {_READ} == 0)"
_DROPPED = of_systems("remote_job_system_jobs_dropped")
_EXPIRY = of_systems("remote_job_system_credentials_expiry_timestamp_seconds")
_LEFT = of_systems("remote_job_system_rate_limit_remaining")
_HEALTH = trouble.health()
# While there is none: the systems of the last day.
_SHOWN = f"{_HEALTH} or on () 0 * max by ({SYSTEM}) (last_over_time({_UP}[1d])) + {NOT_SCRAPED}"
_NOT_SCRAPED = "No data: is an exporter scraped, and does a system match the filters?"
_NOT_ASKED = (
    "No request in the time shown: is the exporter scraped? A filter by a label of jobs matches no request."
)


def dashboard() -> Dashboard:
    """For one system, or several."""
    firing = alerts.table_of_firing(('system=~"$system|"',), size=(24, 8))
    return framed(
        "system",
        _ABOUT,
        [
            Row("Now", [exporters((5, 4)), _worst(), *_limits(), _systems(), firing]),
            Row("Whether jobs can be read", [_over_time(), _unreadable()]),
            Row("Requests", [_latency(), _latencies(), _requests(), _errors()]),
            Row("Limits and pacing", [_remaining(), _held_back(), _ages()]),
            Row("Jobs", [_states(), _summary()]),
        ],
        [systems()],
        marks(),
    )


def _reason(*by: str) -> str:
    """Why systems are not up, by these labels: the reason of those that are down, else the most frequent."""
    error = of_systems("remote_job_system_read_error_info")
    expiring = f"group by ({SYSTEM}) ({_EXPIRY} - time() < {3 * _DAY})"
    # Each counts more than all those after it.
    reasons = (
        f"1e9 * (max by ({SYSTEM}, reason) ({error}) and on ({SYSTEM}) {trouble.down()})",
        f"count by ({SYSTEM}, reason) ({_UNREADABLE})",
        f'label_replace(1e-4 * group by ({SYSTEM}) ({_DROPPED} > 0), "reason", "jobs dropped", "", "")',
        f'label_replace(1e-8 * {expiring}, "reason", "credentials expire soon", "", "")',
    )
    all_ = f"sum by ({', '.join((*by, 'reason'))}) ({' or '.join(reasons)})"
    return f"topk by ({', '.join(by)}) (1, {all_})"


def _share(*by: str) -> str:
    """A series with the label count, such as "2 of 118": how many jobs are unreadable."""
    labels = ", ".join(by)
    return share(f"sum by ({labels}) (1 - {_READ})", f"count by ({labels}) ({_READ})", "count", *by)


def _worst() -> stat.Panel:
    text = Text(
        "Systems",
        "State of the worst selected system, unreadable jobs of all of them, and the most frequent reason. "
        "Down: the credentials or the list of jobs do not work. Degraded: they work, but jobs cannot be read "
        "or are dropped, or the credentials expire soon. The table shows which system it is.",
        "no data",
    )
    why = f'group by (why) (label_replace({_reason()}, "why", ", $1", "reason", "(.+)")) or on () vector(1)'
    counts = f"{_share()} * on () group_left (why) ({why})"
    joined = f'label_join({counts}, "detail", " unreadable", "count", "why")'
    query = f"min({_HEALTH}) * on () group_left (detail) ({otherwise(joined, 'detail', 'no jobs', '1')})"
    panel = badge(text, "none", (9, 4), now(query, "{{detail}}"), HEALTH)
    # Below the state, not beside it: the name is long.
    return panel.text_mode(BigValueTextMode.VALUE_AND_NAME).wide_layout(wide_layout=False)


def _limits() -> list[stat.Panel]:
    ends = Text(
        "Credentials expire",
        "Time until the first fixed token or client certificate expires. Renew it before: the exporter does "
        "not. None: there is neither, or they do not expire.",
        "no data",
    )
    remaining = Text(
        "Calls left",
        "Calls that a vendor still allows in its current window, the lowest of all. At 0 its jobs are not "
        "read until the window ends. None: no vendor reports it.",
        "no data",
    )
    return [
        _limit(ends, "s", 6, f"min({_EXPIRY}) - time()").thresholds(
            limits((3 * _DAY, "orange"), (14 * _DAY, "green"), base="red")
        ),
        _limit(remaining, "short", 4, f"min({_LEFT})").thresholds(
            limits((1, "orange"), (50, "green"), base="red")
        ),
    ]


def _limit(text: Text, unit: str, width: int, query: str) -> stat.Panel:
    """A number, or infinity for systems that have none."""
    return badge(text, unit, (width, 4), now(f"{query} or on () Inf * count({_UP})", text.title), NO_LIMIT)


def _systems() -> table.Panel:
    text = Text(
        "Each system",
        "Each system, the worst first, and the most frequent reason of its unreadable jobs. Reason of one "
        "that is down: auth (no credential is available), unauthorized (it was rejected), incomplete (its "
        "listing lacks jobs), or why its listing cannot be read. The page Troubleshooting of the "
        "documentation explains each reason. Dropped: jobs of a listing over max_jobs, not watched. "
        "Skipped: entries of the last listing that name no job.",
    )
    columns = [
        Column("Value #A", "State", mappings=HEALTH, width=100),
        Column("system", "System", link=links.system_of_row()),
        Column("count", "Unreadable", mappings=patterns({"0 .*": "transparent", ".*": "orange"}), width=135),
        Column("reason", "Reason"),
        Column("Value #D", "Dropped", unit="short", width=95),
        Column("Value #E", "Skipped", unit="short", width=95),
        Column("Value #F", "Credentials", unit="dateTimeFromNow", width=130),
        Column("note", "Note"),
    ]
    expressions = [
        otherwise(_SHOWN, "note", _NOT_SCRAPED, str(NOT_SCRAPED)),
        _share(*_SYSTEM),
        _reason(*_SYSTEM),
        f"max by ({SYSTEM}) ({_DROPPED})",
        f"max by ({SYSTEM}) ({of_systems('remote_job_system_entries_skipped')})",
        f"1000 * min by ({SYSTEM}) ({_EXPIRY})",
    ]
    hidden = ("cluster", "good", "all", "Value #B", "Value #C")
    return rows(text, columns, (24, 9), *expressions, hide=hidden, sort=("State", "-Unreadable", "System"))


def _over_time() -> statetimeline.Panel:
    text = Text(
        "Systems over time",
        "When each system was down (credentials or listing), degraded (jobs unreadable or dropped, or "
        "credentials that expire soon), or up. Gaps: the system was not monitored.",
    )
    query = otherwise(_SHOWN, "system", "not scraped", str(NOT_SCRAPED), seen=_UP)
    panel = timeline(text, HEALTH, (11, 9), over_time(query, "{{system}}"))
    return panel.max_data_points(2 * _POINTS).data_links([links.system_of_series()])


def _unreadable() -> table.Panel:
    text = Text(
        "Unreadable jobs",
        "Jobs whose last read failed, and the reason. One job: does it still exist? All jobs of a system: "
        "check the system.",
    )
    columns = [
        Column("system", "System", width=115),
        Column("job_name", "Job", link=links.job_of_row()),
        Column("reason", "Reason", width=140),
        Column("note", "Note"),
    ]
    none = f'label_replace(group({_UP}), "note", "Every job can be read.", "", "")'
    query = otherwise(f"{with_name(_UNREADABLE)} or on () {none}", "note", _NOT_SCRAPED)
    return rows(text, columns, (13, 9), query, hide=("cluster",), needed=("job_id",), sort=("System", "Job"))


def _latency() -> timeseries.Panel:
    text = Text(
        "Latency",
        "Nine of ten requests with a response were not slower (90th percentile). Near the timeout of the "
        "configuration, reads start to fail: contact the vendor, or increase timeout and scrape timeout.",
        _NOT_ASKED,
    )
    return lines(text, "s", (12, 9), over_time(quantile(0.9, "system", _BUCKETS), "{{system}}"))


def _latencies() -> heatmap.Panel:
    text = Text(
        "Requests by duration",
        "Requests with a response by duration: the stronger the colour, the more. Two bands mean two kinds "
        "of request.",
        _NOT_ASKED,
    )
    return warmth(text, "s", (12, 9), f"sum by (le) ({rate(_BUCKETS)})")


def _requests() -> timeseries.Panel:
    text = Text(
        "Requests by code",
        "Responses by system and HTTP status. 401 and 403: credentials or rights. 429: too many requests. "
        "5xx: an error of the vendor. A 404 for iTwin's progress only means that the job is not running.",
        _NOT_ASKED,
    )
    query = per_second(of_systems("remote_job_exporter_requests_total"), "system", "code") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{code}}"))


def _errors() -> timeseries.Panel:
    text = Text(
        "Failures by reason",
        "Failed requests by system and reason. The page Troubleshooting of the documentation explains each "
        "reason.",
        "No failed request in the time shown, as far as exporters were scraped.",
    )
    query = per_second(of_systems("remote_job_exporter_request_failures_total"), "system", "reason") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{reason}}"))


def _remaining() -> timeseries.Panel:
    text = Text(
        "Calls left over time",
        "Calls that the vendor still allows in its current window. If it falls to 0 before it rises, use a "
        "longer min_interval or scrape interval.",
        "No system reported it in the time shown.",
    )
    return lines(text, "short", (8, 8), over_time(f"min by ({SYSTEM}) ({_LEFT})", "{{system}}")).decimals(0)


def _held_back() -> timeseries.Panel:
    text = Text(
        "Reads held back",
        "Reads that the vendor or a back-off did not allow, so the last result was shown. If they are many, "
        "results are older than the scrape: use a longer min_interval or scrape interval.",
        "None in the time shown, as far as exporters were scraped.",
    )
    counter = of_systems("remote_job_exporter_reads_skipped_total", 'why="pacing"')
    return lines(text, "ops", (8, 8), over_time(f"{per_second(counter, 'system')} > 0", "{{system}}"))


def _ages() -> timeseries.Panel:
    text = Text(
        "Oldest result",
        "Age of the oldest result of each system, by any replica. Runs that have ended are read every "
        "final_interval only. A higher age means pacing, or too many jobs for one scrape.",
    )
    query = f"(time() - min by ({SYSTEM}) ({of_systems('remote_job_read_timestamp_seconds')})) / 60"
    return lines(text, "m", (8, 8), over_time(query, "{{system}}"))


def _states() -> timeseries.Panel:
    text = Text("Jobs by state", "Watched jobs by state, all selected systems together.")
    query = over_time(f'count_values("state", {state_code()})', "{{state}}")
    panel = stacked(text, "short", (12, 9), query).max_data_points(_POINTS).decimals(0)
    return named(panel, CODES)


def _summary() -> timeseries.Panel:
    text = Text(
        "Jobs as the system counts them",
        "All jobs of the account by state, watched or not, if the vendor has a count and the configuration "
        "enables it.",
        "No system counted its jobs in the time shown: only Sitecore does, with summary: true.",
    )
    each = f"max by ({SYSTEM}, state) ({of_systems('remote_job_system_jobs')})"
    query = over_time(f"sum by (state) ({each}) > 0", "{{state}}")
    return colored(stacked(text, "short", (12, 9), query).decimals(0), STATES)
