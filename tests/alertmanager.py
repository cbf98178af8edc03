"""A real Alertmanager as a process of its own, and a webhook that collects what it tells."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.command import ROOT, Running, running, vendor_beside
from tests.vendor import Told, Vendor

EXAMPLE = ROOT / "grafana/alerts/alertmanager.example.yaml"

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Notice:
    """One alert as a receiver was told of it."""

    receiver: str
    status: str
    labels: Labels
    annotations: Labels


@dataclass(frozen=True)
class Webhook:
    """What every receiver posts to, at a path of its own."""

    vendor: Vendor

    @property
    def told(self) -> list[Notice]:
        """Every alert of every message so far, oldest first."""
        return [notice for message in self.messages() for notice in message]

    def messages(self, **labels: str) -> list[list[Notice]]:
        """The messages that are about alerts of these labels."""
        bodies = [json.loads(asked.body) for asked in list(self.vendor.asked)]
        return [
            [
                Notice(body["receiver"], alert["status"], alert["labels"], alert["annotations"])
                for alert in body["alerts"]
            ]
            for body in bodies
            if labels.items() <= body["commonLabels"].items()
        ]

    def of(self, alertname: str, status: str = "firing") -> list[Notice]:
        """The alerts of this name and status so far."""
        return [one for one in self.told if (one.labels["alertname"], one.status) == (alertname, status)]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """One on a free port."""
    with vendor_beside(lambda _: Told({})) as vendor:
        yield Webhook(vendor)


def example(hook: str, *, wait: str = "200ms", interval: str = "1s") -> dict[str, Any]:
    """The example of the project: its receivers at this address, its waits so short."""
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"{hook}/{receiver['name']}"}]
    _hurry(config["route"], wait, interval)
    return config


def _hurry(route: dict[str, Any], wait: str, interval: str) -> None:
    route.update(group_wait=wait, group_interval=interval)
    for child in route.get("routes", ()):
        _hurry(child, wait, interval)


@dataclass(frozen=True)
class Alertmanager:
    """One that runs."""

    url: str
    process: Running

    def post(self, *alerts: Labels) -> None:
        """Tells it, as Prometheus would, that these fire."""
        end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = [{"labels": dict(labels), "endsAt": end} for labels in alerts]
        requests.post(f"{self.url}/api/v2/alerts", json=body, timeout=60).raise_for_status()

    def alerts(self) -> list[dict[str, Any]]:
        """All that fire, with ``status.inhibitedBy``."""
        answer = requests.get(f"{self.url}/api/v2/alerts", timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@contextmanager
def alerting(program: str, folder: Path, config: Mapping[str, object]) -> Iterator[Alertmanager]:
    """Starts one with this configuration, without the gossip of several; ready to answer."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "alertmanager.yaml"
    file.write_text(json.dumps(config))
    flags = (f"--config.file={file}", f"--storage.path={folder}/data", "--cluster.listen-address=")
    with started(program, folder, *flags) as alertmanager:
        yield alertmanager


@contextmanager
def started(program: str, folder: Path, *flags: str) -> Iterator[Alertmanager]:
    """One with these flags, ready to answer on a free port; `folder` is for what it prints."""
    with running(folder / "log", program, *flags, "--web.listen-address=127.0.0.1:0") as process:
        address = process.says(r"Listening on.*address=(127\.0\.0\.1:\d+)")
        yield Alertmanager(f"http://{address}", process)
