"""The config changes again and again under scrapes: nothing fails, and nothing is left behind."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.command import Running, serving, until, vendor_beside
from tests.vendor import Asked, Samples, Told, caps, caps_config, read_samples

RELOADS, EVERY = 60, 0.25
WARM = 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which Linux alone has")


@dataclass(frozen=True)
class Weight:
    """What a process holds: threads, open files with sockets, and memory in MiB."""

    threads: int
    files: int
    memory: float

    @classmethod
    def of(cls, running: Running) -> "Weight":
        proc = Path("/proc") / str(running.process.pid)
        told = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        memory = int(told["VmRSS"].split()[0]) / 1024
        return cls(int(told["Threads"]), len(list((proc / "fd").iterdir())), memory)


def answer(asked: Asked) -> Told:
    if asked.path != "/token":
        return Told(caps("Running"))
    # Some reads still wait for their token when the next config comes.
    slow = int(asked.body.rpartition(b"=s")[2]) % 3 == 0
    return Told({"access_token": "t", "expires_in": 3600}, after=lambda: asyncio.sleep(EVERY * 1.2 * slow))


def text(url: str, number: int) -> str:
    """The n-th config: one system that stays as it is, one that is reached in another way each time."""
    client = f"client_id: c, client_secret: s{number}"
    auth = f"auth: {{type: oauth2, token_url: '{url}/token', {client}}}"
    changing = f"timeout: {5000 + number}ms\nlabels: {{number: '{number}'}}\n{auth}"
    systems = caps_config(url, 5, name="stays") + caps_config(
        url, 3 + number % 2, name="changes", more=changing
    )
    return "defaults: {min_interval: 0s}\nsystems:\n" + systems


class Scraper:
    """Scrapes without a pause, on a thread of its own.

    Attributes:
        scrapes: how many there were.
        wrong: what should not have been seen.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.scrapes = 0
        self.wrong: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join(20)

    def one_more(self) -> None:
        """Waits for the end of a scrape: on a slow machine too, no reload goes unseen."""
        before = self.scrapes
        until(lambda: self.scrapes > before, "a scrape")

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._end.wait(0.02):
                page = session.get(f"{self.address}/metrics", timeout=20)
                self.scrapes += 1
                if page.status_code != 200:
                    self.wrong.append(f"HTTP {page.status_code}")
                else:
                    self._look(read_samples(page.text))

    def _look(self, samples: Samples) -> None:
        up = samples.all("remote_job_up")
        numbers = {labels["number"] for labels, _ in up if labels["system"] == "changes"}
        jobs = 5 + 3 + int(next(iter(numbers), "0")) % 2
        if len(numbers) != 1 or len(up) != jobs:
            self.wrong.append(f"a mixed page: numbers {numbers}, {len(up)} jobs")
        if {value for _, value in up} != {1.0}:
            self.wrong.append(f"a failed read: {samples.all('remote_job_read_error_info')}")


def test_reloads_under_scrapes_fail_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    with vendor_beside(answer) as vendor:
        config = tmp_path / "config.yaml"
        config.write_text(text(vendor.url, 0))
        with serving(tmp_path / "exporter", config) as (exporter, address):
            scrapers = [Scraper(address) for _ in range(2)]
            with scrapers[0].going_on(), scrapers[1].going_on(), requests.Session() as session:
                for number in range(1, RELOADS + 1):
                    began = time.monotonic()
                    config.write_text(text(vendor.url, number))
                    answered = session.post(f"{address}/-/reload", timeout=20)
                    assert (answered.status_code, answered.text) == (200, "reloaded\n")
                    if number == WARM:
                        warm = Weight.of(exporter)
                    time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
                    for scraper in scrapers:
                        scraper.one_more()
            # A moment for what is closed later, by threads of its own.
            time.sleep(0.5)
            after = Weight.of(exporter)
            samples = read_samples(requests.get(f"{address}/metrics", timeout=20).text)
            assert exporter.end() == 0
    assert [scraper.wrong for scraper in scrapers] == [[], []]
    assert samples.get_one(
        "remote_job_exporter_request_failures_total", system="changes", reason="internal"
    ) in (0, None)
    assert exporter.stderr.count("config taken") == RELOADS + 1
    assert [line for line in exporter.stderr.splitlines() if "level=info" not in line] == []
    assert after.threads <= warm.threads + 2, (warm, after)
    assert after.files <= warm.files + 4, (warm, after)
    assert max(warm.files, after.files) < 40, (warm, after)
    assert after.memory <= warm.memory + 3, (warm, after)
