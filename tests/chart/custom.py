"""Custom resources against hand-written schemas of the fields that the chart uses, in ``crds/``."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from tests.chart.chart import Object
from tests.chart.matrix import title

HERE = Path(__file__).parent / "crds"
KINDS = sorted(file.stem for file in HERE.glob("[A-Z]*.yaml"))


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@cache
def validator(kind: str) -> Draft7Validator:
    """What a whole object of this kind must look like."""
    told, common = _read(kind), _read("common")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": told["apiVersion"]},
            "kind": {"const": kind},
            "metadata": {"$ref": "#/definitions/metadata"},
            "spec": {"type": "object", "additionalProperties": False, **told["spec"]},
        },
        "definitions": {**common, **told.get("definitions", {})},
    }
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def faults(one: Object) -> Iterator[str]:
    """What the API server would refuse of an object."""
    for error in validator(one["kind"]).iter_errors(one):
        # Of alternatives, the one that was most likely meant.
        told = best_match([error]) or error
        yield f"{title(one)}: {'.'.join(map(str, told.absolute_path))}: {told.message[:300]}"
