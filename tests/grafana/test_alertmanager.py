"""The Alertmanager example: whom it tells what, by amtool and by an Alertmanager that runs."""

import dataclasses
import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.alertmanager import EXAMPLE, Alertmanager, Labels, Notice, Webhook, alerting, example, webhook
from tests.command import until
from tests.conftest import Program
from tests.stack import RULES

DEBIAN = "prometheus-alertmanager"
OF_THE_LAST_LOOK = {
    f"RemoteJob{name}"
    for name in (
        "FinishedWithErrors",
        "ItemsFailing",
        "Stuck",
        "RunningTooLong",
        "QueuedTooLong",
        "PublishingStopped",
        "StateUnknown",
    )
}
SEVERITY = {
    rule["alert"]: rule["labels"]["severity"]
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    if "alert" in rule
}
OF_AN_EXPORTER = {
    "RemoteJobExporterDown",
    "RemoteJobExporterConfigReloadFailed",
    "RemoteJobExporterShardMissing",
    "RemoteJobExporterReplicaMissing",
}
OF_A_SYSTEM = {
    "RemoteJobCredentialsRejected",
    "RemoteJobCredentialsExpireSoon",
    "RemoteJobListingFailed",
    "RemoteJobJobsDropped",
}
OF_A_JOB = SEVERITY.keys() - OF_AN_EXPORTER - OF_A_SYSTEM


def amtool(program: Program, *arguments: str) -> str:
    command = (program("amtool", DEBIAN), *arguments)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@dataclass(frozen=True)
class Place:
    """One cluster of its own at the Alertmanager that all tests share."""

    alertmanager: Alertmanager
    hook: Webhook
    cluster: str

    def alert(self, name: str, **labels: str) -> Labels:
        """The labels of an alert, those that it has anyway where none are given."""
        own = {"alertname": name, "severity": SEVERITY[name], "cluster": self.cluster, "job": "exporters"}
        if name not in OF_AN_EXPORTER:
            own |= {"system": "docs", "squad": "docs"}
        if name in OF_A_JOB:
            own["job_id"] = "guide"
        return {**own, **labels}

    def fire(self, *alerts: Labels) -> None:
        self.alertmanager.post(*alerts)

    def told(self) -> list[Notice]:
        return [one for one in self.hook.told if one.labels["cluster"] == self.cluster]

    def names(self) -> set[str]:
        return {one.labels["alertname"] for one in self.told()}

    def suppressed(self) -> set[str]:
        """Names of its alerts that Alertmanager shows as inhibited."""
        return {
            one["labels"]["alertname"]
            for one in self.alertmanager.alerts()
            if one["labels"]["cluster"] == self.cluster and one["status"]["inhibitedBy"]
        }

    def settled(self, expected: set[str]) -> None:
        """Waits until these were told, and then for one that fired after all others."""
        last = {"alertname": "Last", "severity": "critical", "cluster": self.cluster}
        until(lambda: expected <= self.names(), f"{expected} told")
        self.fire(last)
        until(lambda: "Last" in self.names(), "the last one told")


@pytest.fixture(scope="module")
def shared(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Alertmanager, Webhook]]:
    path = program("prometheus-alertmanager", DEBIAN)
    folder = tmp_path_factory.mktemp("alertmanager")
    with webhook() as hook, alerting(path, folder, example(hook.vendor.url)) as alertmanager:
        yield alertmanager, hook


@pytest.fixture
def place(shared: tuple[Alertmanager, Webhook]) -> Place:
    return Place(*shared, cluster=str(uuid.uuid4()))


def test_amtool_accepts_it(program: Program) -> None:
    assert "SUCCESS" in amtool(program, "check-config", str(EXAMPLE))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=RemoteJobFailed severity=critical squad=docs system=docs job_id=a", "team-docs"),
        ("alertname=RemoteJobFailed severity=critical squad=i18n system=docs job_id=a", "team-docs"),
        ("alertname=RemoteJobStuck severity=warning squad=docs system=docs job_id=a", "team-docs"),
        ("alertname=RemoteJobOverdue severity=critical squad=shop system=builds job_id=a", "team-shop"),
        ("alertname=RemoteJobUnreadable severity=warning squad=press system=site job_id=a", "team-web"),
        ("alertname=RemoteJobCredentialsRejected severity=critical squad=web system=site", "team-web"),
        ("alertname=RemoteJobStateUnknown severity=info squad=docs system=docs job_id=a", "notes"),
        ("alertname=RemoteJobFailed severity=critical squad=docs-archive system=d job_id=a", "operations"),
        ("alertname=RemoteJobStuck severity=warning system=docs job_id=a", "operations"),
        ("alertname=RemoteJobExporterDown severity=critical instance=a:10072", "operations"),
    ],
)
def test_an_alert_goes_to_the_team_of_its_squad(program: Program, labels: str, receiver: str) -> None:
    arguments = ("--config.file", str(EXAMPLE), f"--verify.receivers={receiver}", *labels.split())
    assert receiver in amtool(program, "config", "routes", "test", *arguments)


