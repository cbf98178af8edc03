"""``/``: what this is, how each system does, and the next steps of an operator who has just installed it."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from exporter import __version__
from exporter.collector.collector import Collector
from exporter.model.clock import Clock
from exporter.plugins import Plugin
from exporter.views import DOCUMENTATION, Filters, problem
from exporter.web.address import HOST
from exporter.web.templates import Templates, root_of

REFRESH_SECONDS = 10
OLD_SECONDS = 300.0
"""Without a scrape for so long, the page says that Prometheus does not scrape the exporter."""


class HomePage:
    """The page at ``/``.

    Args:
        plugins: those that are loaded.

    Attributes:
        scraped_at: Unix time of the last scrape by Prometheus or what scrapes like it; ``None`` if there was
            none.
    """

    def __init__(
        self, collector: Collector, templates: Templates, clock: Clock, plugins: Sequence[Plugin]
    ) -> None:
        self._collector = collector
        self._templates = templates
        self._clock = clock
        self._plugins = plugins
        self.scraped_at: float | None = None

    def scraped(self) -> None:
        """Prometheus scrapes jobs now."""
        self.scraped_at = self._clock.time()

    async def serve(self, request: Request) -> Response:
        """The page."""
        shard = self._collector.shard
        place = f"This is shard {shard.index} of {shard.count}." if shard.count > 1 else ""
        body = await asyncio.to_thread(
            self._templates.render,
            "home",
            root_of(request.scope["raw_path"]),
            version=__version__,
            shard=place,
            systems=self._collector.overview(),
            plugins=self._plugins,
            snippet=_snippet(request),
            scraped_at=self.scraped_at,
            now=self._clock.time(),
            old=OLD_SECONDS,
            refresh=REFRESH_SECONDS,
            documentation=DOCUMENTATION,
            problem=problem,
            of_system=lambda name: Filters(systems=(name,)),
        )
        return HTMLResponse(body, headers={"Cache-Control": "no-cache"})


def _snippet(request: Request) -> str:
    """What Prometheus needs to scrape this instance, by the address that the browser uses."""
    host = request.headers.get("host", "")
    target = host if HOST.fullmatch(host) else "HOST:10072"
    lines = [
        "scrape_configs:",
        "  - job_name: remote-job-exporter",
        *(["    scheme: https"] if request.url.scheme == "https" else []),
        "    scrape_interval: 30s",
        "    scrape_timeout: 10s",
        *(
            ["    basic_auth: {username: NAME, password_file: /etc/prometheus/password}"]
            if "authorization" in request.headers
            else []
        ),
        "    static_configs:",
        f'      - targets: ["{target}"]',
    ]
    return "\n".join(lines)
