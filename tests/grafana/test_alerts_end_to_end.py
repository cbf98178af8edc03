"""From a vendor's answer to the message to a team: exporters, Prometheus, Alertmanager, each a real one."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.alertmanager import Alertmanager, Notice, Webhook, alerting, example, webhook
from tests.command import COMMAND, ROOT, running, until, vendor_beside
from tests.conftest import Program
from tests.prometheus import Prometheus, scraping, static
from tests.stack import RULES, SCRAPE_JOB
from tests.vendor import Asked, Told, caps

REPOSITORY = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/"
# Not everything that may stand in an id may stand in an address.
KEYS = {"project_id": "r&d", "build_job_id": "guide #1--promote", "locale": "en-US"}
JOB_ID = "/".join(KEYS.values())
# Seconds: five programs of their own may share one slow machine with other tests.
PATIENCE = 120


@dataclass
class Publisher:
    """The vendor of one job, which is in whatever state it is told to be."""

    status: str = "Succeeded"

    def answer(self, _: Asked) -> Told:
        return Told(caps(self.status))


@dataclass
class Replica:
    """One exporter that can be ended and begun anew at the same address."""

    config: Path
    folder: Path
    address: str
    at_work: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        flags = ("serve", "--config.file", str(self.config), "--web.listen-address", self.address)
        process = self.at_work.enter_context(running(self.folder, *COMMAND, *flags))
        process.says("(listening)")

    def end(self) -> None:
        self.at_work.close()


@dataclass(frozen=True)
class Everything:
    """All that takes part."""

    publisher: Publisher
    replicas: tuple[Replica, Replica]
    prometheus: Prometheus
    alertmanager: Alertmanager
    hook: Webhook

    def shown(self, state: str) -> None:
        """Waits until both replicas show the job in this state."""
        query = f'remote_job_state{{remote_job_state="{state}"}} == 1'
        until(lambda: len(self.prometheus.query(query)) == len(self.replicas), f"both say {state}", PATIENCE)

    def told(self, alertname: str, status: str = "firing") -> Notice:
        """The first notice of it, awaited."""
        return until(lambda: self.hook.of(alertname, status), f"{alertname} {status}", PATIENCE)[0]

    def ended(self) -> None:
        """Ends both replicas; waits until Prometheus has seen it."""
        for replica in self.replicas:
            replica.end()
        until(lambda: len(self.prometheus.query("up == 0")) == len(self.replicas), "both are down", PATIENCE)


@contextmanager
def everything(program: Program, folder: Path, rules: Path) -> Iterator[Everything]:
    publisher = Publisher()
    prometheus = program("prometheus", "prometheus")
    alertmanager = program("prometheus-alertmanager", "prometheus-alertmanager")
    with ExitStack() as stack:
        vendor = stack.enter_context(vendor_beside(publisher.answer))
        config = folder / "config.yaml"
        config.write_text(_config(vendor.url))
        replicas = (_replica(config, folder / "a"), _replica(config, folder / "b"))
        for replica in replicas:
            stack.callback(replica.end)
            replica.begin()
        hook = stack.enter_context(webhook())
        manager = stack.enter_context(alerting(alertmanager, folder / "am", example(hook.vendor.url)))
        scraper = stack.enter_context(
            scraping(
                prometheus,
                folder / "prometheus",
                [static(SCRAPE_JOB, *(replica.address for replica in replicas))],
                rules=[rules],
                alertmanager=manager.url,
            )
        )
        yield Everything(publisher, replicas, scraper, manager, hook)


def _replica(config: Path, folder: Path) -> Replica:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return Replica(config, folder, f"127.0.0.1:{server.getsockname()[1]}")


def _config(url: str) -> str:
    job = {**KEYS, "name": "User guide"}
    system = {"provider": "caps", "base_url": url, "labels": {"squad": "docs"}, "jobs": [job]}
    return json.dumps({"defaults": {"min_interval": "0s"}, "systems": {"docs": system}})


def test_a_failed_job_is_told_to_its_team_once_and_so_is_its_recovery(
    program: Program, tmp_path: Path
) -> None:
    with everything(program, tmp_path, RULES) as whole:
        whole.shown("succeeded")
        whole.publisher.status = "Failed"
        notice = whole.told("RemoteJobFailed")
        assert notice.receiver == "team-docs"
        assert notice.labels == {
            "alertname": "RemoteJobFailed",
            "severity": "critical",
            "job": SCRAPE_JOB,
            "system": "docs",
            "job_id": JOB_ID,
            "squad": "docs",
            "job_name": "User guide",
            "provider": "caps",
            "job_kind": "slot",
        }
        _leads_somewhere(notice)

        whole.shown("failed")
        whole.ended()
        for replica in whole.replicas:
            replica.begin()
        whole.shown("failed")

        whole.publisher.status = "Succeeded"
        whole.told("RemoteJobFailed", "resolved")
        assert [(one.labels["alertname"], one.status) for one in whole.hook.told] == [
            ("RemoteJobFailed", "firing"),
            ("RemoteJobFailed", "resolved"),
        ]


def _leads_somewhere(notice: Notice) -> None:
    """The links of the alert are of pages that exist, and of this very job."""
    assert "User guide" in notice.annotations["summary"]
    page = notice.annotations["runbook_url"].removeprefix(REPOSITORY)
    assert (ROOT / page).is_file(), page
    link = urlsplit(notice.annotations["dashboard_url"])
    _, d, uid = link.path.split("/")
    dashboards = [json.loads(file.read_text()) for file in ROOT.glob("grafana/dashboards/*.json")]
    (dashboard,) = [one for one in dashboards if (d, uid) == ("d", one["uid"])]
    chosen = {
        name.removeprefix("var-"): values
        for name, values in parse_qs(link.query, strict_parsing=True).items()
    }
    assert chosen.keys() <= {variable["name"] for variable in dashboard["templating"]["list"]}
    assert chosen["system"] == ["docs"]
    assert chosen["job_id"] == [JOB_ID]


def test_when_every_exporter_is_down_that_alone_is_told(program: Program, tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)  # nobody wants to wait for it here
    hurried = tmp_path / "rules.json"
    hurried.write_text(json.dumps(rules))
    with everything(program, tmp_path, hurried) as whole:
        whole.shown("succeeded")
        one, other = whole.replicas
        one.end()
        alone = whole.told("RemoteJobExporterDown")
        assert alone.receiver == "operations"
        assert alone.labels["instance"] == one.address
        # A job that fails meanwhile is told by the other replica.
        whole.publisher.status = "Failed"
        whole.told("RemoteJobFailed")
        other.end()

        def silent() -> bool:
            return any(
                alert["labels"]["alertname"] == "RemoteJobFailed" and alert["status"]["inhibitedBy"]
                for alert in whole.alertmanager.alerts()
            )

        until(silent, "the job is inhibited", PATIENCE)
        until(lambda: any(n.labels.get("scope") == "all" for n in whole.hook.told), "all are down", PATIENCE)
        assert whole.hook.of("RemoteJobFailed", "resolved") == []
