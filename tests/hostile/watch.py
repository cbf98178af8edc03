"""An exporter under faults, and what it must not show, whatever they are."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.model.failure import Reason
from tests.clock import FakeClock
from tests.hostile.upstreams import SECRETS
from tests.vendor import Exporter, exporter

LATER = 1000.0
"""Seconds after which everything may be asked again: longer than the longest pause of a vendor."""
DEADLINE = 30.0
"""Seconds of a scrape; far more than it needs where the machine is busy."""
OF_JOB = re.compile(r'(remote_job_\w+)\{system="([^"]*)",job_id="([^"]*)",?(.*)\} (\S+)')
OF_SYSTEM = re.compile(r'remote_job_system_read_error_info\{system="([^"]*)",.*reason="(\w+)"\} 1')
REASON = re.compile(r'reason="(\w+)"')

Id = tuple[str, str]


@dataclass
class Page:
    """What a scrape shows of jobs and systems.

    Args:
        jobs: the series of each job but those of its last read, with their values.
        failed: why jobs could not be read.
        systems: why listings or credentials failed.
    """

    jobs: dict[Id, dict[str, str]]
    failed: dict[Id, Reason]
    systems: dict[str, Reason]

    @classmethod
    def of(cls, text: str) -> "Page":
        page = cls({}, {}, {name: Reason(reason) for name, reason in OF_SYSTEM.findall(text)})
        for name, system, job, labels, value in OF_JOB.findall(text):
            series = page.jobs.setdefault((system, job), {})
            if name == "remote_job_read_error_info":
                (reason,) = REASON.findall(labels)
                page.failed[system, job] = Reason(reason)
            elif "_read_" not in name:
                series[f"{name} {labels}"] = value
        return page


@dataclass
class Watch:
    """One exporter of all systems, for many faults.

    Attributes:
        shown: what it shows while there is no fault.
        records: all that it logs.
    """

    running: Exporter
    clock: FakeClock
    shown: Page | None = None
    records: list[logging.LogRecord] = field(default_factory=list)

    async def scrape(self) -> Page:
        """Scrapes when everything may be asked again."""
        self.clock.turn(LATER)
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{DEADLINE}"}
        async with asyncio.timeout(DEADLINE):
            answered = await self.running.get("/metrics", **headers)
        assert answered.status_code == 200
        page = Page.of(answered.text)
        assert Reason.INTERNAL not in {*page.failed.values(), *page.systems.values()}
        shown = answered.text + str([vars(record) for record in self.records])
        assert not [secret for secret in SECRETS if secret in shown]
        errors = [record for record in self.records if record.levelno >= logging.ERROR or record.exc_info]
        assert [record.getMessage() for record in errors] == []
        return page

    async def through(
        self, begin: Callable[[], object], end: Callable[[], object]
    ) -> tuple[Page, Page, Page]:
        """What it shows before, under and after a fault."""
        self.records.clear()
        before = self.shown or await self.scrape()
        begin()
        try:
            under, self.shown = await self.scrape(), None
        finally:
            end()
        after = await self.scrape()
        assert (before.failed, before.systems, after.failed, after.systems) == ({}, {}, {}, {})
        self.shown = after
        return before, under, after


class Kept(logging.Handler):
    """Keeps every record."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def watching(text: str, folder: Path) -> AsyncIterator[Watch]:
    """An exporter of this configuration."""
    clock = FakeClock()
    async with exporter(text, folder, clock=clock) as running:
        watch = Watch(running, clock)
        handler = Kept(watch.records)
        logging.getLogger("exporter").addHandler(handler)
        yield watch
        logging.getLogger("exporter").removeHandler(handler)
