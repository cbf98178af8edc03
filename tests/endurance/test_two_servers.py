"""Two real Prometheus servers scrape one exporter, and its vendor notices one."""

import functools
import math
import time
from pathlib import Path

from tests.command import serving, until, vendor_beside
from tests.conftest import Program
from tests.prometheus import Prometheus, scraping, static
from tests.vendor import Asked, Told, caps, caps_config

EVERY, LEAST, SCRAPES = 0.5, 0.4, 6
JOBS = 5
READ_AT = "remote_job_read_timestamp_seconds"


class Counting:
    """A vendor that writes down when each job is asked, and every call for a token."""

    def __init__(self) -> None:
        self.tokens = 0
        self.times: dict[str, list[float]] = {}

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/token":
            self.tokens += 1
            return Told({"access_token": "t", "expires_in": 3600})
        self.times.setdefault(asked.path, []).append(time.monotonic())
        return Told(caps("Running"))

    def most_since(self, moment: float) -> int:
        return max(sum(time > moment for time in times) for times in self.times.values())


def scraped(prometheus: Prometheus, seconds: float) -> float:
    """How often it has scraped the exporter in the last seconds."""
    found = prometheus.query(f"count_over_time(up[{math.ceil(seconds * 1000)}ms])")
    return found[0][1] if found else 0


def shown(prometheus: Prometheus) -> float:
    """How many jobs it shows as read."""
    return sum(value for _, value in prometheus.query(f"count_values('at', {READ_AT})"))


def test_a_second_prometheus_adds_no_calls_to_the_vendor(tmp_path: Path, program: Program) -> None:
    path = program("prometheus", "prometheus")
    counting = Counting()
    every = f"{EVERY * 1000:g}ms"
    scraped_by = functools.partial(scraping, path, every=every, timeout=every)
    with vendor_beside(counting) as vendor:
        auth = f"auth: {{type: oauth2, token_url: '{vendor.url}/token', client_id: c, client_secret: s}}"
        config = tmp_path / "config.yaml"
        settings = f"defaults: {{min_interval: {LEAST * 1000:g}ms}}\nsystems:\n"
        config.write_text(settings + caps_config(vendor.url, JOBS, more=auth))
        with (
            serving(tmp_path / "exporter", config) as (_, address),
            scraped_by(tmp_path / "a", [static("a", address)], labels={"replica": "a"}) as one,
            scraped_by(tmp_path / "b", [static("b", address)], labels={"replica": "b"}) as other,
        ):
            until(lambda: min(scraped(server, 60) for server in (one, other)) >= 2, "two scrapes of each")
            began = time.monotonic()

            def many() -> bool:
                """Whether both have scraped so often that it shows whether they share what was read."""
                passed = time.monotonic() - began
                scrapes = [scraped(server, passed) for server in (one, other)]
                return min(scrapes) >= SCRAPES and sum(scrapes) * 0.8 > passed / LEAST + 1

            until(many, "more scrapes of both than calls are allowed")
            calls, allowed = counting.most_since(began), (time.monotonic() - began) / LEAST + 1
            # Both are served, and what one of them has asked for is what the other shows.
            until(lambda: all(shown(server) == JOBS for server in (one, other)), "all jobs at both")
            assert all(server.query("remote_job_up == 0") == [] for server in (one, other))
    assert len(counting.times) == JOBS
    assert counting.tokens == 1
    assert calls <= allowed
