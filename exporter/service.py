"""One running exporter: start, reload, watching of configuration files, signals, stop."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from exporter import __version__, config
from exporter.collector.collector import Collector
from exporter.collector.explain_listing import ReadListing, read_listings
from exporter.collector.online import Online, try_systems
from exporter.collector.probed import Probe
from exporter.collector.query import Pairs
from exporter.config import BUILT_IN, Registry, SystemConfig
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.shard import Shard
from exporter.planning import Planned, Planner
from exporter.plugins import Plugin
from exporter.runtime import descriptors, garbage, tasks
from exporter.runtime.compute import Compute
from exporter.runtime.logging import counted
from exporter.runtime.systemd import Notifier
from exporter.upstream.reading import Upstream
from exporter.upstream.trace import Trace
from exporter.web.app import App
from exporter.web.security import Guard, Security
from exporter.web.server import Server

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
# Besides its connections: two that libcurl wakes itself with, a request for a credential, a file of a secret.
SYSTEM_DESCRIPTORS = 4
WATCH_SECONDS = 1.0
FAILED = "failed to load configuration; keeping the previous one"
UNCHANGED = "configuration unchanged"
LOG_AGAIN_SECONDS = 60.0
"""The shortest time between two lines about the same result: any client may reload again and again."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line sets.

    Args:
        listen: addresses such as ``:10072``, ``127.0.0.1:10072`` or ``unix:/path``; ``None`` for the sockets
            that systemd passed.
        timeout_offset: seconds to subtract from Prometheus's scrape timeout.
        shutdown_timeout: seconds that scrapes in progress have to finish after a stop.
        watch: whether to reload the configuration when its files change.
        shard: which of the configured jobs are watched here.
        replicas: how many exporters should watch the same jobs; only shown, for alerts.
        web_config: the file of certificates and users, if any; it is reloaded when it changes.
        registry: the providers and credentials that the configuration may name.
        plugins: shown on pages and in the log.
        grafana: the address of a Grafana that pages link to; empty if there is none.
    """

    listen: Sequence[str] | None = (":10072",)
    timeout_offset: float = 0.5
    shutdown_timeout: float = 15.0
    watch: bool = False
    web_config: Path | None = None
    shard: Shard = field(default_factory=Shard)
    replicas: int = 1
    registry: Registry = BUILT_IN
    plugins: Sequence[Plugin] = ()
    grafana: str = ""


class Service:
    """An exporter of the configuration in a file or folder. It belongs to one event loop.

    Attributes:
        watched: what the configuration contains, for people, such as ``5 jobs of 1 system``.
    """

    def __init__(
        self,
        file: Path,
        options: Options,
        notifier: Notifier | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.watched = "nothing"
        self._file = file
        self._options = options
        self._notifier = notifier or Notifier({})
        revision = os.environ.get("REMOTE_JOB_EXPORTER_REVISION", "")  # set in the image
        self._instrumentation = Instrumentation(
            __version__, revision, shard=options.shard, replicas=options.replicas
        )
        self._compute = Compute()
        self._planner = Planner(file, self._instrumentation, clock, self._compute)
        self._plans: dict[str, Planned] = {}
        self._loader = config.Loader(file, clock, options.registry)
        self._reloads = tasks.SharedRuns(self._reload)
        self._logged: object = None
        self._log_from = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._security: Security | None = None
        self.collector = Collector(self._instrumentation, options.shard, clock)

    async def start(self) -> None:
        """Loads the configuration and starts to listen.

        Raises:
            ConfigError: the configuration or the web configuration has errors.
            ListenError: an address cannot be listened on, or systemd passed no socket.
        """
        # A reload that is requested this early waits: its end notifies systemd that the exporter listens.
        async with self._reloads.alone:
            await self._start()

    async def _start(self) -> None:
        if self._options.web_config is not None:
            self._security = Security(
                self._options.web_config, self._instrumentation.web_config(), self._clock
            )
        await self._load()
        self._app = App(
            self.collector,
            self._instrumentation,
            timeout_offset=self._options.timeout_offset,
            reload=self.reload,
            plugins=self._options.plugins,
            grafana=self._options.grafana,
            clock=self._clock,
        )
        app: ASGIApp = self._app.asgi
        tls = None
        if self._security is not None:
            app = Guard(app, self._security)
            tls = self._security.context if self._security.tls else None
        self._server = Server(
            app, self._options.listen, ssl_context=tls, count=self._instrumentation.connection_dropped
        )
        self._reserve_descriptors()
        await self._server.start()

    def _reserve_descriptors(self) -> None:
        plans = (plan for _, plan in self._plans.values())
        self._server.reserve(sum(plan.concurrency + SYSTEM_DESCRIPTORS for plan in plans))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The URLs that it listens on."""
        return self._server.addresses

    async def reload(self) -> None:
        """Loads the configuration again and applies all of it, or nothing.

        Raises:
            ConfigError: it has errors; the previous one stays in force.
        """
        await self._reloads.wait()

    def reload_soon(self) -> None:
        """The same in the background; the result is in the log."""
        self._reloads.soon()

    async def _reload(self) -> None:
        await self._notifier.reloading()
        refused = ""
        try:
            systems = await tasks.in_thread(self._load_changes)
            if systems is not None:
                await self._apply(systems)
                self._reserve_descriptors()
            elif self._is_news(UNCHANGED):
                _log.info(UNCHANGED)
            self._instrumentation.config.ended(worked=True)
        except config.ConfigError as error:
            first, more = error.errors[0], len(error.errors) - 1
            if self._is_news(error.errors):
                _log.error(FAILED, extra={"error": str(first), "more_errors": more})
            refused = f"failed to load configuration: {first}; still watching "
            raise
        except Exception as error:
            self._loader.forget()
            _log.exception(FAILED)
            refused = f"failed to load configuration: {type(error).__name__}; still watching "
            raise
        finally:
            if refused:
                self._instrumentation.config.ended(worked=False)
            await self._notifier.ready(refused + self.watched)

    def _is_news(self, result: object) -> bool:
        """Whether a result is not the very one of the last reload, or was logged a minute ago."""
        now = self._clock.monotonic()
        if result is self._logged and now < self._log_from:
            return False
        self._logged, self._log_from = result, now + LOG_AGAIN_SECONDS
        return True

    async def stop(self) -> None:
        """Lets scrapes in progress finish, then closes all connections."""
        self._app.ready = False
        await self._server.stop(self._options.shutdown_timeout)
        if self._security is not None:
            self._security.close()
        await self._end()

    async def probe(self, pairs: Pairs, seconds: float, trace: Trace) -> tuple[Probe, config.Config]:
        """Probes one job without listening. Use it instead of `start` and `stop`.

        Args:
            trace: records requests and responses.

        Returns:
            The result, and the configuration that was loaded for it.

        Raises:
            ConfigError: the configuration has errors.
            QueryError: the pairs name no job.
        """
        async with self.reading() as loaded:
            return await self.collector.probe(pairs, seconds, trace), loaded

    async def list_jobs(self, system: str) -> tuple[list[ReadListing], config.Config]:
        """Reads each listing of one system once without listening. Use it instead of `start` and `stop`.

        Returns:
            The result of each, and the configuration that was loaded for them.

        Raises:
            ConfigError: the configuration has errors.
            QueryError: the system is not configured, or has no listing.
        """
        async with self.reading() as loaded:
            plans = {name: plan for name, (_, plan) in self._plans.items()}
            return await read_listings(system, plans), loaded

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[config.Config]:
        """Loads the configuration, so that its jobs can be read without listening, and ends all reads.

        Use it instead of `start` and `stop`.

        Raises:
            ConfigError: the configuration has errors.
        """
        loaded = await self._load()
        try:
            yield loaded
        finally:
            await self._end()

    async def try_online(self) -> tuple[list[Online], config.Config]:
        """Tries each system once without listening. Use it instead of `start` and `stop`.

        Returns:
            The result of each, and the configuration that was loaded for them.

        Raises:
            ConfigError: the configuration has errors.
        """
        async with self.reading() as loaded:
            plans = [plan for _, plan in self._plans.values()]
            return await try_systems(plans, self._clock), loaded

    async def _end(self) -> None:
        await self._reloads.cancel()
        await self.collector.close()
        self._compute.close()
        for _, plan in self._plans.values():
            self._close_later(plan.upstream, 0.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*self._closing, return_exceptions=True), CLOSE_SECONDS)

    async def _load(self) -> config.Config:
        """Loads the first configuration."""
        # In a thread, as each load: a large configuration would block the loop.
        loaded = await tasks.in_thread(self._loader.load)
        await self._apply(loaded.systems)
        self._instrumentation.config.ended(worked=True)
        return loaded

    def _load_changes(self) -> Sequence[SystemConfig] | None:
        """The systems of the configuration, or ``None`` if no file has changed. Runs in a thread."""
        loaded = self._loader.load_changes()
        if loaded is None:
            return None
        before = {name: system for name, (system, _) in self._plans.items()}
        return [config.sharing(system, before.get(system.name)) for system in loaded.systems]

    async def _apply(self, systems: Sequence[SystemConfig]) -> None:
        try:
            plans = await self._planner.plan(systems, self._plans)
        except config.ConfigError as error:
            self._loader.reject(error)
            raise
        for _ in self.collector.replacing([plan for _, plan in plans.values()]):
            await self._compute.turns.pause()
        before, self._plans = self._plans, plans
        kept = {plan.upstream for _, plan in plans.values()}
        for system, plan in before.values():
            if plan.upstream not in kept:
                self._close_later(plan.upstream, system.reach.timeout)
        jobs = sum(len(system.jobs) for system in systems)
        self._logged = None
        _log.info("configuration loaded", extra={"systems": len(systems), "jobs": jobs})
        found = ", and discovered jobs" if any(system.discover for system in systems) else ""
        self.watched = f"{counted(jobs, 'job')} of {counted(len(systems), 'system')}{found}"

    def _close_later(self, upstream: Upstream, grace: float) -> None:
        """Closes in the background, so that reads in progress can end."""
        tasks.start(upstream.close(grace=grace), self._closing, "close a system")


