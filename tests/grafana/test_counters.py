"""The counters of the Overview agree with the alerts, on the series of the unit tests of the rules."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Program
from tests.grafana.dashboards import Panel, load_all
from tests.stack import RULES

_RUNBOOK = re.compile(r"/(\w+)\.md")
_SUITE = yaml.safe_load(RULES.with_suffix(".test.yaml").read_text(encoding="utf-8"))
EVERY_ALERT: dict[str, Any] = _SUITE["tests"][0]


def series() -> list[dict[str, str]]:
    """Its input, as text: for YAML, 0x20 is a number, for promtool, zero and twenty more."""
    values = [one["values"] for one in EVERY_ALERT["input_series"]]
    texts = [hex(one) if isinstance(one, int) else one for one in values]
    return [one | {"values": text} for one, text in zip(EVERY_ALERT["input_series"], texts, strict=True)]


def counters() -> dict[str, Panel]:
    """Stats of the Overview that name the alerts whose jobs they count."""
    shown = next(board for board in load_all() if board.name == "overview").shown
    return {one.title: one for one in shown if one.type == "stat" and alerts_of(one)}


def alerts_of(panel: Panel) -> list[str]:
    return _RUNBOOK.findall(json.dumps(panel.defaults.get("links", [])))


def jobs_of(alerts: list[str]) -> set[tuple[str, str]]:
    """The jobs for which one of them fires."""
    firing = [
        alert["exp_labels"]
        for one in EVERY_ALERT["alert_rule_test"]
        if one["alertname"] in alerts
        for alert in one["exp_alerts"]
    ]
    return {(labels["system"], labels["job_id"]) for labels in firing if "job_id" in labels}


def test_there_are_counters() -> None:
    assert len(counters()) == 6


@pytest.mark.parametrize("title", counters())
def test_a_counter_counts_the_jobs_of_its_alerts(title: str, program: Program, tmp_path: Path) -> None:
    panel = counters()[title]
    expected = jobs_of(alerts_of(panel))
    assert expected
    [target] = panel.targets
    expression = target.expr.replace("$system", ".+").replace("$job", ".+")
    asked = {
        "expr": expression,
        "eval_time": "20m",
        "exp_samples": [{"labels": "{}", "value": len(expected)}],
    }
    test = {"interval": "1m", "input_series": series(), "promql_expr_test": [asked]}
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")
    promtool = program("promtool", "prometheus")
    ended = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
