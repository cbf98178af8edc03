"""The chart's main path: its defaults, its example, its links into grafana/, and what is generated."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from helm.generate import pages
from tests.chart.chart import CHART, Rendered, render, values_of
from tests.chart.kubelet import mounted
from tests.command import ROOT, run

ALERTS = yaml.safe_load((ROOT / "grafana/alerts/rules.yaml").read_text())["groups"][0]["rules"]
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
EXAMPLE = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)[0])


def container(rendered: Rendered, kind: str = "Deployment") -> dict[str, Any]:
    found: dict[str, Any] = rendered.one(kind)["spec"]["template"]["spec"]["containers"][0]
    return found


def rules(rendered: Rendered) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rendered.one("PrometheusRule")["spec"]["groups"][0]["rules"]
    return found


@pytest.mark.parametrize("file", pages(), ids=lambda file: file.name)
def test_what_is_generated_is_up_to_date(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == pages()[file], "run: python -m helm.generate"


def test_with_no_values_simulated_jobs_are_shown_and_notes_say_so() -> None:
    rendered = render()
    assert sorted(one["kind"] for one in rendered) == ["Deployment", "Pod", "Service", "ServiceAccount"]
    assert container(rendered)["args"] == ["demo", "--web.listen-address=:10072"]
    assert "SIMULATED" in rendered.notes


def test_the_example_of_the_readme_is_scraped_and_has_alerts_dashboards_and_credentials() -> None:
    rendered = render(EXAMPLE)
    assert rendered.one("ServiceMonitor")["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert rendered.one("PrometheusRule")["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert len(rendered.all("ConfigMap")) == len(DASHBOARDS) + 1
    volumes = rendered.one("Deployment")["spec"]["template"]["spec"]["volumes"]
    mounted = json.dumps(next(one for one in volumes if one["name"] == "config"))
    assert '"path": "credentials/itwin"' in mounted
    assert "SIMULATED" not in rendered.notes


def test_the_exporter_takes_the_example_of_the_readme(tmp_path: Path) -> None:
    args = mounted(render(EXAMPLE), tmp_path, {"remote-jobs": {"itwin": "secret"}})
    (folder,) = [arg.partition("=")[2] for arg in args if arg.startswith("--config.file=")]
    done = run("check", folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_changes_the_rules_are_those_of_the_file() -> None:
    bare = {
        "enabled": True,
        "job": ".*remote-job-exporter.*",
        "dashboardUrl": "https://grafana.example.com/d",
    }
    assert rules(render({"prometheusRule": bare})) == ALERTS


def test_alerts_have_no_link_to_dashboards_while_nobody_says_where_those_are() -> None:
    text = json.dumps(rules(render({"prometheusRule": {"enabled": True}})))
    assert "grafana.example.com" not in text
    assert "dashboard_url" not in text


def test_every_place_that_rules_name_can_be_changed() -> None:
    text = json.dumps(rules(render(values_of(CHART / "ci/05-operator-values.yaml"))))
    assert "grafana.example.com" not in text
    assert "docs/on-call/alerts" not in text
    assert "service, namespace" not in text
    assert ".*remote-job-exporter" not in text


def test_alerts_on_up_are_about_the_release_itself() -> None:
    down = next(
        one["expr"]
        for one in rules(render({"prometheusRule": {"enabled": True}}))
        if one.get("alert") == "RemoteJobExporterDown"
    )
    assert 'up{job="demo-remote-job-exporter",namespace="mon"}' in down


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_in_a_config_map_of_its_own_unchanged(file: Path) -> None:
    name = f"demo-remote-job-exporter-dashboard-{file.stem}"
    data = render({"dashboards": {"enabled": True}}).one("ConfigMap", name)["data"]
    assert {key: json.loads(text) for key, text in data.items()} == {
        f"remote-job-{file.name}": json.loads(file.read_text())
    }


def test_the_package_holds_the_linked_files_and_nothing_that_installing_does_not_need(tmp_path: Path) -> None:
    archive = helm_python.package(CHART, destination=tmp_path)
    with tarfile.open(fileobj=io.BytesIO(Path(archive).read_bytes())) as packed:
        names = {member.name.removeprefix("remote-job-exporter/") for member in packed if member.isfile()}
        links = [member.name for member in packed if member.issym() or member.islnk()]
    assert links == []
    files = {"files/rules.yaml", *(f"files/dashboards/{file.name}" for file in DASHBOARDS)}
    known = {".helmignore", "Chart.yaml", "README.md", "values.yaml", "values.schema.json"}
    assert {name for name in names if not name.startswith("templates/")} == known | files


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"replica": 2}, "replica"),
        ({"serviceMonitor": {"honourLabels": True}}, "honourLabels"),
        ({"config": {"systems": {"docs": {"provider": "caps"}}}}, "base_url"),
        ({"config": {"defaults": {"max_jobs": 1}}}, "no systems"),
        ({"sharding": {"enabled": True}, "existingConfigMap": {"name": "jobs"}}, "kind"),
        ({"sharding": {"enabled": True}, "kind": "StatefulSet"}, "need a configuration"),
        ({"prometheusRule": {"enabled": True, "disabled": {"RemoteJobFaild": True}}}, "RemoteJobFaild"),
        ({"terminationGracePeriodSeconds": 10}, "shutdownTimeout"),
    ],
)
def test_a_mistake_in_the_values_is_refused_by_name(values: dict[str, Any], why: str) -> None:
    with pytest.raises(helm_python.HelmError, match=why):
        render(values)
