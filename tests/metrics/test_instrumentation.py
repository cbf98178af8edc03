"""What the exporter counts of itself."""

import re
import ssl

import pycurl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Reason
from exporter.model.pacing import Why
from tests.vendor import Samples, read_samples

PROMISED = {
    "remote_job_exporter_build_info": {
        *("version", "revision", "python_version", "python_tls", "libcurl_version", "libcurl_tls"),
    },
    "remote_job_exporter_requests_total": {"system", "code"},
    "remote_job_exporter_request_failures_total": {"system", "reason"},
    "remote_job_exporter_request_retries_total": {"system"},
    "remote_job_exporter_request_duration_seconds_bucket": {"system", "le"},
    "remote_job_exporter_reads_skipped_total": {"system", "why"},
    "remote_job_exporter_scrape_duration_seconds_bucket": {"handler", "le"},
    "remote_job_exporter_jobs": {"system"},
}


@pytest.fixture
def instrumentation() -> Instrumentation:
    return Instrumentation("1.2.3", "abc")


def shown(instrumentation: Instrumentation) -> Samples:
    return read_samples(instrumentation.render(openmetrics=False).decode())


def test_every_metric_that_was_promised_is_there_with_its_labels(instrumentation: Instrumentation) -> None:
    docs = instrumentation.of("docs")
    docs.answered(200, 0.1)
    docs.watching(3)
    instrumentation.scrapes.labels("/metrics")
    labels = {name: set(dict(labels)) for name, labels in shown(instrumentation)}
    assert labels.items() >= PROMISED.items()


def test_the_build_is_told(instrumentation: Instrumentation) -> None:
    ((labels, value),) = shown(instrumentation).all("remote_job_exporter_build_info")
    assert (labels["version"], labels["revision"], value) == ("1.2.3", "abc", 1)
    assert re.fullmatch(r"3\.\d+\.\d+\S*", labels["python_version"])
    assert ssl.OPENSSL_VERSION.startswith(labels["python_tls"].replace("/", " ") + " ")
    assert f"libcurl/{labels['libcurl_version']} {labels['libcurl_tls']} " in pycurl.version


def test_every_reason_and_every_why_begins_at_nothing(instrumentation: Instrumentation) -> None:
    instrumentation.of("docs")
    failures = shown(instrumentation).all("remote_job_exporter_request_failures_total", system="docs")
    assert {labels["reason"]: value for labels, value in failures} == dict.fromkeys(map(str, Reason), 0)
    skipped = shown(instrumentation).all("remote_job_exporter_reads_skipped_total", system="docs")
    assert {labels["why"]: value for labels, value in skipped} == dict.fromkeys(map(str, Why), 0)


def test_requests_and_systems_that_are_new_while_a_page_is_rendered_do_not_stop_it(
    instrumentation: Instrumentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = instrumentation.of("docs")
    docs.answered(200, 0.1)

    def code_while_more_is_counted(status: int) -> str:
        docs.answered(status + 1, 0.1)
        instrumentation.of("new").answered(200, 0.1)
        return str(status)

    monkeypatch.setattr("exporter.metrics.instrumentation._code", code_while_more_is_counted)
    requests = shown(instrumentation).all("remote_job_exporter_requests_total", system="docs")
    assert {labels["code"]: value for labels, value in requests} == {"200": 1}


def test_what_happens_is_counted_for_its_system_alone(instrumentation: Instrumentation) -> None:
    docs, twins = instrumentation.of("docs"), instrumentation.of("twins")
    for _ in range(3):
        docs.answered(200, 0.2)
    docs.answered(503, 9.0)
    docs.failed(Reason.SERVER_ERROR)
    docs.skipped(Why.FINAL, 5)
    docs.watching(7)
    twins.answered(200, 0.1)
    page = shown(instrumentation)
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


def test_codes_that_nobody_defined_are_one(instrumentation: Instrumentation) -> None:
    docs = instrumentation.of("docs")
    for code in (200, 299, 600, 999, 42, 799):
        docs.answered(code, 0.1)
    requests = shown(instrumentation).all("remote_job_exporter_requests_total")
    assert {labels["code"]: value for labels, value in requests} == {"200": 1, "other": 5}


def test_scrapes_are_measured(instrumentation: Instrumentation) -> None:
    instrumentation.scrapes.labels("/metrics").observe(0.3)
    instrumentation.scrapes.labels("/sd").observe(0.1)
    count = "remote_job_exporter_scrape_duration_seconds_count"
    assert shown(instrumentation).get_one(count, handler="/metrics") == 1


def test_nothing_is_shown_of_when_a_series_was_made(instrumentation: Instrumentation) -> None:
    instrumentation.of("docs").answered(200, 0.1)
    for openmetrics in (False, True):
        assert b"_created" not in instrumentation.render(openmetrics=openmetrics)


def test_both_formats_tell_the_same(instrumentation: Instrumentation) -> None:
    instrumentation.of("docs").answered(200, 0.1)
    page = instrumentation.render(openmetrics=True)
    assert not page.endswith(b"# EOF\n")
    told = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(page.decode() + "# EOF\n")
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    text = {key: value for key, value in shown(instrumentation).items() if not key[0].startswith("process_")}
    assert told == text


def test_the_process_itself_is_measured(instrumentation: Instrumentation) -> None:
    memory = shown(instrumentation).get_one("process_resident_memory_bytes")
    assert memory is None or memory > 1e6  # only where the platform tells


def test_two_exporters_in_one_process_count_apart() -> None:
    one, other = Instrumentation("1"), Instrumentation("2")
    one.of("docs").answered(200, 0.1)
    assert shown(other).all("remote_job_exporter_requests_total") == []


def test_of_a_system_that_is_gone_nothing_is_shown(instrumentation: Instrumentation) -> None:
    for system in ("docs", "twins"):
        instrumentation.of(system).answered(200, 0.1)
        instrumentation.of(system).watching(1)
    instrumentation.forget("docs")
    systems = {dict(labels).get("system") for _, labels in shown(instrumentation)}
    assert systems == {None, "twins"}
    assert shown(instrumentation).get_one("remote_job_exporter_jobs", system="twins") == 1


def test_what_a_system_that_is_gone_still_answers_brings_it_not_back(
    instrumentation: Instrumentation,
) -> None:
    docs = instrumentation.of("docs")
    instrumentation.forget("docs")
    docs.answered(200, 0.1)
    docs.failed(Reason.TIMEOUT)
    assert shown(instrumentation).all("remote_job_exporter_requests_total") == []


def test_an_exporter_without_web_configuration_shows_no_reload_of_one(
    instrumentation: Instrumentation,
) -> None:
    assert "web_config" not in instrumentation.render(openmetrics=False).decode()


@pytest.mark.parametrize("which", ["config", "web_config"])
def test_the_time_of_the_last_reload_is_capped_after_the_clock_was_set_back(
    instrumentation: Instrumentation, which: str
) -> None:
    name = f"remote_job_exporter_{which}_last_reload_success_timestamp_seconds"
    reloads = instrumentation.config if which == "config" else instrumentation.web_config()
    reloads.ended(worked=True)
    reloaded = shown(instrumentation).get_one(name)
    assert reloaded is not None
    for now, capped in ((reloaded + 60, reloaded), (reloaded - 60, reloaded - 60)):
        instrumentation.cap_times(now)
        assert shown(instrumentation).get_one(name) == pytest.approx(capped)
