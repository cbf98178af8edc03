"""Values that cannot be meant are refused before anything is installed, and the message names them."""

import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from exporter import config
from exporter.config import ConfigError
from exporter.web import config as web_config
from tests.chart.chart import render
from tests.command import ROOT

ON = {"enabled": True}
SYSTEM: dict[str, Any] = {
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
    ("values", "why"),
    [
        ({**SHARDED, "kind": "Deployment"}, "sharding.enabled needs kind: StatefulSet, because"),
        ({**SHARDED, "replicas": 0}, "needs 1 to 1024 replicas, the number of shards"),
        ({**SHARDED, "replicas": 1025}, "needs 1 to 1024 replicas, the number of shards"),
        ({"serviceMonitor": ON, "podMonitor": ON}, "Prometheus would scrape each pod twice"),
        ({"dashboards": {**DASHBOARDS, "enabled": False}}, "because a GrafanaDashboard refers to"),
        ({"dashboards": DASHBOARDS}, "because a dashboard is in one folder"),
        (
            {**CONFIG, "webConfig": {"existingSecret": {"name": "web"}, "config": {"rate_limit": {}}}},
            "because the exporter reads one web configuration",
        ),
    ],
)
def test_what_excludes_each_other_is_refused_with_the_reason(values: dict[str, Any], why: str) -> None:
    assert why in refusal(values)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"credentials": [{"key": "token"}]}, "secretName"),
        ({"credentials": [{"secretName": "caps"}]}, "key"),
        ({"ingress": ON}, "needs ingress.hosts"),
        ({"ingress": {**ON, "hosts": [{"host": "a"}]}}, "paths"),
        ({"route": {"main": ON}}, "needs route.main.parentRefs"),
        ({"probe": ON}, "needs probe.targets"),
        ({"probe": {**ON, "targets": [{"name": "a", "system": "b"}]}}, "keys"),
        (
            {"externalSecret": {**ON, "data": [{"secretKey": "a"}]}},
            "needs externalSecret.secretStoreRef.name",
        ),
        ({"externalSecret": STORE}, "needs externalSecret.data"),
        ({"config": {"systems": {"docs": {"provider": "caps"}}}}, "base_url"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, Any], place: str) -> None:
    assert place in refusal(values)


def test_all_errors_are_told_at_the_same_time() -> None:
    message = refusal({**SHARDED, "kind": "Deployment", "ingress": ON, "fullnameOverride": "Jobs"})
    assert all(part in message for part in ("StatefulSet", "ingress.hosts", '"Jobs"'))


def docs(change: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"config": {"systems": {"docs": {**SYSTEM, **change}}}, **values}


