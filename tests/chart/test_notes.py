"""What Helm says after an installation: what is missing, and nothing where nothing is."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.chart import render

ON = {"enabled": True}
CONFIGURED = {"existingConfigMap": {"name": "jobs"}}
WATCHED = {**CONFIGURED, "serviceMonitor": ON, "operatorLabels": {"release": "prometheus"}}
HASH = "$2y$10$.SeNfShJSsv2ZXnDYmx2Ie4ooOda.RZN/OXF.bYP6eCQaAVDztAKq"
USERS = {"config": {"basic_auth_users": {"prometheus": HASH}}}
USER = {"username": {"name": "scraper", "key": "user"}, "password": {"name": "scraper", "key": "password"}}
TLS = {"tls": {"secretName": "tls"}}
HOSTS = {**ON, "hosts": [{"host": "jobs.example.com", "paths": [{"path": "/"}]}]}
GATEWAY = {**ON, "parentRefs": [{"name": "gateway"}]}
OTHER = {"name": "mine", "mountPath": "/run/other"}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def with_token(token: dict[str, str]) -> dict[str, Any]:
    system = {
        "provider": "caps",
        "base_url": "https://caps.example.com",
        "labels": {"env": "north"},
        "auth": {"type": "bearer", "token": token},
        "jobs": [{"project_id": "p", "build_job_id": "b", "locale": "en"}],
    }
    return {"config": {"systems": {"docs": system}}, "existingConfigMap": {}}


def from_file(path: str) -> dict[str, Any]:
    return with_token({"file": path})


IN_ENVIRONMENT = with_token({"env": "CAPS_TOKEN"})
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
        ({**IN_ENVIRONMENT, "serviceMonitor": ON}, "does not start: CAPS_TOKEN.\n"),
        ({**from_file("/run/secrets/a"), "extraVolumeMounts": [OTHER]}, "does not start: /run/secrets/a."),
        (from_file(f"{ACCOUNT}/token"), f"does not start: {ACCOUNT}/token."),
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
        {**from_file("/run/secrets/a"), "extraVolumeMounts": [{**OTHER, "mountPath": "/run/secrets"}]},
        {**from_file(f"{ACCOUNT}/token"), "automountServiceAccountToken": True},
        {**IN_ENVIRONMENT, "extraEnv": [{"name": "CAPS_TOKEN", "value": "t"}]},
        {"prometheusRule": ON},
        {"prometheusRule": ON, "serviceMonitor": {}, "podMonitor": ON},
    ],
)
def test_where_nothing_is_missing_nothing_more_is_said(values: dict[str, Any]) -> None:
    assert notes({**WATCHED, **values}).strip() == PLAIN
    assert len(PLAIN.splitlines()) == 3


def test_alerts_without_a_monitor_are_taken_where_the_job_is_told() -> None:
    assert "ExporterDown" not in notes({**CONFIGURED, "prometheusRule": {**ON, "job": "exporters"}})
