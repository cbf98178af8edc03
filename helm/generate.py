"""Writes what the chart has from elsewhere.

``python -m helm.generate``; a test fails while any of it is stale. ``values.schema.json`` and the README's
table come from the comments of ``values.yaml``, the schema and keys of ``config`` from the exporter, and the
version in ``Chart.yaml`` from the package.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__
from exporter.config.markdown import table
from helm import exporter

HERE = Path(__file__).resolve().parent
CHART = HERE / "remote-job-exporter"

_LISTS = """\
{{{{/* Keys of the exporter's configuration, from its models: python -m helm.generate */}}}}
{{{{- define "remote-job-exporter.lists" -}}}}
{}
{{{{- end }}}}
"""
_BEGIN, _END = "<!-- values -->", "<!-- /values -->"
_COMMENT = re.compile(r"^ *# ?(.*)$")
_KEY = re.compile(r"^( *)(\w+):")

Schema = dict[str, Any]


@dataclass(frozen=True)
class Value:
    """A documented key of ``values.yaml``."""

    path: tuple[str, ...]
    text: str
    hint: Any
    default: Any

    @property
    def schema(self) -> Schema:
        """Its JSON Schema: that of the hint, else that of the type of the default."""
        hinted = {"$ref": f"#/definitions/{self.hint}"} if isinstance(self.hint, str) else self.hint or {}
        kind = {} if "$ref" in hinted else {"type": _TYPES[type(self.default)]}
        return {**kind, **hinted, "description": self.text.replace("`", ""), "default": self.default}


_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def documented(text: str) -> Iterator[Value]:
    """The keys that a ``# --`` comment precedes, in their order."""
    defaults = yaml.safe_load(text)
    above: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            above.append(comment[1])
        elif key := _KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if above and above[0].startswith("-- "):
                yield _value(tuple(path), above, defaults)
            above = []
        else:
            above = []


def _value(path: tuple[str, ...], above: list[str], defaults: Any) -> Value:
    words = [line for line in above if not line.startswith("@schema")]
    hints = [line.removeprefix("@schema") for line in above if line.startswith("@schema")]
    default = defaults
    for key in path:
        default = default[key]
    return Value(path, " ".join(words).removeprefix("-- "), yaml.safe_load("".join(hints)), default)


def undocumented(values: Mapping[str, Any], known: set[tuple[str, ...]], *above: str) -> Iterator[str]:
    """The keys that neither have a comment nor lie below one that has."""
    for key, value in values.items():
        path = (*above, key)
        if path in known:
            continue
        if isinstance(value, dict) and value:
            yield from undocumented(value, known, *path)
        else:
            yield ".".join(path)


def schema(values: list[Value]) -> Schema:
    """The JSON Schema of the values, draft 07: the newest that every supported Helm reads."""
    root: Schema = _closed()
    for value in values:
        place = root
        for key in value.path[:-1]:
            place = place["properties"].setdefault(key, _closed())
        place["properties"][value.path[-1]] = value.schema
    # A parent chart may hand down its globals, and switches this one with `enabled`.
    root["properties"]["global"]["additionalProperties"] = True
    root["properties"]["enabled"] = {"type": "boolean", "description": "For the condition of a parent chart"}
    definitions = yaml.safe_load((HERE / "definitions.yaml").read_text(encoding="utf-8"))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **root,
        "allOf": [exporter.closed()],
        "definitions": {**definitions, **exporter.definitions()},
    }


def _closed() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def reference(values: list[Value]) -> str:
    """The values as Markdown."""
    rows = ((f"`{'.'.join(one.path)}`", _cell(one.default), one.text) for one in values)
    return table(("value", "default", "meaning"), rows)


def _cell(default: Any) -> str:
    if default in ("", {}, []):
        return ""
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`"


def pages() -> dict[Path, str]:
    """Every file that is written, and what it should contain.

    Raises:
        ValueError: a value has no comment, or a mark is missing.
    """
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = list(documented(text))
    if missing := list(undocumented(yaml.safe_load(text), {one.path for one in values})):
        raise ValueError(f"values.yaml: no comment above {', '.join(missing)}")
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"README.md has no {_BEGIN} … {_END}")
    return {
        CHART / "values.schema.json": json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": f"{before}{begin}\n\n{reference(values)}\n\n{end}{after}",
        CHART / "templates/_exporter.tpl": _LISTS.format(json.dumps(exporter.lists(), indent=1)),
        CHART / "Chart.yaml": _versioned((CHART / "Chart.yaml").read_text(encoding="utf-8")),
    }


def _versioned(chart: str) -> str:
    chart = re.sub(r"^(version: ).*$", rf"\g<1>{__version__}", chart, flags=re.MULTILINE)
    chart = re.sub(r'^(appVersion: ").*"$', rf'\g<1>{__version__}"', chart, flags=re.MULTILINE)
    return re.sub(r"^( *image: \S+:)\S+$", rf"\g<1>{__version__}", chart, flags=re.MULTILINE)


def main() -> None:
    """Writes the files that have changed."""
    for file, text in pages().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
