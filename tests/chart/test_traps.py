"""Errors that charts of other exporters have made, each by a sentence that says what holds here."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.chart import pods
from tests.chart.chart import CHART, Rendered, render
from tests.chart.matrix import CASES, VALUES, exporter, none, parsed, selects
from tests.chart.matrix import pods as pods_of
from tests.command import ROOT

ON = {"enabled": True}
NAME = "demo-remote-job-exporter"
CONFIGURED = {"existingConfigMap": {"name": "jobs"}}


def values(path: str, value: object) -> dict[str, Any]:
    """Values with one that stands at a path."""
    made: Any = value
    for key in reversed(path.split(".")):
        made = {key: made}
    return dict(made)


def at(one: Any, path: str) -> Any:
    for key in path.split("."):
        one = one[int(key) if key.isdigit() else key]
    return one


def test_an_object_without_content_is_not_made() -> None:
    assert sorted(one["kind"] for one in render()) == ["Deployment", "Pod", "Service", "ServiceAccount"]
    none(
        f"{case}: {one['kind']}: {key} is {value!r}"
        for case in CASES
        for one in case.own
        for key, value in one.items()
        if value is None or value == {}
    )


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor", "scrapeConfig"])
def test_what_is_on_can_be_switched_off(kind: str) -> None:
    object_kind = f"{kind[0].upper()}{kind[1:]}"
    endpoint = {"serviceMonitor": "endpoints.0", "podMonitor": "podMetricsEndpoints.0"}.get(kind)
    for told in (False, True):
        spec = render({kind: {**ON, "honorLabels": told}}).one(object_kind)["spec"]
        assert (at(spec, endpoint) if endpoint else spec)["honorLabels"] is told


@pytest.mark.parametrize(
    ("path", "more", "kind", "there"),
    [
        ("replicas", {}, "Deployment", "spec.replicas"),
        ("revisionHistoryLimit", {}, "Deployment", "spec.revisionHistoryLimit"),
        ("podDisruptionBudget.maxUnavailable", {}, "PodDisruptionBudget", "spec.maxUnavailable"),
        ("podDisruptionBudget.minAvailable", {}, "PodDisruptionBudget", "spec.minAvailable"),
        ("serviceMonitor.limits.sampleLimit", {}, "ServiceMonitor", "spec.sampleLimit"),
        ("podMonitor.limits.keepDroppedTargets", {}, "PodMonitor", "spec.keepDroppedTargets"),
        ("scrapeConfig.limits.targetLimit", {}, "ScrapeConfig", "spec.targetLimit"),
        (
            "startupProbe.initialDelaySeconds",
            {},
            "Deployment",
            "spec.template.spec.containers.0.startupProbe.initialDelaySeconds",
        ),
    ],
)
def test_zero_is_a_number_like_others(path: str, more: dict[str, Any], kind: str, there: str) -> None:
    told = values(path, 0)
    top = path.partition(".")[0]
    if top in {"podDisruptionBudget", "serviceMonitor", "podMonitor", "scrapeConfig"}:
        told[top] = {**told[top], **more.get(top, {}), **ON}
    assert at(render(told).one(kind), there) == 0


def test_zero_seconds_reach_the_command_line() -> None:
    args = exporter(render({**CONFIGURED, "web": {"timeoutOffset": 0, "shutdownTimeout": 0}}))["args"]
    assert {"--web.timeout-offset=0", "--web.shutdown-timeout=0"} <= set(args)


def test_a_policy_for_egress_has_rules_for_egress() -> None:
    spec = render({"networkPolicy": ON}).one("NetworkPolicy")["spec"]
    assert "Egress" in spec["policyTypes"]
    assert all(rule["ports"] for rule in spec["egress"])
    assert {443, 53} <= {port["port"] for rule in spec["egress"] for port in rule["ports"]}


def test_a_policy_names_the_port_of_the_container_and_not_that_of_the_service() -> None:
    spec = render({"networkPolicy": ON, "service": {"port": 80}}).one("NetworkPolicy")["spec"]
    assert spec["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_objects_of_operators_never_depend_on_what_the_cluster_tells() -> None:
    """``helm template`` and GitOps know no cluster: there such objects vanished silently."""
    templates = [*CHART.glob("templates/**/*.yaml"), *CHART.glob("templates/**/*.tpl")]
    assert len(templates) > 20
    for template in templates:
        assert "Capabilities.APIVersions" not in template.read_text(encoding="utf-8"), template.name


def test_a_parent_chart_can_switch_it_by_a_condition_and_hand_down_globals(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "parent/charts" / CHART.name)
    needed = {"name": CHART.name, "version": "*", "condition": f"{CHART.name}.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [needed]}
    (tmp_path / "parent/Chart.yaml").write_text(yaml.safe_dump(about))

    def kinds(*, enabled: bool) -> set[str]:
        told = {"global": {"theirs": 1, "imageRegistry": "r.example.com"}, CHART.name: {"enabled": enabled}}
        rendered = render(told, chart=tmp_path / "parent")
        assert not enabled or str(exporter(rendered)["image"]).startswith("r.example.com/")
        return {one["kind"] for one in rendered}

    assert "Deployment" in kinds(enabled=True)
    assert kinds(enabled=False) == set()


def test_each_dashboard_can_go_alone_as_it_has_a_config_map_of_its_own() -> None:
    maps = render({"dashboards": ON}).all("ConfigMap")
    files = sorted((ROOT / "grafana/dashboards").glob("*.json"))
    assert [list(one["data"]) for one in maps] == [[f"remote-job-{file.name}"] for file in files]


def test_dashboards_of_two_releases_have_no_file_uid_or_title_in_common() -> None:
    def boards(suffix: str) -> dict[str, Any]:
        maps = render({"dashboards": {**ON, "suffix": suffix}}).all("ConfigMap")
        return {file: json.loads(text) for one in maps for file, text in one["data"].items()}

    first, second = boards(""), boards("second")
    for key in ("uid", "title"):
        assert not {board[key] for board in first.values()} & {board[key] for board in second.values()}
    assert not first.keys() & second.keys()
    assert len(second) == len(first) == len({board["uid"] for board in second.values()})
    links = set(re.findall(r"/d/([a-z-]+)", json.dumps(second)))
    assert links
    assert links <= {board["uid"] for board in second.values()}
    link = "https://g.example.com/d/"
    told = {"dashboards": {"suffix": "second"}, "prometheusRule": {**ON, "dashboardUrl": link}}
    found = set(re.findall(f"{link}([a-z-]+)", str(render(told).one("PrometheusRule"))))
    assert found
    assert found <= {board["uid"] for board in second.values()}


def doubled_keys(rendered: Rendered) -> list[str]:
    config = YamlLintConfig("rules: {key-duplicates: enable}")
    return [str(found) for text in rendered.texts.values() for found in linter.run(text, config)]


@pytest.mark.parametrize(
    "told",
    [
        {"podAnnotations": {"kubectl.kubernetes.io/default-container": "sidecar"}},
        {
            "config": {
                "systems": {"a": {"provider": "sitecore", "base_url": "https://a.example", "discover": {}}}
            },
            "podAnnotations": {"checksum/config": "mine"},
        },
        {"commonLabels": {"app.kubernetes.io/part-of": "publishing"}},
        {"podLabels": {"app.kubernetes.io/part-of": "publishing"}},
        {"service": {"labels": {"app.kubernetes.io/component": "web"}}},
        {"dashboards": {**ON, "labels": {"grafana_dashboard": "0"}}},
        {"dashboards": {**ON, "folder": "A", "annotations": {"grafana_folder": "B"}}},
    ],
)
def test_a_label_or_annotation_that_the_chart_sets_too_stands_once(told: dict[str, Any]) -> None:
    assert doubled_keys(render(told)) == []


def test_labels_of_ones_own_never_change_what_is_selected() -> None:
    mine = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/instance": "mine"}
    changed = render({"podLabels": mine, "service": {"labels": mine}})
    selector = changed.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert selector == changed.one("Service")["spec"]["selector"]
    assert selector == render().one("Service")["spec"]["selector"]
    assert selector.items() <= changed.one("Deployment")["spec"]["template"]["metadata"]["labels"].items()


def test_labels_of_all_objects_yield_to_those_of_one() -> None:
    common = {"app.kubernetes.io/component": "exporter", "release": "mine", "tier": "all"}
    told = {
        "commonLabels": common,
        "operatorLabels": {"release": "kube-prometheus-stack"},
        "serviceMonitor": ON,
        "podLabels": {"tier": "pods"},
    }
    rendered = render(told)
    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert (service["metadata"]["labels"]["release"], service["metadata"]["labels"]["tier"]) == (
        "mine",
        "all",
    )
    pod = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert (pod["tier"], pod["app.kubernetes.io/component"]) == ("pods", "exporter")


def test_names_that_look_like_numbers_stay_text() -> None:
    """Such as a commit for the name of a release: 5e12345 is a number to YAML."""
    told = {
        "fullnameOverride": "0777",
        "nameOverride": "1",
        "existingSecret": {"name": "12", "key": "1e5"},
        "existingConfigMap": {"name": "0x1f", "key": "10"},
        "credentials": [{"secretName": "7e3", "key": "0123"}],
        "webConfig": {"tls": {"secretName": "99"}},
        "serviceMonitor": {**ON, "jobLabel": "1"},
        "scrapeConfig": {**ON, "jobName": "5"},
        "ingress": {**ON, "hosts": [{"host": "a.example.com", "paths": [{"path": "/"}]}]},
        "verticalPodAutoscaler": ON,
    }
    for one in render(told, name="5e12345", namespace="1234"):
        numbers = [(path, value) for path, value in _leaves(one) if isinstance(value, int | float)]
        names = ("name", "key", "namespace", "Name", "jobLabel", "instance", "matchNames")
        none(f"{one['kind']}: {path} is {value}" for path, value in numbers if path[-1].endswith(names))


def _leaves(told: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values that hold no others, by their keys."""
    if isinstance(told, dict):
        for key, below in told.items():
            yield from _leaves(below, *above, key)
    elif isinstance(told, list):
        for below in told:
            yield from _leaves(below, *above)
    else:
        yield above, told


