"""The config file described, from the very models that check it: for editors and for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.config.models import Defaults, Expectations, JobKeys, SystemKeys
from exporter.config.registry import BUILT_IN, Registry
from exporter.config_types import DURATION_PATTERN
from exporter.transport import Tls


def json_schema(registry: Registry = BUILT_IN) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one config file."""
    schema = registry.models.file.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def reference(registry: Registry = BUILT_IN) -> str:
    """All keys of the config file as Markdown tables: key, type, default, meaning."""
    systems, jobs = registry.models.systems, registry.models.jobs
    finding = {name: model for name, model in systems.items() if "discover" in model.model_fields}
    common = next(iter(finding.values()))
    parts = [
        "# Config file",
        "Made by `remote-job-exporter docs config`.",
        (
            "One YAML file, or a folder whose `*.yaml` and `*.yml` files are one config. A key that is not "
            "listed here is an error. `remote-job-exporter check F` tells every error with its line."
        ),
        (
            "- A duration is one of Prometheus, such as `500ms`, `10s` or `1m30s`.\n"
            "- A secret is text, `{env: NAME}` (an environment variable, read at the start) or "
            "`{file: PATH}` (a file, read again when it changes); their last line break is dropped.\n"
            "- A relative path begins at the folder of the config file."
        ),
        "## `defaults:`",
        "Settings of every system that does not say otherwise.",
        _table(Defaults, Defaults.model_fields),
        "## `systems: {NAME: …}`",
        (
            "A name is made of A-Z a-z 0-9 _ . - and becomes the label `system`. The keys of `defaults:` may "
            "stand here too, and the provider's own."
        ),
        _table(
            common,
            ["provider", *_beside(SystemKeys, Defaults), "auth", "discover", "jobs"],
            {
                "provider": _or(f"`{name}`" for name in systems),
                "discover": f"mapping, for {_or(f'`{name}`' for name in finding)}",
            },
            {"jobs": "needed without `discover`"} if _needed(systems, "jobs") else {},
        ),
        "### `jobs: [ … ]`",
        "Every job takes these beside its provider's own keys.",
        _table(JobKeys, JobKeys.model_fields),
        "### `expect:`",
        "Of a job, of its system or in `defaults:`; the nearest wins, key by key. `never` switches one off.",
        _table(Expectations, Expectations.model_fields),
        "### `tls:`",
        "All files are PEM.",
        _table(Tls, Tls.model_fields),
        "## `provider:`",
    ]
    for name, provider in registry.providers.items():
        parts += [f"### `{name}`", _first_line(provider)]
        if provider.Options.model_fields:
            parts += ["Keys of the system:", _table(systems[name], provider.Options.model_fields)]
            parts += _nested(provider.Options)
        if provider.JobKeys.model_fields:
            parts += ["Keys of a job:", _table(jobs[name], provider.JobKeys.model_fields)]
        else:
            parts += ["Keys of a job: those that its system names in braces."]
        if provider.Discover is not None:
            parts += ["Keys of `discover:`:", _table(provider.Discover, provider.Discover.model_fields)]
            parts += _nested(provider.Discover)
    parts.append("## `auth:`")
    for kind, keys in registry.models.auth.items():
        parts += [f"### `type: {kind}`", _first_line(registry.credentials[kind])]
        if own := [key for key in keys.model_fields if key != "type"]:
            parts.append(_table(keys, own))
    return "\n\n".join(parts) + "\n"


def _needed(models: Mapping[str, type[BaseModel]], key: str) -> bool:
    return any(model.model_fields[key].is_required() for model in models.values())


def _beside(model: type[BaseModel], base: type[BaseModel]) -> list[str]:
    return [key for key in model.model_fields if key not in base.model_fields]


def _nested(model: type[BaseModel]) -> Iterator[str]:
    """Tables of the mappings that stand under a model's keys."""
    for key, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield f"Keys of `{key}:`:"
                yield _table(kind, kind.model_fields)


def _first_line(documented: type) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0].replace("``", "`")


def _table(
    model: type[BaseModel],
    keys: Iterable[str],
    types: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> str:
    schema = model.model_json_schema()
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    for key in keys:
        field, own = model.model_fields[key], schema["properties"][key]
        rows.append(
            (
                f"`{key}`",
                (types or {}).get(key) or _type(own, schema.get("$defs", {})),
                (defaults or {}).get(key) or _default(field, own.get("default")),
                field.description or "",
            )
        )
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _default(field: FieldInfo, default: object) -> str:
    if field.is_required():
        return "needed"
    return "" if default in (None, "") else f"`{_yaml(default)}`"


def _yaml(default: object) -> str:
    if isinstance(default, dict):
        return "{" + ", ".join(f"{key}: {value}" for key, value in default.items()) + "}"
    return str(default).lower() if isinstance(default, bool) else str(default)


_FORMATS = {"uri": "URL", "jmespath": "JMESPath expression"}
_WORDS = {"boolean": "`true` or `false`", "integer": "whole number", "array": "list", "string": "text"}


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if target := schema.get("$ref"):
        schema = definitions[target.rpartition("/")[2]]
    if choices := schema.get("anyOf"):
        return _choice(choices, definitions)
    if otherwise := schema.get("else"):  # 0 need not be named
        return _type(otherwise, definitions)
    if "enum" in schema:
        return _or(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("pattern") == DURATION_PATTERN:
        return "duration"
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return _WORDS.get(schema.get("type", ""), "mapping")


def _choice(choices: Iterable[Mapping[str, Any]], definitions: Mapping[str, Any]) -> str:
    if any("env" in choice.get("properties", {}) for choice in choices):
        return "secret"
    words = [_type(choice, definitions) for choice in choices if choice.get("type") != "null"]
    return _or(dict.fromkeys(words))


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
