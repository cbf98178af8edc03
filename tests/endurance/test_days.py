"""A day of a whole collector: five jobs of three vendors that keep a book of who asks them when.

The clock is turned by hand and the connection pool responds immediately, so a day takes a second or two. All
between the two is real: who is due, what the vendor's answers say about it, credentials and their back-off.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from requests import PreparedRequest, Session
from requests.adapters import BaseAdapter

from exporter import service
from exporter.metrics.exposition import Format
from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Response
from exporter.model.pacing import Rules
from tests.clock import FakeClock
from tests.endurance.book import Book, Told

DAY = 86_400.0
STEPS = (15.0, 30.0, 60.0, 120.0)
MIN_INTERVAL, FINAL_INTERVAL = 12.0, 300.0
CONFIG = f"""\
defaults: {{min_interval: {MIN_INTERVAL:g}s, final_interval: {FINAL_INTERVAL:g}s}}
systems:
  docs:
    provider: caps
    base_url: http://caps.example.com
    auth:
      type: oauth2
      token_url: http://caps.example.com/token
      client_id: c
      client_secret: {{file: key}}
    jobs:
      - {{project_id: p, build_job_id: a, locale: en}}
      - {{project_id: p, build_job_id: b, locale: en}}
  xmc:
    provider: sitecore
    base_url: http://sitecore.example.com
    jobs: [{{id: c}}]
  twins:
    provider: itwin
    base_url: http://itwin.example.com
    service: reality-modeling
    jobs: [{{id: d}}, {{id: e}}]
