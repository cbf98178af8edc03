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
        answer = requests.get(f"{self.url}/api/v1/{path}", parameters, timeout=20).json()
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


def static(name: str, target: str, **settings: object) -> dict[str, object]:
    """A scrape job of one target, an address with or without its scheme."""
    host = target.removeprefix("http://").removeprefix("https://")
    return {"job_name": name, "static_configs": [{"targets": [host]}], **settings}


@contextmanager
def scraping(
    program: str,
    folder: Path,
    jobs: Sequence[Mapping[str, object]],
    *,
    every: str = "1s",
    timeout: str = "900ms",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Prometheus]:
    """Starts one that is ready to answer.

    Args:
        program: its path.
        folder: for its files; paths in `jobs` begin here.
        jobs: its ``scrape_configs``.
        labels: external ones; another set of them scrapes at other moments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every_ = {"scrape_interval": every, "scrape_timeout": timeout, "external_labels": labels or {}}
    config = folder / "prometheus.yaml"
    config.write_text(json.dumps({"global": every_, "scrape_configs": jobs}))
    # It cannot be told to choose a free port itself; somebody else may take this one meanwhile.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    flags = (f"--config.file={config}", f"--storage.tsdb.path={folder}/data")
    with running(folder / "log", program, *flags, f"--web.listen-address={address}") as process:
        process.says("(Server is ready)")
        yield Prometheus(f"http://{address}", process)
