"""One system: whether it can be read, its responses and latency, its limits."""

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts, links
from grafana.source.frame import Row, framed, marks
from grafana.source.panels import (
    NO_JOBS,
    NO_RULES,
    Column,
    Text,
    badge,
    colored,
    limits,
    lines,
    now,
    number,
    over_time,
    rows,
    stacked,
    timeline,
    warmth,
)
from grafana.source.queries import JOB, each_job, of_systems, per_second, quantile, rate, with_name
from grafana.source.words import STATES, UP

_ABOUT = "The systems that run the jobs: whether they can be read, their latency, their failed requests."
_SYSTEM = "cluster, system"
_DAY = 86400
_BUCKETS = of_systems("remote_job_exporter_request_duration_seconds_bucket")
_SEEN = of_systems("remote_job_up")
_DROPPED = of_systems("remote_job_system_jobs_dropped")
_EXPIRY = of_systems("remote_job_system_credentials_expiry_timestamp_seconds")
_LEFT = of_systems("remote_job_system_rate_limit_remaining")
_NOT_ASKED = "No request in the time shown: is the exporter scraped, and is the system in its configuration?"


def dashboard() -> Dashboard:
    """For one system, or several."""
    return framed(
        "system",
        _ABOUT,
        [
            Row("Now", [*_numbers(), _systems(), alerts.table_of_firing(size=(24, 7))]),
            Row("Its API", [_latency(), _latencies(), _requests(), _errors()]),
            Row("Limits and pacing", [_up(), _remaining(), _skipped(), _ages()]),
            Row("Its jobs", [_states(), _summary(), _unreadable()]),
        ],
        marks(),
    )


def _numbers() -> list[stat.Panel]:
    up = Text(
        "Up",
        "Whether the credentials are available and accepted, and the listing, if there is one, was read. "
        "Down: at least one of the selected systems is down; the table of systems shows the reason.",
        "Not scraped?",
    )
    jobs = Text("Jobs watched", "Known jobs of the selected systems, all shards together.", "Not scraped?")
    unread = Text(
        "Unreadable jobs", "Jobs whose last read failed. The last table shows the reasons.", "Not scraped?"
    )
    dropped = Text(
        "Jobs dropped",
        "Jobs of a listing over max_jobs, which are not watched. Increase max_jobs, or discover fewer. "
        "A system without a listing has none.",
        "No listing",
    )
    ends = Text(
        "Credentials expire in",
        "Time until the first fixed token or client certificate expires. Renew it before: the exporter does "
        "not. No expiry: there is neither, or the token has no expiry.",
        "No expiry",
    )
    remaining = Text(
        "Calls left",
        "Calls that a vendor still allows in its current window, the lowest of all. At 0 its jobs are not "
        "read until the window ends.",
        "Not reported",
    )
    return [
        _badge(up, "none", f"min({of_systems('remote_job_system_up')})").mappings(UP),
        number(jobs, "short", (4, 4), now(f"count({each_job(_SEEN)})", "jobs")),
        _badge(unread, "short", f"count({each_job(_SEEN)} == 0) or 0 * count({_SEEN})").thresholds(
            limits((1, "orange"))
        ),
        _badge(dropped, "short", f"sum(max by ({_SYSTEM}) ({_DROPPED}))").thresholds(limits((1, "orange"))),
        _badge(ends, "s", f"min({_EXPIRY}) - time()").thresholds(
            limits((3 * _DAY, "orange"), (14 * _DAY, "green"), base="red")
        ),
        _badge(remaining, "short", f"min({_LEFT})").thresholds(
            limits((1, "orange"), (50, "green"), base="red")
        ),
    ]


def _badge(text: Text, unit: str, query: str) -> stat.Panel:
    return badge(text, unit, (4, 4), now(query, text.title))


def _systems() -> table.Panel:
    text = Text(
        "Systems",
        "Each system: whether it can be read, and the reason if not (auth: no credential is available; "
        "unauthorized: it was rejected; incomplete: its listing lacks jobs; any other: its listing cannot be "
        "read), and its limits. Skipped: entries of the last listing that name no job.",
    )
    columns = [
        Column("system", "System", link=links.system_of_row()),
        Column("Value #A", "Up", mappings=UP, width=100),
        Column("reason", "Reason"),
        Column("Value #C", "Jobs", unit="short"),
        Column("Value #D", "Unreadable", unit="short"),
        Column("Value #E", "Dropped", unit="short"),
        Column("Value #I", "Skipped", unit="short"),
        Column("Value #F", "Credentials expire", unit="dateTimeFromNow"),
        Column("Value #G", "Calls left", unit="short"),
        Column("Value #H", "Latency p90", unit="s"),
    ]
    expressions = [
        f"min by ({_SYSTEM}) ({of_systems('remote_job_system_up')})",
        f"max by ({_SYSTEM}, reason) ({of_systems('remote_job_system_read_error_info')})",
        f"count by ({_SYSTEM}) ({each_job(_SEEN)})",
        f"count by ({_SYSTEM}) ({each_job(_SEEN)} == 0)",
        f"max by ({_SYSTEM}) ({_DROPPED})",
        f"1000 * min by ({_SYSTEM}) ({_EXPIRY})",
        f"min by ({_SYSTEM}) ({_LEFT})",
        quantile(0.9, _SYSTEM, _BUCKETS),
        f"max by ({_SYSTEM}) ({of_systems('remote_job_system_entries_skipped')})",
    ]
    return rows(text, columns, (24, 8), *expressions, hide=("Value #B",))


