"""Our bytes, judged by prometheus-client's parsers and compared with its renderers."""

import gc
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from exporter.metrics import JOB_METRICS, JobView, Metric, exposition
from exporter.metrics.exposition import (
    Format,
    Page,
    accepts_gzip,
    family_name,
    label_text,
    negotiate,
    number_text,
    render_row,
)
from exporter.model.failure import Reason
from exporter.model.history import History
from exporter.model.job import Category, Expect, Items, Job, Kind, State, Status

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

FULL = Status(
    State.RUNNING,
    raw="Running",
    step="Prepare",
    run_number=7,
    progress=0.25,
    items=Items(12, 10, 2, 3, 2, 1, 0, 0, 3),
    categories={"Article": Category(7, 6, 1), "Outline": Category(3, None, 0)},
    cancelable=True,
    enabled=True,
    sending_complete=False,
    queued_at=1_700_000_000.0,
    started_at=1_700_000_010.5,
    reported_at=1_700_000_020.0,
    name="Docs",
    type="Live",
    level="DocSet",
)


def view(status: Status | None, *, reason: Reason | None = None, expect: Expect | None = None) -> JobView:
    job = Job("docs", "a/b", Kind.SLOT, "caps", {}, labels={"squad": "docs"}, expect=expect or Expect())
    history = History(watched_since=1_700_000_000.0)
    if status is not None:
        history.observe(status, 1_700_000_030.0)
    return JobView(job, history, status if reason is None else None, reason, 1_700_000_030.0, 0.125)


def page(*views: JobView, current_only: bool = False) -> Page[JobView]:
    result = Page(JOB_METRICS)
    for number, one in enumerate(views):
        labels = {"system": "docs", "job_id": str(number), **one.job.labels}
        result.put(number, render_row(JOB_METRICS, label_text(labels), one, current_only=current_only))
    return result


def samples(families: object) -> Samples:
    found: Samples = {}
    for family in families:  # type: ignore[attr-defined]
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"the same series twice: {key}"
            found[key] = sample.value
    return found


def shown(metric: Metric[JobView], value: Any) -> Any:
    return value if metric.show is None else metric.show(value)


class Reference(Collector):
    """The same samples as prometheus-client's own families, from the table alone."""

    def __init__(self, *views: JobView) -> None:
        self._views = views

    def collect(self) -> list[Family]:
        families = []
        values = zip(*map(JOB_METRICS.all_values.of, self._views), strict=True)
        for metric, column in zip(JOB_METRICS, values, strict=True):
            names = ["system", "job_id", "squad", *metric.labels]
            family = {
                "gauge": GaugeMetricFamily,
                "counter": CounterMetricFamily,
                "info": InfoMetricFamily,
                "stateset": StateSetMetricFamily,
            }[metric.type](family_name(metric), metric.help, labels=names)
            for number, each in enumerate(column):
                got = shown(metric, each)
                identity = ["docs", str(number), "docs"]
                if got is None:
                    continue
                for own, value in [((), got)] if not metric.labels else got:
                    labels = dict(zip(names, [*identity, *own], strict=True))
                    family.add_sample(metric.name, labels, value)
            if family.samples:
                families.append(family)
        return families


CASES = {
    "a full status": view(FULL, expect=Expect(1800.0, 1800.0, 43200.0, 86400.0)),
    "a bare status": view(Status(State.UNKNOWN)),
    "a failed read after a good one": view(FULL, reason=Reason.TIMEOUT),
    "a failed read and nothing before": view(None, reason=Reason.DNS),
}


@pytest.mark.parametrize("case", CASES)
def test_the_text_format_says_what_prometheus_client_would_say(case: str) -> None:
    ours = page(CASES[case]).render(Format.TEXT).decode()
    theirs = generate_latest(Reference(CASES[case])).decode()
    assert samples(parse_text(ours)) == samples(parse_text(theirs))
    assert sorted(heads(ours)) == sorted(heads(theirs))


@pytest.mark.parametrize("case", CASES)
def test_openmetrics_says_what_prometheus_client_would_say(case: str) -> None:
    ours = page(CASES[case]).render(Format.OPENMETRICS).decode() + "# EOF\n"
    theirs = generate_openmetrics(Reference(CASES[case])).decode()
    assert samples(parse_openmetrics(ours)) == samples(parse_openmetrics(theirs))
    without_units = [line for line in heads(ours) if not line.startswith("# UNIT")]
    assert sorted(without_units) == sorted(heads(theirs))