JOB = SYSTEM["jobs"][0]
TOKEN = {"type": "bearer", "token": {"file": "credentials/token"}}
PASSWORD = "no-secret-of-anybody"
AS_USER = f"user:{PASSWORD}@"
TWICE = [{"job_id": "a" * 32, "build_no": "latest"}, {"job_id": "a" * 32}]
OAUTH = {"type": "oauth2", "client_id": "a", "client_secret": "b"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"provider": "capps"}, "/config/systems/docs/provider': value must be one of 'caps'"),
        ({"auth": {"type": "Bearer"}}, "/config/systems/docs/auth/type': value must be one of"),
        ({"jobs": []}, "/config/systems/docs/jobs"),
        ({"provider": "itwin", "service": "realitydataanalysis", "jobs": []}, "docs: jobs is missing"),
        ({"jobs": [JOB, {**JOB, "name": "again"}]}, "docs.jobs[1] is the same job as jobs[0]"),
        ({"provider": "codearts", "jobs": TWICE}, "docs.jobs[1] is the same job as jobs[0]"),
        ({"base_url": f"https://{AS_USER}caps.example.com"}, "docs.base_url must not contain a user"),
        ({"proxy_url": f"http://{AS_USER}proxy:1"}, "docs.proxy_url must not contain a user"),
        (
            {"auth": {**OAUTH, "token_url": f"https://{AS_USER}login.example.com"}},
            "docs.auth.token_url must not contain a user",
        ),
        ({"base_url": "caps.example.com"}, "docs.base_url: the scheme must be http or https"),
        ({"base_url": "https://"}, "docs.base_url is not an address"),
        ({"base_url": "https://caps.example.com?a=b"}, "docs.base_url is not an address"),
        ({"base_url": "https://caps.example.com/a/../b"}, "docs.base_url must not contain the path segments"),
        ({"timeout": ""}, "/config/systems/docs/timeout"),
        ({"expect": {"run_within": ""}}, "/config/systems/docs/expect/run_within"),
        ({"auth": TOKEN}, "docs names the file credentials/token: neither credentials"),
        ({"tls": {"ca_file": "credentials/ca.crt"}}, "docs names the file credentials/ca.crt"),
        ({"auth": {**TOKEN, "token": {"file": "token"}}}, "docs names the file token, which the pod"),
        ({"auth": {"type": "headers", "headers": {"file": {"file": "credentials/x"}}}}, "credentials/x"),
    ],
)
def test_helm_refuses_what_the_exporter_would_refuse(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    values = docs(change)
    message = refusal(values)
    assert why in message
    assert PASSWORD not in message
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values["config"]))
    with pytest.raises(ConfigError):
        config.load(tmp_path)


def test_a_file_that_the_pod_has_can_be_a_credential() -> None:
    token = {"secretName": "caps", "key": "token"}
    fetched = {**STORE, "data": [{"secretKey": "token", "remoteRef": {"key": "a"}}]}
    for values in (
        docs({"auth": TOKEN}, credentials=[token]),
        docs({"auth": TOKEN}, credentials=[{**token, "key": "other", "name": "token"}]),
        docs({"auth": TOKEN}, externalSecret=fetched),
        docs({"auth": {**TOKEN, "token": {"file": "./credentials/token"}}}, credentials=[token]),
        docs({"auth": {**TOKEN, "token": {"file": "/var/run/secrets/other"}}}),
        {**docs({"auth": {"type": "headers", "headers": {"file": "credentials/x"}}})},
        docs({"labels": {"file": "credentials/x"}}),
    ):
        assert refusal(values) == ""
    whole = docs({"auth": {**TOKEN, "token": {"file": "mine"}}})
    assert "names the file mine" in refusal(whole)


def test_the_configurations_of_the_examples_are_taken() -> None:
    """All of them as one, as each rendering takes time."""
    systems = {}
    for file in [*(ROOT / "examples/recipes").glob("*.yaml"), ROOT / "tests/config/good/all.yaml"]:
        for name, system in yaml.safe_load(file.read_text(encoding="utf-8"))["systems"].items():
            systems[f"{file.stem}-{name}"] = system
    systems["all-docs"]["auth"]["headers"]["Authorization"] = {"file": "credentials/caps"}
    values = {"config": {"systems": systems}, "credentials": [{"secretName": "caps", "key": "caps"}]}
    assert len(systems) > 20
    assert refusal(values) == ""


def test_plugins_open_the_lists_of_providers_and_logins() -> None:
    for change in ({"provider": "mine"}, {"auth": {"type": "mine", "token": "a"}}):
        assert "value must be one of" in refusal(docs(change))
        assert refusal(docs(change, plugins=True)) == ""


HASH = "$2y$10$.SeNfShJSsv2ZXnDYmx2Ie4ooOda.RZN/OXF.bYP6eCQaAVDztAKq"


