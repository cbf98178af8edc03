"""What stats and gauges look like in Grafana: the words and the colour of each value."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.grafana.dashboards import Model, Panel, Target, found

Value = float | str | None
_HEX = re.compile(r"#(..)(..)(..)")
_DOMINANT = 40
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Tile:
    """One number of a panel as people see it; `colour` as the dashboard calls it, ``""`` where it is text."""

    panel: str
    text: str
    colour: str

    @property
    def hue(self) -> str:
        """Red, orange, yellow, green, blue, purple or grey."""
        parts = _HEX.fullmatch(self.colour)
        if parts is None:
            return self.colour.removeprefix("semi-").rpartition("-")[2] if self.colour else "grey"
        red, green, blue = (int(part, 16) for part in parts.groups())
        if max(red, green, blue) - min(red, green, blue) < _DOMINANT:
            return "grey"
        if green > red:
            return "green" if green > blue else "blue"
        return "blue" if blue > red else "orange" if green > blue + _DOMINANT else "red"


@dataclass(frozen=True)
class Series:
    """One series of an answer, reduced to its last number; ``None`` where it has none."""

    labels: Mapping[str, str]
    value: float | None


def tiles(panel: Panel, answers: list[tuple[Target, list[Series]]]) -> Iterator[Tile]:
    """What the panel shows of these answers; one tile of missing data where all are empty."""
    shown = [(target, one) for target, series in answers for one in series]
    if not shown:
        yield _tile(panel, panel.defaults, "", None)
    for target, one in shown:
        name = named(target.legend, one.labels)
        yield _tile(panel, _settings(panel, target, name), name, _value(panel, one))


def _value(panel: Panel, series: Series) -> Value:
    """The number, or the label that the panel shows in its place."""
    field = str(panel.options.get("reduceOptions", {}).get("fields") or "").strip("/")
    if not field:
        return series.value
    renamed = {old: new for one in found(panel.model, "renameByName") for old, new in one.items()}
    texts = [text for label, text in series.labels.items() if re.search(field, renamed.get(label, label))]
    return texts[0] if texts else series.value


def named(legend: str, labels: Mapping[str, str]) -> str:
    """The name of a series."""
    return _PLACEHOLDER.sub(lambda found: labels.get(found[1], ""), legend)


def _settings(panel: Panel, target: Target, name: str) -> Model:
    """The defaults with what the overrides change for this series."""
    settings = dict(panel.defaults)
    for override in panel.model.get("fieldConfig", {}).get("overrides", []):
        kind, wanted = override["matcher"]["id"], override["matcher"].get("options")
        if (
            (kind == "byName" and wanted == name)
            or (kind == "byFrameRefID" and wanted == target.ref)
            or (kind == "byRegexp" and re.search(str(wanted).strip("/"), name))
        ):
            settings |= {one["id"]: one["value"] for one in override["properties"]}
    return settings


def _tile(panel: Panel, settings: Model, name: str, value: Value) -> Tile:
    mapped = _mapped(settings.get("mappings", []), value)
    missing = str(settings.get("noValue", "No data")) if value is None else _written(value)
    text, mode = str(mapped.get("text", missing)), panel.options.get("textMode")
    if mode in {"name", "value_and_name"}:
        text = name if mode == "name" else f"{name} {text}"
    colour = str(mapped.get("color") or _by_mode(settings, value))
    plain = panel.type == "stat" and panel.options.get("colorMode") == "none"
    return Tile(panel.title, text.strip(), "" if plain or colour == "text" else colour)


def _written(value: float | str) -> str:
    """As JavaScript does, which looks for it among the mappings."""
    if isinstance(value, str):
        return value
    return "Infinity" if value == math.inf else f"{value:g}"


def _mapped(mappings: list[Model], value: Value) -> Model:
    """The first result that fits, else nothing."""
    for mapping in mappings:
        options: dict[str, Any] = mapping["options"]
        match mapping["type"]:
            case "value" if value is not None and _written(value) in options:
                return dict(options[_written(value)])
            case "range" if isinstance(value, float) and _within(options, value):
                return dict(options["result"])
            case "regex" if isinstance(value, str) and _fits(str(options["pattern"]), value):
                return dict(options["result"])
            case "special" if _is_special(str(options["match"]), value):
                return dict(options["result"])
    return {}


def _fits(pattern: str, value: str) -> bool:
    # Grafana takes a pattern without slashes for the whole text.
    if pattern.startswith("/"):
        return re.search(pattern.strip("/"), value) is not None
    return re.fullmatch(pattern, value) is not None


def _within(options: Model, value: float) -> bool:
    low, high = options.get("from"), options.get("to")
    return (low is None or value >= low) and (high is None or value <= high)


def _is_special(match: str, value: Value) -> bool:
    if value is None:
        return match in {"null", "null+nan"}
    return isinstance(value, float) and math.isnan(value) and match in {"nan", "null+nan"}


def _by_mode(settings: Model, value: Value) -> str:
    color = settings.get("color", {})
    # Grafana's own, where the panel has none.
    if color.get("mode", "thresholds") != "thresholds":
        return str(color.get("fixedColor", color["mode"]))
    thresholds = settings.get("thresholds", {})
    steps = thresholds.get("steps") or [{"value": None, "color": "green"}, {"value": 80, "color": "red"}]
    # A text, and what is missing, has the colour of the lowest step.
    number = value if isinstance(value, float) and not math.isnan(value) else -math.inf
    if thresholds.get("mode") == "percentage":
        low, high = settings.get("min", 0), settings.get("max", 100)
        number = 100 * (number - low) / (high - low)
    reached = [step for step in steps if step["value"] is None or number >= step["value"]]
    return str(reached[-1]["color"])
