"""One running exporter: config in, collector and server up, signals, end."""

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from exporter import __version__, config
from exporter.collector.collector import Collector
from exporter.collector.plan import Plan
from exporter.collector.probed import Probe
from exporter.collector.query import Pairs
from exporter.config import BUILT_IN, Registry, SystemConfig
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.model.pacing import Rules
from exporter.model.shard import Shard
from exporter.plugins import Plugin
from exporter.runtime import tasks
from exporter.runtime.logging import counted
from exporter.runtime.systemd import Notifier
from exporter.upstream.client import Client
from exporter.upstream.reading import Upstream
from exporter.upstream.trace import Trace
from exporter.web.app import App
from exporter.web.security import Guard, Security
from exporter.web.server import Server

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of serving.

    Args:
        listen: addresses such as ``:10072``, ``127.0.0.1:10072`` or ``unix:/path``; ``None``: the sockets
            that systemd passed.
        timeout_offset: seconds taken off Prometheus's scrape timeout.
        shutdown_timeout: seconds that scrapes under way have to finish at the end.
        watch: read the config again whenever its files change.
        shard: which of the config's jobs are watched here.
        web_config: the file of certificates and users, if any; it is always watched.
        registry: the providers and credentials that the config may name.
        plugins: what was taken of other distributions, to be shown.
    """

    listen: Sequence[str] | None = (":10072",)
    timeout_offset: float = 0.5
    shutdown_timeout: float = 15.0
    watch: bool = False
    web_config: Path | None = None
    shard: Shard = field(default_factory=Shard)
    registry: Registry = BUILT_IN
    plugins: Sequence[Plugin] = ()


class Service:
    """An exporter of the config in ``file`` (or folder); lives on one event loop, has a start and a stop.

    Attributes:
        watched: what the config taken last has, in words.
    """

    def __init__(
        self,
        file: Path,
        options: Options,
        notifier: Notifier | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.watched = "nothing yet"
        self._file = file
        self._options = options
        self._notifier = notifier or Notifier({})
        revision = os.environ.get("REMOTE_JOB_EXPORTER_REVISION", "")  # set by whoever builds the image
        self._instrumentation = Instrumentation(__version__, revision, shard=options.shard)
        self._plans: dict[str, tuple[SystemConfig, Plan]] = {}
        self._reloading = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._security: Security | None = None
        self.collector = Collector(self._instrumentation, options.shard, clock)

    async def start(self) -> None:
        """Reads the config and begins to listen.

        Raises:
            ConfigError: the config, or that of the web, has errors.
            ListenError: an address cannot be listened on, or systemd passed no socket.
        """
        # Whoever asks for a reload this early waits: it ends with word that the exporter listens.
        async with self._reloading:
            await self._start()

    async def _start(self) -> None:
        if self._options.web_config is not None:
            self._security = Security(self._options.web_config, self._clock)
        await self._load()
        self._app = App(
            self.collector,
            self._instrumentation,
            timeout_offset=self._options.timeout_offset,
            reload=self.reload,
            plugins=self._options.plugins,
            clock=self._clock,
        )
        app: ASGIApp = self._app.asgi
        tls = None
        if self._security is not None:
            app = Guard(app, self._security)
            tls = self._security.context if self._security.tls else None
        self._server = Server(app, self._options.listen, ssl_context=tls)
        await self._server.start()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be reached, as URLs."""
        return self._server.addresses

    async def reload(self) -> None:
        """Reads the config again and takes it whole, or not at all.

        Raises:
            ConfigError: it has errors; what was watched before is still watched.
        """
        async with self._reloading:
            await self._notifier.reloading()
            refused = ""
            try:
                await self._load()
            except config.ConfigError as error:
                first, more = error.errors[0], len(error.errors) - 1
                _log.error("config not taken", extra={"error": str(first), "more_errors": more})
                refused = f"config not taken: {first}; still "
                raise
            except Exception as error:
                _log.exception("config not taken")
                refused = f"config not taken: {type(error).__name__}; still "
                raise
            finally:
                if refused:
                    self._instrumentation.reloaded(worked=False)
                # Reading a config leaves circles behind, which are looked for rarely (see `serve`).
                gc.collect()
                await self._notifier.ready(refused + self.watched)

    async def stop(self) -> None:
        """Lets scrapes under way finish, then ends every connection."""
        self._app.ready = False
        await self._server.stop(self._options.shutdown_timeout)
        if self._security is not None:
            self._security.close()
        await self._end()

    async def probe(self, pairs: Pairs, seconds: float) -> Probe:
        """Probes one job without listening anywhere; in place of a start and a stop.

        Raises:
            ConfigError: the config has errors.
            QueryError: the pairs name no job.
        """
        await self._load()
        try:
            return await self.collector.probe(pairs, seconds, Trace())
        finally:
            await self._end()

    async def _end(self) -> None:
        await self.collector.close()
        for _, plan in self._plans.values():
            self._close_later(plan.upstream, 0.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*self._closing, return_exceptions=True), CLOSE_SECONDS)

    async def _load(self) -> None:
        # In a thread: a large config would hold the loop.
        registry = self._options.registry
        loaded = await asyncio.to_thread(config.load, self._file, self._clock, registry=registry)
        systems = loaded.systems
        plans = self._planned(systems)
        self.collector.replace([plan for _, plan in plans.values()])
        before, self._plans = self._plans, plans
        kept = {plan.upstream for _, plan in plans.values()}
        for system, plan in before.values():
            if plan.upstream not in kept:
                self._close_later(plan.upstream, system.reach.timeout)
        self._instrumentation.reloaded(worked=True)
        jobs = sum(len(system.jobs) for system in systems)
        _log.info("config taken", extra={"systems": len(systems), "jobs": jobs})
        found = ", and the jobs that are found" if any(system.discover for system in systems) else ""
        self.watched = f"{counted(jobs, 'job')} of {counted(len(systems), 'system')}{found}"

    def _planned(self, systems: Iterable[SystemConfig]) -> dict[str, tuple[SystemConfig, Plan]]:
        """The plan of each system by name; what did not change keeps its plan or at least its upstream."""
        plans: dict[str, tuple[SystemConfig, Plan]] = {}
        for system in systems:
            before, plan = self._plans.get(system.name, (None, None))
            # A fault of a plug-in shows here, before anything of the config in force has changed.
            with self._set_up(system):
                if before is None or plan is None or before.reach != system.reach:
                    plan = _plan(system, _upstream(system, self._instrumentation, self._clock))
                elif before != system:
                    plan = _plan(system, plan.upstream)
            plans[system.name] = system, plan
        return plans

    @contextlib.contextmanager
    def _set_up(self, system: SystemConfig) -> Iterator[None]:
        """Turns a fault in the code of a provider or a credential into an error of the config."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  a plug-in's own fault; its text may hold a secret
            _log.exception("a system could not be set up", extra={"system": system.name})
            what = f"could not be set up ({type(error).__name__})"
            raise config.ConfigError(
                [config.Finding(self._file, 1, f"systems.{system.name}", what)]
            ) from None

    def _close_later(self, upstream: Upstream, grace: float) -> None:
        """Lets reads under way end, which nobody waits for here."""
        tasks.start(upstream.close(grace=grace), self._closing, "close a system")


def _upstream(system: SystemConfig, instrumentation: Instrumentation, clock: Clock) -> Upstream:
    reach = system.reach
    client = Client(
        base_url=reach.base_url,
        credential=reach.credential(reach.auth),
        connection=reach.connection,
        timeout=reach.timeout,
        concurrency=reach.concurrency,
        headers=reach.headers,
        instrumentation=instrumentation.of(system.name),
        clock=clock,
    )
    return Upstream(system.provider, client)


def _plan(system: SystemConfig, upstream: Upstream) -> Plan:
    upstream.expect_jobs(len(system.jobs))
    provider = upstream.provider
    return Plan(
        name=system.name,
        key_names=frozenset(provider.key_names()),
        counted=provider.summary() is not None,
        origin=(provider.name, system.reach.base_url),
        upstream=upstream,
        jobs=system.jobs,
        rules=Rules(system.min_interval, system.final_interval, provider.poll_steps),
        labels=system.labels,
        concurrency=system.reach.concurrency,
        job=system.job,
        discover=system.discover,
        max_jobs=system.max_jobs,
        current_only=system.state_series == "current",
    )


async def _watch(file: Path, reload: Callable[[], Awaitable[None]], loaded: object) -> None:
    """Reloads whenever the files change and then hold still for a moment; for ever, whatever fails.

    Args:
        loaded: their stamp from before the config was loaded.
    """
    failures: set[type[Exception]] = set()

    async def stamp() -> object:
        try:
            return await asyncio.to_thread(config.stamp, file)
        except Exception as error:  # noqa: BLE001  # the next look may work
            if type(error) not in failures:
                failures.add(type(error))
                _log.exception("config files cannot be watched; trying again every second")
            return None

    taken = seen = loaded
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        before, seen = seen, await stamp()
        if seen == before and seen != taken:
            taken = seen
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
    """Runs an exporter until SIGTERM or SIGINT; SIGHUP makes it read its config again.

    Raises:
        ConfigError: the config has errors.
        ListenError: an address cannot be listened on.
    """
    notifier = Notifier(os.environ)
    service = Service(file, options, notifier)
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()
    alive: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        with contextlib.suppress(Exception):  # reload has logged it
            await service.reload()

    if notifier.watchdog is not None:
        # The watchdog ends a stuck process by SIGABRT: where it was stuck then stands in the journal.
        faulthandler.enable()
    with stop_signals() as stop:
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.start(reload(), running, "reload"))
        loaded: object = None
        with contextlib.suppress(Exception):  # the watcher logs it
            loaded = await asyncio.to_thread(config.stamp, file)
        await service.start()
        if options.watch:
            tasks.start(_watch(file, reload, loaded), running, "watch the config")
        # What is there now stays: looking through it again and again for garbage costs a tenth of
        # every read.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        addresses = " ".join(service.addresses)
        shown = {"plugins": ", ".join(map(str, options.plugins))} if options.plugins else {}
        _log.info("listening", extra={"version": __version__, "addresses": addresses, **shown})
        await notifier.ready(service.watched)
        # To the very end: scrapes under way may finish, however soon systemd would miss the pings.
        tasks.start(notifier.keep_alive(), alive, "ping systemd")
        await stop.wait()
        _log.info("stopping; scrapes under way may finish")
        await notifier.stopping("scrapes under way may finish")
        for task in running:
            task.cancel()
        await service.stop()
        for task in alive:
            task.cancel()
