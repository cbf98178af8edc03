"""The Compose stack: its files, and all of it but Grafana started from them as plain processes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests import alertmanager as am
from tests import prometheus as prom
from tests.alertmanager import Alertmanager
from tests.command import ADDRESS, COMMAND, ROOT, run, running, until
from tests.conftest import Program
from tests.prometheus import Prometheus
from tests.stack import RULES, SCRAPE_JOB

FOLDER = ROOT / "examples/quickstart"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: Mapping[str, Any] = COMPOSE["services"]
LOCAL = "127.0.0.1:0"
ALERTMANAGER = "prometheus-alertmanager"


def mounts(service: str) -> dict[str, Path]:
    """What a service finds at which of its paths."""
    found = {}
    for volume in SERVICES[service].get("volumes", ()):
        source, target, mode = volume.split(":")
        assert mode == "ro,z", "without z, no container of a host with SELinux can read it"
        found[target] = (FOLDER / source).resolve()
    return found


def replaced(text: str, by: Mapping[str, object]) -> str:
    return reduce(lambda said, pair: said.replace(pair[0], str(pair[1])), by.items(), text)


def outside(service: str, file: str, folder: Path, addresses: Mapping[str, str]) -> Path:
    """A mounted file for a plain process: its paths as they are outside, its hosts as they are now."""
    inside = mounts(service)
    (folder / Path(file).name).write_text(replaced(inside[file].read_text(), {**inside, **addresses}))
    return folder / Path(file).name


# The files


def test_compose_takes_it() -> None:
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    checked = subprocess.run(
        [*command, FOLDER / "compose.yaml"], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert "version" not in COMPOSE  # obsolete: Compose warns of it


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(service: str) -> None:
    options = SERVICES[service]
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", options["user"])
    assert options["tmpfs"]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in options["ports"])
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & options.keys()


def test_one_image_is_built_here_once_and_the_others_are_of_one_version() -> None:
    (builder,) = [options for options in SERVICES.values() if "build" in options]
    assert (FOLDER / builder["build"] / "Dockerfile").is_file()
    ours = [options for options in SERVICES.values() if options["image"] == builder["image"]]
    assert [options["pull_policy"] for options in ours] == ["never", "never"], (
        "a registry could have the name"
    )
    for options in SERVICES.values():
        assert options in ours or re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", options["image"])


@pytest.mark.parametrize("page", ["examples/quickstart/README.md", "docs/guides/alerts.md"])
def test_a_command_that_edits_a_file_works_with_the_sed_of_macos_too(page: str) -> None:
    """It takes what follows -i for a suffix, so there has to be one."""
    commands = re.findall(r"\bsed -i\S*", (ROOT / page).read_text())
    assert set(commands) == {"sed -i.orig"}


def test_a_changed_configuration_is_applied_to_a_new_container() -> None:
    """A restart, and `up` while only a mounted file has changed, keep the old one with the old mounts."""
    commands = re.findall(r"^docker compose .*", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert not [command for command in commands if " restart" in command]
    assert "docker compose up -d --force-recreate exporter" in commands


@pytest.mark.parametrize("service", SERVICES)
def test_whoever_needs_a_service_waits_until_it_is_healthy(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"  # no shell is needed
    for needed, how in SERVICES[service].get("depends_on", {}).items():
        assert needed in SERVICES
        assert how == {"condition": "service_healthy"}


def test_nothing_is_read_from_where_nothing_is_mounted() -> None:
    for name, options in SERVICES.items():
        text = json.dumps([options.get("command"), options.get("environment")])
        text += "".join(path.read_text() for path in mounts(name).values() if path.suffix == ".yaml")
        text += "".join(file.read_text() for path in mounts(name).values() for file in path.glob("*/*.yaml"))
        for path in re.findall(r"/(?:etc|run)/[\w./-]+", text):
            inside = [target for target in mounts(name) if path == target or path.startswith(f"{target}/")]
            assert inside, f"{name} reads {path}"
            assert (mounts(name)[inside[0]] / path.removeprefix(inside[0]).lstrip("/")).exists(), path


def test_what_a_service_writes_is_in_memory() -> None:
    kept = {
        (name, flag.partition("=")[2])
        for name, options in SERVICES.items()
        for flag in options.get("command", ())
        if flag.startswith("--storage") and "path=" in flag
    }
    assert kept == {("prometheus", "/prometheus"), ("alertmanager", "/alertmanager")}
    for name, path in [*kept, ("grafana", "/var/lib/grafana"), ("grafana", "/tmp"), ("exporter", "/tmp")]:  # noqa: S108  in a container
        assert path in [one.split(":")[0] for one in SERVICES[name]["tmpfs"]]


def test_every_host_that_is_asked_is_a_service_and_listens_there() -> None:
    text = "".join(file.read_text() for file in FOLDER.rglob("*.yaml"))
    asked = set(re.findall(r"\b([a-z]+):(\d{4,5})\b", text))
    published = {(name, port.split(":")[2]) for name, one in SERVICES.items() for port in one["ports"]}
    assert asked == published - {("grafana", "3000")}


def test_the_page_names_every_address() -> None:
    named = set(re.findall(r"http://(127\.0\.0\.1:\d+)", (FOLDER / "README.md").read_text()))
    assert named == {port.rpartition(":")[0] for one in SERVICES.values() for port in one["ports"]}


def test_alerts_are_routed_as_in_the_example_and_told_to_nobody_outside() -> None:
    ours = yaml.safe_load((FOLDER / "alertmanager.yaml").read_text())
    example = yaml.safe_load(am.EXAMPLE.read_text())
    assert ours["receivers"] == [{"name": one["name"]} for one in example["receivers"]]
    assert {**ours, "receivers": ()} == {**example, "receivers": ()}


def test_grafana_finds_its_data_and_dashboards() -> None:
    folder = mounts("grafana")["/etc/grafana/provisioning"]
    sources = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())
    assert sources["apiVersion"] == 1
    metrics, alerts = sources["datasources"]
    assert (metrics["type"], metrics["url"]) == ("prometheus", "http://prometheus:9090")
    assert metrics["isDefault"] is True
    assert (alerts["type"], alerts["url"]) == ("alertmanager", "http://alertmanager:9093")
    assert metrics["jsonData"]["alertmanagerUid"] == alerts["uid"]
    scraped = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["global"]["scrape_interval"]
    assert metrics["jsonData"]["timeInterval"] == scraped

    provided = yaml.safe_load((folder / "dashboards/remote-jobs.yaml").read_text())
    assert provided["apiVersion"] == 1
    (provider,) = provided["providers"]
    shown = mounts("grafana")[provider["options"]["path"]]
    for file in (dashboards := list(shown.glob("*.json"))):
        variables = json.loads(file.read_text())["templating"]["list"]
        (source,) = [one for one in variables if one["type"] == "datasource"]
        assert source["query"] == "prometheus"
        chosen = source.get("current", {}).get("value", "default")
        assert chosen in {"", "default", metrics["uid"]}
    assert len(dashboards) == 4


def test_prometheus_and_alertmanager_take_their_files(program: Program, tmp_path: Path) -> None:
    config = outside("prometheus", "/etc/prometheus/prometheus.yaml", tmp_path, {})
    for command in (
        (program("promtool", "prometheus"), "check", "config", config),
        (program("amtool", ALERTMANAGER), "check-config", FOLDER / "alertmanager.yaml"),
    ):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "SUCCESS" in ended.stdout


def test_the_exporter_takes_its_file(tmp_path: Path) -> None:
    config = outside("exporter", "/etc/remote-job-exporter/config.yaml", tmp_path, {})
    checked = run("check", str(config))
    assert checked.returncode == 0, checked.stdout
    assert "6 systems" in checked.stdout + checked.stderr


# The stack


@dataclass(frozen=True)
class Started:
    """The four that run as plain processes, and where."""

    addresses: Mapping[str, str]
    prometheus: Prometheus
    alertmanager: Alertmanager


@pytest.fixture(scope="module")
def started(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    prometheus, alertmanager = program("prometheus", "prometheus"), program(ALERTMANAGER, ALERTMANAGER)
    folder = tmp_path_factory.mktemp("quickstart")
    addresses: dict[str, str] = {}

    def here(service: str, file: str) -> list[str]:
        """The service's command, for a process on this machine: with its file, and its data in the folder."""
        config = outside(service, file, folder, {**addresses, "_interval: 15s": "_interval: 1s"})
        command = [word.replace(file, str(config)) for word in SERVICES[service]["command"]]
        return [re.sub(r"^(--storage\S*path=)", rf"\1{folder}", word) for word in command]

    with ExitStack() as stack:
        command = [LOCAL if word == ":10073" else word for word in SERVICES["simulator"]["command"]]
        process = stack.enter_context(running(folder / "simulator", *COMMAND, *command))
        addresses["simulator:10073"] = process.says(f"simulated at ({ADDRESS})").removeprefix("http://")
        command = [*here("exporter", "/etc/remote-job-exporter/config.yaml"), "--web.listen-address", LOCAL]
        process = stack.enter_context(running(folder / "exporter", *COMMAND, *command))
        addresses["exporter:10072"] = process.says(rf"listening.*({ADDRESS})").removeprefix("http://")
        flags = here("alertmanager", "/etc/alertmanager/alertmanager.yaml")
        telling = stack.enter_context(am.started(alertmanager, folder / "alertmanager", *flags))
        addresses["alertmanager:9093"] = telling.url.removeprefix("http://")
        flags = here("prometheus", "/etc/prometheus/prometheus.yaml")
        scraping = stack.enter_context(prom.started(prometheus, folder / "prometheus", *flags))
        addresses["prometheus:9090"] = scraping.url.removeprefix("http://")
        yield Started(addresses, scraping, telling)


