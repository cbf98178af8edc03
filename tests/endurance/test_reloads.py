"""The config changes again and again under scrapes: nothing fails, and nothing is left behind."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.command import serving, until, vendor_beside
from tests.vendor import Asked, Samples, Told, caps, caps_config, read_samples
from tests.waiting import seen
from tests.weight import Weight

RELOADS, WARM = 60, 20
PATIENT = {"X-Prometheus-Scrape-Timeout-Seconds": "55"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which Linux alone has")


class Answers:
    """A vendor whose reads under every third config wait for their token until the next one is taken.

    Attributes:
        taken: the config that the exporter took last.
        asked: the configs whose token was asked for.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.asked: set[int] = set()

    def __call__(self, asked: Asked) -> Told:
        if asked.path != "/token":
            return Told(caps("Running"))
        number = int(asked.body.rpartition(b"=s")[2])
        self.asked.add(number)
        token = {"access_token": "t", "expires_in": 3600}
        return Told(token, after=lambda: seen(lambda: self.gives(number), "the next config"))

    def waits(self, number: int) -> bool:
        return number % 3 == 1

    def gives(self, number: int) -> bool:
        return not self.waits(number) or self.taken > number

    def until_asked(self, number: int) -> None:
        until(lambda: number in self.asked, "a read that needs a token")


def text(url: str, number: int) -> str:
    """The n-th config: one system that stays as it is, one that is reached in another way each time."""
    client = f"client_id: c, client_secret: s{number}"
    auth = f"auth: {{type: oauth2, token_url: '{url}/token', {client}}}"
    changing = f"timeout: {60_000 + number}ms\nlabels: {{number: '{number}'}}\n{auth}"
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
            self._thread.join(60)

    def one_more(self) -> None:
        """Waits for the end of a scrape: on a slow machine too, no reload goes unseen."""
        before = self.scrapes
        until(lambda: self.scrapes > before, "a scrape")

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._end.wait(0.02):
                page = session.get(f"{self.address}/metrics", headers=PATIENT, timeout=60)
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
    answers = Answers()
    with vendor_beside(answers) as vendor:
        config = tmp_path / "config.yaml"
        config.write_text(text(vendor.url, 0))
        with serving(tmp_path / "exporter", config) as (exporter, address):
            scrapers = [Scraper(address) for _ in range(2)]
            with scrapers[0].going_on(), scrapers[1].going_on(), requests.Session() as session:
                for number in range(1, RELOADS + 1):
                    config.write_text(text(vendor.url, number))
                    answered = session.post(f"{address}/-/reload", timeout=60)
                    assert (answered.status_code, answered.text) == (200, "reloaded\n")
                    answers.taken = number
                    if number == WARM:
                        warm = Weight.of(exporter.process.pid)
                    if answers.waits(number):
                        answers.until_asked(number)
                    else:
                        for scraper in scrapers:
                            scraper.one_more()
            # Some things are closed later, by threads of their own.
            pid = exporter.process.pid
            until(lambda: Weight.of(pid).fits(warm), f"no more threads and files than {warm}")
            after = Weight.of(pid)
            samples = read_samples(requests.get(f"{address}/metrics", headers=PATIENT, timeout=60).text)
            assert exporter.end() == 0
    assert [scraper.wrong for scraper in scrapers] == [[], []]
    assert samples.get_one(
        "remote_job_exporter_request_failures_total", system="changes", reason="internal"
    ) in (0, None)
    assert exporter.stderr.count("configuration loaded") == RELOADS + 1
    assert [line for line in exporter.stderr.splitlines() if "level=info" not in line] == []
    assert max(warm.files, after.files) < 40, (warm, after)
    assert after.memory <= warm.memory + 3, (warm, after)
