"""One vendor's system: can it be asked, what does it answer, what does that cost."""

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

_ABOUT = "The systems that run the jobs: whether they can be read, how fast they answer and what they refuse."
_SYSTEM = "cluster, system"
_DAY = 86400
_BUCKETS = of_systems("remote_job_exporter_request_duration_seconds_bucket")
_SEEN = of_systems("remote_job_up")
_DROPPED = of_systems("remote_job_system_jobs_dropped")
_EXPIRY = of_systems("remote_job_system_credentials_expiry_timestamp_seconds")
_LEFT = of_systems("remote_job_system_rate_limit_remaining")
_NOT_ASKED = "Nothing was asked in the time shown: is the exporter scraped, and is the system in its config?"


def dashboard() -> Dashboard:
    """For one system, or some side by side."""
    return framed(
        "system",
        _ABOUT,
        [
            Row("Now", [*_numbers(), _systems(), alerts.table_of_firing(size=(24, 7))]),
            Row("Its API", [_latency(), _latencies(), _requests(), _errors()]),
            Row("What it lets us do", [_up(), _remaining(), _skipped(), _ages()]),
            Row("Its jobs", [_states(), _summary(), _unreadable()]),
        ],
        marks(),
    )


def _numbers() -> list[stat.Panel]:
    up = Text(
        "Up",
        "Whether credentials could be had and were not refused, and the list of jobs, if there is one, was "
        "understood. Down: one of the systems chosen is not; the table of systems says why.",
        "Not scraped?",
    )
    jobs = Text("Jobs watched", "Jobs known of the systems chosen, all shards together.", "Not scraped?")
    unread = Text(
        "Unreadable jobs", "Jobs whose last attempt to read failed. The last table says why.", "Not scraped?"
    )
    dropped = Text(
        "Jobs dropped",
        "Jobs of a listing that are over max_jobs and so not watched. Raise max_jobs, or discover fewer. No "
        "listing: none can be too long.",
        "No listing",
    )
    ends = Text(
        "Credentials end in",
        "When the first fixed token or client certificate ends. Renew it before; nothing does so by itself. "
        "Nothing ends: there is neither, or the token has no end.",
        "Nothing ends",
    )
    remaining = Text(
        "Calls left",
        "Calls that a vendor still allows in its current window, the fewest of all. At 0 its jobs are not "
        "read until the window ends.",
        "No vendor says",
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
        "Each system: whether it can be read and if not, why (auth: no credential could be had; "
        "unauthorized: it was refused; any other: its list of jobs cannot be read), and what else may go "
        "wrong soon.",
    )
    columns = [
        Column("system", "System", link=links.system_of_row()),
        Column("Value #A", "Up", mappings=UP, width=100),
        Column("reason", "Reason"),
        Column("Value #C", "Jobs", unit="short"),
        Column("Value #D", "Unreadable", unit="short"),
        Column("Value #E", "Dropped", unit="short"),
        Column("Value #F", "Credentials end", unit="dateTimeFromNow"),
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
    ]
    return rows(text, columns, (24, 8), *expressions, hide=("Value #B",))


def _latency() -> timeseries.Panel:
    text = Text(
        "Latency",
        "How long half, nine tenths and 99 of 100 answered requests took. Near the timeout of the config "
        "reads begin to fail: ask the vendor, or raise timeout and scrape timeout.",
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
        "Answered requests by how long they took: the stronger the colour, the more. Two bands: some "
        "requests take another way.",
        _NOT_ASKED,
    )
    return warmth(text, "s", (12, 9), f"sum by (le) ({rate(_BUCKETS)})")


def _requests() -> timeseries.Panel:
    text = Text(
        "Requests by code",
        "Requests answered, by system and HTTP status. 401 and 403: credentials or rights; 429: asked too "
        "often; 5xx: the vendor's trouble. A 404 of iTwin's progress only says that the job is not at work.",
        _NOT_ASKED,
    )
    query = per_second("remote_job_exporter_requests_total", "system", "code") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{code}}"))


def _errors() -> timeseries.Panel:
    text = Text(
        "Failures by reason",
        "Requests that did not work, by system and reason. Documentation, troubleshooting, says what each "
        "means.",
        "No request failed in the time shown.",
    )
    query = per_second("remote_job_exporter_request_failures_total", "system", "reason") + " > 0"
    return lines(text, "reqps", (12, 9), over_time(query, "{{system}} {{reason}}"))


def _up() -> statetimeline.Panel:
    text = Text(
        "System up",
        "When credentials and listing of each system were in order. Gaps: nobody looked.",
        NO_JOBS,
    )
    query = f"min by ({_SYSTEM}) ({of_systems('remote_job_system_up')})"
    panel = timeline(text, UP, (12, 8), over_time(query, "{{system}}"))
    return panel.data_links([links.system_of_series()])


def _remaining() -> timeseries.Panel:
    text = Text(
        "Calls left over time",
        "Calls that the vendor still allows in its current window. Falling to 0 before it rises: ask less "
        "often, by a longer min_interval or scrape interval.",
        "No vendor here says how many calls are left.",
    )
    return lines(text, "short", (12, 8), over_time(f"min by ({_SYSTEM}) ({_LEFT})", "{{system}}"))


def _skipped() -> timeseries.Panel:
    text = Text(
        "Reads that were not due",
        "Reads that were answered from the last one. fresh: read just before; final: the run has ended for "
        "good; pacing: the vendor or a back-off forbids asking. Much pacing: what is shown is older than "
        "the scrape.",
        _NOT_ASKED,
    )
    query = per_second("remote_job_exporter_reads_skipped_total", "system", "why") + " > 0"
    return stacked(text, "ops", (12, 8), over_time(query, "{{system}} {{why}}"))


def _ages() -> timeseries.Panel:
    text = Text(
        "Age of what is shown",
        "How long ago the last read of a job was, for the job of each system that has waited longest. Runs "
        "that have ended are read every final_interval only; beyond that: pacing, or too many jobs for one "
        "scrape.",
        NO_JOBS,
    )
    read = f"max by ({JOB}) ({of_systems('remote_job_read_timestamp_seconds')})"
    return lines(text, "s", (12, 8), over_time(f"max by ({_SYSTEM}) (time() - {read})", "{{system}}"))


def _states() -> timeseries.Panel:
    text = Text("Jobs by state", "Jobs that are watched, by state. Chosen systems together.", NO_JOBS)
    each = f"max by ({JOB}, remote_job_state) ({of_systems('remote_job_state')})"
    query = over_time(f"sum by (remote_job_state) ({each}) > 0", "{{remote_job_state}}")
    return colored(stacked(text, "short", (12, 9), query), STATES)


def _summary() -> timeseries.Panel:
    text = Text(
        "Jobs as the system counts them",
        "All jobs of the account by state, watched or not, where the vendor has a summary and the config "
        "asks for it.",
        "No system here counts its jobs: only Sitecore does, with summary: true.",
    )
    each = f"max by ({_SYSTEM}, state) ({of_systems('remote_job_system_jobs')})"
    query = over_time(f"sum by (state) ({each}) > 0", "{{state}}")
    return colored(stacked(text, "short", (12, 9), query), STATES)


def _unreadable() -> table.Panel:
    text = Text(
        "Jobs that cannot be read",
        "Jobs whose last attempt to read failed, and why. One job: is it still there? All of them: the "
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
