"""The chart rendered as Helm renders it: ``from tests.chart.chart import render``."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python
import yaml
from helm_python import _native

from tests.command import ROOT

CHART = ROOT / "helm/remote-job-exporter"
CI_VALUES = sorted(CHART.glob("ci/*-values.yaml"))
KUBERNETES = ("1.25", "1.31", "1.37")
APIS = (
    "autoscaling.k8s.io/v1/VerticalPodAutoscaler",
    "cilium.io/v2/CiliumNetworkPolicy",
    "external-secrets.io/v1/ExternalSecret",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "grafana.integreatly.org/v1beta1/GrafanaDashboard",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/Probe",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1alpha1/ScrapeConfig",
)
"""What a cluster knows that has every operator the chart can talk to."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What Helm makes of the chart and some values."""

    texts: Mapping[str, str]
    """By template, such as ``service.yaml``; those that gave nothing left out."""
    notes: str

    def __iter__(self) -> Iterator[Object]:
        for text in self.texts.values():
            yield from filter(None, yaml.safe_load_all(text))

    def all(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [one for one in self if one["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only object of a kind, or of a kind and name."""
        found = [one for one in self.all(kind) if name in {None, one["metadata"]["name"]}]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
        return found[0]


def values_of(file: Path) -> dict[str, Any]:
    """The values of a file."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def render(
    values: Mapping[str, Any] | None = None,
    *,
    name: str = "demo",
    namespace: str = "mon",
    kube: str = "1.37",
    chart: Path = CHART,
    strict: bool = True,
    schema: bool = True,
) -> Rendered:
    """Renders strictly unless told otherwise: a value that a template misspells is an error.

    Without the schema, to read which is most of the work, for values that another test validates.

    Raises:
        helm_python.HelmError: the values are refused, or a template fails.
    """
    options = {
        "name": name,
        "namespace": namespace,
        "kube_version": f"v{kube}.0",
        "strict": strict,
    }
    # The public method has no options for versions and strictness; the release of the library is pinned.
    raw = _loaded(chart, schema=schema)._raw()  # noqa: SLF001  # the same
    answer = _native.call_string("helm_render", raw, json.dumps(values or {}), json.dumps(options))
    texts = {path.partition("/templates/")[2]: text for path, text in json.loads(answer).items()}
    notes = texts.pop("NOTES.txt", "")
    return Rendered({path: text for path, text in texts.items() if text.strip()}, notes)


@cache
def _loaded(chart: Path, *, schema: bool) -> helm_python.Chart:
    if schema:
        return helm_python.Chart.load(chart)
    with TemporaryDirectory() as folder:
        copy = shutil.copytree(chart, Path(folder) / chart.name, ignore=lambda *_: ["values.schema.json"])
        return helm_python.Chart.load(copy)