def heads(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# ") and line != "# EOF"]


def test_the_page_of_one_job_is_literally_this() -> None:
    status = Status(State.SUCCEEDED, raw="Succeeded", started_at=1_700_000_000.0, ended_at=1_700_000_008.5)
    text = page(view(status), current_only=True).render(Format.TEXT).decode()
    identity, no_words = 'system="docs",job_id="0",squad="docs"', 'job_name="",job_type="",job_level=""'
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        f"remote_job_up{{{identity}}} 1",
        f"remote_job_read_duration_seconds{{{identity}}} 0.125",
        f"remote_job_read_timestamp_seconds{{{identity}}} 1700000030.0",
        f"remote_job_watched_since_timestamp_seconds{{{identity}}} 1700000000.0",
        f'remote_job_info{{{identity},provider="caps",job_kind="slot",{no_words}}} 1',
        f'remote_job_status_info{{{identity},status="Succeeded",step=""}} 1',
        f'remote_job_state{{{identity},remote_job_state="succeeded"}} 1',
        f"remote_job_state_code{{{identity}}} 4",
        f"remote_job_state_timestamp_seconds{{{identity}}} 1700000030.0",
        f"remote_job_start_timestamp_seconds{{{identity}}} 1700000000.0",
        f"remote_job_end_timestamp_seconds{{{identity}}} 1700000008.5",
        f"remote_job_last_success_timestamp_seconds{{{identity}}} 1700000008.5",
        f'remote_job_runs_finished_total{{{identity},result="succeeded"}} 0',
        f'remote_job_runs_finished_total{{{identity},result="succeeded_with_errors"}} 0',
        f'remote_job_runs_finished_total{{{identity},result="failed"}} 0',
        f'remote_job_runs_finished_total{{{identity},result="canceled"}} 0',
        f"remote_job_run_duration_seconds{{{identity}}} 8.5",
    ]


def test_a_failed_read_shows_what_is_history_or_config_and_no_state() -> None:
    failed = view(FULL, reason=Reason.TIMEOUT, expect=Expect(run_within=60.0))
    shown = {name for name, _ in samples(parse_text(page(failed).render(Format.TEXT).decode()))}
    assert shown == {
        "remote_job_up",
        "remote_job_read_error_info",
        "remote_job_read_duration_seconds",
        "remote_job_read_timestamp_seconds",
        "remote_job_watched_since_timestamp_seconds",
        "remote_job_expected_seconds",
        "remote_job_info",
        "remote_job_progress_changed_timestamp_seconds",
        "remote_job_runs_finished_total",
    }


def test_a_metric_is_marked_as_kept_exactly_where_it_outlives_a_failed_read() -> None:
    failed = view(FULL, reason=Reason.TIMEOUT, expect=Expect(run_within=60.0))
    failed.history.observe(Status(State.IDLE, progress=0.0, succeeded_at=1.0, failed_at=1.0), 2.0)
    for metric, got in zip(JOB_METRICS, JOB_METRICS.all_values.of(failed), strict=True):
        assert (shown(metric, got) not in (None, ())) is metric.kept, metric.name


def test_a_metric_is_marked_as_of_each_read_exactly_where_the_same_result_changes_it() -> None:
    first = view(FULL)
    second = replace(first, read_at=first.read_at + 60, read_seconds=0.25)
    values = [JOB_METRICS.all_values.of(each) for each in (first, second)]
    for metric, one, other in zip(JOB_METRICS, *values, strict=True):
        assert (one != other) is metric.each_read, metric.name


def test_of_the_same_result_only_what_is_of_each_read_is_rendered() -> None:
    row = render_row(JOB_METRICS, "", view(FULL))
    later = replace(view(replace(FULL, progress=0.5)), read_at=1_700_000_090.0)
    before, after = (
        astuple(each.lines) for each in (row, render_row(JOB_METRICS, "", later, before=row, same=True))
    )
    changed = [metric.name for metric, old, new in zip(JOB_METRICS, before, after, strict=True) if old != new]
    assert changed == ["remote_job_read_timestamp_seconds"]
    assert len([line for line in astuple(render_row(JOB_METRICS, "", later, same=True).lines) if line]) > 20


def test_garbage_collection_scans_no_row_and_no_view() -> None:
    one = view(FULL)
    row = render_row(JOB_METRICS, "", one)
    assert not any(map(gc.is_tracked, (one, row, row.values, row.lines)))


