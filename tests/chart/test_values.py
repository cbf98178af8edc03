"""Every value is told of, checked by the schema, tried by a ci file, and has an effect there."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

import helm_python
import pytest
from jsonschema import Draft7Validator

from helm.generate import Value, documented
from tests.chart.chart import CHART, CI_VALUES, Rendered, render
from tests.chart.matrix import NEWEST, none

TOLD = list(documented((CHART / "values.yaml").read_text(encoding="utf-8")))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
# The schema uses the first; each other yields to another one in its ci file. Other tests show them alone.
SHADOWED = {"plugins", "image.registry", "image.tag", "podDisruptionBudget.maxUnavailable"}


def name(value: Value) -> str:
    return ".".join(value.path)


def at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands at a path; an error where nothing does."""
    return reduce(lambda here, key: here[key], path, values)


def has(values: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    try:
        at(values, path)
    except (KeyError, TypeError):
        return False
    return True


def without(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    left = deepcopy(dict(values))
    del at(left, path[:-1])[path[-1]]
    return left


def test_each_value_is_in_the_schema_with_its_default_and_what_it_is_for() -> None:
    assert len(TOLD) > 200
    for value in TOLD:
        place = reduce(lambda here, key: here["properties"][key], value.path, SCHEMA)
        assert place["default"] == value.default, name(value)
        assert len(place["description"]) > 3, name(value)


def test_each_value_is_set_by_a_ci_file() -> None:
    none(name(value) for value in TOLD if not any(has(case.values, value.path) for case in NEWEST))


@pytest.mark.slow
def test_each_value_that_a_ci_file_sets_has_an_effect() -> None:
    """Some template uses it: without it another thing is rendered, or nothing at all."""
    # These are most of what is rendered.
    heavy = {"prometheusRule", "dashboards"}

    def works(value: Value) -> bool:
        for case in (case for case in NEWEST if has(case.values, value.path)):
            beside = heavy - {value.path[0]}
            values = {key: below for key, below in case.values.items() if key not in beside}
            if shown(values) != shown(without(values, value.path)):
                return True
        return False

    known: dict[str, Rendered | None] = {}

    def shown(values: dict[str, Any]) -> Rendered | None:
        key = json.dumps(values)
        if key not in known:
            try:
                known[key] = render(values, schema=False)
            except helm_python.HelmError:
                known[key] = None
        return known[key]

    assert shown({}) == shown({"enabled": True}) is not None
    none(name(value) for value in TOLD if name(value) not in SHADOWED and not works(value))


def test_what_wins_over_another_value_leaves_it_its_effect_alone() -> None:
    def image(values: dict[str, Any]) -> str:
        box = render(values).one("Deployment")["spec"]["template"]["spec"]["containers"][0]
        return str(box["image"])

    version = helm_python.Chart.load(CHART).metadata["appVersion"]
    repository = "remote-job-exporter/remote-job-exporter"
    assert image({}) == f"{repository}:{version}"
    assert image({"image": {"registry": "r.example.com"}}) == f"r.example.com/{repository}:{version}"
    assert image({"image": {"tag": "1.2.3"}}) == f"{repository}:1.2.3"
    budget = {"podDisruptionBudget": {"enabled": True, "maxUnavailable": "30%"}}
    assert render(budget).one("PodDisruptionBudget")["spec"]["maxUnavailable"] == "30%"


def test_each_file_beside_the_ci_values_would_be_found_by_charts_own_tools() -> None:
    assert sorted((CHART / "ci").iterdir()) == CI_VALUES


def test_the_schema_is_one_of_draft_07() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_any_validator_takes_the_ci_values(file: Path) -> None:
    """Editors and pipelines use the schema without Helm; they add the defaults no more than it does."""
    case = next(one for one in NEWEST if one.file == file)
    merged = helm_python.Chart.load(CHART).merge_values(case.values)
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(merged)] == []


def refused(values: dict[str, Any]) -> str:
    """What Helm says of values; empty when it takes them."""
    try:
        _CHART.validate_schema(_CHART.merge_values(values))
    except helm_python.HelmError as error:
        return str(error)
    return ""


_CHART = helm_python.Chart.load(CHART)
# Those of several types.
ALSO = {
    "podDisruptionBudget.minAvailable": {str, int},
    "podDisruptionBudget.maxUnavailable": {str, int},
    "hostUsers": {str, bool},
    "monitors.enableHttp2": {str, bool},
    "web.timeoutOffset": {int, float},
    "web.shutdownTimeout": {int, float},
}


@pytest.mark.parametrize(
    "wrong", ["text", 1, 1.5, True, [1], {"a": 1}], ids=lambda wrong: type(wrong).__name__
)
def test_a_value_of_another_type_is_refused_by_its_name(wrong: object) -> None:
    """All at once, as Helm names each error."""
    values: dict[str, Any] = {}
    tried = [one for one in TOLD if type(wrong) not in ALSO.get(name(one), {type(one.default)})]
    for one in tried:
        reduce(lambda here, key: here.setdefault(key, {}), one.path[:-1], values)[one.path[-1]] = wrong
    message = refused(values)
    assert len(tried) > 100
    none(name(one) for one in tried if not re.search(f"'/{'/'.join(one.path)}['/]", message))


def test_an_unknown_key_is_refused_by_its_name_at_each_level() -> None:
    levels = {value.path[:depth] for value in TOLD for depth in range(len(value.path))}
    # Where a parent chart hands down what is its own.
    levels -= {("global",)}
    assert ("route", "main") in levels
    values: dict[str, Any] = {}
    for level in levels:
        reduce(lambda here, key: here.setdefault(key, {}), level, values)["noSuchKey"] = 1
    told = refused(values).replace("''", "'/'")
    wanted = (f"at '/{'/'.join(level)}': additional properties 'noSuchKey'" for level in levels)
    none(line for line in wanted if line not in told)
