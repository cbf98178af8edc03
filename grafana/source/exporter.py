"""The exporter itself: whether it responds in time, its resources, its configuration."""

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueTextMode, LineStyle
from grafana_foundation_sdk.models.dashboard import Dashboard, DynamicConfigValue

from grafana.source import alerts, frame
from grafana.source.frame import Row, framed, marks_of_exporter
from grafana.source.panels import (
    Column,
    Text,
    badge,
    fixed,
    limits,
    lines,
    missing,
    now,
    number,
    over_time,
    patterns,
    rows,
    stacked,
    timeline,
    warmth,
    word,
)
from grafana.source.queries import (
    EXPORTER,
    NOT_SCRAPED,
    exporters,
    of_instances,
    otherwise,
    per_second,
    quantile,
    rate,
    share,
)
from grafana.source.words import ACCEPTED, LOSSES, UP

_ABOUT = "The exporter itself: whether it responds in time, its resources, and its configuration."
_EMPTY = "No data: is the exporter scraped, and does an instance match the variables and filters above?"
_CONFIGS = ("config", "web_config")
_BUCKETS = of_instances("remote_job_exporter_scrape_duration_seconds_bucket", 'handler="/metrics"')
_INFO = of_instances("remote_job_exporter_build_info")
_SHARD = of_instances("remote_job_exporter_shard_info")
_GROUP = "cluster, namespace, job"
# Scrape timeout of Prometheus's defaults, less the exporter's offset.
_DEADLINE = 9.5
_DEADLINE_NAME = "deadline of a scrape timeout of 10 s"
_LOSSES = {
    "reads cut": of_instances("remote_job_exporter_request_failures_total", 'reason="deadline"'),
    "retries": of_instances("remote_job_exporter_request_retries_total"),
    "responses cut": of_instances("remote_job_exporter_responses_cut_total"),
    "connections dropped": of_instances("remote_job_exporter_connections_dropped_total"),
    "log messages dropped": of_instances("remote_job_exporter_log_messages_dropped_total"),
}


def dashboard() -> Dashboard:
    """For one exporter, its replicas or its shards."""
    about = (alerts.ABOUT_EXPORTERS, 'instance=~"$instance|"')
    firing = alerts.table_of_firing(about, size=(24, 5))
    return framed(
        "exporter",
        _ABOUT,
        [
            Row("Now", [*_numbers(), _instances(), firing]),
            Row("Scrapes", [_up(), _config(), _durations(), _spread(), _losses(), _when_lost(), _samples()]),
            Row("Resources", [_cpu(), _memory(), _files()]),
            Row("Reads", [_requests(), _failures(), _skipped(), _jobs()]),
        ],
        [frame.instances()],
        marks_of_exporter(),
    )


def _numbers() -> list[stat.Panel]:
    shards = Text(
        "Shards up",
        "Shards with at least one exporter that is up, of those that there should be. If one is missing, its "
        "jobs are not watched. Without shards: 1 of 1.",
        "no data",
    )
    config = Text(
        "Configuration",
        "Whether the last reload applied the configuration, and the web configuration if there is one. "
        "Rejected: the exporter continues with the previous one; the command check reports the errors.",
        "no data",
    )
    jobs = Text("Jobs known", "Jobs of all systems; replicas count once, shards add up.", "no data")
    restarts = Text(
        "Restarts",
        "How often exporters restarted in the time shown. A restart loses the history of past runs; the log "
        "shows its cause.",
        "no data",
    )
    up = f"count(group by ({_GROUP}, shard) ({_SHARD}))"
    wanted = f"sum(max by ({_GROUP}) ({of_instances('remote_job_exporter_shards')}))"
    started = f"changes({of_instances('process_start_time_seconds')}[$__range])"
    return [
        frame.exporters((5, 4), of_instances),
        word(
            shards,
            (4, 4),
            share(up, wanted, "shards"),
            "shards",
            patterns({r"(\d+) of \1": "green", ".*": "red"}),
        ),
        badge(config, "none", (5, 4), now(f"min({_applied()})", "config"), ACCEPTED),
        number(jobs, "short", (5, 4), now(f"sum({_known()})", "jobs")),
        badge(restarts, "short", (5, 4), now(f"sum({_own(started)})", "restarts")).thresholds(
            limits((1, "orange"))
        ),
    ]


def _own(expression: str) -> str:
    """Of exporters only: other targets have metrics of the same name."""
    return f"{expression} and on ({EXPORTER}) {_INFO}"


