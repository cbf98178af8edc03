"""What a read, a scrape and a start cost, compared with other clients. Prints ratios.

    python benchmarks/cost.py

Everything runs on loopback; the server is another process and responds immediately. CPU is the user and
system time of the measured process.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

JOBS = 1000
ROUNDS = 5
THREADS = 16
PAGES, PAGE_SIZE, RUNNING = 50, 100, 500
COUNTS = 50
BODY = (
    b'{"job_status":"Running","is_incremental":false,"is_on_demand":true,"is_scheduled":null,'
    b'"message":"Running","started_at":"2026-10-20T05:38:05.7249287+00:00","ended_at":null,"cancelable":true,'
    b'"total_count":50,"successful_count":%d,"failed_count":1,"job_progress":%.2f,"latest_blob_id":'
    b'"8587562874004887117","categorized_count":"{\\"Outline\\":{\\"total_count\\":3,\\"successful_count\\":3,'
    b'\\"failed_count\\":0},\\"Article\\":{\\"total_count\\":47,\\"successful_count\\":%d,\\"failed_count\\":0}}",'
    b'"job_type":"Live","job_level":"DocSet","locales":["en-US"],"entity_id":"da180f8a--promote",'
    b'"attributes":"' + b"x" * 400 + b'"}'
)


def _response(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def _responses() -> Iterator[bytes]:
    """Never the same twice in a row, so that no result can be reused."""
    for number in itertools.cycle(range(COUNTS)):
        yield _response(BODY % (number, number / COUNTS, number))


def _pages() -> list[bytes]:
    """The pages of a listing of an iTwin whose first jobs are running."""
    times = {"createdDateTime": "2026-10-20T05:38:05Z", "startedDateTime": "2026-10-20T05:39:05Z"}
    pages = []
    for page in range(PAGES):
        numbers = range(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
        jobs = [
            {
                "id": f"job-{number}",
                "name": f"Scan {number}",
                "type": "FillImageProperties",
                "state": "Active" if number < RUNNING else "Success",
                "executionInfo": times
                if number < RUNNING
                else {**times, "endedDateTime": times["startedDateTime"]},
            }
            for number in numbers
        ]
        href = f"/reality-modeling/jobs?continuationToken={page + 1}"
        links = {"next": {"href": href}} if page + 1 < PAGES else {}
        pages.append(_response(json.dumps({"jobs": jobs, "_links": links}).encode()))
    return pages


PROGRESS = _response(b'{"progress":{"percentage":25,"state":"Active"}}')


class _Server(asyncio.Protocol):
    """Responds with listings, progress, and to any other request with the status of a docset."""

    def __init__(self, responses: Iterator[bytes], pages: list[bytes]) -> None:
        self._responses = responses
        self._pages = pages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        *complete, self._received = self._received.split(b"\r\n\r\n")
        for request in complete:
            self._transport.write(self._response_to(request))  # type: ignore[attr-defined]

    def _response_to(self, request: bytes) -> bytes:
        target = request.partition(b" HTTP/")[0]
        if target.endswith(b"/progress"):
            return PROGRESS
        if b"/jobs?" in target:
            return self._pages[int(target.partition(b"continuationToken=")[2] or b"0")]
        return next(self._responses)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    responses, pages = _responses(), _pages()
    server = await loop.create_server(lambda: _Server(responses, pages), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _process(*arguments: str, ready: str) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A child process and how long it took until ``ready`` answered."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
    host, port = re.findall(r"//([^:/]+):(\d+)", ready)[0]
    try:
        while child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                if requests.get(ready, timeout=5).status_code == 200:
                    break
            time.sleep(0.005)
        if child.poll() is not None:
            sys.exit(f"{' '.join(arguments)} ended with {child.returncode}")
        yield child, time.monotonic() - began
    finally:
        child.terminate()
        child.wait(10)


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def _docsets(url: str, jobs: int, min_interval: str) -> str:
    """A configuration with so many jobs."""
    lines = ["defaults:", f"  min_interval: {min_interval}", "systems:", "  docs:", "    provider: caps"]
    lines += [f"    base_url: {url}", "    jobs:"]
    lines += [f"      - {{project_id: p, build_job_id: '{n}', locale: en-US}}" for n in range(jobs)]
    return "\n".join(lines)


def _found(url: str) -> str:
    """A configuration of a system with discovery."""
    guid = "3f0e8a4c-6f6e-4d3c-9c43-0d1c5a2f7b11"
    return f"""systems:
  twins:
    provider: itwin
    service: reality-modeling
    base_url: {url}
    max_jobs: 10000
    discover: {{itwin_id: {guid}}}
