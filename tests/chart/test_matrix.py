"""Every ci values file on old and new Kubernetes: what is rendered is valid and what the cluster takes."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import helm_python
import kubernetes_validate
import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.chart import custom, pods
from tests.chart.chart import APIS, CHART, KUBERNETES, Object, render
from tests.chart.matrix import CASES, NEWEST, none, title
from tests.chart.matrix import pods as pods_of

pytestmark = pytest.mark.slow

# What the chart may select by: these never change, and `component` tells its two Services apart.
SELECTING = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
# Names that become the name of a host or the value of a label.
SHORT = {"Deployment", "StatefulSet", "Service", "Pod"}
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")


def test_each_document_is_an_object_with_a_name_a_namespace_and_the_recommended_labels() -> None:
    recommended = {
        *("helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"),
        *("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/part-of"),
    }

    def faults() -> Iterator[str]:
        for case in CASES:
            for one in case.own:
                about = one["metadata"]
                if missing := recommended - about["labels"].keys():
                    yield f"{case}: {title(one)} has no label {sorted(missing)}"
                if not about.get("namespace"):
                    yield f"{case}: {title(one)} has no namespace"

    assert all(case.objects for case in CASES)
    none(faults())


def test_no_key_stands_twice() -> None:
    config = YamlLintConfig("rules: {key-duplicates: enable}")
    texts = {
        text: f"{case.file.name}: {template}"
        for case in CASES
        for template, text in case.rendered.texts.items()
    }
    assert list(linter.run("{a: 1, a: 2}", config))
    none(f"{name}: {problem}" for text, name in texts.items() for problem in linter.run(text, config))


@pytest.mark.parametrize("kube", KUBERNETES)
def test_kubernetes_knows_each_field_of_its_own_objects(kube: str) -> None:
    looked_at: dict[str, Object] = {}
    for case in CASES:
        for one in case.objects:
            if case.kube == kube and one["kind"] not in custom.KINDS:
                looked_at.setdefault(json.dumps(one, sort_keys=True), one)

    def faults() -> Iterator[str]:
        for one in looked_at.values():
            try:
                kubernetes_validate.validate(one, kube, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{title(one)}: {'.'.join(map(str, error.path))}: {error.message[:300]}"

    kinds = {one["kind"] for one in looked_at.values()}
    assert kinds >= {
        *("ConfigMap", "Deployment", "StatefulSet", "Service", "ServiceAccount", "Secret", "Pod"),
        *("Ingress", "NetworkPolicy", "PodDisruptionBudget"),
    }
    none(faults())


def test_operators_know_each_field_of_their_objects() -> None:
    found = {json.dumps(one): (case, one) for case in CASES for one in case.of(*custom.KINDS)}
    assert {one["kind"] for _, one in found.values()} == set(custom.KINDS)
    none(f"{case}: {fault}" for case, one in found.values() for fault in custom.faults(one))


def test_each_kind_that_is_rendered_has_been_looked_at() -> None:
    """A kind that neither Kubernetes nor ``crds/`` knows would pass unseen."""
    apis = {api.rpartition("/")[2] for api in APIS}
    assert apis == set(custom.KINDS)
    builtin = re.compile(r"v1|apps/v1|policy/v1|networking\.k8s\.io/v1")
    for one in (one for case in NEWEST for one in case.own):
        group = f"{one['apiVersion']}/{one['kind']}"
        assert group in APIS or builtin.fullmatch(one["apiVersion"]), title(one)


@pytest.mark.parametrize("kind", custom.KINDS)
def test_the_schema_of_a_custom_resource_is_closed(kind: str) -> None:
    one = next(one for case in NEWEST for one in case.of(kind))

    def places(here: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
        if isinstance(here, dict):
            yield path
        items = here.items() if isinstance(here, dict) else enumerate(here)
        for key, below in items:
            if isinstance(below, dict | list):
                yield from places(below, *path, key)

    for place in places(one):
        worse = deepcopy(one)
        there: Any = worse
        for key in place:
            there = there[key]
        there["noSuchField"] = [{}]
        assert list(custom.faults(worse)), place
    assert list(custom.faults({**one, "spec": None}))


def test_pods_fit_the_restricted_standard() -> None:
    none(
        f"{case}: {fault}"
        for case in CASES
        for pod in pods_of(case.objects)
        for fault in pods.unrestricted(pod)
    )


def test_no_name_stands_twice_in_a_pod() -> None:
    none(f"{case}: {fault}" for case in CASES for pod in pods_of(case.objects) for fault in pods.doubled(pod))


def test_each_volume_is_mounted_and_each_mount_has_its_volume() -> None:
    none(
        f"{case}: {fault}" for case in CASES for pod in pods_of(case.objects) for fault in pods.unmounted(pod)
    )


def _selectors(one: Object) -> Iterator[dict[str, str]]:
    spec = one["spec"] if isinstance(one.get("spec"), dict) else {}
    for told in (spec.get("selector"), spec.get("podSelector")):
        if told:
            yield told.get("matchLabels", told)


def test_nothing_selects_by_a_label_that_changes() -> None:
    def faults() -> Iterator[str]:
        for case in CASES:
            for one in case.objects:
                for selector in _selectors(one):
                    if odd := selector.keys() - SELECTING:
                        yield f"{case}: {title(one)} selects by {sorted(odd)}"

    assert {one["kind"] for case in NEWEST for one in case.objects if any(_selectors(one))} >= {
        *("Deployment", "StatefulSet", "Service", "PodDisruptionBudget"),
        *("NetworkPolicy", "ServiceMonitor", "PodMonitor"),
    }
    none(faults())


LONG = {"fullnameOverride": "n" * 80, "commonLabels": {"team": "publishing"}}


def test_names_and_labels_are_of_a_length_and_shape_that_is_allowed() -> None:
    all_objects = [(case, one) for case in CASES for one in case.objects]
    long = [
        (case, one) for case in NEWEST for one in render({**case.values, **LONG}, name="r" * 53, schema=False)
    ]

    def faults() -> Iterator[str]:
        for case, one in all_objects + long:
            name = one["metadata"]["name"]
            if not NAME.fullmatch(name) or len(name) > (63 if one["kind"] in SHORT else 253):
                yield f"{case}: {title(one)}"
            for key, value in one["metadata"].get("labels", {}).items():
                if len(value) > 63 or not LABEL.fullmatch(value):
                    yield f"{case}: {title(one)}: label {key}: {value}"

    none(faults())


def test_each_object_stands_once() -> None:
    def faults() -> Iterator[str]:
        for case in CASES:
            places = [(one["metadata"].get("namespace"), title(one)) for one in case.objects]
            yield from (f"{case}: {place}" for place in places if places.count(place) > 1)

    none(faults())


def test_helm_says_nothing_on_the_way(capfd: pytest.CaptureFixture[str]) -> None:
    """Helm warns of values that it leaves out on stderr, and of links that it follows."""
    chart = helm_python.Chart.load(CHART)
    for case in NEWEST:
        chart.render(case.values)
    told = capfd.readouterr().err.splitlines()
    none(line for line in told if "found symbolic link" not in line)


def test_helm_lint_finds_nothing() -> None:
    """Which fields an older Kubernetes knows is the question of another test."""

    def faults() -> Iterator[str]:
        for case in NEWEST:
            report = helm_python.lint(CHART, case.values, strict=True, kube_version=f"v{case.kube}.0")
            for told in report["messages"]:
                # A chart without an icon is worth a word, not a warning.
                if told["severity"] > 1 or "icon" not in told["error"]:
                    yield f"{case}: {told}"
            yield from report["errors"]

    none(faults())


def test_the_oldest_version_looked_at_is_the_oldest_that_the_chart_allows() -> None:
    assert helm_python.Chart.load(CHART).metadata["kubeVersion"] == f">={KUBERNETES[0]}.0-0"
