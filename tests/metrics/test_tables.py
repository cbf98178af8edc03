"""The table of metrics against what is promised: names, labels, types, bounds."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics import (
    IDENTITY,
    JOB_METRICS,
    LABELS,
    MAX_CATEGORIES,
    SYSTEM_METRICS,
    JobView,
    Metric,
    SystemView,
)
from exporter.metrics.exposition import Format, Page, family_name, label_text, render_row
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import Category, Expect, Items, Job, Kind, State, Status
from tests.vendor import Samples, read_samples

# What users were promised, written down anew: a name or label that changes must fail here.
CODES = {
    "idle": 0,
    "queued": 1,
    "running": 2,
    "canceling": 3,
    "succeeded": 4,
    "succeeded_with_errors": 5,
    "failed": 6,
    "canceled": 7,
    "stopped": 8,
    "unknown": 9,
}
STATES = set(CODES)
REASONS = {
    "timeout",
    "dns",
    "connect",
    "tls",
    "unauthorized",
    "forbidden",
    "not_found",
    "rate_limited",
    "redirect",
    "client_error",
    "server_error",
    "too_large",
    "invalid_response",
    "auth",
    "deadline",
    "internal",
}
KEPT = {
    "remote_job_up": (),
    "remote_job_read_error_info": ("reason",),
    "remote_job_read_duration_seconds": (),
    "remote_job_read_timestamp_seconds": (),
    "remote_job_watched_since_timestamp_seconds": (),
    "remote_job_expected_seconds": ("expectation",),
    "remote_job_info": ("provider", "job_kind", "job_name", "job_type", "job_level"),
    "remote_job_last_success_timestamp_seconds": (),
    "remote_job_last_failure_timestamp_seconds": (),
    "remote_job_progress_changed_timestamp_seconds": (),
    "remote_job_runs_finished_total": ("result",),
}
OF_A_STATUS = {
    "remote_job_status_info": ("status", "step"),
    "remote_job_state": ("remote_job_state",),
    "remote_job_state_code": (),
    "remote_job_state_timestamp_seconds": (),
    "remote_job_progress_ratio": (),
    "remote_job_items": (),
    "remote_job_items_sent": (),
    "remote_job_items_additional_sent": (),
    "remote_job_items_processed": (),
    "remote_job_items_succeeded": (),
    "remote_job_items_failed": (),
    "remote_job_items_skipped": (),
    "remote_job_items_deleted": (),
    "remote_job_items_acknowledged": (),
    "remote_job_items_sending_complete": (),
    "remote_job_cancelable": (),
    "remote_job_enabled": (),
    "remote_job_category_items": ("category",),
    "remote_job_category_items_succeeded": ("category",),
    "remote_job_category_items_failed": ("category",),
    "remote_job_queued_timestamp_seconds": (),
    "remote_job_start_timestamp_seconds": (),
    "remote_job_end_timestamp_seconds": (),
    "remote_job_last_report_timestamp_seconds": (),
    "remote_job_run_duration_seconds": (),
    "remote_job_run_number": (),
}
OF_A_SYSTEM = {
    "remote_job_system_up": (),
    "remote_job_system_read_error_info": ("reason",),
    "remote_job_system_rate_limit_remaining": (),
}
OF_A_SYSTEM_IN_TIME = {
    "remote_job_system_jobs": ("state",),
    "remote_job_system_jobs_dropped": (),
    "remote_job_system_entries_skipped": (),
    "remote_job_system_credentials_expiry_timestamp_seconds": (),
}
ALL: list[Metric[Any]] = [*JOB_METRICS, *SYSTEM_METRICS]
JOB = Job("docs", "a/b/c", Kind.SLOT, "caps", {}, name="Docs", expect=Expect(1, 2, 3, 4))
FULL = Status(
    State.FAILED,
    raw="Failed",
    step="Prepare",
    run_number=7,
    progress=0.5,
    items=Items(*range(1, 10)),
    categories={"Article": Category(3, 2, 1)},
    cancelable=False,
    enabled=True,
    sending_complete=True,
    queued_at=100.0,
    started_at=200.0,
    ended_at=300.0,
    reported_at=400.0,
    failed_at=300.0,
)
BEFORE = Status(State.SUCCEEDED, started_at=10.0, ended_at=50.0)


def page_of(*statuses: Status, reason: Reason | None = None) -> Samples:
    """What is shown of a job that was read with these statuses, and then not for that reason."""
    history = History(watched_since=1.0)
    for status in statuses:
        history.observe(status, 500.0)
    view = JobView(JOB, history, None if reason else status, reason, 600.0, 0.25)
    page: Page[JobView] = Page(JOB_METRICS)
    page.put("job", render_row(JOB_METRICS, label_text({"system": "docs", "job_id": JOB.id}), view))
    return read_samples(page.render(Format.TEXT).decode())


def names(samples: Samples) -> set[str]:
    return {name for name, _ in samples}


def test_every_metric_of_a_job_that_was_promised_is_there_with_its_labels() -> None:
    table = {metric.name: metric.labels for metric in JOB_METRICS}
    assert table == {**KEPT, **OF_A_STATUS}


def test_every_metric_of_a_system_that_was_promised_is_there_with_its_labels() -> None:
    table = {metric.name: metric.labels for metric in SYSTEM_METRICS}
    assert table.items() >= OF_A_SYSTEM.items()
    assert table.items() <= {**OF_A_SYSTEM, **OF_A_SYSTEM_IN_TIME}.items()


def test_the_words_in_labels_are_those_that_were_promised() -> None:
    assert {str(state) for state in State} == STATES
    assert {str(reason) for reason in Reason} == REASONS
    samples = page_of(FULL)
    states = {labels["remote_job_state"]: value for labels, value in samples.all("remote_job_state")}
    assert states == {state: float(state == "failed") for state in STATES}
    results = {labels["result"] for labels, _ in samples.all("remote_job_runs_finished_total")}
    assert results == {"succeeded", "succeeded_with_errors", "failed", "canceled"}
    expectations = {
        labels["expectation"]: value for labels, value in samples.all("remote_job_expected_seconds")
    }
    assert expectations == {"start_within": 1, "progress_within": 2, "run_within": 3, "success_within": 4}


@pytest.mark.parametrize("state", State)
def test_every_state_has_the_code_that_was_promised(state: State) -> None:
    [(labels, code)] = page_of(Status(state)).all("remote_job_state_code")
    assert (labels, code) == ({"system": "docs", "job_id": "a/b/c"}, CODES[state])
    help_ = next(metric.help for metric in JOB_METRICS if metric.name == "remote_job_state_code")
    assert f" {CODES[state]} {state}" in help_


def test_a_job_that_tells_everything_shows_everything() -> None:
    samples = page_of(BEFORE, FULL)
    assert names(samples) == {*KEPT, *OF_A_STATUS} - {"remote_job_read_error_info"}
    assert all({"system", "job_id"} <= dict(labels).keys() for _, labels in samples)
    shown = {name: value for (name, _), value in samples.items()}
    assert shown["remote_job_items"] == 1
    assert shown["remote_job_items_additional_sent"] == 3
    assert shown["remote_job_items_acknowledged"] == 9
    assert (shown["remote_job_cancelable"], shown["remote_job_enabled"]) == (0, 1)
    assert shown["remote_job_run_duration_seconds"] == 100


def test_a_job_that_cannot_be_read_shows_its_past_and_why_and_nothing_else() -> None:
    assert names(page_of(BEFORE, FULL, reason=Reason.TIMEOUT)) == set(KEPT)
    assert page_of(BEFORE, FULL, reason=Reason.TIMEOUT).get_one("remote_job_up") == 0


def test_a_job_that_tells_nothing_shows_no_zeros() -> None:
    always = {
        "remote_job_status_info",
        "remote_job_state",
        "remote_job_state_code",
        "remote_job_state_timestamp_seconds",
    }
    never_told = {
        "remote_job_read_error_info",
        "remote_job_progress_changed_timestamp_seconds",
        "remote_job_last_success_timestamp_seconds",
        "remote_job_last_failure_timestamp_seconds",
    }
    assert names(page_of(Status(State.IDLE))) == set(KEPT) - never_told | always


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_types_and_help_keep_the_rules(metric: Metric[Any]) -> None:
    """https://prometheus.io/docs/practices/naming/ and OpenMetrics, "Suffixes"."""
    assert re.fullmatch(r"remote_job(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert metric.name.endswith("_info") == (metric.type == "info")
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created", "_milliseconds", "_percent"))
    assert ("timestamp" in metric.name) <= metric.name.endswith("_timestamp_seconds")
    assert re.fullmatch(r"[A-Z0-9].*\.", metric.help)
    assert metric.help.isprintable()
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", label) for label in metric.labels)
    assert not {*IDENTITY, "job", "instance", "le", "quantile"} & set(metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    if metric.type == "stateset":
        assert metric.labels == (metric.name,)


def test_no_two_families_share_a_name() -> None:
    families = [family_name(metric) for metric in ALL]
    own = [family.name for family in Instrumentation("1").registry.collect()]
    assert len({*families, *own}) == len(families) + len(own)


def test_no_label_of_ours_may_be_given_by_a_config() -> None:
    assert {label for metric in ALL for label in metric.labels} <= LABELS
    instrumentation = Instrumentation("1")
    instrumentation.of("docs").answered(200, 0.1)
    own = {
        label
        for family in instrumentation.registry.collect()
        for sample in family.samples
        for label in sample.labels
    }
    assert own - {"le"} <= LABELS
    assert {*IDENTITY, "state"} <= LABELS


COUNTS = st.none() | st.integers(0, 2**40)
CATEGORIES = st.dictionaries(
    st.text(min_size=1, max_size=5) | st.just("other") | st.integers().map(str),
    st.builds(Category, COUNTS, COUNTS, COUNTS),
    max_size=3 * MAX_CATEGORIES,
)


@given(CATEGORIES)
def test_categories_are_bounded_and_none_is_lost(categories: dict[str, Category]) -> None:
    samples = page_of(Status(State.RUNNING, categories=categories))
    of_field = {"total": "", "succeeded": "_succeeded", "failed": "_failed"}
    assert set(of_field) == set(Category.__struct_fields__)
    for name, suffix in of_field.items():
        shown = samples.all(f"remote_job_category_items{suffix}")
        known = [value for one in categories.values() if (value := getattr(one, name)) is not None]
        assert len(shown) <= min(MAX_CATEGORIES, len(known))
        assert sum(value for _, value in shown) == pytest.approx(sum(known))
        if len(categories) <= MAX_CATEGORIES:
            assert len(shown) == len(known)


def test_beyond_the_bound_the_rest_is_called_other() -> None:
    categories = {f"c{number:03}": Category(1, 1, 0) for number in range(60)}
    shown = page_of(Status(State.RUNNING, categories=categories)).all("remote_job_category_items")
    values = {labels["category"]: value for labels, value in shown}
    assert len(values) == MAX_CATEGORIES
    assert values["other"] == 60 - (MAX_CATEGORIES - 1)
    assert values["c000"] == 1


@pytest.mark.parametrize(
    ("times", "duration"),
    [((10.0, 12.5), 2.5), ((0.1, 0.3), 0.2), ((5.0, 5.0), 0), ((12.0, 10.0), None), ((None, 1.0), None)],
)
def test_a_run_lasted_from_start_to_end_and_never_less_than_nothing(
    times: tuple[float | None, float], duration: float | None
) -> None:
    status = Status(State.SUCCEEDED, started_at=times[0], ended_at=times[1])
    assert page_of(status).get_one("remote_job_run_duration_seconds") == duration
    running = Status(State.RUNNING, started_at=times[0], ended_at=times[1])
    assert page_of(running).get_one("remote_job_run_duration_seconds") is None


def test_a_system_is_up_unless_there_is_a_reason() -> None:
    def shown(view: SystemView) -> dict[str, object]:
        names = [metric.name for metric in SYSTEM_METRICS]
        return dict(zip(names, SYSTEM_METRICS.all_values.of(view), strict=True))

    assert shown(SystemView())["remote_job_system_up"] == 1
    assert shown(SystemView())["remote_job_system_rate_limit_remaining"] is None
    down = shown(SystemView(Reason.AUTH, 0))
    assert down["remote_job_system_up"] == 0
    assert down["remote_job_system_read_error_info"] == ((("auth",), 1),)
    assert down["remote_job_system_rate_limit_remaining"] == 0
    partly = shown(SystemView(incomplete=True))
    assert partly["remote_job_system_up"] == 1
    assert partly["remote_job_system_read_error_info"] == ((("incomplete",), 1),)
    assert shown(SystemView(Reason.AUTH, incomplete=True))["remote_job_system_read_error_info"] == (
        (("auth",), 1),
    )