def test_every_job_of_the_example_is_read(started: Started) -> None:
    def jobs(value: int) -> set[tuple[str, str]]:
        found = started.prometheus.query(f"remote_job_up == {value}")
        return {(labels["system"], labels["job_id"]) for labels, _ in found}

    # One site is mostly rate limited, and one system down part of the time, by design.
    by_design = {("site", "campaigns")}
    systems = yaml.safe_load((FOLDER / "exporter.yaml").read_text())["systems"].keys() - {"docs-eu"}

    def unread() -> set[tuple[str, str]]:
        return {(system, job) for system, job in jobs(0) - by_design if system != "docs-eu"}

    until(lambda: systems <= {system for system, _ in jobs(1)} and not unread(), "every job read", 120)
    assert started.prometheus.query("remote_job_system_up == 0") == []
    assert started.prometheus.health() == {SCRAPE_JOB: ("up", "")}


def test_prometheus_has_the_rules(started: Started) -> None:
    (group,) = started.prometheus.api("rules")["groups"]
    (written,) = yaml.safe_load(RULES.read_text())["groups"]
    assert [rule["name"] for rule in group["rules"]] == [
        rule.get("alert") or rule["record"] for rule in written["rules"]
    ]


def test_a_job_that_failed_is_shown_to_its_team_by_alertmanager(started: Started) -> None:
    def look() -> list[dict[str, Any]]:
        return [one for one in started.alertmanager.alerts() if one["labels"].get("job_name") == "Newsroom"]

    (alert,) = until(look, "the alert of the failed site", 60)
    assert alert["labels"]["alertname"] == "RemoteJobFailed"
    assert alert["receivers"] == [{"name": "team-web"}]


@pytest.mark.parametrize("service", ["simulator", "exporter", "prometheus", "alertmanager"])
def test_a_service_that_runs_is_healthy(started: Started, service: str) -> None:
    check = SERVICES[service]["healthcheck"]["test"][1:]
    (port,) = SERVICES[service]["ports"]
    by = {port.rpartition(":")[0]: started.addresses[f"{service}:{port.rpartition(':')[2]}"]}
    if check[0] == "python3":
        command = [sys.executable, *(replaced(word, by) for word in check[1:])]
        subprocess.run(command, timeout=30, check=True)
    else:
        # What wget asks with --spider.
        assert requests.head(replaced(check[-1], by), timeout=60).status_code == 200
