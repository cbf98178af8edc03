"""What is measured: each row compares this exporter with something else."""

import functools
import gzip
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks.stage import Process, Stage, get
from benchmarks.upstream import JOBS, LATE_SECONDS
from exporter.metrics import JOB_METRICS, JobView
from exporter.metrics.exposition import Format, Page, label_text, render_row
from exporter.model.history import History
from exporter.model.job import Items, Job, Kind, State, Status

AT_A_TIME = 64
SCRAPES = 3
MANY = 10_000
TENTH = 10
PROMETHEUS_SECONDS = 20
HOLD_SECONDS = 0.020
TURNS = {"scrape": "scrape", "listing": "a listing of 16 MiB", "reload": "reload: all labels change"}


class Sample(NamedTuple):
    """One round of a row: the figure of this exporter, and that of what it is compared with."""

    ours: float
    theirs: float


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        against: what this exporter is compared with.
        goal: the ratio that is wanted, at most; at least if ``least``.
        unit: of the figures, and what they are multiplied by.
        measure: one round.
        rounds: at most, for a row that takes long.
        needs: a program on PATH, ``json_exporter`` or ``prometheus``.
        least: ratios are theirs by ours.
    """

    name: str
    against: str
    goal: float
    unit: tuple[str, float]
    measure: Callable[[Stage], Sample]
    rounds: int = 100
    needs: tuple[str, ...] = ()
    least: bool = False

    def ratio(self, sample: Sample) -> float:
        """The figure that the goal is about."""
        return sample.theirs / sample.ours if self.least else sample.ours / sample.theirs


MICRO, MILLI, SECONDS, MEGABYTES = ("µs", 1e6), ("ms", 1e3), ("s", 1.0), ("MB", 1.0)


def cost(process: Process, jobs: int = JOBS, scrapes: int = SCRAPES) -> float:
    """CPU seconds of an exporter for each job and scrape."""
    connection = process.connect()
    began = process.cpu()
    pages = [get(connection, "/metrics") for _ in range(scrapes)]
    took = process.cpu() - began
    connection.close()
    if any(len(re.findall(rb"(?m)^remote_job_up\{.*\} 1$", page)) != jobs for page in pages):
        sys.exit(f"not all of {jobs} jobs are read")
    return took / (jobs * scrapes)


def peer_cost(stage: Stage, *, tls: bool = False) -> float:
    """CPU seconds of json_exporter for each job."""
    process = stage.json_exporter()
    stage.probes(50, tls=tls)
    began = process.cpu()
    stage.probes(JOBS, tls=tls)
    return (process.cpu() - began) / JOBS


def over_http(stage: Stage) -> Sample:
    """Running jobs, each read by itself."""
    return Sample(cost(stage.exporter("http", jobs=JOBS)), peer_cost(stage))


def over_tls(stage: Stage) -> Sample:
    """The same over TLS."""
    return Sample(cost(stage.exporter("tls", jobs=JOBS, tls=True)), peer_cost(stage, tls=True))


def finished(stage: Stage) -> Sample:
    """Runs that have ended, which are not read again for ten minutes."""
    exporter = stage.exporter("finished", "/finished", JOBS)
    calls = _calls(exporter)
    sample = Sample(cost(exporter, scrapes=20), peer_cost(stage))
    if _calls(exporter) != calls:
        sys.exit("a finished run was read again")
    return sample


def _calls(exporter: Process) -> list[bytes]:
    return re.findall(rb"remote_job_exporter_requests_total\{.*", exporter.get())


def listed(stage: Stage) -> Sample:
    """Jobs whose listing reports everything, in pages of 100."""
    return Sample(cost(stage.exporter("listed", "/listing")), peer_cost(stage))


def late(stage: Stage) -> Sample:
    """Seconds of a scrape, and those of which nothing but waiting is left."""
    exporter = stage.exporter("late", "/late", JOBS, defaults={"concurrency": AT_A_TIME})
    began = time.monotonic()
    exporter.get()
    return Sample(time.monotonic() - began, JOBS / AT_A_TIME * LATE_SECONDS)


def growth(stage: Stage) -> Sample:
    """CPU for each job with 10,000 of them, and with 100."""
    few = stage.exporter("few", jobs=100)
    return Sample(cost(stage.exporter("many", jobs=MANY), MANY, 1), cost(few, 100, 50))


def _view(number: int) -> JobView:
    job = Job("content", f"job_{number}", Kind.RUN, "sitecore", {"id": f"job_{number}"})
    status = Status(
        State.RUNNING,
        "Running",
        progress=number / JOBS,
        items=Items(420, 400, 20, 300 + number, None, 0, 3, 1, 280 + number),
        cancelable=True,
        sending_complete=True,
        queued_at=1792474685.724928,
        started_at=1792474687.124928,
        reported_at=1792475105.724928 + number,
        name="Home page and navigation",
    )
    history = History(1792474000.123)
    history.observe(status, 1792475106.5)
    return JobView(job, history, status, None, 1792475106.123, 0.0123)


class _Families(Collector):
    def __init__(self, page: bytes) -> None:
        self._families = list(text_string_to_metric_families(page.decode()))

    def collect(self) -> list[Metric]:
        return self._families


def _samples(page: bytes) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    families = text_string_to_metric_families(page.decode())
    return {
        (each.name, frozenset(each.labels.items()), each.value) for one in families for each in one.samples
    }


def exposition(_: Stage, *, anew: bool) -> Sample:
    """The page of 1,000 jobs, with rows rendered anew or ready; the client library has its families ready."""
    views = [_view(number) for number in range(JOBS)]
    identities = [label_text({"system": "content", "job_id": view.job.id}) for view in views]
    page: Page[JobView] = Page(JOB_METRICS)

    def render() -> None:
        for number, (identity, view) in enumerate(zip(identities, views, strict=True)):
            page.put(number, render_row(JOB_METRICS, identity, view))

    render()
    began = time.process_time()
    if anew:
        render()
    ours = page.render(Format.TEXT)
    middle = time.process_time()
    families = _Families(ours)
    before = time.process_time()
    theirs = generate_latest(families)
    took = time.process_time() - before
    if _samples(ours) != _samples(theirs):
        sys.exit("both pages must have the same samples")
    return Sample(middle - began, took)


def packed(stage: Stage) -> Sample:
    """A scrape without reads that gzip makes small, and the compression alone at its usual level."""
    exporter = stage.exporter("finished", "/finished", JOBS)
    page = exporter.get()
    began = time.process_time()
    for _ in range(SCRAPES):
        gzip.compress(page, 6)
    alone = time.process_time() - began
    before = exporter.cpu()
    for _ in range(SCRAPES):
        exporter.get(gzip=True)
    return Sample((exporter.cpu() - before) / SCRAPES, alone / SCRAPES)


def memory(stage: Stage, jobs: int, limit: float) -> Sample:
    """Resident memory after the tenth scrape, and the limit of the goal."""
    scrapes = TENTH if jobs else 1
    name = f"memory {jobs}"
    exporter = stage.exporter(name, jobs=jobs or 1)
    stage.once(f"scraped {name}", lambda: [exporter.get() for _ in range(scrapes)])
    return Sample(exporter.memory(), limit)


def flat(stage: Stage) -> Sample:
    """Memory after another ten scrapes of 10,000 jobs, and after the tenth."""
    exporter = stage.exporter(f"memory {MANY}", jobs=MANY)
    before = memory(stage, MANY, 1).ours
    for _ in range(TENTH):
        exporter.get()
    return Sample(exporter.memory(), before)


def start(stage: Stage) -> Sample:
    """Seconds from start to ready with 100 jobs, and those of Python with the HTTP library."""
    file = stage.config("start", "/now", 100)
    began = time.monotonic()
    stage.serve(file)
    ready = time.monotonic() - began
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import requests"], check=True)
    return Sample(ready, time.monotonic() - began)


def turn(_: Stage, *, load: str) -> Sample:
    """CPU of the longest turn of the event loop with 10,000 jobs, and the limit."""
    command = [sys.executable, "-m", "tests.turns", "--jobs", str(MANY), "--only", TURNS[load]]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    turns = {line[18:68].strip(): float(line.split(" ms ")[0]) / 1000 for line in output.splitlines()}
    return Sample(turns[TURNS[load]], HOLD_SECONDS)


def prometheus(stage: Stage) -> Sample:
    """CPU of Prometheus that scrapes one target of this exporter, and 1,000 of json_exporter."""
    one = [{"targets": [stage.exporter("http", jobs=JOBS).url.removeprefix("http://")]}]
    address = stage.json_exporter().url.removeprefix("http://")
    target = f"{stage.upstream()}/now/authoring/publishing/v1/jobs"
    many = [{"targets": [f"{target}/job_{number}"]} for number in range(JOBS)]
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": address},
    ]
    ours = stage.prometheus("ours", {"static_configs": one})
    theirs = stage.prometheus(
        "theirs", {"static_configs": many, "metrics_path": "/probe", "relabel_configs": relabel}
    )
    before = ours.cpu(), theirs.cpu()
    time.sleep(PROMETHEUS_SECONDS)
    return Sample(ours.cpu() - before[0], theirs.cpu() - before[1])


def _rows() -> tuple[Row, ...]:
    peer, needs = "json_exporter", ("json_exporter",)
    library = "prometheus_client.generate_latest"
    return (
        Row("CPU per job, HTTP", peer, 0.12, MICRO, over_http, needs=needs),
        Row("CPU per job, TLS", peer, 0.07, MICRO, over_tls, needs=needs),
        Row("CPU per finished run", peer, 0.010, MICRO, finished, needs=needs),
        Row("CPU per job of a listing", peer, 0.06, MICRO, listed, needs=needs),
        Row("1,000 jobs at 50 ms, 64 at a time", "waiting alone", 1.10, SECONDS, late),
        Row("page of 1,000 jobs, rows ready", library, 10, MILLI, _part(exposition, anew=False), least=True),
        Row(
            "page of 1,000 jobs, rows rendered", library, 10, MILLI, _part(exposition, anew=True), least=True
        ),
        Row("scrape of 1,000 finished runs, gzip", "gzip alone", 1.5, MILLI, packed),
        Row("CPU per job, 10,000 jobs", "100 jobs", 1.1, MICRO, growth, rounds=2),
        Row("memory idle", "limit", 1.0, MEGABYTES, _part(memory, jobs=0, limit=55.0), rounds=1),
        Row(
            "memory with 1,000 jobs", "limit", 1.0, MEGABYTES, _part(memory, jobs=1000, limit=65.0), rounds=1
        ),
        Row(
            "memory with 10,000 jobs",
            "limit",
            1.0,
            MEGABYTES,
            _part(memory, jobs=MANY, limit=130.0),
            rounds=1,
        ),
        Row("memory after ten scrapes more", "the tenth scrape", 1.02, MEGABYTES, flat, rounds=1),
        Row("start to ready, 100 jobs", "python -c 'import requests'", 3.0, SECONDS, start),
        *(
            Row(f"longest turn of the loop: {name}", "limit", 1.0, MILLI, _part(turn, load=name), rounds=1)
            for name in TURNS
        ),
        Row(
            "CPU of Prometheus, one target",
            "1,000 targets of json_exporter",
            0.1,
            SECONDS,
            prometheus,
            rounds=1,
            needs=("json_exporter", "prometheus"),
        ),
    )


def _part(measure: Callable[..., Sample], **arguments: Any) -> Callable[[Stage], Sample]:
    return functools.partial(measure, **arguments)


ROWS = _rows()
