"""The dashboards as files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.source import exporter, job, overview, system

FOLDER = Path(__file__).parents[1] / "dashboards"
_BOARDS = {"overview": overview, "system": system, "job": job, "exporter": exporter}
# What Grafana adds or takes for granted anyway; without it a change of a dashboard is easier to read.
_NOISE = {
    "variable": ("auto", "auto_count", "auto_min", "skipUrlSync", "allowCustomValue"),
    "annotation": ("builtIn", "hide", "placement"),
    "panel": ("repeatDirection", "transparent"),
    "link": ("icon", "tooltip", "tags", "asDropdown", "includeVars", "keepTime", "placement", "type"),
}


def rendered() -> dict[str, str]:
    """What stands in each file of grafana/dashboards, by its name."""
    return {f"{name}.json": _text(module.dashboard()) for name, module in _BOARDS.items()}


def write(folder: Path = FOLDER) -> None:
    """Writes all of them."""
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(board: Dashboard) -> str:
    model: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    # Grafana of the last years reads it and brings it up to its own; the SDK writes a newer one.
    model["schemaVersion"] = 39
    for number, panel in enumerate(model["panels"], start=1):
        panel["id"] = number
        _finish(panel)
    for variable in model["templating"]["list"]:
        _drop(variable, "variable")
        if variable["type"] != "query":
            for key in ("multi", "includeAll"):
                variable.pop(key, None)
    for annotation in model["annotations"]["list"]:
        _drop(annotation, "annotation")
    for link in model["links"]:
        link.pop("placement", None)
    return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _finish(panel: dict[str, Any]) -> None:
    _drop(panel, "panel")
    for letter, target in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", panel.get("targets", []), strict=False):
        target["refId"] = letter
    for link in _data_links(panel):
        _drop(link, "link")


def _data_links(panel: dict[str, Any]) -> Iterator[dict[str, Any]]:
    config = panel.get("fieldConfig", {})
    yield from config.get("defaults", {}).get("links", [])
    for override in config.get("overrides", []):
        for one in override["properties"]:
            if one["id"] == "links":
                yield from one["value"]


def _drop(model: dict[str, Any], kind: str) -> None:
    for key in _NOISE[kind]:
        model.pop(key, None)
