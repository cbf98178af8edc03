"""What the exporter counts of itself."""

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.metrics.instrumentation import Meters
from exporter.model.failure import Reason
from exporter.model.pacing import Why
from tests.vendor import Samples, read_samples

PROMISED = {
    "remote_job_exporter_build_info": {"version", "revision", "python_version"},
    "remote_job_exporter_requests_total": {"system", "code"},
    "remote_job_exporter_request_failures_total": {"system", "reason"},
    "remote_job_exporter_request_duration_seconds_bucket": {"system", "le"},
    "remote_job_exporter_reads_skipped_total": {"system", "why"},
    "remote_job_exporter_scrape_duration_seconds_bucket": {"handler", "le"},
    "remote_job_exporter_jobs": {"system"},
}


@pytest.fixture
def meters() -> Meters:
    return Meters("1.2.3", "abc")


def shown(meters: Meters) -> Samples:
    return read_samples(meters.render(openmetrics=False).decode())


def test_every_metric_that_was_promised_is_there_with_its_labels(meters: Meters) -> None:
    docs = meters.of("docs")
    docs.answered(200, 0.1)
    docs.watching(3)
    meters.scrapes.labels("/metrics")
    labels = {name: set(dict(labels)) for name, labels in shown(meters)}
    assert labels.items() >= PROMISED.items()


def test_the_build_is_told(meters: Meters) -> None:
    ((labels, value),) = shown(meters).all("remote_job_exporter_build_info")
    assert (labels["version"], labels["revision"], value) == ("1.2.3", "abc", 1)
    assert re.fullmatch(r"3\.\d+\.\d+\S*", labels["python_version"])


def test_every_reason_and_every_why_begins_at_nothing(meters: Meters) -> None:
    meters.of("docs")
    failures = shown(meters).all("remote_job_exporter_request_failures_total", system="docs")
    assert {labels["reason"]: value for labels, value in failures} == dict.fromkeys(map(str, Reason), 0)
    skipped = shown(meters).all("remote_job_exporter_reads_skipped_total", system="docs")
    assert {labels["why"]: value for labels, value in skipped} == dict.fromkeys(map(str, Why), 0)


def test_what_happens_is_counted_for_its_system_alone(meters: Meters) -> None:
    docs, twins = meters.of("docs"), meters.of("twins")
    for _ in range(3):
        docs.answered(200, 0.2)
    docs.answered(503, 9.0)
    docs.failed(Reason.SERVER_ERROR)
    docs.skipped(Why.FINAL, 5)
    docs.watching(7)
    twins.answered(200, 0.1)
    page = shown(meters)
    requests = page.all("remote_job_exporter_requests_total")
    assert {(labels["system"], labels["code"]): value for labels, value in requests} == {
        ("docs", "200"): 3,
        ("docs", "503"): 1,
        ("twins", "200"): 1,
    }
    assert (
        page.get_one("remote_job_exporter_request_failures_total", system="docs", reason="server_error") == 1
    )
    assert page.get_one("remote_job_exporter_reads_skipped_total", system="docs", why="final") == 5
    assert page.get_one("remote_job_exporter_jobs", system="docs") == 7
    seconds = "remote_job_exporter_request_duration_seconds"
    assert page.get_one(f"{seconds}_count", system="docs") == 4
    assert page.get_one(f"{seconds}_sum", system="docs") == pytest.approx(9.6)
    assert page.get_one(f"{seconds}_bucket", system="docs", le="0.25") == 3


def test_codes_that_nobody_defined_are_one(meters: Meters) -> None:
    docs = meters.of("docs")
    for code in (200, 299, 600, 999, 42, 799):
        docs.answered(code, 0.1)
    requests = shown(meters).all("remote_job_exporter_requests_total")
    assert {labels["code"]: value for labels, value in requests} == {"200": 1, "other": 5}


def test_scrapes_are_measured(meters: Meters) -> None:
    meters.scrapes.labels("/metrics").observe(0.3)
    meters.scrapes.labels("/sd").observe(0.1)
    count = "remote_job_exporter_scrape_duration_seconds_count"
    assert shown(meters).get_one(count, handler="/metrics") == 1


def test_nothing_is_shown_of_when_a_series_was_made(meters: Meters) -> None:
    meters.of("docs").answered(200, 0.1)
    for openmetrics in (False, True):
        assert b"_created" not in meters.render(openmetrics=openmetrics)


def test_both_formats_tell_the_same(meters: Meters) -> None:
    meters.of("docs").answered(200, 0.1)
    page = meters.render(openmetrics=True)
    assert not page.endswith(b"# EOF\n")
    told = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(page.decode() + "# EOF\n")
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    text = {key: value for key, value in shown(meters).items() if not key[0].startswith("process_")}
    assert told == text


def test_the_process_itself_is_measured(meters: Meters) -> None:
    memory = shown(meters).get_one("process_resident_memory_bytes")
    assert memory is None or memory > 1e6  # only where the platform tells


def test_two_exporters_in_one_process_count_apart() -> None:
    one, other = Meters("1"), Meters("2")
    one.of("docs").answered(200, 0.1)
    assert shown(other).all("remote_job_exporter_requests_total") == []


def test_of_a_system_that_is_gone_nothing_is_shown(meters: Meters) -> None:
    for system in ("docs", "twins"):
        meters.of(system).answered(200, 0.1)
        meters.of(system).watching(1)
    meters.forget("docs")
    systems = {dict(labels).get("system") for _, labels in shown(meters)}
    assert systems == {None, "twins"}
    assert shown(meters).get_one("remote_job_exporter_jobs", system="twins") == 1


def test_what_a_system_that_is_gone_still_answers_brings_it_not_back(meters: Meters) -> None:
    docs = meters.of("docs")
    meters.forget("docs")
    docs.answered(200, 0.1)
    docs.failed(Reason.TIMEOUT)
    assert shown(meters).all("remote_job_exporter_requests_total") == []
