"""Paths and content negotiation: an ASGI application over one collector."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from exporter.collector.collector import Collector, TooManyProbesError, UnlistedError
from exporter.collector.explain import explain
from exporter.collector.query import MAX_PARAMETERS, Pairs, QueryError, wants_debug
from exporter.config import ConfigError
from exporter.metrics.exposition import accepts_gzip, negotiate
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.job import Job
from exporter.plugins import Plugin
from exporter.runtime.tasks import log_failure
from exporter.upstream.trace import Trace
from exporter.web.address import HOST
from exporter.web.cross_site import REFUSAL, is_cross_site
from exporter.web.home_page import HomePage
from exporter.web.job_pages import JobPages
from exporter.web.sending import Pages
from exporter.web.static_files import StaticFiles
from exporter.web.templates import Templates

TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds"
REFRESH_HEADER = "x-prometheus-refresh-interval-seconds"
PLAIN = "text/plain; charset=utf-8"
DEFAULT_TIMEOUT = 10.0
SHORTEST_TIMEOUT = 0.001
LONGEST_TIMEOUT = 300.0


class App:
    """The exporter's own paths.

    Args:
        timeout_offset: seconds subtracted from Prometheus's scrape timeout, for sending the response.
        reload: reads the configuration again; raises `ConfigError` if it has errors.
        plugins: those that are loaded, shown at ``/``.
        grafana: the address of a Grafana that pages link to; empty if there is none.
    """

    def __init__(
        self,
        collector: Collector,
        instrumentation: Instrumentation,
        *,
        timeout_offset: float,
        reload: Callable[[], Awaitable[None]],
        plugins: Sequence[Plugin] = (),
        grafana: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.ready = True
        self._collector = collector
        self._instrumentation = instrumentation
        self._timeout_offset = timeout_offset
        self._read_config_again = reload
        self._pages = Pages(instrumentation.cut)
        static = StaticFiles()
        templates = Templates(static.paths)
        self._home = HomePage(collector, templates, clock, plugins)
        job_pages = JobPages(collector, self._pages, templates, clock, _pairs, grafana)
        self.asgi = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/probe", self._probe),
                Route("/sd", self._sd),
                *job_pages.routes,
                Route("/static/{name}", static.serve),
                Route("/", self._home.serve),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._reload, methods=["POST"]),
            ],
            exception_handlers={404: _refused, 405: _refused},
        )
        for path in ("/metrics", "/probe", "/sd"):
            instrumentation.scrapes.labels(path)  # starts at 0
        # An unknown path is 404, also a known one with a slash at its end.
        self.asgi.router.redirect_slashes = False

    async def _metrics(self, request: Request) -> Response:
        """Every job and the exporter itself; 200 whatever the systems do."""
        try:
            jobs = dict(_pairs(request)).get("jobs", "true")
        except QueryError as error:
            return PlainTextResponse(f"{error}\n", 400)
        if jobs not in ("true", "false"):
            return PlainTextResponse("jobs: allowed are true and false\n", 400)
        if jobs == "true":
            self._note_scrape(request)
        return await self._scraped(request, self._scrape(request, jobs=jobs == "true"))

    async def _scrape(self, request: Request, *, jobs: bool) -> Response:
        format_ = negotiate(request.headers.get("accept", ""))

        def page() -> Awaitable[Response]:
            return self._pages.shared(
                (format_, jobs),
                format_.value,
                lambda: self._collector.render(format_, jobs=jobs),
                accepts_gzip=_accepts_gzip(request),
            )

        return await self._collector.collected(self._seconds(request, TIMEOUT_HEADER), page, jobs=jobs)

    async def _probe(self, request: Request) -> Response:
        """One job of a configured system, or the explanation of its read; 200 whatever the result."""
        try:
            pairs = _pairs(request)
        except QueryError as error:
            return PlainTextResponse(f"{error}\n", 400)
        self._note_scrape(request)
        return await self._scraped(request, self._probed(request, pairs))

    async def _probed(self, request: Request, pairs: Pairs) -> Response:
        seconds = self._seconds(request, TIMEOUT_HEADER)
        trace = Trace() if wants_debug(pairs) else None
        try:
            probe = await self._collector.probe(pairs, seconds, trace)
        except QueryError as error:
            return PlainTextResponse(f"{error}\n", 400)
        except TooManyProbesError as error:
            return PlainTextResponse(f"{error}\n", 503)
        format_ = negotiate(request.headers.get("accept", ""))
        body, type_ = probe.render(format_), format_.value
        if trace is not None:
            body, type_ = explain(probe).encode(), PLAIN
        return await self._pages.single(body, type_, accepts_gzip=_accepts_gzip(request))

    async def _sd(self, request: Request) -> Response:
        """The jobs of this shard as targets for ``/probe``, for Prometheus's HTTP service discovery."""
        host = request.headers.get("host", "")
        if not HOST.fullmatch(host):
            return PlainTextResponse("Host: allowed is a name or an address, and a port\n", 400)
        return await self._scraped(request, self._targets(request, host))

    async def _targets(self, request: Request, host: str) -> Response:
        # Prometheus sends its refresh interval here and no scrape timeout, and waits that long.
        seconds = min(self._seconds(request, REFRESH_HEADER), DEFAULT_TIMEOUT)
        try:
            await self._collector.list_due(seconds)
        except UnlistedError as error:
            # On an error Prometheus keeps its targets; a list without the missing jobs would remove theirs.
            text = f"some systems have not been listed yet: {error}; try again later\n"
            return PlainTextResponse(text, 503)
        # In a thread: many jobs would block the loop.
        return await self._pages.shared(
            host,
            "application/json",
            lambda: asyncio.to_thread(_target_list, self._collector.jobs(), host),
            accepts_gzip=_accepts_gzip(request),
        )

    def _note_scrape(self, request: Request) -> None:
        # Prometheus and agents that scrape like it send this header, people do not.
        if TIMEOUT_HEADER in request.headers:
            self._home.scraped()

    async def _scraped(self, request: Request, work: Coroutine[Any, Any, Response]) -> Response:
        """The response of the work; cancelled if the client disconnects."""
        began = self._clock.monotonic()
        scrape = asyncio.create_task(work)
        disconnected = asyncio.create_task(_disconnected(request.receive))
        log_failure(disconnected, "wait for a disconnect")
        try:
            await asyncio.wait((scrape, disconnected), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            log_failure(scrape, "scrape")  # its response goes nowhere
            raise
        finally:
            disconnected.cancel()
            scrape.cancel()
            await asyncio.wait((scrape, disconnected))
            took = self._clock.monotonic() - began
            self._instrumentation.scrapes.labels(request.scope["path"]).observe(took)
        return Response() if scrape.cancelled() else scrape.result()

    def _seconds(self, request: Request, header: str) -> float:
        return scrape_seconds(request.headers.get(header, ""), self._timeout_offset)

    async def _reload(self, request: Request) -> Response:
        """Reads the configuration again; 500 with every error if it has some."""
        if is_cross_site(request):
            return PlainTextResponse(f"{REFUSAL}\n", 403)
        try:
            await self._read_config_again()
        except ConfigError as error:
            return PlainTextResponse(f"{error}\n", 500)
        return PlainTextResponse("reloaded\n")

    async def _healthy(self, request: Request) -> Response:
        return PlainTextResponse("healthy\n")

    async def _ready(self, request: Request) -> Response:
        return PlainTextResponse("ready\n") if self.ready else PlainTextResponse("stopping\n", 503)


def _accepts_gzip(request: Request) -> bool:
    return accepts_gzip(request.headers.get("accept-encoding", ""))


def _pairs(request: Request) -> Pairs:
    """The parameters of a request; reading thousands would block the loop.

    Raises:
        QueryError: they are too many, or not UTF-8.
    """
    try:
        return parse_qsl(
            request.url.query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        text = f"the query cannot be read: allowed are up to {MAX_PARAMETERS} parameters in UTF-8"
        raise QueryError([text]) from None


async def _refused(_: Request, error: Exception) -> Response:
    """An unknown path or method, as one line with a line break."""
    if not isinstance(error, HTTPException):
        raise error
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


def _target_list(jobs: Iterable[Job], host: str) -> bytes:
    # One target at a time: other threads cannot run while JSON is encoded.
    return f"[{', '.join([json.dumps(_target(job, host)) for job in jobs])}]".encode()


def _target(job: Job, host: str) -> dict[str, Any]:
    """One target group of https://prometheus.io/docs/prometheus/latest/http_sd/."""
    labels = {
        **{f"__param_{name}": value for name, value in job.keys.items()},
        "__metrics_path__": "/probe",
        "__param_system": job.system,
        "instance": f"{job.system}/{job.id}",
    }
    return {"targets": [host], "labels": labels}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def scrape_seconds(header: str, offset: float) -> float:
    """Seconds that a scrape can take: those of the header (10 without a valid one) less the offset.

    The offset subtracts half of them at most.
    """
    try:
        timeout = float(header)
    except ValueError:
        timeout = DEFAULT_TIMEOUT
    if not SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT:  # nan is neither
        timeout = DEFAULT_TIMEOUT
    return max(timeout - offset, timeout / 2)