def _applied() -> str:
    """0 for an exporter that has rejected a configuration or a web configuration, otherwise 1."""
    config, web = (of_instances(f"remote_job_exporter_{name}_last_reload_successful") for name in _CONFIGS)
    return f"{config} == 0 or {web} == 0 or {config}"


def _known() -> str:
    """Known jobs by system and shard: replicas count once."""
    shard = f"topk by ({EXPORTER}) (1, {_SHARD})"
    known = f"{of_instances('remote_job_exporter_jobs')} * on ({EXPORTER}) group_left (shard) {shard}"
    return f"max by (cluster, shard, system) ({known})"


def _instances() -> table.Panel:
    text = Text(
        "Instances",
        "Every exporter that is scraped now; if none is, those of the last day. If versions differ, an "
        "update is under way or incomplete.",
        _EMPTY,
    )
    columns = [
        Column("Value #A", "State", mappings=UP, width=100),
        Column("instance", "Instance"),
        Column("Value #B", "Last seen", unit="dateTimeFromNow", width=145),
        Column("version", "Version", width=100),
        Column("shard", "Shard", width=90),
        Column("Value #D", "Running since", unit="dateTimeFromNow", width=140),
        Column("Value #E", "Config", mappings=ACCEPTED, width=95),
        Column("Value #F", "Jobs", unit="short", width=75),
    ]
    seen = _last_seen(_INFO, "version")
    listed = f"({exporters(of_instances)} or on () 0 * {seen} + {NOT_SCRAPED})"
    expressions = [
        otherwise(listed, "instance", "No exporter is scraped", str(NOT_SCRAPED)),
        f"1000 * {seen} and on ({EXPORTER}) {listed}",
        f"{_last_seen(_SHARD, 'shard')} and on ({EXPORTER}) {listed}",
        f"1000 * max by ({EXPORTER}) ({_own(of_instances('process_start_time_seconds'))})",
        f"max by ({EXPORTER}) ({_applied()})",
        f"sum by ({EXPORTER}) ({of_instances('remote_job_exporter_jobs')})",
    ]
    hidden = ("cluster", "namespace", "job", "Value #C")
    return rows(text, columns, (24, 6), *expressions, hide=hidden, sort=("State", "Instance"))


def _last_seen(info: str, *labels: str) -> str:
    """When each exporter was last scraped within a day, with these labels, as they were then."""
    seen = f"max by ({EXPORTER}, {', '.join(labels)}) (max_over_time(timestamp({info})[1d:1m]))"
    return f"topk by ({EXPORTER}) (1, {seen})"


def _up() -> statetimeline.Panel:
    text = Text("Exporters over time", "When each exporter was up. Gaps: Prometheus did not scrape it.")
    query = otherwise(exporters(of_instances), "instance", "not scraped", str(NOT_SCRAPED), seen=_INFO)
    return timeline(text, UP, (12, 7), over_time(query, "{{instance}}"))


def _config() -> statetimeline.Panel:
    text = Text(
        "Configuration over time",
        "Whether the configuration and the web configuration in use are those of the files. Rejected: the "
        "command check reports the errors.",
    )
    accepted = f"max by ({EXPORTER}) ({_applied()})"
    silent = f"0 * {exporters(of_instances)} + {NOT_SCRAPED}"
    query = otherwise(f"{accepted} or {silent}", "instance", "not scraped", str(NOT_SCRAPED), seen=_INFO)
    return timeline(text, ACCEPTED, (12, 7), over_time(query, "{{instance}}"))


def _durations() -> timeseries.Panel:
    text = Text(
        "Scrapes against the deadline",
        "Duration of scrapes in the exporter (99th percentile) and in Prometheus. The dashed line is the "
        "deadline if the scrape timeout is Prometheus's default, 10 s: jobs not read by then show the reason "
        "deadline. Near it: use a longer scrape timeout, more concurrency, or shards.",
        _EMPTY,
    )
    seen = _own(of_instances("scrape_duration_seconds"))
    queries = [
        over_time(quantile(0.99, "instance", _BUCKETS), "{{instance}} p99"),
        over_time(seen, "{{instance}} in Prometheus"),
        over_time(f"0 * max({seen}) + {_DEADLINE}", _DEADLINE_NAME),
    ]
    dash = LineStyle(fill="dash", dash=[10, 10])
    style = {"color": fixed("red").build(), "custom.lineStyle": dash, "custom.fillOpacity": 0}
    panel = lines(text, "s", (12, 9), *queries)
    return panel.override_by_name(_DEADLINE_NAME, [DynamicConfigValue(*one) for one in style.items()])


