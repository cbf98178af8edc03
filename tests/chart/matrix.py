"""Every ci values file on every version of Kubernetes: ``from tests.chart.matrix import CASES``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.chart.chart import CHART, CI_VALUES, KUBERNETES, Object, Rendered, render, values_of

VALUES = {file: values_of(file) for file in CI_VALUES}


def parsed(text: str) -> list[Object]:
    """The documents of a text; with libyaml, as there are many."""
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


@dataclass(frozen=True)
class Case:
    """Some values on some version."""

    file: Path
    kube: str
    chart: Path = CHART

    def __str__(self) -> str:
        return f"{self.file.name} on {self.kube}"

    @property
    def values(self) -> dict[str, Any]:
        return VALUES[self.file]

    @property
    def rendered(self) -> Rendered:
        return _rendered(self)

    @cached_property
    def objects(self) -> list[Object]:
        """Everything that is rendered, the hooks too."""
        return [one for text in self.rendered.texts.values() for one in parsed(text)]

    @cached_property
    def own(self) -> list[Object]:
        """The same without what the values bring as whole objects."""
        texts = self.rendered.texts
        return [one for name in texts if name != "extraobjects.yaml" for one in parsed(texts[name])]

    def of(self, *kinds: str) -> list[Object]:
        """The objects of these kinds."""
        return [one for one in self.objects if one["kind"] in kinds]


@cache
def _rendered(case: Case) -> Rendered:
    return render(case.values, kube=case.kube, chart=case.chart, schema=False)


CASES = [Case(file, kube) for file in CI_VALUES for kube in KUBERNETES]
NEWEST = [case for case in CASES if case.kube == KUBERNETES[-1]]


def case(name: str) -> Case:
    """The case of the newest version whose file's name begins so."""
    (found,) = [one for one in NEWEST if one.file.name.startswith(name)]
    return found


def title(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def none(faults: Iterable[str]) -> None:
    """Fails with every fault on a line of its own."""
    found = list(dict.fromkeys(faults))
    assert not found, "\n".join(["", *found])


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of some."""

    title: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that only prepare first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(objects: Iterable[Object]) -> Iterator[Pod]:
    """The pods that these objects are or make."""
    for one in objects:
        if one["kind"] == "Pod":
            yield Pod(title(one), one["metadata"]["labels"], one["spec"])
        elif one["kind"] in {"Deployment", "StatefulSet"}:
            template = one["spec"]["template"]
            yield Pod(title(one), template["metadata"]["labels"], template["spec"])


def exporter(objects: Iterable[Object]) -> dict[str, Any]:
    """The exporter's own container."""
    (found,) = [box for pod in pods(objects) for box in pod.containers if box["name"] == "exporter"]
    return found


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels match every pair of a selector."""
    return bool(selector) and selector.items() <= labels.items()