def test_a_critical_alert_is_told_within_a_minute_of_its_cause() -> None:
    top = yaml.safe_load(EXAMPLE.read_text())["route"]
    teams = [route for route in top["routes"] if "severity" not in str(route["matchers"])]
    waits = [route.get("group_wait", top["group_wait"]) for route in (top, *teams)]
    assert len(waits) == 4
    assert all(15 + 15 + int(wait.removesuffix("s")) < 60 for wait in waits)


def test_every_alert_that_it_names_exists() -> None:
    text = re.sub(r"#.*", "", EXAMPLE.read_text())
    named = re.findall(r"RemoteJob(?:\(([^)]+)\)|([\w.+]+))", text)
    words = {word for several, one in named for word in (several or one).split("|")}
    assert len(words) > len(OF_THE_LAST_LOOK)
    for word in words:
        assert any(re.fullmatch(f"RemoteJob{word}", name) for name in SEVERITY), word


def test_the_messages_that_it_suggests_are_taken_and_say_what_is_wrong(
    program: Program, tmp_path: Path
) -> None:
    whole = EXAMPLE.read_text()
    text = whole[whole.index("#  - name: ") :].replace("\n#", "\n").removeprefix("#")
    receivers = yaml.safe_load(text)
    config = {"route": {"receiver": receivers[0]["name"]}, "receivers": receivers}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert "SUCCESS" in amtool(program, "check-config", str(tmp_path / "config.yaml"))

    names = set(re.findall(r"Annotations\.(\w+)", text))
    assert names == {"summary", "description", "runbook_url", "dashboard_url"}
    annotations = {name: f"<the {name}>" for name in names}
    labels = {"alertname": "RemoteJobFailed", "system": "docs"}
    data = tmp_path / "data.json"
    alert = {"status": "firing", "labels": labels, "annotations": annotations}
    told = {"status": "firing", "alerts": [alert], "commonLabels": labels, "commonAnnotations": annotations}
    data.write_text(json.dumps(told))

    def render(text: str) -> str:
        more = (f"--template.text={text}", f"--template.data={data}")
        return amtool(program, "template", "render", "--template.glob=/dev/null", *more).strip()

    slack, mail = receivers[0]["slack_configs"][0], receivers[0]["email_configs"][0]
    for template in (slack["text"], mail["text"]):
        shown = render(template)
        assert all(f"<the {name}>" in shown for name in names)
    assert render(slack["title"]) == "FIRING: RemoteJobFailed of docs"


def test_two_jobs_that_fail_are_two_messages_to_their_team(place: Place) -> None:
    place.fire(place.alert("RemoteJobFailed"), place.alert("RemoteJobFailed", job_id="notes"))
    place.settled({"RemoteJobFailed"})
    failed = [one for one in place.told() if one.labels["alertname"] == "RemoteJobFailed"]
    assert {(one.receiver, one.labels["job_id"]) for one in failed} == {
        ("team-docs", "guide"),
        ("team-docs", "notes"),
    }
    assert len(place.hook.messages(cluster=place.cluster, alertname="RemoteJobFailed")) == 2


def test_the_jobs_of_a_vendor_that_is_down_are_one_message(place: Place) -> None:
    place.fire(*(place.alert("RemoteJobUnreadable", job_id=str(number)) for number in range(30)))
    place.settled({"RemoteJobUnreadable"})
    (message,) = place.hook.messages(cluster=place.cluster, alertname="RemoteJobUnreadable")
    assert len(message) == 30


def test_while_no_exporter_answers_only_that_is_told(place: Place) -> None:
    down = place.alert("RemoteJobExporterDown", scope="all")
    place.fire(down, place.alert("RemoteJobExporterDown", scope="instance", instance="a"))
    others = SEVERITY.keys() - {"RemoteJobExporterDown"}
    place.fire(*map(place.alert, others))
    assert place.suppressed() == SEVERITY.keys()  # of Down, the one of the single instance
    place.settled({"RemoteJobExporterDown"})
    assert [one.labels.get("scope") for one in place.told()] == ["all", None]


