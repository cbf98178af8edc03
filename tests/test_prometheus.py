"""A real Prometheus scrapes the demo in both formats and answers what dashboards ask of it."""

import math
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import yaml

from tests.command import ADDRESS, COMMAND, running, until
from tests.conftest import Program
from tests.prometheus import Prometheus, scraping, static

TEXT = "text/plain; version=0.0.4"


@dataclass(frozen=True)
class Scene:
    """An exporter, and a Prometheus that has scraped it a few times.

    Attributes:
        jobs: how many the demo's config names.
        providers: those of the demo's config.
    """

    exporter: str
    prometheus: Prometheus
    jobs: int
    providers: set[str]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        return self.prometheus.query(expression)

    def by(self, label: str, expression: str) -> dict[str, float]:
        """The same by one label, which must tell them apart."""
        found = self.query(expression)
        values = {labels[label]: value for labels, value in found}
        assert len(values) == len(found)
        return values


@contextmanager
def in_text_format(exporter: str) -> Iterator[str]:
    """The host and port of a way to the exporter on which nobody asks for OpenMetrics."""

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = requests.get(exporter + self.path, headers={"Accept": TEXT}, timeout=60)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *arguments: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def scene(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    path, folder = program("prometheus", "prometheus"), tmp_path_factory.mktemp("prometheus")
    # Jobs live fast, so that scrape after scrape sees them change.
    flags = ("--web.listen-address", "127.0.0.1:0", "--listen-address", "127.0.0.1:0", "--speed", "60")
    with running(folder / "demo", *COMMAND, "demo", *flags) as demo:
        exporter = demo.says(f"({ADDRESS})/metrics")
        config = yaml.safe_load(requests.get(demo.says(f"({ADDRESS}/config.yaml)"), timeout=60).text)
        systems = config["systems"].values()
        jobs = sum(len(system["jobs"]) for system in systems)
        providers = {system["provider"] for system in systems}
        with in_text_format(exporter) as text:
            targets = [static("openmetrics", exporter), static("text", text)]
            with scraping(path, folder, targets, every="2s", timeout="2s") as prometheus:
                scene = Scene(exporter, prometheus, jobs, providers)
                until(lambda: len(scene.query("count_over_time(up[1m]) >= 3")) == 2, "three scrapes of each")
                yield scene


def test_no_scrape_fails_in_either_format(scene: Scene) -> None:
    # Where the machine is slow one may take too long, which is no fault of the page.
    failed = "up == 0 and scrape_duration_seconds < 1.9"
    assert scene.query(f"count_over_time(({failed})[1m:1s])") == []
    well = {"openmetrics": ("up", ""), "text": ("up", "")}
    until(lambda: scene.prometheus.health() == well, "both up")


def test_prometheus_has_nothing_to_say_against_our_samples(scene: Scene) -> None:
    lines = scene.prometheus.process.stderr.splitlines()
    assert any("Server is ready" in line for line in lines)
    assert [line for line in lines if re.search(r"level=(warn|error)", line)] == []


def test_no_series_is_told_twice(scene: Scene) -> None:
    """Prometheus takes a sample that repeats itself without a word, so its samples are counted."""
    stored = 'count by (job) ({__name__=~"remote_job.+|process.+"})'
    assert scene.by("job", f"scrape_samples_scraped == on (job) {stored}").keys() == {"openmetrics", "text"}


def test_every_job_of_every_system_is_there_in_both_formats(scene: Scene) -> None:
    # Beside those that the config names there are those that were discovered.
    shown = scene.by("job", "count by (job) (remote_job_up)")
    assert shown.keys() == {"openmetrics", "text"}
    assert min(shown.values()) >= scene.jobs
    assert set(scene.by("provider", 'count by (provider) (remote_job_info{job="text"})')) == scene.providers
    twice = 'remote_job_info{job="text"} unless on (system, job_id) remote_job_info{job="openmetrics"}'
    # A job discovered this second is in one of them first.
    until(lambda: scene.query(twice) == [], "the same jobs in both")


def test_states_of_all_systems_can_be_joined_with_what_the_jobs_are(scene: Scene) -> None:
    current = 'remote_job_state{job="openmetrics"} == 1'
    info = "group_left (provider, job_kind, job_name) remote_job_info"
    joined = f"({current}) * on (system, job_id, instance) {info}"
    # A scrape that runs into its deadline on a loaded machine leaves a gap.
    states = until(lambda: scene.query(joined), "states that join", 60)
    assert {labels["provider"] for labels, _ in states} == scene.providers
    readable = 'remote_job_up{job="openmetrics"} == 1'
    assert scene.query(f"({readable}) unless on (system, job_id) ({joined})") == []
    assert len({labels["remote_job_state"] for labels, _ in states}) >= 5
    kinds = {labels["provider"]: labels["job_kind"] for labels, _ in states}
    assert (kinds["caps"], kinds["crafter"], kinds["itwin"], kinds["sitecore"]) == (
        "slot",
        "slot",
        "run",
        "run",
    )


def test_a_job_is_in_exactly_one_state(scene: Scene) -> None:
    assert scene.query("sum by (job, system, job_id) (remote_job_state) != 1") == []
    assert scene.query("count by (job, system, job_id) (remote_job_state) != 10") == []


def test_a_job_that_cannot_be_read_shows_why_and_no_state(scene: Scene) -> None:
    # One of the simulated sites is rate limited most of the time.
    limited = 'remote_job_read_error_info{reason="rate_limited"}'
    until(lambda: scene.query(f"max_over_time({limited}[5m])"), "a rate limit", 60)
    broken = "(remote_job_up == 0)"
    ids = "on (job, system, job_id)"
    assert scene.query(f"{broken} unless {ids} remote_job_read_error_info") == []
    assert scene.query(f"remote_job_read_error_info unless {ids} {broken}") == []
    assert scene.query(f"remote_job_state and {ids} {broken}") == []


def test_progress_times_and_durations_are_possible(scene: Scene) -> None:
    progress = scene.query("remote_job_progress_ratio")
    assert progress
    assert all(0 <= value <= 1 for _, value in progress)
    assert scene.query("time() - remote_job_read_timestamp_seconds > 60") == []
    assert scene.query("remote_job_read_timestamp_seconds > time() + 1") == []
    assert scene.query("remote_job_run_duration_seconds < 0") == []
    assert scene.query("remote_job_end_timestamp_seconds < remote_job_start_timestamp_seconds") == []
    assert scene.query("remote_job_state_timestamp_seconds > time() + 1") == []


def test_what_jobs_are_expected_to_do_can_be_asked_beside_what_they_do(scene: Scene) -> None:
    started = 'remote_job_start_timestamp_seconds{job="text"}'
    limit = 'on (job, system, job_id) group_left () remote_job_expected_seconds{expectation="run_within"}'
    assert len(scene.query(f"(time() - {started}) / {limit}")) > 5
    assert scene.query(f"{started} unless on (job, system, job_id) ({started} * {limit})") == []


def test_the_exporters_own_metrics_are_there(scene: Scene) -> None:
    ratio = (
        "sum by (job) (remote_job_exporter_request_duration_seconds_count)"
        " / sum by (job) (remote_job_exporter_requests_total)"
    )
    assert scene.by("job", ratio) == {"openmetrics": 1, "text": 1}
    quantile = "histogram_quantile(0.9, sum by (le) (remote_job_exporter_request_duration_seconds_bucket))"
    assert 0 < scene.query(quantile)[0][1] < math.inf
    assert len(scene.query("remote_job_exporter_build_info")) == 2
    assert scene.query("remote_job_system_up != 1") == []


def test_prometheus_knows_types_and_help(scene: Scene) -> None:
    metadata = scene.prometheus.api("metadata")
    types = {name: {one["type"] for one in told} for name, told in metadata.items()}
    assert "stateset" in types["remote_job_state"]
    assert types["remote_job_up"] == {"gauge"}
    assert "counter" in types["remote_job_runs_finished"] | types["remote_job_runs_finished_total"]
    ours = [told for name, told in metadata.items() if name.startswith("remote_job")]
    assert len(ours) > 30
    assert all(one["help"] for told in ours for one in told)


@pytest.mark.parametrize("path", ["/metrics", "/metrics?jobs=false"])
def test_promtool_has_nothing_to_say_against_our_page(path: str, scene: Scene, program: Program) -> None:
    page = requests.get(scene.exporter + path, headers={"Accept": TEXT}, timeout=60)
    assert page.headers["Content-Type"].startswith(TEXT)
    assert len(page.text.splitlines()) > 100
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=page.text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