"""


@dataclass
class Vendor:
    """One job: its life, its moods, and the book that it keeps.

    Args:
        faults: what was done to it that its rules forbid.
        body: what it tells at a share of its life, 0 to 1, and whether it has ended for good.
        shared: a Retry-After of one holds for all of them.
        forgets: what it answers while it has forgotten the job.
        calm: it is never in a bad mood.
    """

    clock: FakeClock
    rules: Rules
    faults: list[str]
    random: Random
    body: Callable[[float], tuple[dict[str, Any], object, bool]]
    shared: "list[Vendor]" = field(default_factory=list)
    forgets: int = 404
    calm: bool = False
    held_from: float = 0.0
    held_until: float = 0.0
    reads: int = 0
    ended: object = None

    def __post_init__(self) -> None:
        self.book = Book(self.rules)
        self.life = self.random.uniform(2_000, 60_000)
        self.shared.append(self)

    def due(self) -> bool:
        return self.clock.now >= max(self.book.due_at(), *(each.held_until for each in self.shared))

    def early(self) -> float:
        """How many seconds too early a request is now. 0 if it was sent with one that was refused."""
        now = self.clock.now
        holds = [each.held_until for each in self.shared if each.held_from < now]
        return max(self.book.due_at(), *holds, now) - now

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        now = self.clock.now
        share = min(1.0, now / self.life)
        body, mark, final = self.body(share)
        if now == self.book.asked_at:  # the second request of a read
            return 200, {}, body
        if early := self.early():  # raised here, it would be a failure of the exporter's like any other
            self.faults.append(f"asked {early} s too early, after {self.book.reads[-1]}")
        self.reads += 1
        mood = 1.0 if self.calm else self.random.random()
        if mood < 0.03:
            return self.refuse(self.random.choice([429, 503]), self.random.choice([None, 5, 40, 3_600]))
        if mood < 0.06:
            return self.fail(self.random.choice([500, 403, self.forgets]))
        if mood < 0.08:
            self.book.write(now, now, Told())
            raise Failure(Reason.TIMEOUT)
        self.book.write(now, now, Told(mark, final=final))
        self.ended = mark if final else None
        return 200, {}, body

    def fail(self, status: int) -> tuple[int, dict[str, str], dict[str, Any]]:
        told = Told()
        if status == 404 and self.ended:  # how a run ended stays true when it is forgotten
            told = Told(self.ended, final=True)
        self.book.write(self.clock.now, self.clock.now, told)
        return status, {}, {}

    def refuse(self, status: int, wait: int | None) -> tuple[int, dict[str, str], dict[str, Any]]:
        now = self.clock.now
        if status == 429 and wait is not None and len(self.shared) > 1:
            self.held_from, self.held_until = now, now + min(wait, 900)
        self.book.write(now, now, Told(wait=wait))
        return status, {} if wait is None else {"Retry-After": str(wait)}, {}


def percent(share: float) -> int:
    """Progress that now and then stands still for a long time."""
    return int(share * 100) // 9 * 9


def caps(share: float) -> tuple[dict[str, Any], object, bool]:
    word = "Running" if share < 1 else "Succeeded"
    return {"job_status": word, "job_progress": percent(share) / 100}, (word, percent(share)), False


def sitecore(share: float) -> tuple[dict[str, Any], object, bool]:
    word = "Queued" if share < 0.1 else "Running" if share < 1 else "Completed"
    return {"id": "c", "system": {"status": word}}, word, share >= 1


def itwin(share: float) -> tuple[dict[str, Any], object, bool]:
    word = "Queued" if share < 0.1 else "Active" if share < 1 else "Success"
    told = {"progress": {"state": word, "percentage": percent(share)}, "job": {"state": word}}
    return told, (word, percent(share)), share >= 1


class Day:
    """The world of one test: five vendors, one token endpoint, one exporter.

    Attributes:
        tokens: when the token endpoint was asked, and whether it gave a token.
        grants: whether it gives tokens.
        faults: requests that came too early.
    """

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self.clock, self.random = FakeClock(epoch=1_772_366_400.0), Random(seed)
        self.tokens: list[tuple[float, bool]] = []
        self.faults: list[str] = []
        self.grants = True
        plain = Rules(MIN_INTERVAL, FINAL_INTERVAL)
        paced = Rules(MIN_INTERVAL, FINAL_INTERVAL, STEPS)
        twins: list[Vendor] = []
        make = partial(Vendor, self.clock, faults=self.faults, random=self.random, calm=calm)
        self.vendors = {
            "a": make(rules=plain, body=caps),
            "b": make(rules=plain, body=caps),
            "c": make(rules=plain, body=sitecore),
            "d": make(rules=paced, body=itwin, shared=twins, forgets=500),
            "e": make(rules=paced, body=itwin, shared=twins, forgets=500),
        }

    def send(self, request: PreparedRequest) -> Response:
        path = (request.url or "").split("example.com")[1]
        if path == "/token":
            self.tokens.append((self.clock.now, self.grants))
            status, headers = 200 if self.grants else 503, dict[str, str]()
            body: dict[str, Any] = {"access_token": f"t{len(self.tokens)}", "expires_in": 3600}
        else:
            name = next(part for part in path.replace("?", "/").split("/") if part in self.vendors)
            status, headers, body = self.vendors[name].answer()
        lines = [f"HTTP/1.1 {status} Some", *(f"{key}: {value}" for key, value in headers.items())]
        return Response(status, json.dumps(body).encode(), Headers("\r\n".join(lines).encode()))


class Instant:
    """A connection pool without a network."""

    stalled = False

    def __init__(self, day: Day) -> None:
        self.day = day

    async def send(self, request: PreparedRequest, **_: Any) -> Response:
        return self.day.send(request)

    async def close(self, grace: float = 1.0) -> None:
        """Nothing is open."""


class Adapter(BaseAdapter):
    """The same for what credentials ask themselves."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self.day = day

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        reply = self.day.send(request)
        response = requests.Response()
        response.status_code, response.raw = reply.status, BytesIO(reply.body)
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        """Nothing is open."""

    def session(self) -> Session:
        session = Session()
        session.mount("http://", self)
        return session


