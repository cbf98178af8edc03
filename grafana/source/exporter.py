"""The exporter itself: its scrapes, its resources, its configuration."""

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts
from grafana.source.frame import Row, firing_marks, framed, starts
from grafana.source.panels import (
    NO_RULES,
    Column,
    Text,
    badge,
    dashed,
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
from grafana.source.queries import INFO, PROVIDER, of_systems, own, per_second, quantile, rate, raw, recorded
from grafana.source.words import ACCEPTED, UP

_ABOUT = "The exporter itself: whether it responds in time, its resources, and its configuration."
_EMPTY = "No exporter matches the variables and filters above. Exporters do not have the labels of jobs."
_CONFIG = "remote_job_exporter_config_last_reload"
_BUCKETS = raw("remote_job_exporter_scrape_duration_seconds_bucket", 'handler="/metrics"')
_ABOUT_EXPORTERS = 'alertname=~"RemoteJobExporter.+"'
# Scrape timeout of Prometheus's defaults, less the exporter's offset.
_DEADLINE = 9.5


def dashboard() -> Dashboard:
    """For one exporter, its replicas or its shards."""
    return framed(
        "exporter",
        _ABOUT,
        [
            Row("Now", [*_numbers(), _instances(), alerts.table_of_firing(_ABOUT_EXPORTERS, size=(24, 6))]),
            Row("Scrapes", [_up(), _durations(), _spread(), _cut(), _samples()]),
            Row("Resources", [_cpu(), _memory(), _files()]),
            Row("Reads", [_requests(), _failures(), _skipped(), _jobs(), _providers(), _config()]),
        ],
        [firing_marks(_ABOUT_EXPORTERS), starts()],
    )


def _numbers() -> list[stat.Panel]:
    up = Text(
        "Answering",
        "Exporters that are up, of those seen within the last day. None: no job is monitored; check the "
        "process and its log.",
        "No exporter",
    )
    config = Text(
        "Config",
        "Whether the last reload applied the configuration. Refused: the exporter continues with the "
        "previous one; the command check reports the errors.",
        "No exporter",
    )
    jobs = Text("Jobs known", "Jobs of all systems; replicas count once, shards add up.", "No exporter")
    restarts = Text(
        "Restarts in the time shown",
        "How often exporters restarted. A restart loses the history of past runs; the log shows its cause.",
        "No exporter",
    )
    accepted = raw(f"{_CONFIG}_successful")
    each = f"max by (cluster, shard, system) ({_sharded(raw('remote_job_exporter_jobs'))})"
    starts = own(f"changes({raw('process_start_time_seconds')}[$__range])")
    return [
        badge(up, "short", (6, 4), now(f"sum({own(raw('up'), alive=False)})", "up")).thresholds(
            limits((1, "green"), base="red")
        ),
        badge(config, "none", (6, 4), now(f"min({accepted})", "config")).mappings(ACCEPTED),
        number(jobs, "short", (6, 4), now(f"sum({each})", "jobs")),
        badge(restarts, "short", (6, 4), now(f"sum({starts})", "restarts")).thresholds(limits((1, "orange"))),
    ]


def _sharded(expression: str) -> str:
    """With the label shard, so that replicas count once and shards add up."""
    place = "cluster, job, instance"
    shard = f"topk by ({place}) (1, {raw('remote_job_exporter_shard_info')})"
    return f"{expression} * on ({place}) group_left (shard) {shard}"


def _instances() -> table.Panel:
    text = Text(
        "Instances",
        "Every exporter that is up: version, shard, start, and last accepted configuration. If versions "
        "differ, an update is under way or incomplete.",
        _EMPTY,
    )
    columns = [
        Column("instance", "Instance"),
        Column("version", "Version"),
        Column("revision", "Revision"),
        Column("python_version", "Python"),
        Column("shard", "Shard"),
        Column("shards", "Shards"),
        Column("Value #C", "Running since", unit="dateTimeFromNow"),
        Column("Value #D", "Config", mappings=ACCEPTED),
        Column("Value #E", "Config accepted", unit="dateTimeFromNow"),
        Column("Value #F", "Jobs", unit="short"),
    ]
    place = "cluster, namespace, job, instance"
    expressions = [
        f"max by ({place}, version, revision, python_version) ({raw('remote_job_exporter_build_info')})",
        f"max by ({place}, shard, shards) ({raw('remote_job_exporter_shard_info')})",
        f"1000 * max by ({place}) ({own(raw('process_start_time_seconds'))})",
        f"max by ({place}) ({raw(f'{_CONFIG}_successful')})",
        f"1000 * max by ({place}) ({raw(f'{_CONFIG}_success_timestamp_seconds')})",
        f"sum by ({place}) ({raw('remote_job_exporter_jobs')})",
    ]
    return rows(text, columns, (24, 6), *expressions, hide=("job", "Value #A", "Value #B"))


def _up() -> statetimeline.Panel:
    text = Text(
        "Answering over time",
        "When each exporter was up. Gaps: Prometheus did not scrape it.",
        _EMPTY,
    )
    return timeline(text, UP, (24, 5), over_time(own(raw("up"), alive=False), "{{instance}}"))


def _durations() -> timeseries.Panel:
    text = Text(
        "Scrapes against the deadline",
        "Duration of scrapes in the exporter (50th and 99th percentile) and as Prometheus sees it. The "
        "dashed line is the deadline for a scrape timeout of 10 s; jobs not read by then show the reason "
        "deadline. Near it: use a longer scrape timeout, more concurrency, or shards.",
        _EMPTY,
    )
    queries = [
        over_time(quantile(0.5, "instance", _BUCKETS), "{{instance}} p50"),
        over_time(quantile(0.99, "instance", _BUCKETS), "{{instance}} p99"),
        over_time(own(raw("scrape_duration_seconds")), "{{instance}} as Prometheus sees it"),
    ]
    limit, style = dashed(_DEADLINE)
    return lines(text, "s", (12, 9), *queries).thresholds(limit).thresholds_style(style)


def _spread() -> heatmap.Panel:
    text = Text("Scrapes by duration", "Scrapes by duration: the stronger the colour, the more.", _EMPTY)
    return warmth(text, "s", (12, 9), f"sum by (le) ({rate(_BUCKETS)})")


def _cut() -> timeseries.Panel:
    text = Text(
        "Reads cut by the deadline",
        "Reads that did not start before the deadline of their scrape. They are first in the next scrape. If "
        "this continues, use a longer scrape timeout, more concurrency, or shards.",
        _EMPTY,
    )
    failures = of_systems("remote_job_exporter_request_failures_total", 'reason="deadline"')
    query = over_time(f"sum by (instance, system) ({rate(failures)})", "{{instance}} {{system}}")
    return lines(text, "ops", (12, 8), query)


def _samples() -> timeseries.Panel:
    text = Text(
        "Samples in each scrape",
        "Samples in each response. If they grow steadily, a listing finds ever more jobs: set newer_than.",
        _EMPTY,
    )
    return lines(text, "short", (12, 8), over_time(own(raw("scrape_samples_scraped")), "{{instance}}"))


def _cpu() -> timeseries.Panel:
    text = Text(
        "CPU",
        "Used cores. The exporter is one event loop: near 1, scrapes become slow. Use shards.",
        _EMPTY,
    )
    query = over_time(own(rate(raw("process_cpu_seconds_total"))), "{{instance}}")
    return lines(text, "short", (8, 8), query)


def _memory() -> timeseries.Panel:
    text = Text(
        "Memory",
        "Used memory. It grows with the number of jobs. If it grows with a constant number, report a bug.",
        _EMPTY,
    )
    query = over_time(own(raw("process_resident_memory_bytes")), "{{instance}}")
    return lines(text, "bytes", (8, 8), query)


def _files() -> timeseries.Panel:
    text = Text(
        "Open files",
        "Open files and sockets as a share of the limit of the process. Near 100 %, connections fail: "
        "increase the limit (LimitNOFILE), or reduce concurrency.",
        _EMPTY,
    )
    used = f"{raw('process_open_fds')} / {raw('process_max_fds')}"
    return lines(text, "percentunit", (8, 8), over_time(own(used), "{{instance}}"))


def _requests() -> timeseries.Panel:
    text = Text("Requests", "Requests with a response, by system.", _EMPTY)
    query = per_second("remote_job_exporter_requests_total", "system")
    return lines(text, "reqps", (8, 8), over_time(query, "{{system}}"))


def _failures() -> timeseries.Panel:
    text = Text(
        "Failed requests",
        "Failed requests by reason. If all systems fail together, check the exporter's network, DNS or "
        "proxy.",
        "No request failed in the time shown.",
    )
    query = per_second("remote_job_exporter_request_failures_total", "reason") + " > 0"
    return lines(text, "reqps", (8, 8), over_time(query, "{{reason}}"))


def _skipped() -> timeseries.Panel:
    text = Text(
        "Skipped reads",
        "Skipped reads: the last result was shown. fresh: read just before, for another scraper. final: the "
        "run has ended for good. pacing: the vendor or a back-off allows no request.",
        _EMPTY,
    )
    query = per_second("remote_job_exporter_reads_skipped_total", "why")
    return stacked(text, "ops", (8, 8), over_time(query, "{{why}}"))


def _jobs() -> timeseries.Panel:
    text = Text(
        "Jobs by system",
        "Known jobs of each system; replicas count once, shards add up.",
        _EMPTY,
    )
    each = f"max by (cluster, shard, system) ({_sharded(of_systems('remote_job_exporter_jobs'))})"
    return stacked(text, "short", (8, 8), over_time(f"sum by (system) ({each})", "{{system}}"))


def _providers() -> timeseries.Panel:
    text = Text("Jobs by provider", "Watched jobs by the kind of system that runs them.", NO_RULES)
    query = over_time(f"count by (provider) ({recorded(INFO, PROVIDER)})", "{{provider}}")
    return stacked(text, "short", (8, 8), query)


def _config() -> statetimeline.Panel:
    text = Text(
        "Config over time",
        "Whether the configuration in use is the one in the file. Refused: the command check reports the "
        "errors.",
        _EMPTY,
    )
    accepted = raw(f"{_CONFIG}_successful")
    return timeline(text, ACCEPTED, (8, 8), over_time(accepted, "{{instance}}"))
