"""The rules of the release: changed where asked, and still rules for Prometheus whatever is changed."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart import Object, render
from tests.chart.matrix import NEWEST, case
from tests.command import ROOT
from tests.conftest import Program

FILE = ROOT / "grafana/alerts/rules.yaml"
GROUPS = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RUNBOOKS = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/on-call/alerts/"
GRAFANA = "https://grafana.example.com/d/"
ALL = {"disabled": dict.fromkeys(ALERTS, True)}


def rendered(**values: Any) -> Object:
    return render({"prometheusRule": {"enabled": True, **values}}).one("PrometheusRule")


def rules(one: Object) -> list[dict[str, Any]]:
    return [rule for group in one["spec"]["groups"] for rule in group["rules"]]


def alerts(**values: Any) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules(rendered(**values)) if "alert" in rule}


def test_promtool_takes_the_rules_of_each_ci_file(program: Program, tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    found = {found.file.stem: one["spec"] for found in NEWEST for one in found.of("PrometheusRule")}
    found["dropped"] = rendered(droppedLabels=["instance", "pod"])["spec"]
    found["none"] = rendered(**ALL)["spec"]
    files = [tmp_path / f"{name}.yaml" for name in found]
    for file, spec in zip(files, found.values(), strict=True):
        file.write_text(yaml.safe_dump(spec))
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(files) > 5


def test_by_default_only_what_belongs_to_the_place_differs_from_the_file() -> None:
    """The exporter's own `job`, and links to a Grafana of which nobody has told."""
    own = 'job="demo-remote-job-exporter",namespace="mon"'
    expected = yaml.safe_load(FILE.read_text().replace('job=~".*remote-job-exporter.*"', own))["groups"]
    for rule in (rule for group in expected for rule in group["rules"]):
        rule.get("annotations", {}).pop("dashboard_url", None)
    assert rendered()["spec"] == {"groups": expected}


def test_what_prometheus_renders_is_left_to_prometheus() -> None:
    changed = alerts(overrides={"RemoteJobFailed": {"annotations": {"more": "{{ $value | humanize }}"}}})
    assert changed["RemoteJobFailed"]["annotations"]["more"] == "{{ $value | humanize }}"
    for name, rule in ALERTS.items():
        for key in ("summary", "description"):
            assert changed[name]["annotations"][key] == rule["annotations"][key]
    assert "{{ $labels.job_id }}" in str(case("05-").of("PrometheusRule"))


def test_one_alert_can_be_changed_in_each_respect_without_touching_another() -> None:
    change = {
        "severity": "info",
        "for": "7m",
        "keep_firing_for": "2h",
        "expr": "vector(1)",
        "labels": {"team": "docs"},
        "annotations": {"summary": "Other words."},
    }
    before, after = alerts(), alerts(overrides={"RemoteJobStuck": change})
    stuck = after.pop("RemoteJobStuck")
    assert {key: stuck[key] for key in ("for", "keep_firing_for", "expr")} == {
        key: change[key] for key in ("for", "keep_firing_for", "expr")
    }
    assert stuck["labels"] == {**ALERTS["RemoteJobStuck"]["labels"], "severity": "info", "team": "docs"}
    untouched = before.pop("RemoteJobStuck")
    assert stuck["annotations"] == {**untouched["annotations"], "summary": "Other words."}
    assert after == before


def test_alerts_are_left_out_one_by_one_and_recordings_never() -> None:
    assert ALERTS.keys() - alerts(disabled={"RemoteJobStuck": True, "RemoteJobFailed": False}).keys() == {
        "RemoteJobStuck"
    }
    assert all("record" in rule for rule in rules(rendered(**ALL)))


def test_labels_and_annotations_for_all_yield_to_those_of_one_alert() -> None:
    changed = alerts(
        ruleLabels={"team": "ops", "severity": "page"},
        ruleAnnotations={"channel": "#ops"},
        overrides={"RemoteJobFailed": {"severity": "info", "labels": {"team": "docs"}}},
    )
    failed = changed.pop("RemoteJobFailed")
    assert (failed["labels"]["severity"], failed["labels"]["team"]) == ("info", "docs")
    assert failed["annotations"]["channel"] == "#ops"
    for rule in changed.values():
        assert (rule["labels"]["severity"], rule["labels"]["team"]) == ("page", "ops")


