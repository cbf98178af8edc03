"""Paths and content negotiation: an ASGI application over one collector."""

import asyncio
import gzip
import logging
import math
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from exporter import __version__
from exporter.collector import Collector
from exporter.config import ConfigError
from exporter.exposition import Format, accepts_gzip, negotiate
from exporter.meters import Meters
from exporter.web.pages import landing

_log = logging.getLogger(__name__)

TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds"
DEFAULT_TIMEOUT = 10.0
LONGEST_TIMEOUT = 300.0
MAX_SCRAPES = 20
GZIP_FROM = 1400


class App:
    """The exporter's own paths.

    Args:
        timeout_offset: seconds taken off Prometheus's scrape timeout, for the answer's way back.
        reload: reads the configuration again; raises `ConfigError` when it is not taken.
    """

    def __init__(
        self,
        collector: Collector,
        meters: Meters,
        *,
        timeout_offset: float,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self.ready = True
        self._collector = collector
        self._meters = meters
        self._timeout_offset = timeout_offset
        self._read_config_again = reload
        self._scrapes = 0
        self.asgi = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/", self._landing),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._reload, methods=["POST"]),
            ]
        )
        # What is not a path of ours is 404, with a slash at its end too.
        self.asgi.router.redirect_slashes = False

    async def _metrics(self, request: Request) -> Response:
        """Every job and the exporter itself; 200 whatever the systems do."""
        jobs = request.query_params.get("jobs", "true")
        if jobs not in ("true", "false"):
            return PlainTextResponse("jobs: allowed are true and false\n", 400)
        if self._scrapes >= MAX_SCRAPES:
            return PlainTextResponse("too many scrapes at once\n", 503)
        began = time.monotonic()
        format_ = negotiate(request.headers.get("accept", ""))
        self._scrapes += 1
        try:
            if jobs == "true":
                body = await self._scrape(request, format_)
            else:
                body = self._collector.render(format_, jobs=False)
            headers = {"Content-Type": format_.value, "Vary": "Accept, Accept-Encoding"}
            if len(body) >= GZIP_FROM and accepts_gzip(request.headers.get("accept-encoding", "")):
                # In a thread: packing a large page would hold the loop.
                body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
                headers["Content-Encoding"] = "gzip"
            return Response(body, headers=headers)
        finally:
            self._scrapes -= 1
            self._meters.scrapes.observe(time.monotonic() - began)

    async def _scrape(self, request: Request, format_: Format) -> bytes:
        """The page, once all is read or the deadline has passed; nothing when the scraper hangs up."""
        seconds = scrape_seconds(request.headers.get(TIMEOUT_HEADER, ""), self._timeout_offset)
        scrape = asyncio.create_task(self._collector.scrape(seconds, format_))
        hung_up = asyncio.create_task(_hung_up(request.receive))
        try:
            await asyncio.wait((scrape, hung_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hung_up.cancel()
            scrape.cancel()
            await asyncio.wait((scrape, hung_up))
        return b"" if scrape.cancelled() else scrape.result()

    async def _reload(self, request: Request) -> Response:
        """Reads the configuration again; 500 with every mistake when it is not taken."""
        try:
            await self._read_config_again()
        except ConfigError as error:
            return PlainTextResponse(f"{error}\n", 500)
        return PlainTextResponse("reloaded\n")

    async def _landing(self, request: Request) -> Response:
        shard = self._collector.shard
        place = f"This is shard {shard.index} of {shard.count}." if shard.count > 1 else ""
        return HTMLResponse(landing(__version__, place, self._collector.overview()))

    async def _healthy(self, request: Request) -> Response:
        return PlainTextResponse("healthy\n")

    async def _ready(self, request: Request) -> Response:
        return PlainTextResponse("ready\n") if self.ready else PlainTextResponse("stopping\n", 503)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def scrape_seconds(header: str, offset: float) -> float:
    """How long a scrape may take, by Prometheus's header less the offset.

    No header, or an absurd one, means ten seconds. At least half of what Prometheus waits is used,
    however large the offset.
    """
    try:
        timeout = float(header)
    except ValueError:
        timeout = DEFAULT_TIMEOUT
    if not (math.isfinite(timeout) and 0 < timeout <= LONGEST_TIMEOUT):
        timeout = DEFAULT_TIMEOUT
    return max(timeout - offset, timeout / 2)