def _latency() -> timeseries.Panel:
    text = Text(
        "Latency",
        "Duration of requests with a response: 50th, 90th and 99th percentile. Near the timeout of the "
        "configuration, reads start to fail: contact the vendor, or increase timeout and scrape timeout.",
        _NOT_ASKED,
    )
    queries = [
        over_time(quantile(value, "system", _BUCKETS), f"{{{{system}}}} {legend}")
        for value, legend in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
    ]
    return lines(text, "s", (12, 9), *queries)


def _latencies() -> heatmap.Panel:
    text = Text(
        "Latencies",
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
    query = per_second("remote_job_exporter_requests_total", "system", "code") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{code}}"))


def _errors() -> timeseries.Panel:
    text = Text(
        "Failures by reason",
        "Failed requests by system and reason. The page Troubleshooting of the documentation explains each "
        "reason.",
        "No request failed in the time shown.",
    )
    query = per_second("remote_job_exporter_request_failures_total", "system", "reason") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{reason}}"))


def _up() -> statetimeline.Panel:
    text = Text(
        "System up",
        "When credentials and listing of each system worked. Gaps: the system was not monitored.",
        NO_JOBS,
    )
    query = f"min by ({_SYSTEM}) ({of_systems('remote_job_system_up')})"
    panel = timeline(text, UP, (12, 8), over_time(query, "{{system}}"))
    return panel.data_links([links.system_of_series()])


def _remaining() -> timeseries.Panel:
    text = Text(
        "Calls left over time",
        "Calls that the vendor still allows in its current window. If it falls to 0 before it rises, use a "
        "longer min_interval or scrape interval.",
        "No vendor here reports how many calls are left.",
    )
    return lines(text, "short", (12, 8), over_time(f"min by ({_SYSTEM}) ({_LEFT})", "{{system}}"))


def _skipped() -> timeseries.Panel:
    text = Text(
        "Reads that were not due",
        "Skipped reads: the last result was shown. fresh: read just before. final: the run has ended for "
        "good. pacing: the vendor or a back-off allows no request. With much pacing, results are older than "
        "the scrape.",
        _NOT_ASKED,
    )
    query = per_second("remote_job_exporter_reads_skipped_total", "system", "why") + " > 0"
    return stacked(text, "ops", (12, 8), over_time(query, "{{system}} {{why}}"))


def _ages() -> timeseries.Panel:
    text = Text(
        "Age of results",
        "Age of the oldest result of each system. Runs that have ended are read every final_interval only. "
        "A higher age means pacing, or too many jobs for one scrape.",
        NO_JOBS,
    )
    read = f"max by ({JOB}) ({of_systems('remote_job_read_timestamp_seconds')})"
    return lines(text, "s", (12, 8), over_time(f"max by ({_SYSTEM}) (time() - {read})", "{{system}}"))


def _states() -> timeseries.Panel:
    text = Text("Jobs by state", "Watched jobs by state, all selected systems together.", NO_JOBS)
    each = f"max by ({JOB}, remote_job_state) ({of_systems('remote_job_state')})"
    query = over_time(f"sum by (remote_job_state) ({each}) > 0", "{{remote_job_state}}")
    return colored(stacked(text, "short", (12, 9), query), STATES)


def _summary() -> timeseries.Panel:
    text = Text(
        "Jobs as the system counts them",
        "All jobs of the account by state, watched or not, if the vendor has a count and the configuration "
        "enables it.",
        "No system here counts its jobs: only Sitecore does, with summary: true.",
    )
    each = f"max by ({_SYSTEM}, state) ({of_systems('remote_job_system_jobs')})"
    query = over_time(f"sum by (state) ({each}) > 0", "{{state}}")
    return colored(stacked(text, "short", (12, 9), query), STATES)


def _unreadable() -> table.Panel:
    text = Text(
        "Jobs that cannot be read",
        "Jobs whose last read failed, and the reason. One job: does it still exist? All jobs: check the "
        "system.",
        f"Every job can be read. {NO_RULES}",
    )
    columns = [
        Column("system", "System", width=160),
        Column("job_name", "Job", link=links.job_of_row()),
        Column("reason", "Reason", width=160),
        Column("job_id", "Job ID"),
    ]
    why = f"max by ({JOB}, reason) ({of_systems('remote_job_read_error_info')})"
    return rows(text, columns, (24, 9), with_name(why))
