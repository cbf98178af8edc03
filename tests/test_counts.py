"""How much a scrape does, in counts: speed itself depends on the machine and is measured in benchmarks/."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from exporter.metrics import JOB_METRICS, SYSTEM_METRICS, exposition
from exporter.metrics.exposition import Format
from exporter.metrics.table import Values
from exporter.upstream.prepared import PreparedRequests
from tests.vendor import Asked, Told, caps, caps_config, exporter, vendor

JOBS, AT_A_TIME = 40, 4


def live(url: str) -> str:
    """A configuration whose jobs are all read in each scrape."""
    more = f"concurrency: {AT_A_TIME}\nmin_interval: 0s\nfinal_interval: 0s"
    return f"systems:\n{caps_config(url, JOBS, more=more)}"


class Counts:
    """What has been called since the last `reset`, by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        self._patch = monkeypatch
        self.count(PreparedRequests, "_head")
        self.count(exposition, "_lines")
        self.count(Values, "of", lambda values, _: len(values.metrics))
        self.count(threading.Thread, "start")
        asyncio.get_running_loop().set_task_factory(self._task)

    def count(self, owner: Any, name: str, by: Callable[..., int] = lambda *_, **__: 1) -> None:
        """Counts the calls of a function, or what is in each of them."""
        real, key = getattr(owner, name), f"{owner.__name__.rpartition('.')[2]}.{name}"

        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[key] += by(*arguments, **named)
            return real(*arguments, **named)

        self._patch.setattr(owner, name, counted)

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, /, **named: Any) -> asyncio.Task[Any]:
        self.calls["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **named)

    def reset(self) -> Counter[str]:
        """The counts so far; they begin again with 0."""
        calls, self.calls = self.calls, Counter()
        return calls


async def test_a_read_renders_two_lines_if_nothing_has_changed_and_prepares_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as system,
        exporter(live(system.url), tmp_path) as run,
    ):
        counts = Counts(monkeypatch)
        scrape = run.service.collector.scrape
        await scrape(60, Format.TEXT)
        first = counts.reset()
        assert first["PreparedRequests._head"] == 1
        assert first["exposition._lines"] > 10 * JOBS
        assert first["Values.of"] == JOBS * len(JOB_METRICS) + len(SYSTEM_METRICS)
        await scrape(60, Format.TEXT)
        again = counts.reset()
        assert len(system.asked) == 2 * JOBS
        assert again["PreparedRequests._head"] == 0
        # The duration and the time of the read; of the system, what it renders anew are no lines of jobs.
        assert 0 < again["exposition._lines"] <= 2 * JOBS + 10
        assert again["Values.of"] == 2 * JOBS + len(SYSTEM_METRICS)


async def test_a_scrape_starts_as_many_tasks_as_requests_at_a_time_and_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = count()

    def answer(_: Asked) -> Told:
        return Told(caps("Running", job_progress=next(progress) / 1000))

    async with vendor(answer) as system, exporter(live(system.url), tmp_path) as run:
        scrape = run.service.collector.scrape
        await scrape(60, Format.TEXT)
        counts = Counts(monkeypatch)
        await scrape(60, Format.TEXT)
        calls = counts.reset()
        assert len(system.asked) == 2 * JOBS
        # Its own and one for each request at a time, and now and then one that looks at the files of TLS.
        assert calls["tasks"] <= AT_A_TIME + 5
        # Where the page is joined: threads of a pool, which stay.
        assert calls["Thread.start"] <= 1
        # Progress, the time of its change, and two of the read.
        assert calls["exposition._lines"] <= 5 * JOBS + 10


async def test_a_page_is_made_of_lines_that_are_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as system,
        exporter(f"systems:\n{caps_config(system.url, JOBS)}", tmp_path) as run,
    ):
        scrape = run.service.collector.scrape
        await scrape(60, Format.TEXT)
        counts = Counts(monkeypatch)
        for form in (*Format, *Format):
            await scrape(60, form)
        assert len(system.asked) == JOBS
        calls = counts.reset()
        # Of the system's own row, of which nothing is kept.
        assert calls["Values.of"] == calls["exposition._lines"] == 4 * len(SYSTEM_METRICS)
        # That which looks for jobs that are due.
        assert calls["tasks"] <= 4
        assert calls["PreparedRequest.prepare"] == 0