@pytest.mark.parametrize("end", ["", "/"])
def test_each_link_leads_to_the_places_that_are_told(end: str) -> None:
    changed = alerts(
        runbookUrl=f"https://wiki.example.org/r{end}", dashboardUrl=f"https://g.example.org/d{end}"
    )
    for name, rule in changed.items():
        told = ALERTS[name]["annotations"]
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.org/r/{name}.md"
        assert rule["annotations"]["dashboard_url"] == told["dashboard_url"].replace(
            GRAFANA, "https://g.example.org/d/"
        )
        assert told["runbook_url"] == f"{RUNBOOKS}{name}.md"


def test_the_labels_that_are_dropped_are_told_once_for_all_expressions() -> None:
    places = r"without \(([^)]*)\)"
    before = re.findall(places, str([rule["expr"] for rule in rules(rendered())]))
    after = re.findall(places, str([rule["expr"] for rule in rules(rendered(droppedLabels=["pod", "node"]))]))
    assert len(before) > 30
    place = "instance, pod, container, endpoint, service"
    own = [text.replace(f"{place}, namespace", "pod, node") for text in before]
    assert [text.replace(place, "instance, pod, node") for text in own] == after
    assert all(text.startswith(("pod, node", "instance, pod, node")) for text in after)


def test_alerts_keep_firing_as_long_as_is_told_unless_they_say_so_themselves() -> None:
    for name, rule in alerts(keepFiringFor="9m").items():
        assert rule["keep_firing_for"] == ALERTS[name].get("keep_firing_for", "9m")
    own = {name for name, rule in ALERTS.items() if "keep_firing_for" in rule}
    assert 0 < len(own) < len(ALERTS)


def test_the_interval_is_that_of_the_group() -> None:
    assert [group["interval"] for group in rendered(interval="2m")["spec"]["groups"]] == ["2m"]


def test_a_further_release_loads_only_the_alert_on_its_own_up() -> None:
    """Two releases with all rules would record each series twice."""
    (one,) = rules(rendered(scope="release"))
    assert one == alerts()["RemoteJobExporterDown"]
    assert 'up{job="demo-remote-job-exporter",namespace="mon"}' in one["expr"]


def test_rules_of_ones_own_make_a_group_of_their_own() -> None:
    own = {"alert": "Mine", "expr": "up == 0", "annotations": {"summary": "{{ $labels.instance }}"}}
    first, second = rendered(extraRules=[own])["spec"]["groups"]
    assert first["rules"] == rendered()["spec"]["groups"][0]["rules"]
    assert second["rules"] == [own]


@pytest.mark.parametrize(
    ("values", "matchers"),
    [
        ({}, 'job="demo-remote-job-exporter",namespace="mon"'),
        ({"serviceMonitor": {"enabled": True}}, 'job="demo-remote-job-exporter",namespace="mon"'),
        ({"podMonitor": {"enabled": True}}, 'job="mon/demo-remote-job-exporter",namespace="mon"'),
        (
            {"podMonitor": {"enabled": True, "namespace": "monitoring"}},
            'job="monitoring/demo-remote-job-exporter",namespace="mon"',
        ),
        (
            {"serviceMonitor": {"enabled": True, "jobLabel": "tier"}, "service": {"labels": {"tier": "web"}}},
            'job="web",namespace="mon"',
        ),
        (
            {"serviceMonitor": {"enabled": True, "jobLabel": "app.kubernetes.io/component"}},
            'job="metrics",namespace="mon"',
        ),
        (
            {"podMonitor": {"enabled": True, "jobLabel": "tier"}, "podLabels": {"tier": "web"}},
            'job="web",namespace="mon"',
        ),
        ({"namespaceOverride": "jobs"}, 'job="demo-remote-job-exporter",namespace="jobs"'),
    ],
)
def test_alerts_on_up_look_for_the_job_that_the_monitor_makes(values: dict[str, Any], matchers: str) -> None:
    found = render({**values, "prometheusRule": {"enabled": True}}).one("PrometheusRule")
    (down,) = [rule["expr"] for rule in rules(found) if rule.get("alert") == "RemoteJobExporterDown"]
    assert set(re.findall(r"up\{([^}]*)\}", down)) == {matchers}