def test_an_exporter_that_is_down_silences_no_jobs_of_another_cluster_or_scrape_job(place: Place) -> None:
    place.fire(place.alert("RemoteJobExporterDown", scope="all"))
    place.fire(
        place.alert("RemoteJobFailed", job="others"), place.alert("RemoteJobOverdue", cluster="elsewhere")
    )
    place.settled({"RemoteJobFailed"})
    until(lambda: any(one.labels["cluster"] == "elsewhere" for one in place.hook.told), "the other cluster's")


def test_the_death_of_one_replica_silences_nothing(place: Place) -> None:
    place.fire(place.alert("RemoteJobExporterDown", scope="instance", instance="a"))
    alone = SEVERITY.keys() - {"RemoteJobExporterDown"}
    # Each has a system of its own, so that none of them silences another.
    place.fire(*(place.alert(name, **_own_system(name)) for name in alone))
    assert place.suppressed() == set()
    place.settled(set(SEVERITY))


def test_what_rests_on_the_last_look_is_silent_while_a_job_is_unreadable(place: Place) -> None:
    place.fire(place.alert("RemoteJobUnreadable"))
    place.fire(*map(place.alert, OF_THE_LAST_LOOK))
    assert place.suppressed() == OF_THE_LAST_LOOK
    place.settled({"RemoteJobUnreadable"})
    assert place.names() == {"RemoteJobUnreadable", "Last"}


def test_a_failed_or_overdue_job_is_told_although_it_is_unreadable(place: Place) -> None:
    place.fire(place.alert("RemoteJobUnreadable"))
    place.fire(place.alert("RemoteJobFailed"), place.alert("RemoteJobOverdue"))
    place.settled({"RemoteJobFailed", "RemoteJobOverdue"})


def test_an_unreadable_job_silences_no_other_job(place: Place) -> None:
    place.fire(place.alert("RemoteJobUnreadable"))
    elsewhere = dataclasses.replace(place, cluster=f"{place.cluster}-2")
    others = ({"job_id": "notes"}, {"system": "builds"}, {"cluster": elsewhere.cluster})
    place.fire(*(place.alert("RemoteJobStuck", **other) for other in others))
    assert place.suppressed() | elsewhere.suppressed() == set()


def test_rejected_credentials_are_told_once_and_not_for_every_job(place: Place) -> None:
    silent = OF_THE_LAST_LOOK | {
        f"RemoteJob{name}" for name in ("Unreadable", "RateLimited", "ListingFailed", "CredentialsExpireSoon")
    }
    place.fire(place.alert("RemoteJobCredentialsRejected"))
    place.fire(*map(place.alert, silent), place.alert("RemoteJobOverdue", job_id="b"))
    assert place.suppressed() == silent
    place.fire(place.alert("RemoteJobStuck", system="docs-eu", job_id="eu"))
    place.settled({"RemoteJobCredentialsRejected", "RemoteJobOverdue", "RemoteJobStuck"})
    assert {one.labels["system"] for one in place.told() if one.labels["alertname"] == "RemoteJobStuck"} == {
        "docs-eu"
    }


def test_who_was_called_for_a_job_is_not_warned_of_it_but_of_others(place: Place) -> None:
    place.fire(place.alert("RemoteJobFailed"))
    warnings = {name for name in OF_A_JOB if SEVERITY[name] != "critical"}
    place.fire(*map(place.alert, warnings))
    assert place.suppressed() == warnings
    place.fire(place.alert("RemoteJobStuck", job_id="notes"), place.alert("RemoteJobListingFailed"))
    place.settled({"RemoteJobFailed", "RemoteJobStuck", "RemoteJobListingFailed"})
    assert place.names() == {"RemoteJobFailed", "RemoteJobStuck", "RemoteJobListingFailed", "Last"}


def test_alerts_of_other_software_are_neither_silenced_nor_silence_ours(place: Place) -> None:
    place.fire(place.alert("RemoteJobExporterDown", scope="all"), place.alert("RemoteJobFailed"))
    theirs = {"cluster": place.cluster, "job": "exporters", "system": "docs", "job_id": "guide"}
    place.fire({"alertname": "DiskFull", "severity": "warning", **theirs})
    place.fire({"alertname": "HostDown", "severity": "critical", **theirs, "job": "y"})
    place.fire(place.alert("RemoteJobStuck", job="y"))
    place.settled({"DiskFull", "HostDown", "RemoteJobStuck"})


def _own_system(name: str) -> dict[str, str]:
    return {} if name in OF_AN_EXPORTER else {"system": name}