@pytest.mark.parametrize(
    ("web", "why"),
    [
        ({"basic_auth_users": {"prometheus": PASSWORD}}, "the value of prometheus is not a bcrypt hash"),
        ({"basic_auth_users": {"a:b": HASH}}, '"a:b" contains a colon'),
        ({"basic_auth_user": {"prometheus": HASH}}, "'basic_auth_user' not allowed"),
        ({"http_server_config": {"http2": True}}, "/webConfig/config/http_server_config/http2"),
        ({"tls_server_config": {"min_version": "TLS10"}}, "/webConfig/config/tls_server_config/min_version"),
        ({"tls_server_config": {"cert_file": "tls.crt", "key_file": "k"}}, "the pod has no file tls.crt"),
        ({"rate_limit": {"interval": ""}}, "/webConfig/config/rate_limit/interval"),
    ],
)
def test_helm_refuses_a_web_configuration_that_the_exporter_would_refuse(
    web: dict[str, Any], why: str, tmp_path: Path
) -> None:
    message = refusal({**CONFIG, "webConfig": {"config": web}})
    assert why in message
    assert PASSWORD not in message
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(web))
    with pytest.raises(ConfigError):
        web_config.load(tmp_path / "web.yaml")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            {"serviceMonitor": {"relabelings": [{"source_labels": ["a"], "action": "keep"}]}},
            "serviceMonitor.relabelings: source_labels is a key of prometheus.yml; the operator has source",
        ),
        ({"probe": {"metricRelabelings": [{"label": "a"}]}}, "unknown key label; allowed: action, source"),
        (
            {"podMonitor": {"interval": "1m", "scrapeTimeout": "1m500ms"}},
            "podMonitor.scrapeTimeout 1m500ms is longer than its interval 1m",
        ),
        ({"scrapeConfig": {"interval": "1d", "scrapeTimeout": "25h"}}, "scrapeTimeout 25h is longer"),
        ({"fullnameOverride": "Jobs"}, 'fullnameOverride: "Jobs" is not a name in Kubernetes'),
        ({"credentials": [{"secretName": "CAPS", "key": "a"}]}, 'credentials[0].secretName: "CAPS"'),
        ({"serviceMonitor": {"namespace": "Monitoring"}}, 'serviceMonitor.namespace: "Monitoring"'),
        ({"image": {"repository": "r.example.com:5000/jobs:1.2"}}, "image.repository contains a tag"),
        ({"image": {"repository": "jobs@sha256"}}, "contains a tag or a digest: set image.tag"),
        ({"image": {"registry": "https://r.example.com"}}, "image.registry contains a scheme"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "the value of A is a number"),
        ({"extraEnv": [{"name": "A", "value": False}]}, "the value of A is a boolean"),
        ({"monitors": {"proxyUrl": f"{AS_USER}proxy:1"}}, "monitors.proxyUrl: the scheme must be"),
        ({"proxy": {"https": f"http://{AS_USER}proxy:1"}}, "proxy.https must not contain a user name"),
    ],
)
def test_what_kubernetes_or_an_operator_would_refuse_is_said_in_words(
    values: dict[str, Any], why: str
) -> None:
    message = refusal(values)
    assert why in message
    assert PASSWORD not in message


def test_what_is_just_allowed_is_taken() -> None:
    relabeling = {
        "action": "hashmod",
        "sourceLabels": ["a"],
        "separator": ";",
        "regex": "a",
        "modulus": 2,
        "targetLabel": "b",
        "replacement": "c",
    }
    for values in (
        {"scrapeConfig": {"interval": "1m", "scrapeTimeout": "60s", "relabelings": [relabeling]}},
        {"image": {"registry": "r.example.com:5000", "repository": "a/jobs"}},
        {"extraEnv": [{"name": "A"}, {"name": "B", "value": ""}, {"name": "C", "valueFrom": {}}]},
    ):
        assert refusal(values) == ""


@pytest.mark.parametrize("web", [{}, {"rate_limit": {"interval": "1s"}}])
def test_https_without_a_certificate_is_refused_as_probes_would_never_succeed(web: dict[str, Any]) -> None:
    assert "needs a certificate" in refusal({**CONFIG, "webConfig": {"tls": ON, "config": web}})
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
