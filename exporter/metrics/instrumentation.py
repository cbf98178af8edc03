"""What the exporter counts of itself: prometheus-client's metrics on a registry of its own."""

import collections
import itertools
import platform
import ssl
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar

import pycurl
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client import generate_latest as generate_text
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from exporter.model.failure import Reason
from exporter.model.pacing import Why
from exporter.model.shard import Shard
from exporter.runtime import logging

# The first buckets separate kept connections from new ones; the last is the longest timeout allowed.
_REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BUCKET_NAMES = (*(str(float(seconds)) for seconds in _REQUEST_BUCKETS), "+Inf")
_SCRAPE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OTHER = "other"
_CODES = frozenset(status.value for status in HTTPStatus)

Kind = TypeVar("Kind")


class Drop(StrEnum):
    """Why a connection of a client was closed at the limit of open connections."""

    ENDING = "ending"
    NO_REQUEST = "no_request"
    IDLE = "idle"
    WORKING = "working"
    REFUSED = "refused"


class Reloads:
    """Whether the last reload of one configuration succeeded, and when one last did."""

    def __init__(self, worked: Gauge, worked_at: Gauge) -> None:
        self._worked = worked
        self._worked_at = worked_at
        self._at = 0.0

    def ended(self, *, worked: bool) -> None:
        """The configuration was read, at start or later, and is in effect if that worked."""
        self._worked.set(worked)
        if worked:
            self._at = time.time()
            self._worked_at.set(self._at)

    def cap_time(self, now: float) -> None:
        """Shows no time after ``now``."""
        self._at = min(self._at, now)
        self._worked_at.set(self._at)


