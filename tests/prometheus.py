"""A real Prometheus as a process of its own, to be imported: ``from tests.prometheus import scraping``."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.command import Running, running


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str
    process: Running

    def api(self, path: str, **parameters: str) -> Any:
        """What it answers on ``/api/v1/``."""
        answer = requests.get(f"{self.url}/api/v1/{path}", parameters, timeout=60).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each element of the vector that it answers with."""
        found = self.api("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def health(self) -> dict[str, tuple[str, str]]:
        """Health and last error of the one target of each scrape job."""
        targets = self.api("targets")["activeTargets"]
        return {target["scrapePool"]: (target["health"], target["lastError"]) for target in targets}


def static(name: str, *targets: str, **settings: object) -> dict[str, object]:
    """A scrape job of targets, addresses with or without their scheme."""
    hosts = [_host(target) for target in targets]
    return {"job_name": name, "static_configs": [{"targets": hosts}], **settings}


def _host(address: str) -> str:
    return address.removeprefix("http://").removeprefix("https://")


@contextmanager
def scraping(
    program: str,
    folder: Path,
    jobs: Sequence[Mapping[str, object]],
    *,
    every: str = "1s",
    timeout: str = "900ms",
    labels: Mapping[str, str] | None = None,
    rules: Sequence[Path] = (),
    alertmanager: str | None = None,
) -> Iterator[Prometheus]:
    """Starts one that is ready to answer.

    Args:
        program: its path.
        folder: for its files; paths in `jobs` begin here.
        jobs: its ``scrape_configs``.
        every: how long from scrape to scrape, and from one evaluation of the rules to the next.
        labels: external ones; another set of them scrapes at other moments.
        rules: files of rules.
        alertmanager: the address that alerts are sent to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    managers = [{"static_configs": [{"targets": [_host(alertmanager)]}]}] if alertmanager else []
    times = {"scrape_interval": every, "scrape_timeout": timeout, "evaluation_interval": every}
    config = {
        "global": {**times, "external_labels": labels or {}},
        "rule_files": [str(file.absolute()) for file in rules],
        "alerting": {"alertmanagers": managers},
        "scrape_configs": jobs,
    }
    file = folder / "prometheus.yaml"
    file.write_text(json.dumps(config))
    flags = (f"--config.file={file}", f"--storage.tsdb.path={folder}/data")
    with started(program, folder, *flags) as prometheus:
        yield prometheus


@contextmanager
def started(program: str, folder: Path, *flags: str) -> Iterator[Prometheus]:
    """One with these flags, ready to answer on a port of its own; `folder` is for what it prints."""
    # It cannot be told to choose a free port itself; somebody else may take this one meanwhile.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with running(folder / "log", program, *flags, f"--web.listen-address={address}") as process:
        process.says("(Server is ready)")
        yield Prometheus(f"http://{address}", process)
