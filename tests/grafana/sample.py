"""A small dashboard that keeps every rule, for tests that break one."""

from typing import Any

NONE = "no exporter is scraped"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
JOBS = 'job=~"$job", system=~"$system"'


def variable(name: str, label: str, **more: Any) -> dict[str, Any]:
    query = f"label_values(remote_job_info, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "any"},
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "refresh": 2,
        **more,
    }


def panel(id_: int, kind: str, expr: str, place: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "type": kind,
        "title": f"Panel {id_}",
        "description": "What it tells.",
        "datasource": SOURCE,
        "gridPos": dict(zip("xywh", place, strict=True)),
        "fieldConfig": {"defaults": {"unit": "none", "noValue": "Nothing is wrong."}, "overrides": []},
        "options": {"legend": {"showLegend": True}},
        "targets": [{"refId": "A", "expr": expr, "datasource": SOURCE}],
        **more,
    }


def sample() -> dict[str, Any]:
    """A new one each time."""
    stat = panel(1, "stat", f"sum(remote_job_up{{{JOBS}}})", (0, 0, 12, 4))
    gap = {"match": "null+nan", "result": {"text": "no exporter", "color": "#6C7A89"}}
    stat["fieldConfig"]["defaults"] = {"unit": "none", "mappings": [{"type": "special", "options": gap}]}
    link = "/d/remote-job-overview?${__url_time_range}&var-system=${__field.labels.system}"
    lines = panel(
        2,
        "timeseries",
        f"sum by (system) (rate(remote_job_exporter_requests_total{{{JOBS}}}[$__rate_interval]))",
        (12, 0, 12, 4),
    )
    lines["targets"][0]["legendFormat"] = "{{system}}"
    lines["fieldConfig"]["defaults"]["links"] = [{"title": "System", "url": link}]
    up = f"max by (system, job_id) (remote_job_up{{{JOBS}}})"
    states = panel(
        3,
        "state-timeline",
        f'{up} or on () label_replace(vector(2), "system", "{NONE}", "", "")',
        (0, 0, 24, 6),
    )
    del states["fieldConfig"]["defaults"]["noValue"]
    # In a collapsed row, so that rules are seen to look there too.
    words = {"1": {"text": "read", "color": "green"}, "0": {"text": "unreadable", "color": "red"}}
    states["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": words}]
    states["fieldConfig"]["defaults"]["color"] = {"mode": "fixed"}
    table = panel(4, "table", f"remote_job_info{{{JOBS}}}", (0, 6, 24, 6))
    why = f'label_replace(vector(1), "job_name", "{NONE}", "", "") unless on () (remote_job_info{{{JOBS}}})'
    table["targets"].append({"refId": "B", "expr": why, "datasource": SOURCE})
    table["options"] = {"sortBy": [{"displayName": "Job"}]}
    table["transformations"] = [{"id": "organize", "options": {"renameByName": {"job_name": "Job"}}}]
    bars = panel(5, "bargauge", f"sort(remote_job_progress_ratio{{{JOBS}}})", (0, 12, 12, 6))
    bars["options"] = {"text": {"titleSize": 12, "valueSize": 14}}
    buckets = f"remote_job_exporter_request_duration_seconds_bucket{{{JOBS}}}"
    warmth = panel(6, "heatmap", f"sum by (le) (rate({buckets}[$__rate_interval]))", (12, 12, 12, 6))
    warmth["options"] = {"color": {"steps": 64}}
    inner = [states, table, bars, warmth]
    row = {"id": 9, "type": "row", "title": "More", "collapsed": True, "panels": inner}
    return {
        "uid": "remote-job-overview",
        "title": "Remote jobs / Overview",
        "tags": ["remote-jobs"],
        "schemaVersion": 39,
        "editable": False,
        "links": [{"type": "dashboards", "tags": ["remote-jobs"], "keepTime": True, "includeVars": True}],
        "annotations": {
            "list": [
                {"builtIn": 1, "name": "Notes", "datasource": {"uid": "-- Grafana --"}},
                {
                    "name": "Failures",
                    "datasource": SOURCE,
                    "enable": False,
                    "expr": f"remote_job_last_failure_timestamp_seconds{{{JOBS}}}",
                },
            ]
        },
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                variable("job", "Scrape job"),
                variable("system", "System"),
                {"name": "filters", "label": "Filters", "type": "adhoc", "datasource": SOURCE},
            ]
        },
        "panels": [stat, lines, {**row, "gridPos": {"x": 0, "y": 4, "w": 24, "h": 1}}],
    }