"""


@contextlib.contextmanager
def _exporter(config: str) -> Iterator[tuple[int, str, float]]:
    """Process id, address and seconds until ready of a running exporter."""
    address = f"127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config)
        arguments = ("-m", "exporter", "serve", "--config.file", str(file), "--web.listen-address", address)
        with _process(*arguments, ready=f"http://{address}/-/ready") as (child, seconds):
            yield child.pid, f"http://{address}/metrics", seconds


class _Parsed(Collector):
    """The samples of a page, for prometheus-client to render again."""

    def __init__(self, page: str) -> None:
        self._families = list(text_string_to_metric_families(page))

    def collect(self) -> list[Metric]:
        return self._families


def _plain_loop(url: str, *, session: bool) -> None:
    """A plain loop over requests; prints its CPU seconds per request."""
    get = requests.Session().get if session else requests.get
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: get(url, timeout=10).json(), range(THREADS)))
        began = _usage()
        list(pool.map(lambda _: get(url, timeout=10).json(), range(JOBS)))
    print((_usage() - began) / JOBS)


def _usage() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _plain_cost(url: str, mode: str) -> float:
    child = subprocess.run([sys.executable, __file__, mode, url], check=True, capture_output=True, text=True)
    return float(child.stdout)


def _read_cost(url: str) -> float:
    """CPU seconds of the whole exporter for each job, including rendering and the scrape."""
    with _exporter(_docsets(url, JOBS, "0s")) as (pid, metrics, _):
        page = requests.get(metrics, timeout=30).text
        if page.count("remote_job_up{") != JOBS:
            sys.exit("not every job is on the page")
        began = _cpu(pid)
        for _ in range(ROUNDS):
            requests.get(metrics, headers={"Accept-Encoding": "identity"}, timeout=30)
        return (_cpu(pid) - began) / (ROUNDS * JOBS)


def _quiet_scrape(url: str) -> tuple[float, float]:
    """CPU seconds of a scrape without requests, and of prometheus-client for the same samples."""
    with _exporter(_docsets(url, JOBS, "10m")) as (pid, metrics, _):
        page = requests.get(metrics, timeout=30).text
        rounds = 50
        began = _cpu(pid)
        for _ in range(rounds):
            requests.get(metrics, headers={"Accept-Encoding": "identity"}, timeout=30)
        ours = (_cpu(pid) - began) / rounds
    parsed = _Parsed(page)
    began = time.process_time()
    generate_latest(parsed)
    return ours, time.process_time() - began


def _small(url: str) -> tuple[float, float]:
    """Memory in MB with 100 jobs after ten scrapes, and seconds from start to ready."""
    with _exporter(_docsets(url, 100, "0s")) as (pid, metrics, seconds):
        for _ in range(10):
            requests.get(metrics, timeout=30)
        return _memory(pid), seconds


def _discovered(url: str) -> float:
    """Seconds of a scrape that lists all pages and reads every running job."""
    with _exporter(_found(url)) as (_, metrics, _):
        began = time.monotonic()
        page = requests.get(metrics, timeout=30).text
        seconds = time.monotonic() - began
    if (
        page.count("\nremote_job_up{") != PAGES * PAGE_SIZE
        or page.count("remote_job_progress_ratio{") < RUNNING
    ):
        sys.exit("not every discovered job is on the page")
    return seconds


def _report() -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with _process(__file__, "serve", str(port), ready=url):
        ours = _read_cost(url)
        fresh, session = _plain_cost(url, "plain"), _plain_cost(url, "session")
        quiet, client = _quiet_scrape(url)
        memory, seconds = _small(url)
        listed = _discovered(url)
    for name, value, unit, digits, ratio in (
        ("CPU per job read, rendered and served", ours * 1e6, "µs", 0, None),
        (f"  requests.get().json(), {THREADS} threads", fresh * 1e6, "µs", 0, ours / fresh),
        ("  the same on one Session", session * 1e6, "µs", 0, ours / session),
        (f"CPU per scrape of {JOBS} jobs without requests", quiet * 1e3, "ms", 1, None),
        ("  prometheus_client.generate_latest, the same", client * 1e3, "ms", 1, quiet / client),
        ("memory with 100 jobs", memory, "MB", 1, None),
        ("ready after", seconds, "s", 2, None),
        (f"scrape that discovers {PAGES * PAGE_SIZE} jobs in {PAGES} pages", listed, "s", 2, None),
    ):
        print(f"{name:52}{value:8.{digits}f} {unit}" + (f"   ratio {ratio:.3f}" if ratio else ""))


def main() -> None:
    """Prints the report; arguments are for the child processes."""
    match sys.argv[1:]:
        case ["serve", port]:
            asyncio.run(_serve(int(port)))
        case ["plain", url]:
            _plain_loop(url, session=False)
        case ["session", url]:
            _plain_loop(url, session=True)
        case _:
            _report()


if __name__ == "__main__":
    main()
