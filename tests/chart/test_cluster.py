"""The ci values installed for real, where a cluster is at hand: KUBECONFIG, ``helm`` and ``kubectl``."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.chart import APIS, CHART, CI_VALUES, KUBERNETES, render, values_of
from tests.chart.matrix import parsed, title
from tests.command import until

MISSING = [name for name in ("helm", "kubectl") if shutil.which(name) is None]
if not os.environ.get("KUBECONFIG"):
    MISSING.insert(0, "KUBECONFIG in the environment")
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"for a try in a cluster there is missing: {', '.join(MISSING)}"
    ),
    pytest.mark.timeout(300),
]

# By which value an object is switched off whose API the cluster lacks.
SWITCHES = {
    "CiliumNetworkPolicy": "networkPolicy",
    "VerticalPodAutoscaler": "verticalPodAutoscaler",
    "ExternalSecret": "externalSecret",
    "PodMonitor": "podMonitor",
    "Probe": "probe",
    "PrometheusRule": "prometheusRule",
    "ServiceMonitor": "serviceMonitor",
    "ScrapeConfig": "scrapeConfig",
    "HTTPRoute": "route.main",
    "GrafanaDashboard": "dashboards.grafanaOperator",
}


def run(*command: str, text: str | None = None) -> str:
    """What a command prints; fails when it does, and where the API server warns."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning:" not in done.stderr, done.stderr
    return done.stdout


def kubectl(*arguments: str) -> str:
    return run("kubectl", *arguments)


@dataclass(frozen=True)
class Namespace:
    """One of its own, which warns of pods that are not restricted."""

    name: str

    def helm(
        self, *arguments: str, values: Mapping[str, Any] | None = None, folder: Path | None = None
    ) -> str:
        told = ["--namespace", self.name]
        if values is not None and folder is not None:
            file = folder / "values.yaml"
            file.write_text(yaml.safe_dump(values))
            told += ["--values", str(file)]
        return run("helm", *arguments, *told)

    def get(self, *what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            kubectl("--namespace", self.name, "get", *what, "-o", "json")
        )["items"]
        return found


@pytest.fixture(scope="module")
def lacking() -> set[str]:
    """The kinds of operators that the cluster does not know."""
    known = {
        f"{crd['spec']['group']}/{version['name']}/{crd['spec']['names']['kind']}"
        for crd in json.loads(kubectl("get", "customresourcedefinitions", "-o", "json"))["items"]
        for version in crd["spec"]["versions"]
    }
    return {api.rpartition("/")[2] for api in APIS if api not in known}


@contextmanager
def fresh() -> Iterator[Namespace]:
    name = f"chart-{uuid.uuid4().hex[:8]}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("warn", "enforce")}
    about = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    run("kubectl", "create", "--filename", "-", text=json.dumps(about))
    # One of the ci files names an account that it does not make.
    kubectl("--namespace", name, "create", "serviceaccount", "restricted")
    try:
        yield Namespace(name)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def fitted(told: Any, namespace: str, lacking: set[str]) -> Any:
    """Values for one namespace and a cluster that lacks some operators."""
    fits = _moved(told, namespace)
    for kind in lacking:
        place = fits
        for key in SWITCHES[kind].split("."):
            place = place.get(key, {})
        if place:
            place["enabled"] = False
    return fits


def _moved(told: Any, namespace: str) -> Any:
    if isinstance(told, list):
        return [_moved(one, namespace) for one in told]
    if not isinstance(told, dict):
        return told
    named = {"namespace", "namespaceOverride"}
    return {key: namespace if key in named else _moved(one, namespace) for key, one in told.items()}


def refused(namespace: Namespace) -> list[str]:
    """Why pods were not let in."""
    events = namespace.get("events", "--field-selector", "reason=FailedCreate")
    return [event["message"] for event in events]


