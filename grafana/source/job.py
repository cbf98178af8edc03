"""One job: its state, its current run, its past runs."""

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import Dashboard, DataTransformerConfig, DynamicConfigValue

from grafana.source import alerts, links
from grafana.source.expectations import expectations, limit_if_near
from grafana.source.frame import Row, exporters, framed, marks_of_job, one_job, one_system
from grafana.source.panels import (
    Column,
    Text,
    badge,
    bars,
    colored,
    lines,
    missing,
    now,
    number,
    over_time,
    patterns,
    rows,
    timeline,
    word,
)
from grafana.source.queries import NOT_SCRAPED, PLACE, ended, of_job, otherwise, state_code
from grafana.source.words import READABLE, RESULTS, STATE, YES

_ABOUT = (
    "One job: its state now and before, its progress, the duration of its runs, and what is expected of it."
)
_ITEMS = ("processed", "succeeded", "failed", "skipped", "deleted", "sent", "additional_sent", "acknowledged")
_ITEM_COLORS = {
    "succeeded": "green",
    "failed": "red",
    "skipped": "yellow",
    "processed": "blue",
    "known": "text",
}
_SWITCHES = {
    "enabled": "publishing enabled",
    "cancelable": "can be canceled",
    "items_sending_complete": "all items sent",
}
_TIMES = {
    "queued": "queued",
    "start": "started",
    "end": "ended",
    "last_report": "last report of the vendor",
    "state": "in this state since",
    "progress_changed": "progress last changed",
    "read": "last read",
    "watched_since": "watched since",
}
_NO_ITEMS = "No items in the time shown: the vendor does not report them, or the job could not be read."
_NOT_WATCHED = "Not watched in the time shown: is the exporter up, and is the job in its configuration?"
_DURATION = "remote_job_run_duration_seconds"


def dashboard() -> Dashboard:
    """For the job that the variables select."""
    firing = alerts.table_of_firing(
        ('system="$system"', 'job_id="$job_id"'),
        ('system="$system"', 'job_id=""'),
        (alerts.ABOUT_EXPORTERS,),
        size=(24, 6),
    )
    return framed(
        "job",
        _ABOUT,
        [
            Row(
                "Now",
                [
                    _name(),
                    _state(),
                    _since(),
                    _said(),
                    exporters((5, 4)),
                    *_newest_run(),
                    _switches(),
                    firing,
                ],
            ),
            Row("This run", [_states(), _progress(), _items(), expectations(), _categories()]),
            Row("Past runs", [_durations(), _ended()]),
            Row("How it is read", [_reads(), _read_durations(), _read_ages(), _identity(), _times()]),
        ],
        [one_system(), one_job()],
        marks_of_job(),
        since="now-24h",
    )


def _seen(metric: str, function: str = "max") -> str:
    """The largest value within the time shown, also of an exporter that has restarted or is down by now."""
    return f"{function}({function}_over_time({of_job(metric)}[$__range]))"


def _name() -> stat.Panel:
    text = Text(
        "Job",
        "Its name in the configuration or at the vendor, else the end of its id. Click it for the dashboard "
        "of its system.",
        "not seen",
    )
    info = of_job("remote_job_info", 'job_name!=""')
    nameless = f"topk(1, last_over_time({of_job('remote_job_info')}[$__range]))"
    # In full, an id such as a UUID would be too small to read; it is in the variable, and in What it is.
    by_id = f'label_replace({nameless}, "job_name", "$1$2", "job_id", "(.{{1,16}})|.+(.{{12}})")'
    query = f"topk(1, {info}) or on () topk(1, last_over_time({info}[$__range])) or on () {by_id}"
    panel = word(text, (6, 4), query, "job_name").color_mode(common.BigValueColorMode.VALUE)
    return panel.data_links([links.system_of_job()])


def _state() -> stat.Panel:
    text = Text(
        "State",
        "State in the vocabulary of the exporter. Red: see the log of the job. Yellow: the job cannot be "
        "read; it may run normally. Grey, not watched: the exporter is down, or has no such job.",
        "not watched now",
    )
    return badge(text, "none", (4, 4), now(f"max({state_code(of_job)})"), STATE)


def _since() -> stat.Panel:
    text = Text(
        "Since",
        "When the job came into this state. Of a job that cannot be read: when it was last readable, or the "
        "start of the time shown. Of a job that is not watched: when it was last watched.",
        "not seen",
    )
    up = of_job("remote_job_up")
    readable, watched = (
        f"max(max_over_time(timestamp({one})[$__range:$__interval]))" for one in (f"{up} == 1", up)
    )
    first = _seen("remote_job_read_timestamp_seconds", "min")
    unreadable = f"(({readable} or {first}) and on () max({up}) == 0)"
    since = f"min({of_job('remote_job_state_timestamp_seconds')}) or {unreadable} or {watched}"
    # The points of a subquery: 17 seconds of a day, ten minutes of a month, which then takes no longer.
    return number(text, "dateTimeFromNow", (4, 4), now(f"1000 * ({since})")).max_data_points(5000)


