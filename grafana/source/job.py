"""One job: its state, its current run, its past runs."""

from grafana_foundation_sdk.builders import gauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import alerts
from grafana.source.expectations import how_it_keeps_to_them, used_up
from grafana.source.frame import Row, framed, marks
from grafana.source.panels import (
    NO_RULES,
    Column,
    Text,
    badge,
    colored,
    dial,
    lines,
    now,
    number,
    over_time,
    rows,
    stacked,
    timeline,
    word,
)
from grafana.source.queries import (
    INFO,
    LAST_FAILURE,
    LAST_SUCCESS,
    ONE_JOB,
    PLACE,
    STATE_CODE,
    ended,
    of_systems,
    one_each,
    recorded,
)
from grafana.source.words import FAILING, READABLE, RESULTS, STATE, YES

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
_TIMES = {
    "queued": "remote_job_queued_timestamp_seconds",
    "started": "remote_job_start_timestamp_seconds",
    "ended": "remote_job_end_timestamp_seconds",
    "last report of the vendor": "remote_job_last_report_timestamp_seconds",
    "in this state since": "remote_job_state_timestamp_seconds",
    "progress last changed": "remote_job_progress_changed_timestamp_seconds",
    "last read": "remote_job_read_timestamp_seconds",
    "watched since": "remote_job_watched_since_timestamp_seconds",
}
_NO_DATA = "No data: rules loaded?"
_NOT_WATCHED = "This job is not monitored: is the exporter scraped, and is the job in its configuration?"
_NO_ITEMS = "The vendor reports no such numbers for this job, or it cannot be read now."


def dashboard() -> Dashboard:
    """For the job that the variable selects."""
    return framed(
        "job",
        _ABOUT,
        [
            Row("Now", [*_now(), alerts.table_of_firing(ONE_JOB, size=(14, 7)), _flags(), _number()]),
            Row("This run", [_states(), _progress(), _items(), used_up(), how_it_keeps_to_them()]),
            Row("Categories and past runs", [_categories(), _durations(), _ended()]),
            Row(
                "How it is read",
                [_readable(), _reasons(), _read_durations(), _read_ages(), _info(), _times()],
            ),
        ],
        marks(ONE_JOB),
        since="now-24h",
        one_job=True,
    )


def _of(metric: str, *matchers: str) -> str:
    return of_systems(metric, ONE_JOB, *matchers)


def _now() -> list[stat.Panel | gauge.Panel]:
    name = Text("Job", f"Its name in the configuration or at the vendor, else its id. {NO_RULES}", _NO_DATA)
    state = Text(
        "State", f"State in the vocabulary of the exporter. Red: see the log of the job. {NO_RULES}", _NO_DATA
    )
    said = Text("Vendor's status", "Status and step in the vendor's words.", "No word")
    progress = Text(
        "Progress",
        "Progress of the run. Not known: nothing runs, or the vendor does not report it.",
        "Not known",
    )
    success = Text(
        "Last success",
        f"End of the newest run that succeeded, with or without errors. {NO_RULES}",
        "None seen",
    )
    failure = Text("Last failure", f"End of the newest run that failed. {NO_RULES}", "None seen")
    words = f"topk(1, max by (status, step) ({_of('remote_job_status_info')}))"
    return [
        word(name, (6, 4), now(one_each(INFO, ONE_JOB), "{{job_name}}")),
        badge(state, "none", (4, 4), now(f"max({recorded(STATE_CODE, ONE_JOB)})", "state")).mappings(STATE),
        word(said, (4, 4), now(words, "{{status}} {{step}}")),
        dial(progress, "percentunit", (4, 4), now(f"max({_of('remote_job_progress_ratio')})", "progress")),
        number(success, "dateTimeFromNow", (3, 4), now(_latest(LAST_SUCCESS), "last success")),
        number(failure, "dateTimeFromNow", (3, 4), now(_latest(LAST_FAILURE), "last failure")),
    ]


def _latest(recording: str) -> str:
    return f"1000 * max({recorded(recording, ONE_JOB)})"


def _flags() -> stat.Panel:
    text = Text(
        "Switches",
        "Whether publishing is enabled, whether the run can be canceled at the vendor, and whether all items "
        "have been sent, so that their counts are final.",
        _NO_ITEMS,
    )
    queries = [
        now(f"max({_of(f'remote_job_{metric}')})", title)
        for metric, title in (
            ("enabled", "enabled"),
            ("cancelable", "can be canceled"),
            ("items_sending_complete", "all items sent"),
        )
    ]
    return number(text, "none", (6, 7), *queries).mappings(YES)


def _number() -> stat.Panel:
    text = Text(
        "Run number",
        "The vendor's number of the newest run.",
        "The vendor does not number the runs.",
    )
    return number(text, "none", (4, 7), now(f"max({_of('remote_job_run_number')})", "run"))


def _states() -> statetimeline.Panel:
    text = Text("State history", "State of the job over time. Gaps: the job was not monitored.", NO_RULES)
    return timeline(text, STATE, (24, 5), over_time(f"max({recorded(STATE_CODE, ONE_JOB)})", "state"))


