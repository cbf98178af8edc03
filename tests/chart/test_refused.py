"""Values that cannot be meant are refused before anything is installed, and the message names them."""

import re
from typing import Any

import helm_python
import pytest

from tests.chart.chart import render

ON = {"enabled": True}
SYSTEM = {
    "provider": "caps",
    "base_url": "https://caps.example.com",
    "jobs": [{"project_id": "p", "build_job_id": "b", "locale": "en"}],
}
CONFIG = {"config": {"systems": {"docs": SYSTEM}}}
SHARDED = {**CONFIG, "kind": "StatefulSet", "replicas": 2, "sharding": ON}
NAMED, KEYED = {"name": "jobs"}, {"name": "jobs", "key": "jobs.yaml"}
STORE = {**ON, "secretStoreRef": {"name": "vault"}}
TARGET = {"name": "live", "system": "docs", "keys": {"id": "1"}}
DASHBOARDS = {"grafanaOperator": {**ON, "folderUID": "a", "folderRef": "b"}, **ON}


def refusal(values: dict[str, Any]) -> str:
    try:
        render(values)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def test_what_the_refused_values_differ_from_is_taken() -> None:
    for values in (CONFIG, SHARDED, {"probe": {**ON, "targets": [TARGET]}}):
        assert refusal(values) == ""
    assert refusal({"externalSecret": {**STORE, "dataFrom": [{"extract": {"key": "a"}}]}}) == ""


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({**SHARDED, "kind": "Deployment"}, "/kind"),
        ({**SHARDED, "replicas": 0}, "/replicas"),
        ({**SHARDED, "replicas": 1025}, "/replicas"),
        ({"serviceMonitor": ON, "podMonitor": ON}, "/podMonitor/enabled"),
        ({"dashboards": {**DASHBOARDS, "enabled": False}}, "/dashboards/enabled"),
        ({"dashboards": DASHBOARDS}, "/dashboards/grafanaOperator"),
        (
            {"webConfig": {"existingSecret": {"name": "web"}, "config": {"basic_auth_users": {}}}},
            "/webConfig/config",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(values: dict[str, Any], place: str) -> None:
    assert place in refusal(values)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"credentials": [{"key": "token"}]}, "secretName"),
        ({"credentials": [{"secretName": "caps"}]}, "key"),
        ({"ingress": ON}, "/ingress/hosts"),
        ({"ingress": {**ON, "hosts": [{"host": "a"}]}}, "paths"),
        ({"route": {"main": ON}}, "/route/main/parentRefs"),
        ({"probe": ON}, "/probe/targets"),
        ({"probe": {**ON, "targets": [{"name": "a", "system": "b"}]}}, "keys"),
        ({"externalSecret": {**ON, "data": [{"secretKey": "a"}]}}, "/externalSecret/secretStoreRef/name"),
        ({"externalSecret": STORE}, "/externalSecret/data"),
        ({"config": {"systems": {"docs": {"provider": "caps"}}}}, "base_url"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, Any], place: str) -> None:
    assert place in refusal(values)


@pytest.mark.parametrize("config", [{}, {"basic_auth_users": {"a": "b"}}])
def test_https_without_a_certificate_is_refused_as_probes_would_never_succeed(config: dict[str, Any]) -> None:
    assert "needs a certificate" in refusal({**CONFIG, "webConfig": {"tls": ON, "config": config}})
    existing = {"tls": ON, "existingSecret": {"name": "web"}}
    assert refusal({**CONFIG, "webConfig": existing}) == ""


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({**CONFIG, "existingConfigMap": NAMED}, "existingConfigMap.key is required"),
        ({**CONFIG, "existingSecret": NAMED}, "existingSecret.key is required"),
        ({"existingConfigMap": KEYED, "existingSecret": NAMED}, "existingSecret.key is required"),
        ({"existingConfigMap": NAMED, "existingSecret": KEYED}, "existingConfigMap.key is required"),
    ],
)
def test_a_second_source_of_the_configuration_needs_a_key_as_files_would_replace_each_other(
    values: dict[str, Any], place: str
) -> None:
    assert place in refusal(values)
    for one in ("existingConfigMap", "existingSecret"):
        assert refusal({one: NAMED}) == refusal({one: KEYED}) == ""


