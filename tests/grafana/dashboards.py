"""The dashboards as they are shipped, to be looked into: ``from tests.grafana.dashboards import load``."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.command import ROOT

FOLDER = ROOT / "grafana/dashboards"
FILES = ("overview", "system", "job", "exporter")

Model = Mapping[str, Any]

# Variables that Grafana brings itself.
_TIMES = {"__interval", "__interval_ms", "__rate_interval", "__range", "__range_s", "__range_ms"}
_IN_LINKS = {"__from", "__to", "__all_variables", "__url_time_range"}
_IN_FIELDS = {"__series", "__field", "__value", "__data"}
BUILT_IN = frozenset(_TIMES | _IN_LINKS | _IN_FIELDS | {"__all"})
# Panels that show no data of their own.
_FURNITURE = frozenset({"row", "text", "dashlist"})
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)[^}]*\}|\[\[(\w+)[^\]]*\]\]")


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with the variables' values in it; an unknown variable stays as it is, as in Grafana."""

    def value(found: re.Match[str]) -> str:
        return values.get(found[found.lastindex or 0], found[0])

    return _VARIABLE.sub(value, text)


def variables_in(text: str) -> set[str]:
    """Names of the variables in a text, less the groups of a regular expression ($1)."""
    names = {found[found.lastindex or 0] for found in _VARIABLE.finditer(text)}
    return {name for name in names if not name.isdigit()}


def source(model: Model) -> str:
    """Which data source it asks, ``""`` where it does not say."""
    found = model.get("datasource") or ""
    return str(found if isinstance(found, str) else found.get("uid", ""))


def texts(value: Any) -> Iterator[str]:
    """Every text inside, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def found(value: Any, key: str) -> Iterator[Any]:
    """Every value under this key, however deep."""
    if isinstance(value, Mapping):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    model: Model

    @property
    def expr(self) -> str:
        return str(self.model.get("expr", ""))

    @property
    def ref(self) -> str:
        return str(self.model.get("refId", ""))

    @property
    def instant(self) -> bool:
        return bool(self.model.get("instant")) and not self.model.get("range")

    @property
    def legend(self) -> str:
        return str(self.model.get("legendFormat", ""))


@dataclass(frozen=True)
class Panel:
    """One panel; `group` is the collapsed row it is in, else ``None``."""

    model: Model
    group: int | None = None

    @property
    def id(self) -> int:
        return int(self.model["id"])

    @property
    def type(self) -> str:
        return str(self.model.get("type", ""))

    @property
    def title(self) -> str:
        return str(self.model.get("title", ""))

    @property
    def targets(self) -> list[Target]:
        return [Target(model) for model in self.model.get("targets", [])]

    @property
    def defaults(self) -> Model:
        defaults: Model = self.model.get("fieldConfig", {}).get("defaults", {})
        return defaults

    @property
    def options(self) -> Model:
        options: Model = self.model.get("options", {})
        return options

    def special(self, match: str) -> list[Model]:
        """What special values of a kind, such as ``null+nan``, are shown as."""
        options = [one["options"] for one in self.defaults.get("mappings", []) if one["type"] == "special"]
        return [one.get("result", {}) for one in options if one.get("match") == match]

    @property
    def columns(self) -> list[str]:
        """The heads of a table that are chosen, less the columns that are hidden."""
        heads: dict[str, str] = {}
        hidden: set[str] = set()
        for one in self.model.get("transformations", []):
            heads |= one["options"].get("renameByName", {})
            hidden |= {
                name for name, is_hidden in one["options"].get("excludeByName", {}).items() if is_hidden
            }
        return [head for name, head in heads.items() if name not in hidden]

    def column_settings(self, key: str) -> dict[str, Any]:
        """What the overrides set a property to, by the name of the field."""
        overrides = self.model.get("fieldConfig", {}).get("overrides", [])
        named = [one for one in overrides if one["matcher"]["id"] == "byName"]
        return {
            one["matcher"]["options"]: setting["value"]
            for one in named
            for setting in one["properties"]
            if setting["id"] == key
        }

    def overridden(self, key: str) -> list[Any]:
        """What the overrides set a property of fields to."""
        overrides = self.model.get("fieldConfig", {}).get("overrides", [])
        properties = [one for override in overrides for one in override["properties"]]
        return [one["value"] for one in properties if one["id"] == key]


@dataclass(frozen=True)
class Variable:
    """One variable, or the ad hoc filter."""

    model: Model

    @property
    def name(self) -> str:
        return str(self.model["name"])

    @property
    def type(self) -> str:
        return str(self.model["type"])

    @property
    def query(self) -> str:
        query = self.model.get("query", "")
        return str(query if isinstance(query, str) else query.get("query", ""))

    @property
    def all_value(self) -> str:
        return str(self.model.get("allValue") or "")


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `name` is that of its file."""

    name: str
    model: Model

    @property
    def uid(self) -> str:
        return str(self.model.get("uid", ""))

    @property
    def panels(self) -> list[Panel]:
        """All of them, rows and what is in them too."""
        top = [Panel(model) for model in self.model["panels"]]
        return top + [
            Panel(model, group=row.id) for row in top if row.type == "row" for model in row.model["panels"]
        ]

    @property
    def shown(self) -> list[Panel]:
        """Those that show data: no rows, no texts."""
        return [panel for panel in self.panels if panel.type not in _FURNITURE]

    @property
    def queries(self) -> list[tuple[Panel, Target]]:
        return [(panel, target) for panel in self.panels for target in panel.targets]

    @property
    def variables(self) -> list[Variable]:
        return [Variable(model) for model in self.model["templating"]["list"]]

    @property
    def names(self) -> set[str]:
        """Of its variables."""
        return {variable.name for variable in self.variables}

    @property
    def annotations(self) -> list[Model]:
        """Those of its own; not the one that Grafana builds in, for people's notes."""
        return [one for one in self.model["annotations"]["list"] if not one.get("builtIn")]


def load(name: str) -> Dashboard:
    return Dashboard(name, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def load_all() -> tuple[Dashboard, ...]:
    return tuple(load(name) for name in FILES)