async def _watch(file: Path, reload: Callable[[], Awaitable[None]], loaded: object) -> None:
    """Reloads when files have changed and then stayed the same between two checks. Ends only when cancelled.

    Args:
        loaded: their stamp from before the configuration was loaded.
    """
    failures: set[type[Exception]] = set()

    async def stamp() -> object:
        try:
            return await tasks.in_thread(lambda: config.stamp(file))
        except Exception as error:  # noqa: BLE001  # the next check may work
            if type(error) not in failures:
                failures.add(type(error))
                _log.exception("failed to check configuration files for changes; trying again every second")
            return None

    applied = seen = loaded
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        before, seen = seen, await stamp()
        if seen == before and seen != applied:
            applied = seen
            await reload()


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


async def serve(file: Path, options: Options) -> None:
    """Runs an exporter until SIGTERM or SIGINT; SIGHUP reloads its configuration.

    Raises:
        ConfigError: the configuration has errors.
        ListenError: an address cannot be listened on.
    """
    descriptors.raise_limit()
    notifier = Notifier(os.environ)
    service = Service(file, options, notifier)
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    alive: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        with contextlib.suppress(Exception):  # already logged
            await service.reload()

    if notifier.watchdog is not None:
        # The watchdog ends a stuck process with SIGABRT: the journal then shows where it was stuck.
        faulthandler.enable()
    with stop_signals() as stop:
        loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
        loaded: object = None
        with contextlib.suppress(Exception):  # `_watch` logs it
            loaded = await tasks.in_thread(lambda: config.stamp(file))
        await service.start()
        if options.watch:
            tasks.start(_watch(file, reload, loaded), running, "watch the configuration")
        garbage.configure()
        tasks.start(garbage.collect_young(), running, "collect garbage")
        tasks.start(garbage.collect_fully(lambda: service.collector.is_idle), running, "collect garbage")
        addresses = " ".join(service.addresses)
        shown = {"plugins": ", ".join(map(str, options.plugins))} if options.plugins else {}
        _log.info("listening", extra={"version": __version__, "addresses": addresses, **shown})
        await notifier.ready(service.watched)
        # Until the end: systemd must not miss pings while scrapes in progress finish.
        tasks.start(notifier.keep_alive(), alive, "ping systemd")
        await stop.wait()
        _log.info("stopping; waiting for scrapes in progress")
        await notifier.stopping("waiting for scrapes in progress")
        for task in running:
            task.cancel()
        await service.stop()
        for task in alive:
            task.cancel()
