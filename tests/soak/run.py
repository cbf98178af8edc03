"""A soak: one exporter under everything that may happen, for as long as wanted."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import requests
import yaml

from tests.command import Running, serving, simulating
from tests.prometheus import Prometheus, scraping, static
from tests.soak.clients import TIMEOUT, Clients
from tests.soak.configs import SECRET, Configs
from tests.soak.pages import Pages
from tests.soak.report import Report
from tests.soak.vendors import Vendors
from tests.sockets import accepting
from tests.waiting import seen
from tests.weight import Weight

WARM = 0.15
"""The share of the time, but at least 45 seconds, until all caches are full and nothing may grow further."""
LAST = 20.0
"""Seconds for the last quiet moment and the end."""
RELOAD = 8.0
"""Seconds from one reload to the next."""
RECOVERY = 90.0
"""Seconds in which all is read again after the faults; credentials that failed often wait for long."""


@dataclass
class Soak:
    """Everything that runs."""

    exporter: Running
    address: str
    vendors: Vendors
    configs: Configs
    clients: Clients
    random: Random
    pages: Pages
    report: Report = field(default_factory=lambda: Report(TIMEOUT))
    applied: int = 0
    written: int = 0

    async def scrape(self) -> None:
        """Scrapes as Prometheus does, and looks at every page."""
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(TIMEOUT)}
        with requests.Session() as session:
            while True:
                oldest, began = self.applied, time.monotonic()
                try:
                    page = await asyncio.to_thread(
                        session.get, f"{self.address}/metrics", headers=headers, timeout=4 * TIMEOUT
                    )
                except requests.RequestException as error:
                    self.report.wrong[f"a scrape without a response: {type(error).__name__}"] += 1
                else:
                    self.report.scrapes.append(time.monotonic() - began)
                    if page.status_code == 200:
                        await asyncio.to_thread(self.pages.look, page.text, oldest, self.written)
                    else:
                        self.report.wrong[f"a scrape with status {page.status_code}"] += 1
                await asyncio.sleep(max(0.0, began + TIMEOUT - time.monotonic()))

    async def weigh(self) -> None:
        """Writes down what the exporter weighs."""
        while True:
            self.report.course.append((time.monotonic(), Weight.of(self.exporter.process.pid)))
            await asyncio.sleep(1)

    async def reload(self) -> None:
        """Changes the configuration or the secrets, again and again, in all ways."""
        ways = (self._post, self._signal, self._spoil, self._many, self._rotate, self._unchanged)
        for number in count():
            await asyncio.sleep(RELOAD)
            way = ways[number % len(ways)]
            self.report.reloads[way.__name__[1:]] += 1
            await way()

    def _write(self) -> None:
        self.written += 1
        self.configs.write(self.written)

    async def _answered(self, status: int = 200) -> None:
        got = await asyncio.to_thread(requests.post, f"{self.address}/-/reload", timeout=60)
        if got.status_code != status:
            self.report.wrong[f"a reload with status {got.status_code} instead of {status}"] += 1

    async def _post(self) -> None:
        self._write()
        await self._answered()
        self.applied = self.written

    async def _unchanged(self) -> None:
        await self._answered()

    async def _signal(self) -> None:
        self._write()
        for _ in range(3):
            self.exporter.process.send_signal(signal.SIGHUP)
        wanted = self.written
        await seen(lambda: self.pages.generation >= wanted, "a page of the configuration of SIGHUP")
        self.applied = wanted

    async def _spoil(self) -> None:
        self.configs.spoil()
        await self._answered(500)
        await self._post()

    async def _many(self) -> None:
        self._write()
        await asyncio.gather(*(self._answered() for _ in range(5)))
        self.applied = self.written

    async def _rotate(self) -> None:
        self.vendors.rotation += 1
        self.configs.rotate(self.vendors.rotation)

    async def mess(self, seconds: float) -> None:
        """Everything bad that can happen, for some time."""
        self.vendors.calm = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self.clients.go_on())
                group.create_task(self.reload())
        self.vendors.calm = True

    async def quiet(self) -> Weight:
        """Waits until all is read again; what the exporter weighs then, while there are no faults."""
        # The file may be half of a reload that was cut.
        await self._post()
        scrapes = len(self.report.scrapes)
        self.pages.read.clear()

        def read() -> bool:
            return len(self.report.scrapes) >= scrapes + 3 and not self.pages.unread

        try:
            await seen(read, "all is read again", RECOVERY)
        except AssertionError:
            for job in self.pages.unread:
                self.report.wrong[f"not read though no fault is left: {job}"] += 1
        return Weight.of(self.exporter.process.pid)

    def finish(self, prometheus: Prometheus | None) -> None:
        """Stops the exporter, and completes the report."""
        report = self.report
        if prometheus:
            self.read_prometheus(prometheus, report.seconds)
        if (code := self.exporter.end()) != 0:
            report.wrong[f"exit code {code}"] += 1
        self.read_log()
        report.series, report.clients = self.pages.most, self.clients.count
        report.requests, report.faults = self.vendors.requests, self.vendors.faults
        for wrong in (self.pages.wrong, self.clients.wrong, self.vendors.wrong):
            report.wrong.update(wrong)

    def read_log(self) -> None:
        """Counts the lines; some there must not be."""
        for line in self.exporter.stderr.splitlines():
            level = re.search(r"level=(\w+)", line)
            self.report.log[level[1] if level else "other"] += 1
            expected = "failed to load configuration" in line
            if SECRET.search(line):
                self.report.wrong["a secret in the log"] += 1
            if not level or (level[1] == "error" and not expected) or "internal" in line:
                self.report.wrong[f"in the log: {line[:60]}"] += 1

    def read_prometheus(self, prometheus: Prometheus, seconds: float) -> None:
        """What the server has stored: no scrape failed, and each job that was always there is in each."""
        span = f"[{int(seconds) + 60}s]"

        def stored(name: str) -> list[tuple[dict[str, str], dict[float, float]]]:
            found = prometheus.api("query", query=f'{name}{{job="soak"}}{span}')["result"]
            return [
                (one["metric"], {float(at): float(value) for at, value in one["values"]}) for one in found
            ]

        ((_, up),) = stored("up")
        if failed := sum(value == 0 for value in up.values()):
            self.report.wrong["failed scrapes of Prometheus"] += failed
        ((_, took),) = stored("scrape_duration_seconds")
        self.report.prometheus = list(took.values())
        good = {at for at, value in up.items() if value}
        always = {(system, job) for system, jobs in self.configs.always().items() for job in jobs}
        for labels, values in stored("remote_job_up"):
            job = labels["system"], labels["job_id"]
            if job in always:
                always.remove(job)
                if lost := good - set(values):
                    self.report.wrong[f"gaps in the series of {job}"] += len(lost)
        if always:
            self.report.wrong["always configured, but not stored or twice"] += len(always)
        own = requests.get(f"{prometheus.url}/metrics", timeout=60).text
        for line in re.findall(
            r"^prometheus_target_scrapes_sample_(?:dup|out)\w+ [1-9].*", own, re.MULTILINE
        ):
            self.report.wrong[line] += 1


@asynccontextmanager
async def soaking(
    folder: Path, random: Random, prometheus: str | None
) -> AsyncIterator[tuple[Soak, Prometheus | None]]:
    """Starts everything; no fault happens yet."""
    vendors = Vendors(("127.0.0.1", 0), random)
    async with accepting(vendors.serve) as port:
        with ExitStack() as stack:
            simulator = stack.enter_context(simulating(folder / "simulator", "--speed", "5"))
            vendors.simulator = ("127.0.0.1", int(simulator.rpartition(":")[2]))
            url = f"http://127.0.0.1:{port}"
            text = await asyncio.to_thread(lambda: requests.get(f"{url}/config.yaml", timeout=60).text)
            configs = Configs(yaml.safe_load(text)["systems"], url, folder)
            configs.rotate(0)
            configs.write(0)
            exporter, address = stack.enter_context(
                serving(folder / "exporter", configs.file, "--web.timeout-offset", "1500ms")
            )
            soak = Soak(exporter, address, vendors, configs, Clients(address, random), random, Pages(configs))
            server = None
            if prometheus:
                drop = [{"action": "labeldrop", "regex": "generation"}]
                job = static("soak", address, metric_relabel_configs=drop)
                every = f"{TIMEOUT:g}s"
                server = stack.enter_context(
                    scraping(prometheus, folder / "prometheus", [job], every=every, timeout=every)
                )
            yield soak, server


async def run(folder: Path, seconds: float, seed: int, prometheus: str | None) -> Report:
    """Soaks for about so many seconds, and reports."""
    began = time.monotonic()
    async with soaking(folder, Random(seed), prometheus) as (soak, server):
        report = soak.report
        async with asyncio.TaskGroup() as group:
            scrapes = group.create_task(soak.scrape())
            await soak.mess(max(seconds * WARM, min(45.0, seconds / 2)))
            report.warm = await soak.quiet()
            weights = group.create_task(soak.weigh())
            await soak.mess(max(RELOAD, began + seconds - LAST - time.monotonic()))
            weights.cancel()
            report.end = await soak.quiet()
            scrapes.cancel()
        report.seconds = time.monotonic() - began
        await asyncio.to_thread(soak.finish, server)
    return report