@pytest.fixture
def live(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> Callable[[Day], service.Service]:
    # The trouble of a day is a lot to tell, and its thousands of pages are not looked at.
    caplog.set_level("ERROR", logger="exporter")
    monkeypatch.setattr("exporter.metrics.instrumentation.Instrumentation.render", lambda *_, **__: b"")

    def begin(day: Day) -> service.Service:
        monkeypatch.setattr("exporter.transport.reloading.ConnectionPool", lambda *_, **__: Instant(day))
        monkeypatch.setattr(
            "exporter.transport.adapter.blocking_session", lambda *_, **__: Adapter(day).session()
        )
        (tmp_path / "key").write_text("first")
        (tmp_path / "config.yaml").write_text(CONFIG)
        options = service.Options(listen=("127.0.0.1:0",))
        return service.Service(tmp_path / "config.yaml", options, clock=day.clock)

    return begin


async def scrape(running: service.Service) -> bytes:
    return await running.collector.scrape(9.5, Format.TEXT)


@pytest.mark.parametrize("seed", [2])
async def test_a_day_of_odd_scrapes_asks_whom_it_may_when_it_may_and_always_comes_back(
    seed: int, live: Callable[[Day], service.Service]
) -> None:
    day = Day(seed)
    running = live(day)
    await running.start()
    try:
        while day.clock.now < DAY:
            day.clock.now += day.random.choice([0.5, 5, 13.875, 15, 15, 30, 30, 60, 400])
            due = {name for name, vendor in day.vendors.items() if vendor.due()}
            await scrape(running)
            left = {name for name in due if day.vendors[name].book.asked_at != day.clock.now}
            # Whom another's rate limit holds since this scrape began is not asked any more.
            assert {name for name in left if day.vendors[name].due()} == set()
    finally:
        await running.stop()
    assert day.faults == []
    assert all(vendor.reads > 100 for vendor in day.vendors.values())
    assert len(day.tokens) <= DAY / 3600 * 1.2 + 1


@pytest.mark.parametrize("seed", [8])
async def test_a_second_server_adds_no_calls_to_a_day(
    seed: int, live: Callable[[Day], service.Service]
) -> None:
    reads = []
    for offsets in ((0.0,), (0.0, 4.0, 11.0)):
        day = Day(seed)
        for vendor in day.vendors.values():
            vendor.random = Random(seed)  # each its own moods, however the others are asked
        running = live(day)
        await running.start()
        try:
            moments = sorted(number * 20.0 + offset for number in range(1000) for offset in offsets)
            for moment in moments:
                day.clock.now = moment
                await scrape(running)
        finally:
            await running.stop()
        assert day.faults == []
        reads.append({name: vendor.reads for name, vendor in day.vendors.items()})
    one, three = reads
    assert one["a"] > 500
    assert all(three[name] <= one[name] * 1.1 + 2 for name in one), (one, three)


async def test_a_token_endpoint_that_is_down_is_asked_ever_less_until_the_secret_changes(
    live: Callable[[Day], service.Service], tmp_path: Path
) -> None:
    day = Day(0, calm=True)
    day.grants = False
    running = live(day)
    await running.start()
    try:
        for _ in range(2_000):
            day.clock.now += 2
            page = await scrape(running)
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(day.tokens)]
        waits = [5, 10, 20, 40, 80, 120]
        # Nobody asks but a read, and those come once per min_interval.
        assert all(wait <= gap <= wait + MIN_INTERVAL for wait, gap in zip(waits, gaps, strict=False))
        assert all(120 <= gap <= 120 + MIN_INTERVAL for gap in gaps[5:])
        assert day.vendors["a"].reads == 0
        assert b'reason="auth"' in page
        day.grants = True
        (tmp_path / "new").write_text("second")
        (tmp_path / "new").replace(tmp_path / "key")
        day.clock.now += MIN_INTERVAL
        await scrape(running)
        assert day.tokens[-1] == (day.clock.now, True)
        assert day.vendors["a"].reads == 1
    finally:
        await running.stop()