def _said() -> stat.Panel:
    text = Text(
        "Vendor status",
        "Status and step in the vendor's words. Of a job that cannot be read: the reason, which the page "
        "Troubleshooting of the documentation explains.",
        "no word",
    )
    both = f'label_join({of_job("remote_job_status_info")}, "said", ", ", "status", "step")'
    one = f'label_replace({both}, "said", "$1", "said", "(.*), |, (.*)")'
    reason = of_job("remote_job_read_error_info")
    error = f'label_replace({reason}, "said", "error: $1", "reason", "(.+)")'
    panel = word(
        text, (5, 4), f"topk(1, {one}) or on () topk(1, {error})", "said", patterns({"error: .*": "orange"})
    )
    return panel.color_mode(common.BigValueColorMode.VALUE)


def _newest_run() -> list[stat.Panel]:
    progress = Text(
        "Progress",
        "Progress of the run. Not known: nothing runs, or the vendor does not report it.",
        "not known",
    )
    success = Text(
        "Last success",
        "End of the newest run that succeeded, with or without errors, if the exporter saw it in the time "
        "shown or since its start.",
        "none seen",
    )
    failure = Text(
        "Last failure",
        "End of the newest run that failed, if the exporter saw it in the time shown or since its start.",
        "none seen",
    )
    run = Text("Run number", "The vendor's number of the newest run.", "none")
    return [
        number(progress, "percentunit", (4, 4), now(f"max({of_job('remote_job_progress_ratio')})")),
        *(
            number(
                text,
                "dateTimeFromNow",
                (5, 4),
                now(f"1000 * {_seen(f'remote_job_last_{what}_timestamp_seconds')}"),
            )
            for text, what in ((success, "success"), (failure, "failure"))
        ),
        number(run, "none", (5, 4), now(f"max({of_job('remote_job_run_number')})")),
    ]


def _switches() -> stat.Panel:
    text = Text(
        "Switches",
        "Whether publishing is enabled, whether the run can be canceled at the vendor, and whether all items "
        "have been sent, so that their counts are final; each only if the vendor reports it.",
        "none reported",
    )
    queries = (now(f"max({of_job(f'remote_job_{metric}')})", title) for metric, title in _SWITCHES.items())
    panel = number(text, "none", (5, 4), *queries).text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    return panel.mappings([*YES, missing(text.empty)])


def _states() -> statetimeline.Panel:
    text = Text(
        "State history",
        "State of the job over time. Unreadable: reads failed, see Reads. No data: the exporter was "
        "down, or had no such job.",
    )
    query = f"max({state_code(of_job)}) or vector({NOT_SCRAPED})"
    return timeline(text, STATE, (24, 5), over_time(query, "state"))


def _progress() -> timeseries.Panel:
    text = Text(
        "Progress over time",
        "Progress of the run. A flat line while it runs means no progress: check at the vendor what it waits "
        "for.",
        "No progress in the time shown: the vendor does not report it, or the job could not be read.",
    )
    query = over_time(f"max({of_job('remote_job_progress_ratio')})", "progress")
    return lines(text, "percentunit", (12, 8), query).max(1)


def _items() -> timeseries.Panel:
    text = Text(
        "Items by result",
        "Items of the run. If many fail for the same reason, cancel the run and fix the cause first.",
        _NO_ITEMS,
    )
    queries = [
        over_time(f"max({of_job('remote_job_items')})", "known"),
        *(over_time(f"max({of_job(f'remote_job_items_{one}')})", one.replace("_", " ")) for one in _ITEMS),
    ]
    return colored(lines(text, "short", (12, 8), *queries).decimals(0), _ITEM_COLORS)


def _categories() -> table.Panel:
    text = Text(
        "Categories",
        "Items of the run by the vendor's category: which categories fail? Only CAPS reports categories, for "
        "runs with items.",
    )
    columns = [
        Column("category", "Category"),
        Column("Value #B", "Failed", unit="short", width=85),
        Column("Value #C", "Failed share", unit="percentunit", gauge=True, width=110),
        Column("Value #D", "Succeeded", unit="short", width=90),
        Column("Value #A", "Known", unit="short", width=65),
    ]
    known, failed, succeeded = (
        f"max by (category) ({of_job(f'remote_job_category_items{suffix}')})"
        for suffix in ("", "_failed", "_succeeded")
    )
    shown = otherwise(known, "category", "none reported")
    panel = rows(
        text,
        columns,
        (12, 7),
        shown,
        failed,
        f"{failed} / ({known} > 0)",
        succeeded,
        sort=("-Failed", "Category"),
    )
    panel.override_by_name("Category", [DynamicConfigValue("custom.minWidth", 90)])
    return panel.filterable(filterable=False)