class SystemInstrumentation:
    """The instrumentation of one system; what is counted at every request is looked up once."""

    def __init__(self, instrumentation: "Instrumentation", system: str) -> None:
        self.system = system
        self._instrumentation = instrumentation
        # Counted here: metrics of prometheus-client need a lock and several calls for each request.
        self._answers = collections.Counter[int]()
        self._buckets = [0] * (len(_REQUEST_BUCKETS) + 1)
        self._seconds = 0.0
        self._failures = {reason: instrumentation.failures.labels(system, reason.value) for reason in Reason}
        self._retries = instrumentation.retries.labels(system)
        self._skipped = {why: instrumentation.skipped.labels(system, why.value) for why in Why}

    def answered(self, status: int, seconds: float) -> None:
        """A request has a response with this HTTP status."""
        self._answers[status] += 1
        self._buckets[bisect_left(_REQUEST_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def add_requests(self, numbers: CounterMetricFamily, durations: HistogramMetricFamily) -> None:
        """Adds the series about its requests. Other threads can count more of them meanwhile."""
        codes = collections.Counter[str]()
        for status, number in [*self._answers.items()]:
            codes[_code(status)] += number
        for code, number in codes.items():
            numbers.add_metric((self.system, code), number)
        buckets = zip(_BUCKET_NAMES, itertools.accumulate(self._buckets), strict=True)
        durations.add_metric((self.system,), [*buckets], self._seconds)

    def failed(self, reason: Reason) -> None:
        """A request, a token request or its response failed."""
        self._failures[reason].inc()

    def retried(self) -> None:
        """A request is sent a second time."""
        self._retries.inc()

    def skipped(self, why: Why, reads: int) -> None:
        """So many reads were not due."""
        self._skipped[why].inc(reads)

    def forget(self) -> None:
        """The system is no longer configured: it leaves no series, and what still ends is not counted."""
        metrics = self._instrumentation
        # One by one: to look for them among the series of all systems takes as long as there are systems.
        for reason in self._failures:
            metrics.failures.remove(self.system, reason.value)
        for why in self._skipped:
            metrics.skipped.remove(self.system, why.value)
        for metric in (metrics.retries, metrics.jobs):
            metric.remove(self.system)

    def watching(self, jobs: int) -> None:
        """Sets the number of known jobs of the system."""
        self._instrumentation.jobs.labels(self.system).set(jobs)


def _code(status: int) -> str:
    return str(status) if status in _CODES else OTHER


class Instrumentation:
    """All metrics of the exporter itself, beginning with ``remote_job_exporter_`` or ``process_``."""

    def __init__(
        self, version: str, revision: str = "", *, shard: Shard | None = None, replicas: int = 1
    ) -> None:
        self.registry = CollectorRegistry()
        self._systems: dict[str, SystemInstrumentation] = {}
        ProcessCollector(registry=self.registry)
        build = self._new(
            Info,
            "build",
            "Versions of the exporter, of Python, of libcurl, and of their libraries for TLS: that of Python "
            "serves HTTPS, that of libcurl sends requests.",
        )
        build.info({"version": version, "revision": revision, **_libraries()})
        shard = shard or Shard()
        shards = self._new(Info, "shard", "Index of this shard, and number of shards.")
        shards.info({"shard": str(shard.index), "shards": str(shard.count)})
        self._new(Gauge, "shards", "Number of shards that share the configuration.").set(shard.count)
        self._new(Gauge, "replicas", "Number of exporters that should watch the same jobs.").set(replicas)
        self.scrapes = self._new(
            Histogram,
            "scrape_duration_seconds",
            "Duration of scrapes, probes and service discovery, by path.",
            "handler",
            buckets=_SCRAPE_BUCKETS,
        )
        self.dropped = self._new(
            Counter,
            "connections_dropped",
            "Client connections closed at the limit of open ones. reason: ending (had its last response), "
            "no_request (had not sent a whole one), idle, working (of an address with over half of all), or "
            "refused (a new one, while all were in use).",
            "reason",
        )
        for drop in Drop:
            self.dropped.labels(drop.value)  # starts at 0
        self.registry.register(_Requests(self._systems))
        self.failures = self._new(
            Counter, "request_failures", "Failed requests to a system, by reason.", "system", "reason"
        )
        self.retries = self._new(
            Counter,
            "request_retries",
            "Requests sent a second time because the system had closed the kept connection.",
            "system",
        )
        self.skipped = self._new(
            Counter,
            "reads_skipped",
            "Skipped reads: the last result was shown instead. why: fresh, final or pacing.",
            "system",
            "why",
        )
        self.jobs = self._new(Gauge, "jobs", "Known jobs of a system.", "system")
        self.cut = self._new(
            Counter, "responses_cut", "Responses that were cut because the client read them too slowly."
        )
        self._reloads: list[Reloads] = []
        self.config = self._new_reloads("config", "configuration")
        self.registry.register(_DroppedLogMessages())

    def _new(self, kind: Callable[..., Kind], name: str, help_: str, *labels: str, **options: Any) -> Kind:
        return kind(f"remote_job_exporter_{name}", help_, labels, registry=self.registry, **options)

    def connection_dropped(self, why: Drop) -> None:
        """A connection of a client was closed at the limit."""
        self.dropped.labels(why.value).inc()

    def web_config(self) -> Reloads:
        """The reloads of the web configuration, which only an exporter that has one shows; called once."""
        return self._new_reloads("web_config", "web configuration and its certificate")

    def _new_reloads(self, name: str, what: str) -> Reloads:
        worked = self._new(
            Gauge, f"{name}_last_reload_successful", f"1 if the last reload of the {what} succeeded."
        )
        worked_at = self._new(
            Gauge,
            f"{name}_last_reload_success_timestamp_seconds",
            f"Time of the last successful reload of the {what}.",
        )
        self._reloads.append(Reloads(worked, worked_at))
        return self._reloads[-1]

    def cap_times(self, now: float) -> None:
        """Shows no time after ``now``, after the clock was set back."""
        for reloads in self._reloads:
            reloads.cap_time(now)

    def render(self, *, openmetrics: bool) -> bytes:
        """All of them in text format 0.0.4, or in OpenMetrics 1.0.0 without its end mark."""
        plain = _WithoutCreated(self.registry)
        if openmetrics:
            page: bytes = generate_openmetrics(plain)
            return page.removesuffix(b"# EOF\n")
        return generate_text(plain)

    def of(self, system: str) -> SystemInstrumentation:
        """The instrumentation of one system; every reason and every why starts at 0."""
        if system not in self._systems:
            self._systems[system] = SystemInstrumentation(self, system)
        return self._systems[system]

    def forget(self, system: str) -> None:
        """A system that is no longer configured leaves no series."""
        if instrumentation := self._systems.pop(system, None):
            instrumentation.forget()


class _Requests(Collector):
    """The requests of all systems, which a read counts without prometheus-client."""

    def __init__(self, systems: Mapping[str, SystemInstrumentation]) -> None:
        self._systems = systems

    def collect(self) -> Iterator[Metric]:
        prefix = "remote_job_exporter_request"
        numbers = CounterMetricFamily(
            f"{prefix}s", "Requests with a response, by HTTP status.", labels=("system", "code")
        )
        durations = HistogramMetricFamily(
            f"{prefix}_duration_seconds", "Duration of requests with a response.", labels=("system",)
        )
        # A copy: this runs in the thread of a scrape, and a reload can add systems meanwhile.
        for system in [*self._systems.values()]:
            system.add_requests(numbers, durations)
        yield numbers
        yield durations


def _libraries() -> dict[str, str]:
    libcurl = pycurl.version_info()
    return {
        "python_version": platform.python_version(),
        "python_tls": "/".join(ssl.OPENSSL_VERSION.split()[:2]),
        "libcurl_version": libcurl[1],
        "libcurl_tls": libcurl[5],
    }


class _DroppedLogMessages(Collector):
    """A counter of the process, since all exporters in it share its log."""

    def collect(self) -> Iterator[Metric]:
        name, help_ = "remote_job_exporter_log_messages_dropped", "Log messages that could not be written."
        yield CounterMetricFamily(name, help_, value=logging.dropped())


class _WithoutCreated(Collector):
    """A registry without the ``_created`` series, which double its size and which no scraper needs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
