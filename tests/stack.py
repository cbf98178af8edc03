"""Simulator, exporter and a Prometheus that scrapes it: ``from tests.stack import stack``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.command import ROOT, serving, simulating
from tests.prometheus import Prometheus, scraping, static

RULES = ROOT / "grafana/alerts/rules.yaml"
SCRAPE_JOB = "remote-job-exporter"


@dataclass(frozen=True)
class Stack:
    """All that runs, by address."""

    simulator: str
    exporter: str
    prometheus: Prometheus


@contextmanager
def stack(folder: Path, prometheus: str, *, speed: float = 20, every: str = "1s") -> Iterator[Stack]:
    """Starts all three; Prometheus has the rules, and nothing scraped yet.

    Args:
        folder: for what they write.
        prometheus: the path of the program.
        speed: how many times faster than in reality the simulated jobs live.
        every: how often Prometheus scrapes and evaluates the rules.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with simulating(folder / "simulator", "--speed", str(speed)) as simulator:
        config = folder / "exporter.yaml"
        config.write_text(requests.get(f"{simulator}/config.yaml", timeout=60).text)
        with (
            serving(folder / "exporter", config) as (_, exporter),
            scraping(
                prometheus,
                folder / "prometheus",
                [static(SCRAPE_JOB, exporter)],
                every=every,
                rules=[RULES],
            ) as scraper,
        ):
            yield Stack(simulator, exporter, scraper)
