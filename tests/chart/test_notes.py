"""What Helm says after an installation: what is missing, and nothing where nothing is."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.chart import render

ON = {"enabled": True}
CONFIGURED = {"existingConfigMap": {"name": "jobs"}}
WATCHED = {**CONFIGURED, "serviceMonitor": ON, "operatorLabels": {"release": "prometheus"}}
USERS = {"config": {"basic_auth_users": {"prometheus": "$2y$10$abc"}}}
USER = {"username": {"name": "scraper", "key": "user"}, "password": {"name": "scraper", "key": "password"}}
TLS = {"tls": {"secretName": "tls"}}
HOSTS = {**ON, "hosts": [{"host": "jobs.example.com", "paths": [{"path": "/"}]}]}
GATEWAY = {**ON, "parentRefs": [{"name": "gateway"}]}
TARGETS = {**ON, "targets": [{"name": "live", "system": "docs", "keys": {"id": "1"}}]}


def notes(values: Mapping[str, Any]) -> str:
    return render(values).notes


PLAIN = notes(WATCHED).strip()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "SIMULATED"),
        (CONFIGURED, "nothing scrapes it"),
        ({**WATCHED, "operatorLabels": {}}, "operatorLabels.release"),
        ({**WATCHED, "replicas": 2}, "2 times as often"),
        ({**WATCHED, "webConfig": USERS, "scrapeConfig": ON}, "(401)\nby: scrapeConfig, serviceMonitor."),
        (
            {**WATCHED, "webConfig": USERS, "probe": {**TARGETS, "basicAuth": USER}},
            "(401)\nby: serviceMonitor.",
        ),
        ({**WATCHED, "ingress": HOSTS}, "The Ingress can be used without a password"),
        ({**WATCHED, "route": {"main": GATEWAY}, "webConfig": TLS}, "The HTTPRoute can be"),
        ({**WATCHED, "ingress": HOSTS, "service": {"type": "NodePort"}}, "The Ingress and the NodePort can"),
        ({**CONFIGURED, "prometheusRule": ON}, "RemoteJobExporterDown will fire"),
        ({**CONFIGURED, "prometheusRule": ON, "probe": TARGETS}, "RemoteJobExporterDown will fire"),
    ],
)
def test_what_is_missing_is_told(values: dict[str, Any], told: str) -> None:
    assert told in notes(values)


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2, "kind": "StatefulSet", "sharding": ON},
        {"webConfig": {**USERS, "basicAuth": {"secretName": "scraper"}}},
        {"webConfig": USERS, "serviceMonitor": {**ON, "basicAuth": USER}},
        {"webConfig": USERS, "monitors": {"authorization": {"type": "Bearer"}}, "ingress": HOSTS},
        {"webConfig": {"existingSecret": {"name": "web"}}, "route": {"main": GATEWAY}},
        {"prometheusRule": ON},
        {"prometheusRule": ON, "serviceMonitor": {}, "podMonitor": ON},
    ],
)
def test_where_nothing_is_missing_nothing_more_is_said(values: dict[str, Any]) -> None:
    assert notes({**WATCHED, **values}).strip() == PLAIN
    assert len(PLAIN.splitlines()) == 3


def test_alerts_without_a_monitor_are_taken_where_the_job_is_told() -> None:
    assert "ExporterDown" not in notes({**CONFIGURED, "prometheusRule": {**ON, "job": "exporters"}})
