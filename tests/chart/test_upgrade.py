"""A release can go from any values to any others, and its record fits into the cluster's store."""

import base64
import gzip
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.chart.chart import CHART, Object, Rendered, render, values_of
from tests.chart.matrix import NEWEST, VALUES, none, title

FIRST = values_of(Path(__file__).parent / "first-values.yaml")
MIB = 2**20
SELECTOR = {"app.kubernetes.io/name": "remote-job-exporter", "app.kubernetes.io/instance": "demo"}


def fixed(one: Object) -> dict[str, Any]:
    """What the API server lets nobody change in an object."""
    spec = one.get("spec", {})
    match one["kind"]:
        case "Deployment":
            return {"selector": spec["selector"]}
        case "StatefulSet":
            keys = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
            return {key: spec.get(key) for key in keys}
        case "Service":
            # An address that was asked for is the user's own; that there is none is the chart's.
            return {"headless": spec.get("clusterIP") == "None"}
        case "GrafanaDashboard":
            return {"instanceSelector": spec["instanceSelector"], "folderUID": spec.get("folderUID")}
        case "Secret" | "ConfigMap":
            return {"type": one.get("type"), "immutable": one.get("immutable", False)}
        case _:
            return {}


def pinned(objects: Iterable[Object]) -> dict[str, dict[str, Any]]:
    """That of many, by namespace, kind and name."""
    return {f"{one['metadata'].get('namespace')}: {title(one)}": fixed(one) for one in objects}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Objects that stay and would have to change what cannot be changed."""
    for place in before.keys() & after.keys():
        if before[place] != after[place]:
            yield f"{place}: {before[place]} → {after[place]}"


def test_the_first_values_are_still_taken_and_have_a_place_each() -> None:
    """As by ``--reuse-values``, which brings all of them, the old defaults too."""
    assert pinned(render(FIRST)) == pinned(render())

    def lost(old: Mapping[str, Any], new: Mapping[str, Any], *path: str) -> Iterator[str]:
        for key, value in old.items():
            if key not in new:
                yield ".".join((*path, key))
            elif isinstance(value, dict) and isinstance(new[key], dict) and new[key]:
                yield from lost(value, new[key], *path, key)

    none(lost(FIRST, values_of(CHART / "values.yaml")))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays them: maps key by key."""
    both = {key: merged(base[key], value) for key, value in over.items() if _maps(base.get(key), value)}
    return {**base, **over, **both}


def _maps(*two: object) -> bool:
    return all(isinstance(one, Mapping) for one in two)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_names_and_selectors_of_the_first_release_hold_for_ever(kind: str) -> None:
    rendered = render(merged(FIRST, {"kind": kind}))
    workload = rendered.one(kind)
    assert workload["metadata"]["name"] == "demo-remote-job-exporter"
    assert workload["spec"]["selector"] == {"matchLabels": SELECTOR}
    assert rendered.one("Service", "demo-remote-job-exporter")["spec"]["selector"] == SELECTOR
    if kind == "StatefulSet":
        assert workload["spec"]["serviceName"] == "demo-remote-job-exporter-headless"
        assert workload["spec"]["podManagementPolicy"] == "Parallel"


def test_no_change_from_the_first_values_or_between_ci_files_is_forbidden() -> None:
    kinds = ("Deployment", "StatefulSet")
    made = {f"first {kind}": pinned(render(merged(FIRST, {"kind": kind}))) for kind in kinds}
    made |= {case.file.stem: pinned(case.objects) for case in NEWEST}

    def faults() -> Iterator[str]:
        for one, other in permutations(made, 2):
            for change in changes(made[one], made[other]):
                # Which Grafanas and folders is the user's word.
                if "GrafanaDashboard" not in change:
                    yield f"{one} → {other}: {change}"

    assert len(made) > 10
    none(faults())


def test_a_change_that_is_forbidden_would_be_seen() -> None:
    after = pinned(render({"nameOverride": "other", "fullnameOverride": "demo-remote-job-exporter"}))
    (seen,) = changes(pinned(render()), after)
    assert seen.startswith("mon: Deployment demo-remote-job-exporter: ")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(helm_python.package(CHART, destination=tmp_path_factory.mktemp("package")))


def test_the_package_renders_what_the_folder_renders(package: Path) -> None:
    for case in NEWEST:
        assert render(case.values, chart=package) == case.rendered, case


def test_the_package_is_small_and_has_nothing_of_tests_or_of_this_machine(package: Path) -> None:
    assert package.stat().st_size < MIB / 4
    with tarfile.open(package) as packed:
        members = packed.getmembers()
        texts = [packed.extractfile(one) for one in members if one.isfile()]
        held = b"".join(text.read() for text in texts if text)
    assert all(one.isfile() and not one.name.startswith(("/", "..")) for one in members)
    assert not [one.name for one in members if "/ci/" in one.name or "__pycache__" in one.name]
    assert os.fsencode(CHART.parent) not in held
    assert b"PRIVATE KEY" not in held


def record(package: Path, values: Mapping[str, Any], rendered: Rendered) -> bytes:
    """The Secret's content in which Helm keeps a release, one for each of the last ten."""
    files: list[dict[str, str]] = []
    with tarfile.open(package) as packed:
        for member in packed.getmembers():
            text = packed.extractfile(member)
            assert text is not None
            name = member.name.partition("/")[2]
            files.append({"name": name, "data": base64.b64encode(text.read()).decode()})
    by_name = {file["name"]: file["data"] for file in files}
    release = {
        "name": "demo",
        "info": {"notes": rendered.notes, "status": "deployed"},
        "chart": {
            "metadata": yaml.safe_load(base64.b64decode(by_name["Chart.yaml"])),
            "templates": [file for file in files if file["name"].startswith("templates/")],
            "values": values_of(CHART / "values.yaml"),
            "schema": by_name["values.schema.json"],
            "files": [file for file in files if file["name"].startswith(("files/", "README"))],
        },
        "config": values,
        "manifest": "---\n".join(rendered.texts.values()),
    }
    return base64.b64encode(gzip.compress(json.dumps(release).encode(), 9))


@pytest.mark.slow
def test_the_record_of_a_release_stays_far_below_what_a_secret_may_hold(package: Path) -> None:
    sizes = {case.file.stem: len(record(package, case.values, case.rendered)) for case in NEWEST}
    assert len(VALUES) == len(sizes)
    none(f"{name}: {size / MIB:.2f} MiB" for name, size in sizes.items() if size > MIB / 2)
