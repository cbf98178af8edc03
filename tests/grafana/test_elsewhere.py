"""The ways that the guides show into other tools, tried as they are written there."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import ROOT
from tests.conftest import Program
from tests.stack import RULES

GUIDES = [ROOT / "docs/guides" / name for name in ("alerts.md", "dashboards.md", "backends.md")]
PAGE = "\n".join(guide.read_text(encoding="utf-8") for guide in GUIDES)
MIXIN = ROOT / "grafana/mixin.libsonnet"
DASHBOARDS = ROOT / "grafana/dashboards"
RUNBOOKS = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/on-call/alerts"
OLD_JSONNET = (0, 18)
"""Breaks off at a YAML text of several lines."""

_FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def block(language: str, has: str) -> str:
    """The one block of the guides that has this text."""
    blocks = [
        (told, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, told, text in _FENCED.findall(PAGE)
    ]
    found: list[str] = [text for told, text in blocks if told == language and has in text]
    assert len(found) == 1
    return found[0]


def run(*command: str, cwd: Path | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def alerts(file: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The rules under the name that the page gives them."""
    return Path(shutil.copy(RULES, tmp_path / "remote-jobs.yaml"))


def test_prometheus_takes_the_configuration_with_and_without_changed_severities(
    program: Program, copied: Path
) -> None:
    promtool = program("promtool", "prometheus")
    config = copied.with_name("prometheus.yml")
    for more in ("", block("yaml", "alert_relabel_configs")):
        config.write_text(block("yaml", "rule_files") + more)
        assert "rules found" in run(promtool, "check", "config", str(config))


def test_links_lead_to_the_bases_that_sed_puts_in(program: Program, copied: Path) -> None:
    run("bash", "-c", block("sh", "grafana.your.org"), cwd=copied.parent)
    run(program("promtool", "prometheus"), "check", "rules", str(copied))
    for rule in alerts(copied):
        told = rule["annotations"]
        assert told["runbook_url"] == f"https://wiki.your.org/runbooks/{rule['alert']}.md"
        assert told["dashboard_url"].startswith("https://grafana.your.org/d/remote-job-")


def test_a_label_of_ones_own_can_be_called_namespace(program: Program, copied: Path) -> None:
    run("bash", "-c", block("sh", "endpoint, service, namespace"), cwd=copied.parent)
    run(program("promtool", "prometheus"), "check", "rules", str(copied))
    lists = re.findall(r"without \(([^)]*)\)", copied.read_text(encoding="utf-8"))
    assert lists
    assert not any("namespace" in names for names in lists)
    assert all(names.startswith("instance, pod, container, endpoint, service") for names in lists)


def test_the_shell_lines_make_a_prometheusrule_of_the_file() -> None:
    made = run("bash", "-c", block("sh", "PrometheusRule").replace("| kubectl apply -f -", ""), cwd=ROOT)
    resource = yaml.safe_load(made)
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


def test_amtool_tells_the_route_as_the_page_asks_for_it(program: Program, tmp_path: Path) -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    shutil.copy(RULES.parent / "alertmanager.example.yaml", tmp_path / "alertmanager.yaml")
    lines = block("sh", "amtool config routes test").splitlines()
    *_, told = [run(amtool, *line.split()[1:], cwd=tmp_path) for line in lines]
    assert told.strip() == "team-shop"


def test_the_routes_of_the_guide_lead_to_the_receivers_that_it_names(
    program: Program, tmp_path: Path
) -> None:
    amtool, file = program("amtool", "prometheus-alertmanager"), tmp_path / "alertmanager.yaml"
    config = yaml.safe_load(block("yaml", "receiver: operations"))
    named = [config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])]
    file.write_text(yaml.safe_dump({**config, "receivers": [{"name": name} for name in named]}))
    labels = (["severity=critical"], ["severity=info", "squad=shop"], ["squad=shop"], ["squad=press"])
    test = (amtool, "config", "routes", "test", f"--config.file={file}")
    assert [run(*test, *each).strip() for each in labels] == named


def test_grafana_is_shown_the_folder_that_the_dashboards_are_copied_to() -> None:
    [provider] = yaml.safe_load(block("yaml", "providers:"))["providers"]
    source, target = block("sh", "cp -r grafana/dashboards").splitlines()[0].split()[2:]
    assert (ROOT / source) == DASHBOARDS
    assert target == provider["options"]["path"]


def test_what_the_grafana_operator_is_given_exists() -> None:
    made = block("sh", "kubectl create configmap").split()
    mapped, fetched = yaml.safe_load_all(block("yaml", "GrafanaDashboard"))
    reference, file = mapped["spec"]["configMapRef"], made[-1].partition("=")[2]
    assert (reference["name"], reference["key"]) == (made[3], Path(file).name)
    for path in (file, fetched["spec"]["url"].partition("/main/")[2]):
        assert json.loads((ROOT / path).read_text(encoding="utf-8"))["uid"].startswith("remote-job-")


def test_the_page_and_the_mixin_name_every_dashboard() -> None:
    uids = {json.loads(file.read_text(encoding="utf-8"))["uid"] for file in DASHBOARDS.glob("*.json")}
    assert set(re.findall(r"^\| \w+ \| `([\w-]+)` \|", PAGE, re.MULTILINE)) == uids
    imports = dict(re.findall(r"'([\w-]+)\.json': import '(\S+)'", MIXIN.read_text(encoding="utf-8")))
    assert {name: f"dashboards/{name.removeprefix('remote-job-')}.json" for name in uids} == imports


def test_the_mixin_is_the_rules_and_dashboards_with_other_bases_of_links(tmp_path: Path) -> None:
    jsonnet = shutil.which("jsonnet")
    version = re.search(r"v(\d+)\.(\d+)", run(jsonnet, "--version")) if jsonnet else None
    if jsonnet is None or version is None or (int(version[1]), int(version[2])) <= OLD_JSONNET:
        pytest.skip("jsonnet is missing or older than 0.19; get it from its project, Debian's is too old")
    program = tmp_path / "remote-jobs.jsonnet"
    program.write_text(
        block("jsonnet", "_config").replace("github.com/remote-job-exporter/remote-job-exporter", str(ROOT))
    )
    run(jsonnet, "-c", "-m", str(tmp_path / "out"), str(program))
    made = {file.name: file for file in (tmp_path / "out").iterdir()}
    text = RULES.read_text(encoding="utf-8")
    for old, new in (
        ("https://grafana.example.com", "https://grafana.your.org"),
        (RUNBOOKS, "https://wiki.your.org/runbooks"),
    ):
        text = text.replace(old, new)
    assert yaml.safe_load(made.pop("remote-jobs.yaml").read_text()) == yaml.safe_load(text)
    for name, file in made.items():
        source = DASHBOARDS / name.removeprefix("remote-job-")
        assert json.loads(file.read_text()) == json.loads(source.read_text())
