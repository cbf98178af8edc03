"""What the chart has from the models of the exporter's configuration: schemas, and lists for its checks."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from exporter import config
from exporter.config import BUILT_IN
from exporter.config.models import JobKeys, SystemKeys
from exporter.transport import Tls
from exporter.web.config import WebConfig
from exporter.web.tls import ServerTls

Schema = dict[str, Any]

_ADDRESSES = {"uri", "uri-reference"}
# The page of a job, which the exporter does not request.
_FOR_PEOPLE = {"link"}


def definitions() -> Schema:
    """The schemas of the configuration and of the web configuration, with those that they refer to."""
    own, web = (_adapted(one) for one in (config.json_schema(), WebConfig.model_json_schema()))
    keys = ("type", "properties", "additionalProperties")
    whole = {"config": own, "webConfig": web}
    return {
        **own["$defs"],
        **web["$defs"],
        **{name: {key: schema[key] for key in keys} for name, schema in whole.items()},
    }


def _adapted(schema: Schema) -> Schema:
    text = json.dumps(schema).replace("#/$defs/", "#/definitions/")
    adapted: Schema = _for_helm(json.loads(text))
    return adapted


def _for_helm(schema: Any) -> Any:
    """A schema without what Helm cannot check, and without what its errors would quote.

    Words that plug-ins add to are left out, see `closed`. Addresses and hashes can contain a password: the
    templates check them.
    """
    if isinstance(schema, list):
        return [_for_helm(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    left = {"properties"} if "allOf" in schema else set()
    if schema.get("format") in _ADDRESSES | {"password"}:
        left = {"pattern", "format"}
    adapted = {key: _for_helm(value) for key, value in schema.items() if key not in left}
    # Go's regular expressions do not look ahead.
    if isinstance(pattern := adapted.get("pattern"), str) and "(?=.)" in pattern:
        adapted |= {"pattern": pattern.replace("(?=.)", ""), "minLength": 1}
    return adapted


def closed() -> Schema:
    """A rule of the values: without plug-ins there are only these providers and types of ``auth``."""
    auth = {"properties": {"type": {"enum": list(BUILT_IN.credentials)}}}
    system = {"properties": {"provider": {"enum": list(BUILT_IN.providers)}, "auth": auth}}
    systems = {"properties": {"systems": {"additionalProperties": system}}}
    return {
        "if": {"properties": {"plugins": {"const": False}}},
        "then": {"properties": {"config": systems}},
    }


def lists() -> Mapping[str, Any]:
    """What the templates know of keys: which are addresses, files, secrets by name, and settings of a job."""
    auth = {name: model.model_json_schema() for name, model in BUILT_IN.models.auth.items()}
    logins = [schema["properties"] for schema in auth.values()]
    hashes = WebConfig.model_json_schema()["properties"]["basic_auth_users"]["additionalProperties"]
    return {
        "addresses": sorted({*_addresses(SystemKeys.model_json_schema()["properties"])} - _FOR_PEOPLE),
        "loginAddresses": sorted({key for keys in logins for key in _addresses(keys)}),
        "files": [key for key in Tls.model_fields if key.endswith("_file")],
        "webFiles": [key for key in ServerTls.model_fields if key.endswith("_file")],
        "secretsByName": sorted({key for keys in logins for key in _secrets_by_name(keys)}),
        "jobSettings": list(JobKeys.model_fields),
        "jobDefaults": {name: defaults for name in BUILT_IN.models.jobs if (defaults := _defaults(name))},
        "hash": hashes["pattern"],
    }


def _addresses(keys: Schema) -> Iterator[str]:
    yield from (key for key, schema in keys.items() if schema.get("format") in _ADDRESSES)


def _secrets_by_name(keys: Schema) -> Iterator[str]:
    for key, schema in keys.items():
        for one in (schema, *schema.get("anyOf", [])):
            if "env" in json.dumps(one.get("additionalProperties", False)):
                yield key


def _defaults(provider: str) -> dict[str, Any]:
    fields = BUILT_IN.models.jobs[provider].model_fields
    own = {key: field for key, field in fields.items() if key not in JobKeys.model_fields}
    return {key: field.default for key, field in own.items() if not field.is_required()}
