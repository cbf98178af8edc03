"""One running exporter: config in, collector and server up, signals, end."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter import __version__
from exporter.auth import CREDENTIALS
from exporter.collector import Collector
from exporter.config import Config, System
from exporter.meters import Meters
from exporter.pacing import Rules
from exporter.providers import PROVIDERS
from exporter.transport import Route
from exporter.upstream import Upstream
from exporter.web.app import App
from exporter.web.server import Server

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of serving.

    Args:
        listen: addresses such as ``:10072``, ``127.0.0.1:10072`` or ``unix:/path``.
        timeout_offset: seconds taken off Prometheus's scrape timeout.
        shutdown_timeout: seconds that scrapes under way have to finish at the end.
    """

    listen: Sequence[str] = (":10072",)
    timeout_offset: float = 0.5
    shutdown_timeout: float = 15.0


class Service:
    """An exporter of the given config; lives on one event loop, has a start and a stop."""

    def __init__(self, config: Config, options: Options) -> None:
        self._options = options
        self._config = config

    async def start(self) -> None:
        """Builds everything and begins to listen.

        Raises:
            ListenError: an address cannot be listened on.
        """
        meters = Meters(__version__)
        self.collector = Collector(meters)
        for system in self._config.systems:
            _add(self.collector, system, meters)
        self._app = App(self.collector, meters, timeout_offset=self._options.timeout_offset)
        self._server = Server(self._app.asgi, self._options.listen)
        await self._server.start()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be reached, as URLs."""
        return self._server.addresses

    async def stop(self) -> None:
        """Lets scrapes under way finish, then ends every connection."""
        self._app.ready = False
        await self._server.stop(self._options.shutdown_timeout)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.collector.close(), CLOSE_SECONDS)


def _add(collector: Collector, system: System, meters: Meters) -> None:
    provider = PROVIDERS[system.provider](system.options)
    upstream = Upstream(
        base_url=system.base_url,
        provider=provider,
        credential=CREDENTIALS[system.auth.type](system.auth),
        route=Route(system.tls, system.proxy_url),
        timeout=system.timeout,
        concurrency=system.concurrency,
        headers=system.headers,
        meters=meters.of(system.name),
    )
    collector.add(
        system.name,
        upstream,
        system.jobs,
        Rules(system.min_interval, system.final_interval, provider.poll_steps),
        labels=dict(system.labels),
        concurrency=system.concurrency,
        current_only=system.state_series == "current",
    )


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, on the running loop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def serve(config: Config, options: Options) -> None:
    """Runs an exporter until SIGTERM or SIGINT.

    Raises:
        ListenError: an address cannot be listened on.
    """
    service = Service(config, options)
    with stop_signals() as stop:
        await service.start()
        # What is there now stays: looking through it again and again for garbage costs a tenth of
        # every read.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        jobs = sum(len(system.jobs) for system in config.systems)
        _log.info(
            "listening",
            extra={
                "version": __version__,
                "addresses": " ".join(service.addresses),
                "systems": len(config.systems),
                "jobs": jobs,
            },
        )
        await stop.wait()
        _log.info("stopping; scrapes under way may finish")
        await service.stop()