def _progress() -> timeseries.Panel:
    text = Text(
        "Progress over time",
        "Progress of the run. A flat line while it runs means no progress: check at the vendor what it waits "
        "for.",
        "The vendor does not report the progress of this job.",
    )
    query = over_time(f"max({_of('remote_job_progress_ratio')})", "progress")
    return lines(text, "percentunit", (12, 9), query).max(1)


def _items() -> timeseries.Panel:
    text = Text(
        "Items by result",
        "Items of the run. If many fail for the same reason, cancel the run and fix the cause first.",
        _NO_ITEMS,
    )
    queries = [
        over_time(f"max({_of('remote_job_items')})", "known"),
        *(over_time(f"max({_of(f'remote_job_items_{one}')})", one.replace("_", " ")) for one in _ITEMS),
    ]
    return colored(lines(text, "short", (12, 9), *queries), _ITEM_COLORS)


def _categories() -> table.Panel:
    text = Text(
        "Categories",
        "Items of the run by the vendor's category: which categories fail?",
        "Only CAPS reports categories, and only for runs with items.",
    )
    columns = [
        Column("category", "Category"),
        Column("Value #A", "Known", unit="short"),
        Column("Value #B", "Succeeded", unit="short"),
        Column("Value #C", "Failed", unit="short"),
        Column("Value #D", "Failed share", unit="percentunit", gauge=True),
    ]
    known, failed = (
        f"max by (category) ({_of(f'remote_job_category_items{suffix}')})" for suffix in ("", "_failed")
    )
    succeeded = f"max by (category) ({_of('remote_job_category_items_succeeded')})"
    return rows(text, columns, (8, 9), known, succeeded, failed, f"{failed} / ({known} > 0)", sort="Failed")


def _durations() -> timeseries.Panel:
    text = Text(
        "Durations of runs",
        "Duration of the last ended run at each point, and run_within of the configuration. If it grows, "
        "find the cause before it crosses the limit, or increase the limit.",
        "No run with a known start and end has ended.",
    )
    limit = _of("remote_job_expected_seconds", 'expectation="run_within"')
    queries = [
        over_time(f"max({_of('remote_job_run_duration_seconds')})", "duration"),
        over_time(f"max({limit}) and on () max({_of('remote_job_run_duration_seconds')})", "run_within"),
    ]
    return colored(lines(text, "s", (8, 9), *queries), {"duration": "blue", "run_within": "red"})


def _ended() -> timeseries.Panel:
    text = Text(
        "Runs ended within an hour",
        "Runs of this job that ended in the hour before each point, by result.",
        "No run has ended. Runs that ended before the exporter started are not counted.",
    )
    return colored(stacked(text, "short", (8, 9), over_time(ended(ONE_JOB), "{{result}}")), RESULTS)


def _readable() -> statetimeline.Panel:
    text = Text(
        "Readable",
        "Whether the job could be read. Yellow: see the reason beside it; the job itself may run normally.",
        _NOT_WATCHED,
    )
    return timeline(text, READABLE, (12, 6), over_time(f"max({_of('remote_job_up')})", "job"))


def _reasons() -> statetimeline.Panel:
    text = Text(
        "Why it could not be read",
        "Reasons of failed reads over time. The page Troubleshooting of the documentation explains each.",
        "All reads in the time shown were successful.",
    )
    query = over_time(f"max by (reason) ({_of('remote_job_read_error_info')})", "{{reason}}")
    return timeline(text, FAILING, (12, 6), query)


def _read_durations() -> timeseries.Panel:
    text = Text(
        "Duration of a read",
        "Duration of one read, all its requests together. Near the timeout of the configuration, reads will "
        "start to fail.",
        _NOT_WATCHED,
    )
    return lines(text, "s", (12, 7), over_time(f"max({_of('remote_job_read_duration_seconds')})", "duration"))


def _read_ages() -> timeseries.Panel:
    text = Text(
        "Age of the last read",
        "Age of the result that was shown. A run that has ended is read every final_interval only; otherwise "
        "a growing age means pacing: the vendor allows no more requests.",
        _NOT_WATCHED,
    )
    query = over_time(f"time() - max({_of('remote_job_read_timestamp_seconds')})", "age")
    return lines(text, "s", (12, 7), query)


def _info() -> table.Panel:
    text = Text(
        "Identity",
        "System, kind and type of the job, and its labels from the configuration. slot: run after run. run: "
        "ends once. The command probe needs its id.",
        _NOT_WATCHED,
    )
    titles = {"system": "System", "provider": "Provider", "job_kind": "Kind", "job_name": "Name"}
    titles |= {"job_type": "Type", "job_level": "Level", "job_id": "Job ID"}
    query = f"max without ({PLACE}) ({_of('remote_job_info')})"
    return rows(text, [Column(*one) for one in titles.items()], (14, 8), query, hide=("job",))


def _times() -> table.Panel:
    text = Text(
        "Times",
        "Times of the newest run, as reported by the vendor or seen by the exporter.",
        _NOT_WATCHED,
    )
    times = (
        f'label_replace(1000 * max({_of(metric)}), "what", "{what}", "", "")'
        for what, metric in _TIMES.items()
    )
    columns = [Column("what", "What"), Column("Value", "When", unit="dateTimeAsIso")]
    return rows(text, columns, (10, 8), " or ".join(times))