def _durations() -> timeseries.Panel:
    text = Text(
        "Durations of runs",
        "Duration of the last ended run at each point. The limit run_within is drawn once a run in the time "
        "shown needed half of it; the table Expectations always has it. If runs become longer, find the "
        "cause before they cross the limit, or increase the limit.",
        "No ended run with a known start in the time shown, or the job could not be read.",
    )
    # The steps of an axis are decimal: 1.67 mins is harder to read than 00:01:40.
    queries = [
        over_time(f"max({of_job(_DURATION)})", "duration"),
        over_time(limit_if_near(_DURATION), "run_within"),
    ]
    return colored(lines(text, "dthms", (14, 8), *queries), {"duration": "blue", "run_within": "red"})


def _ended() -> bargauge.Panel:
    text = Text(
        "Runs ended",
        "Runs of this job that ended in the time shown, by result. Runs that ended before the exporter "
        "started are not counted.",
        "none seen",
    )
    runs = ended(of_job("remote_job_runs_finished_total"), within="$__range")
    query = now(f"sort_desc({runs})", "{{result}}")
    # Else Grafana does not name a single bar.
    panel = bars(text, "short", (10, 8), query).display_name("${__field.labels.result}")
    return colored(panel, RESULTS)


def _reads() -> statetimeline.Panel:
    text = Text(
        "Reads",
        "First line: whether the job could be read. Below it, when it could not: a line for each reason, "
        "which the page Troubleshooting of the documentation explains. The job itself may run normally.",
    )
    queries = [
        over_time(f"max({of_job('remote_job_up')}) or vector({NOT_SCRAPED})", "job"),
        # 0 is the word for unreadable.
        over_time(f"0 * max by (reason) ({of_job('remote_job_read_error_info')})", "{{reason}}"),
    ]
    return timeline(text, READABLE, (24, 6), *queries)


def _read_durations() -> timeseries.Panel:
    text = Text(
        "Duration of a read",
        "Duration of one read, all its requests together. Near the timeout of the configuration, reads will "
        "start to fail.",
        _NOT_WATCHED,
    )
    query = over_time(f"max({of_job('remote_job_read_duration_seconds')})", "duration")
    return lines(text, "s", (12, 7), query)


def _read_ages() -> timeseries.Panel:
    text = Text(
        "Age of the last read",
        "Age of the result that was shown. A run that has ended is read every final_interval only; otherwise "
        "a growing age means pacing: the vendor allows no more requests.",
        _NOT_WATCHED,
    )
    query = over_time(f"time() - max({of_job('remote_job_read_timestamp_seconds')})", "age")
    return lines(text, "s", (12, 7), query)


def _identity() -> table.Panel:
    text = Text(
        "What it is",
        "System, kind and type of the job, and its labels from the configuration, such as a team. slot: run "
        "after run. run: ends once. The command probe needs the id.",
    )
    titles = {
        "head": "Label",
        "system": "System",
        "job_name": "Name",
        "job_id": "Job ID",
        "provider": "Provider",
    }
    titles |= {"job_kind": "Kind", "job_type": "Type", "job_level": "Level", "job": "Scrape job"}
    info = of_job("remote_job_info")
    known = f"topk(1, {info}) or on () topk(1, last_over_time({info}[$__range]))"
    query = otherwise(f"max without ({PLACE}) ({known})", "job_name", "No such job in the time shown")
    # Transposed, the first column is the head.
    headed = f'label_replace({query}, "head", "Value", "", "")'
    panel = rows(text, [Column(*one) for one in titles.items()], (12, 12), headed)
    names = {"firstFieldName": "Label"}
    panel.with_transformation(DataTransformerConfig(id_val="transpose", options=names))
    # An id can be long.
    wrapped = common.TableAutoCellOptions(wrap_text=True)
    panel.override_by_name("Value", [DynamicConfigValue("custom.cellOptions", wrapped)])
    return panel.override_by_name("Label", [DynamicConfigValue("custom.width", 120)])


def _times() -> table.Panel:
    text = Text("Times", "Times of the newest run, as reported by the vendor or seen by the exporter.")
    known = (
        (f"max({of_job(f'remote_job_{metric}_timestamp_seconds')})", what) for metric, what in _TIMES.items()
    )
    times = " or ".join(f'label_replace(1000 * {when}, "what", "{what}", "", "")' for when, what in known)
    columns = [
        Column("what", "What"),
        Column("Value", "When", unit="dateTimeAsIso", width=170),
    ]
    return rows(
        text, columns, (12, 12), otherwise(times, "what", "The job is not watched now"), sort=("-When",)
    )