def test_two_ways_to_log_in_are_refused() -> None:
    bearer = {"authorization": {"credentials": {"name": "scraper", "key": "token"}}}
    user = {"username": {"name": "scraper", "key": "user"}}
    for other in ({"probe": {"basicAuth": user}}, {"webConfig": {"basicAuth": {"secretName": "scraper"}}}):
        assert "Prometheus sends one of them" in refusal({"monitors": bearer, **other})
        assert refusal(other) == ""


def test_egress_by_host_name_is_refused_where_no_host_is_known() -> None:
    policy = {**ON, "flavor": "cilium"}
    for values in ({"existingSecret": NAMED}, {**CONFIG, "existingConfigMap": KEYED}):
        assert "networkPolicy.egress.hosts" in refusal({**values, "networkPolicy": policy})
        known = {**policy, "egress": {"hosts": ["api.example.com"]}}
        assert refusal({**values, "networkPolicy": known}) == ""
    assert refusal({**CONFIG, "networkPolicy": policy}) == ""


def test_two_credentials_that_would_be_one_file_are_refused() -> None:
    first = {"secretName": "a", "key": "token"}
    fetched = {**STORE, "data": [{"secretKey": "token", "remoteRef": {"key": "a"}}]}
    assert "token token" in refusal({**CONFIG, "credentials": [first, {**first, "secretName": "b"}]})
    assert "token token" in refusal({**CONFIG, "credentials": [first], "externalSecret": fetched})
    assert refusal({**CONFIG, "credentials": [first, {**first, "name": "other"}]}) == ""


@pytest.mark.parametrize(
    "values",
    [
        {"credentials": [{"secretName": "a", "key": "b", "noSuch": 1}]},
        {"probe": {"targets": [{**TARGET, "noSuch": 1}]}},
        {"ingress": {"hosts": [{"host": "a", "paths": [{"path": "/", "noSuch": 1}]}]}},
        {"resources": {"noSuch": {}}},
        {"livenessProbe": {"noSuch": 1}},
        {"serviceMonitor": {"limits": {"noSuch": 1}}},
        {"prometheusRule": {"overrides": {"RemoteJobFailed": {"noSuch": 1}}}},
        {"config": {"systems": {"docs": {**SYSTEM, "noSuch": 1}}}},
        {"config": {"systems": {"docs": {**SYSTEM, "auth": {"type": "basic", "noSuch": 1}}}}},
        {"config": {"systems": {"docs": SYSTEM}, "noSuch": 1}},
        {"prometheusRule": {**ON, "overrides": {"noSuch": {}}}},
        {"prometheusRule": {**ON, "disabled": {"noSuch": True}}},
    ],
)
def test_an_unknown_word_far_down_is_refused_too(values: dict[str, Any]) -> None:
    assert "noSuch" in refusal(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image.digest", "sha256:abc"),
        ("image.pullPolicy", "Sometimes"),
        ("kind", "DaemonSet"),
        ("replicas", -1),
        ("service.port", 0),
        ("service.port", 65536),
        ("service.type", "ExternalName"),
        ("configReload.mode", "sidecar"),
        ("log.level", "trace"),
        ("web.timeoutOffset", -0.5),
        ("serviceMonitor.interval", "30"),
        ("serviceMonitor.interval", "1m1h"),
        ("scrapeConfig.refreshInterval", ""),
        ("prometheusRule.keepFiringFor", "five minutes"),
        ("prometheusRule.droppedLabels", []),
        ("externalSecret.refreshInterval", "1d"),
        ("dashboards.grafanaOperator.resyncPeriod", "1w"),
        ("podDisruptionBudget.unhealthyPodEvictionPolicy", "Always"),
        ("commonLabels", {"team": 1}),
        ("networkPolicy.egress.ports", ["https"]),
    ],
)
def test_a_value_that_its_object_could_not_have_is_refused(path: str, value: object) -> None:
    keys = path.split(".")
    values: Any = value
    for key in reversed(keys):
        values = {key: values}
    assert re.search(f"'/{'/'.join(keys)}['/]", refusal(values))
