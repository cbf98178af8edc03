"""Stats have the words and colours that Grafana gives them."""

import math
from typing import Any

import pytest

from tests.grafana.dashboards import Panel, Target
from tests.grafana.tiles import Series, Tile, tiles

GREY = "#6C7A89"
MAPPINGS = [
    {"type": "value", "options": {"0": {"text": "down", "color": "red"}, "Infinity": {"text": "none"}}},
    {"type": "range", "options": {"from": 5, "to": None, "result": {"color": "purple"}}},
    {"type": "regex", "options": {"pattern": r"(\d+) of \1", "result": {"color": "blue"}}},
    {"type": "special", "options": {"match": "null+nan", "result": {"text": "no data", "color": GREY}}},
]
STEPS = [{"value": None, "color": "green"}, {"value": 2, "color": "orange"}]


def stat(**options: Any) -> Panel:
    defaults: dict[str, Any] = {
        "mappings": MAPPINGS,
        "thresholds": {"steps": STEPS},
        "color": {"mode": "thresholds"},
    }
    fields = {"defaults": defaults, "overrides": []}
    return Panel({"type": "stat", "title": "Up", "fieldConfig": fields, "options": options})


def shown(panel: Panel, *series: Series, legend: str = "") -> list[tuple[str, str]]:
    target = Target({"refId": "A", "legendFormat": legend})
    return [(tile.text, tile.hue) for tile in tiles(panel, [(target, [*series])])]


@pytest.mark.parametrize(
    ("value", "text", "hue"),
    [
        (0.0, "down", "red"),
        (1.0, "1", "green"),
        (2.0, "2", "orange"),
        (5.0, "5", "purple"),
        (math.inf, "none", "orange"),
        (math.nan, "no data", "grey"),
        (None, "no data", "grey"),
    ],
)
def test_a_mapping_comes_before_a_threshold(value: float | None, text: str, hue: str) -> None:
    assert shown(stat(), Series({}, value)) == [(text, hue)]


def test_no_series_at_all_is_missing_data() -> None:
    assert shown(stat()) == [("no data", "grey")]


def test_a_label_is_mapped_as_a_whole_and_has_the_lowest_colour() -> None:
    panel = stat(reduceOptions={"fields": "/^count$/"})
    assert shown(panel, Series({"count": "2 of 2"}, 1)) == [("2 of 2", "blue")]
    assert shown(panel, Series({"count": "2 of 21"}, 1)) == [("2 of 21", "green")]


def test_missing_data_without_a_mapping_has_the_lowest_colour() -> None:
    panel = stat()
    panel.model["fieldConfig"]["defaults"]["mappings"] = []
    assert shown(panel) == [("No data", "green")]


def test_names_are_shown_where_the_panel_says_so() -> None:
    one = Series({"system": "docs"}, 1)
    assert shown(stat(textMode="name"), one, legend="{{system}}") == [("docs", "green")]
    assert shown(stat(textMode="value_and_name"), one, legend="{{system}}") == [("docs 1", "green")]


def test_an_override_changes_the_colour_of_its_series() -> None:
    panel = stat()
    change = {"id": "color", "value": {"mode": "fixed", "fixedColor": "dark-red"}}
    panel.model["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": "failed"}, "properties": [change]}
    ]
    assert shown(panel, Series({}, 1), legend="failed") == [("1", "red")]
    assert shown(panel, Series({}, 1), legend="fine") == [("1", "green")]


@pytest.mark.parametrize(
    ("colour", "hue"),
    [
        ("semi-dark-orange", "orange"),
        ("#73BF69", "green"),
        ("#F2495C", "red"),
        ("#5794F2", "blue"),
        (GREY, "grey"),
    ],
)
def test_colours_have_a_hue(colour: str, hue: str) -> None:
    assert Tile("Up", "", colour).hue == hue