def test_exactly_one_state_is_one_and_all_ten_are_there() -> None:
    for state in State:
        text = page(view(Status(state))).render(Format.TEXT).decode()
        states = {
            dict(labels)["remote_job_state"]: value
            for (name, labels), value in samples(parse_text(text)).items()
            if name == "remote_job_state"
        }
        assert states == {other.value: float(other is state) for other in State}


def test_categories_over_fifty_are_summed_as_other() -> None:
    categories = {f"c{number:03}": Category(total=1, failed=None) for number in range(80)}
    text = page(view(Status(State.RUNNING, categories=categories))).render(Format.TEXT).decode()
    totals = {
        dict(labels)["category"]: value
        for (name, labels), value in samples(parse_text(text)).items()
        if name == "remote_job_category_items"
    }
    assert len(totals) == 50
    assert sum(totals.values()) == 80
    assert totals["other"] == 31
    assert "category_items_failed" not in text


def test_of_many_categories_nothing_is_kept_beside_the_rows() -> None:
    def render(number: int) -> None:
        categories = {f"c{place}": Category(1000 * number + place) for place in range(50)}
        page(view(Status(State.RUNNING, categories=categories)))

    render(0)
    tracemalloc.start()
    try:
        for number in range(1, 50):
            render(number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


def test_a_page_of_several_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    many = page(*[view(FULL), view(Status(State.IDLE))] * 3)
    whole = many.render(Format.OPENMETRICS)
    monkeypatch.setattr(exposition, "_ROWS_OF_A_PART", 4)
    assert many.render(Format.OPENMETRICS) == whole
    assert whole.count(b"\nremote_job_up{") == 6


def test_jobs_in_the_same_state_share_what_their_lines_have_beside_the_labels() -> None:
    rows = [render_row(JOB_METRICS, f'job_id="{name}"', view(FULL)) for name in "ab"]
    names = [metric.name for metric in JOB_METRICS]
    for name in ("remote_job_state", "remote_job_expected_seconds"):
        first, second = (astuple(row.lines)[names.index(name)] for row in rows)
        assert first is second


def test_the_size_of_a_row_is_that_of_its_lines() -> None:
    for one in (view(FULL), view(None, reason=Reason.TIMEOUT)):
        row = render_row(JOB_METRICS, 'job_id="a"', one)
        lines = Page(JOB_METRICS, {"": row}).render(Format.TEXT).splitlines(keepends=True)
        assert row.size == sum(len(line) for line in lines if not line.startswith(b"#"))


def test_a_dropped_job_leaves_the_page_and_its_families_with_it() -> None:
    both = page(view(FULL), view(Status(State.IDLE)))
    both.drop(0)
    text = both.render(Format.TEXT).decode()
    assert 'job_id="0"' not in text
    assert 'job_id="1"' in text
    assert "remote_job_items" not in text
    both.drop(1)
    assert both.render(Format.TEXT) == b""


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=40), min_size=1))
def test_any_label_value_is_read_back_as_it_was(labels: dict[str, str]) -> None:
    encodable = {name: value.encode(errors="replace").decode() for name, value in labels.items()}
    line = f"m{{{label_text(encodable)}}} 1\n"
    (family,) = parse_openmetrics(f"# TYPE m gauge\n{line}# EOF\n")
    assert family.samples[0].labels == encodable


@given(st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_read_back_as_it_was(number: float) -> None:
    assert float(number_text(number)) == float(number)
    (family,) = parse_text(f"m {number_text(number)}\n")
    assert math.isclose(family.samples[0].value, float(number), rel_tol=0)


PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.5", Format.TEXT),
        ("Application/OpenMetrics-Text; Version=1.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", Format.TEXT),
        ("application/openmetrics-text;version=1.0.0;q=nonsense", Format.TEXT),
        ("application/openmetrics-text;q=nan, text/plain;q=0.1", Format.TEXT),
    ],
)
def test_the_format_is_what_the_scraper_prefers(accept: str, expected: Format) -> None:
    assert negotiate(accept) is expected


@given(st.text(max_size=200) | st.lists(st.sampled_from([*";,=q/*", "text/plain", "1.0"])).map("".join))
def test_no_header_however_odd_breaks_the_negotiation(header: str) -> None:
    assert negotiate(header) in Format
    assert accepts_gzip(header) in (True, False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br", False),
    ],
)
def test_gzip_is_sent_only_to_who_takes_it(header: str, *, expected: bool) -> None:
    assert accepts_gzip(header) is expected
