"""Errors put into the chart on purpose: what looks at the chart in these tests sees each of them."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chart import custom, pods, wiring
from tests.chart.chart import CHART
from tests.chart.matrix import Case, Pod, case
from tests.chart.matrix import pods as pods_of
from tests.chart.wiring import Place

Look = Callable[[Case], Iterator[str]]


def of_pods(look: Callable[[Pod], Iterator[str]]) -> Look:
    return lambda found: (fault for pod in pods_of(found.objects) for fault in look(pod))


def of_places(look: Callable[[Place], Iterator[str]]) -> Look:
    return lambda found: look(Place(found))


def fields(found: Case) -> Iterator[str]:
    return (fault for one in found.of(*custom.KINDS) for fault in custom.faults(one))


LOOKS = {
    "restricted": of_pods(pods.unrestricted),
    "doubled": of_pods(pods.doubled),
    "mounted": of_pods(pods.unmounted),
    "services": of_places(wiring.services),
    "monitors": of_places(wiring.monitors),
    "addresses": of_places(wiring.addresses),
    "references": of_places(wiring.references),
    "backends": of_places(wiring.backends),
    "fields": fields,
}


@pytest.mark.parametrize(
    ("look", "name", "file", "right", "wrong"),
    [
        ("restricted", "00-", "values.yaml", "runAsNonRoot: true", "supplementalGroups: []"),
        ("doubled", "02-", "templates/*.tpl", '"https_proxy"', '"http_proxy"'),
        ("mounted", "00-", "templates/_volumes.tpl", "- name: tmp", "- name: temporary"),
        (
            *("services", "00-", "templates/tests/metrics.yaml"),
            *("remote-job-exporter.testLabels", "remote-job-exporter.selectorLabels"),
        ),
        ("monitors", "04-", "templates/servicemonitor.yaml", "app.kubernetes.io/component: metrics", ""),
        ("monitors", "08-", "templates/_monitor.tpl", "scheme: {{", "scheme: http # {{"),
        ("addresses", "04-", "templates/scrapeconfig.yaml", "-headless", ""),
        ("addresses", "08-", "templates/probe.yaml", "path: /probe", "path: /metrics"),
        ("references", "04-", "templates/statefulset.yaml", "-headless", "-pods"),
        ("references", "07-", "templates/grafanadashboards.yaml", "key: {{", "key: x{{"),
        ("backends", "10-", "templates/ingress.yaml", "name: http", "name: metrics"),
        ("fields", "06-", "templates/probe.yaml", "staticConfig:", "static_config:"),
    ],
)
def test_a_mistake_in_the_chart_is_seen(
    look: str, name: str, file: str, right: str, wrong: str, tmp_path: Path
) -> None:
    found = case(name)
    assert list(LOOKS[look](found)) == []
    chart = tmp_path / CHART.name
    shutil.copytree(CHART, chart)
    texts = {place: place.read_text(encoding="utf-8") for place in chart.glob(file)}
    changed = {place: text.replace(right, wrong) for place, text in texts.items() if right in text}
    assert changed, f"{file} says it otherwise now: {right}"
    for place, text in changed.items():
        place.write_text(text, encoding="utf-8")
    assert list(LOOKS[look](replace(found, chart=chart))) != []