def _spread() -> heatmap.Panel:
    text = Text("Scrapes by duration", "Scrapes by duration: the stronger the colour, the more.", _EMPTY)
    return warmth(text, "s", (12, 9), f"sum by (le) ({rate(_BUCKETS)})")


def _losses() -> stat.Panel:
    text = Text(
        "Losses in the time shown",
        "Reads cut: not started before the deadline of their scrape; they are first in the next one. If that "
        "continues, use a longer scrape timeout, more concurrency, or shards. Retries: a system had closed "
        "the connection, so the request was sent again. Responses cut: the client read too slowly. "
        "Connections dropped: too many clients. Log messages dropped: they could not be written.",
        "no data",
    )
    queries = [now(f"round(sum(increase({one}[$__range])))", name) for name, one in _LOSSES.items()]
    panel = number(text, "short", (24, 4), *queries).color_mode(BigValueColorMode.VALUE)
    panel.color_scheme(fixed("orange")).mappings([*LOSSES, missing(text.empty)])
    return panel.text_mode(BigValueTextMode.VALUE_AND_NAME)


def _when_lost() -> timeseries.Panel:
    text = Text(
        "Losses over time",
        "When the losses above happened, in each step of the time shown.",
        "None in the time shown, as far as exporters were scraped.",
    )
    queries = [
        over_time(
            f"round(sum by (instance) (increase({one}[$__rate_interval]))) > 0", f"{{{{instance}}}} {name}"
        )
        for name, one in _LOSSES.items()
    ]
    return lines(text, "short", (12, 8), *queries).decimals(0)


def _samples() -> timeseries.Panel:
    text = Text(
        "Samples in each scrape",
        "Samples in each response. If they grow steadily, a listing finds ever more jobs: set newer_than.",
        _EMPTY,
    )
    query = _own(of_instances("scrape_samples_scraped"))
    return lines(text, "short", (12, 8), over_time(query, "{{instance}}")).decimals(0)


def _cpu() -> timeseries.Panel:
    text = Text(
        "CPU",
        "Used cores. The exporter is one event loop: near 1, scrapes become slow. Use shards.",
        _EMPTY,
    )
    query = _own(rate(of_instances("process_cpu_seconds_total")))
    return lines(text, "short", (8, 8), over_time(query, "{{instance}}"))


def _memory() -> timeseries.Panel:
    text = Text(
        "Memory",
        "Used memory. It grows with the number of jobs. If it grows with a constant number, report a bug.",
        _EMPTY,
    )
    query = _own(of_instances("process_resident_memory_bytes"))
    return lines(text, "bytes", (8, 8), over_time(query, "{{instance}}"))


def _files() -> timeseries.Panel:
    text = Text(
        "Open files",
        "Open files and sockets as a share of the limit of the process. Near 100 %, connections fail: "
        "increase the limit (LimitNOFILE), or reduce concurrency.",
        _EMPTY,
    )
    used = f"{of_instances('process_open_fds')} / {of_instances('process_max_fds')}"
    return lines(text, "percentunit", (8, 8), over_time(_own(used), "{{instance}}"))


def _requests() -> timeseries.Panel:
    text = Text("Requests", "Requests with a response, by system.", _EMPTY)
    query = per_second(of_instances("remote_job_exporter_requests_total"), "system")
    return lines(text, "reqps", (12, 8), over_time(query, "{{system}}"))


def _failures() -> timeseries.Panel:
    text = Text(
        "Failed requests",
        "Failed requests by reason. If all systems fail together, check the exporter's network, DNS or "
        "proxy.",
        "No failed request in the time shown, as far as exporters were scraped.",
    )
    query = per_second(of_instances("remote_job_exporter_request_failures_total"), "reason") + " > 0"
    return lines(text, "reqps", (12, 8), over_time(query, "{{reason}}"))


def _skipped() -> timeseries.Panel:
    text = Text(
        "Skipped reads",
        "Reads that were not due: the last result was shown. fresh: read just before, for another scraper. "
        "final: the run has ended for good. pacing: the vendor or a back-off allows no request.",
        _EMPTY,
    )
    query = per_second(of_instances("remote_job_exporter_reads_skipped_total"), "why")
    return stacked(text, "ops", (12, 8), over_time(query, "{{why}}"))


def _jobs() -> timeseries.Panel:
    text = Text(
        "Jobs by system",
        "Known jobs of each system; replicas count once, shards add up.",
        _EMPTY,
    )
    query = over_time(f"sum by (system) ({_known()})", "{{system}}")
    return stacked(text, "short", (12, 8), query).decimals(0)