def test_a_key_with_nothing_behind_it_is_as_good_as_none() -> None:
    """As when all that stands below a key in a values file has been commented out."""
    told = {
        "existingSecret": {"name": "jobs"},
        "webConfig": {"tls": {"secretName": "tls"}},
        "networkPolicy": ON,
        **dict.fromkeys(("serviceMonitor", "scrapeConfig", "prometheusRule", "dashboards"), ON),
    }
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    emptied = helm_python.Chart.load(CHART).merge_values(told)
    count = _empty(emptied, defaults)
    assert count > 60
    assert render(emptied, strict=False).texts == render(told).texts


def _empty(values: dict[str, Any], defaults: Mapping[str, Any]) -> int:
    """Sets to null what is an empty map or list both here and by default, and counts."""
    both = [(key, value) for key, value in values.items() if key in defaults]
    nothing = [key for key, value in both if value in ({}, [])]
    values.update(dict.fromkeys(nothing))
    below = [(value, defaults[key]) for key, value in both if isinstance(value, dict) and value]
    return len(nothing) + sum(_empty(*pair) for pair in below)


def test_environment_and_volumes_of_ones_own_stand_beside_those_of_the_chart() -> None:
    told = {
        **CONFIGURED,
        "proxy": {"http": "http://p.example.com:1", "https": "http://p.example.com:1", "none": ".svc"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "webConfig": {"tls": {"secretName": "tls"}},
    }
    rendered = render(told)
    (pod,) = (pod for pod in pods_of(rendered) if pod.title.startswith("Deployment"))
    assert [*pods.doubled(pod), *pods.unmounted(pod)] == []
    assert [one["name"] for one in exporter(rendered)["env"]] == [
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "TZ",
    ]
    assert {one["name"] for one in pod.spec["volumes"]} == {"tmp", "config", "web", "ca"}


def test_a_variable_of_ones_own_takes_the_place_of_that_of_a_proxy() -> None:
    """Of two with one name, the API server warns, and may keep any."""
    mine = {"name": "http_proxy", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}
    proxy = {"http": "http://p.example.com:1", "none": ".svc"}
    env = exporter(render({"proxy": proxy, "extraEnv": [mine]}))["env"]
    assert env == [{"name": "no_proxy", "value": ".svc"}, mine]


def test_a_secret_in_the_configuration_can_be_kept_out_of_config_maps() -> None:
    objects = [*render(VALUES[CHART / "ci/14-secret-values.yaml"])]
    holding = [one["kind"] for one in objects if "as-text-in-the-values" in yaml.safe_dump(one)]
    assert holding == ["Secret"]


def test_each_probe_has_its_own_settings() -> None:
    own = {"startupProbe": 11, "livenessProbe": 12, "readinessProbe": 13}
    box = exporter(render({name: {"periodSeconds": told} for name, told in own.items()}))
    assert {name: box[name]["periodSeconds"] for name in own} == own


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_probe_goes_where_it_is_null(probe: str) -> None:
    three = {"startupProbe", "livenessProbe", "readinessProbe"}
    assert three & exporter(render({probe: None})).keys() == three - {probe}


def test_a_number_of_a_user_stays_out_where_the_platform_chooses_it() -> None:
    left = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    spec = render({"podSecurityContext": left}).one("Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_an_annotation_of_ones_own_wins_on_the_pod() -> None:
    told = {"podAnnotations": {"kubectl.kubernetes.io/default-container": "sidecar"}}
    about = render(told).one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert about["kubectl.kubernetes.io/default-container"] == "sidecar"


@pytest.mark.slow
def test_the_rendered_text_is_what_the_objects_were_read_from() -> None:
    """What is looked at in all these tests is the whole of it."""
    for case in CASES:
        documents = sum(len(parsed(text)) for text in case.rendered.texts.values())
        assert len(case.objects) == documents >= len(case.own) > 3


def _names(told: Mapping[str, Any]) -> set[str]:
    return {one["metadata"]["name"] for one in render(told)}


@pytest.mark.slow
def test_two_releases_fit_into_one_namespace() -> None:
    for case, told in VALUES.items():
        if "fullnameOverride" not in told and "extraObjects" not in told and "serviceAccount" not in told:
            first, second = (render(told, name=name, schema=False) for name in ("one", "two"))
            names = {one["metadata"]["name"] for one in first}
            assert not names & {one["metadata"]["name"] for one in second}, case


def test_a_release_that_is_named_like_the_chart_does_not_say_it_twice() -> None:
    assert render(name=CHART.name).one("Deployment")["metadata"]["name"] == CHART.name
    assert _names({}) == {NAME, f"{NAME}-test"}