def settled(namespace: Namespace, selector: str) -> bool:
    """Whether each workload has made the pods that it should have."""
    pods = [
        pod for pod in namespace.get("pods", "-l", selector) if "deletionTimestamp" not in pod["metadata"]
    ]
    wanted = [one["spec"]["replicas"] for one in namespace.get("deployments,statefulsets", "-l", selector)]
    return len(wanted) == 1 and len(pods) >= wanted[0]


def dry_run(namespace: Namespace, values: Mapping[str, Any], lacking: set[str]) -> None:
    """Has the API server look at each field, which Helm's own dry run does not."""
    rendered = render(values, namespace=namespace.name, kube=KUBERNETES[-1])
    objects = [one for text in rendered.texts.values() for one in parsed(text)]
    assert not {one["kind"] for one in objects} & lacking
    strict = ("--dry-run=server", "--validate=strict", "--filename", "-")
    text = "---\n".join(json.dumps(one) for one in objects)
    run("kubectl", "--namespace", namespace.name, "apply", *strict, text=text)


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_the_ci_values_are_validated_installed_upgraded_and_gone_again(
    file: Path, lacking: set[str], tmp_path: Path
) -> None:
    with fresh() as namespace:
        values = fitted(values_of(file), namespace.name, lacking)
        try:
            dry_run(namespace, values, lacking)
            namespace.helm("install", "demo", str(CHART), values=values, folder=tmp_path)
            selector = "app.kubernetes.io/instance=demo"
            until(lambda: settled(namespace, selector) or refused(namespace), "the pods", 60)
            assert refused(namespace) == []
            rolled = {**values, "podAnnotations": {"example.com/rolled": "1"}}
            namespace.helm("upgrade", "demo", str(CHART), values=rolled, folder=tmp_path)
            (record, *_) = namespace.get("secrets", "-l", "owner=helm")
            assert len(record["data"]["release"]) < 2**20
        finally:
            namespace.helm("uninstall", "demo", "--ignore-not-found", "--wait=false")
        left = namespace.get("deployments,statefulsets,services,configmaps,secrets", "-l", selector)
        assert [title(one) for one in left if "deletionTimestamp" not in one["metadata"]] == []


def test_the_first_values_can_be_upgraded_to_each_of_the_ci_files(lacking: set[str], tmp_path: Path) -> None:
    first = values_of(Path(__file__).parent / "first-values.yaml")
    with fresh() as namespace:
        try:
            for kind in ("Deployment", "StatefulSet"):
                for file in CI_VALUES:
                    values = fitted(values_of(file), namespace.name, lacking)
                    # An address is chosen once and for all; what is no namespace's is another test's.
                    for key in ("service", "extraObjects"):
                        values.pop(key, None)
                    if values.get("kind", "Deployment") == kind and "nameOverride" not in values:
                        namespace.helm(
                            *("upgrade", "--install", "demo", str(CHART)),
                            values={**first, "kind": kind},
                            folder=tmp_path,
                        )
                        namespace.helm("upgrade", "demo", str(CHART), values=values, folder=tmp_path)
        finally:
            namespace.helm("uninstall", "demo", "--ignore-not-found")


def test_an_upgrade_that_changes_the_configuration_or_removes_the_users_makes_new_pods(
    tmp_path: Path,
) -> None:
    """So that ``--wait`` is about a pod that has read it."""
    config = values_of(CHART / "ci/02-config-values.yaml")["config"]
    tls = {"tls": {"secretName": "tls"}}
    secured = {
        "config": config,
        "webConfig": {**tls, "config": {"basic_auth_users": {"prometheus": "$2y$10$abc"}}},
    }
    changed = {**secured, "config": {**config, "defaults": {}}}
    with fresh() as namespace:
        for number, values in enumerate((secured, changed, {**changed, "webConfig": tls}), start=1):
            namespace.helm("upgrade", "--install", "demo", str(CHART), values=values, folder=tmp_path)
            until(partial(has_made, namespace, number), "new pods", 60)


def has_made(namespace: Namespace, replicasets: int) -> bool:
    return len(namespace.get("replicasets")) == replicasets
