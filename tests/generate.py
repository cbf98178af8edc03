"""Writes what is made from the code: the reference pages, the JSON Schema, tables inside other pages, and the
version in the Dockerfile.

``python -m tests.generate``; a test fails while any of it is stale.
"""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from exporter import __version__, config
from exporter.cli import reference
from exporter.cli.main import commands
from exporter.config.markdown import table
from exporter.model.job import Items
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider
from exporter.views import JobList, JobReport, Problem, Unlisted
from tests import bounds

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
GUIDES = DOCS / "guides"
UNDERSTAND = DOCS / "understand"
REFERENCE = DOCS / "reference"

_KEYS_IN_BRACES = "the keys that `path`, `query` and `body` of the system's `read:` name, in that order"

Providers = Mapping[str, type[Provider]]


def pages() -> dict[Path, str]:
    """Every generated file and what it should contain.

    Raises:
        ValueError: a page has lost the marks around its table.
    """
    return {
        ROOT / "Dockerfile": _versioned((ROOT / "Dockerfile").read_text(encoding="utf-8")),
        REFERENCE / "metrics.md": reference.metrics(),
        REFERENCE / "config.md": config.reference(),
        REFERENCE / "limits.md": bounds.page(),
        REFERENCE / "cli.md": reference.commands(commands()),
        REFERENCE / "config.schema.json": json.dumps(config.json_schema(), indent=2) + "\n",
        REFERENCE / "jobs.schema.json": json.dumps(jobs_schema(), indent=2) + "\n",
        GUIDES / "jobs-page.md": _between_marks(GUIDES / "jobs-page.md", "json", jobs_json()),
        GUIDES / "systems" / "index.md": systems(PROVIDERS, GUIDES / "systems"),
        UNDERSTAND / "pacing.md": _between_marks(UNDERSTAND / "pacing.md", "systems", pacing(PROVIDERS)),
        GUIDES / "discovery.md": _between_marks(GUIDES / "discovery.md", "systems", listings(PROVIDERS)),
        GUIDES / "probe.md": _between_marks(GUIDES / "probe.md", "systems", probes(PROVIDERS)),
    }


def _versioned(dockerfile: str) -> str:
    return re.sub(r"^(ARG VERSION=).*$", rf"\g<1>{__version__}", dockerfile, flags=re.MULTILINE)


def systems(providers: Providers, folder: Path) -> str:
    """The page that leads to the page of each system, whose titles are read from a folder."""
    rows = []
    for name in providers:
        page = folder / (f"{name}.md" if name != "json" else "../json.md")
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        rows.append((f"[{title}]({page.relative_to(folder)})", f"`{name}`"))
    return f"# Systems\n\n{table(('system', '`provider:`'), rows)}\n"


def pacing(providers: Providers) -> str:
    """How often a vendor is asked, by what its provider declares."""
    head = (
        "`provider:`",
        "requests of one read",
        "between two reads",
        "a rate limit pauses",
        "the wait is in",
    )
    rows = []
    for name, provider in providers.items():
        between, scope = "`min_interval`", f"the {provider.rate_limit_scope}"
        if "rate_limit" in provider.Options.model_fields:
            scope += ", or the system by `rate_limit.scope`"
        if provider.poll_steps:
            *first, last = (f"{seconds:g}" for seconds in provider.poll_steps)
            between = f"{', '.join([*first, 'then every'])} {last} s; the first again after a change"
        wait = ", ".join(f"`{header}`" for header in provider.retry_after_headers)
        rows.append((f"`{name}`", _summary(provider.read), between, scope, wait))
    return table(head, rows)


def listings(providers: Providers) -> str:
    """Which jobs a provider finds, and by how many requests."""
    rows = []
    for name, provider in providers.items():
        if provider.Discover is not None:
            keys = ", ".join(f"`{key}`" for key in provider.Discover.model_fields)
            rows.append((f"`{name}`", keys, _summary(provider.Discover), _summary(provider.discover)))
        else:
            rows.append((f"`{name}`", "", "There is no listing.", ""))
    return table(("`provider:`", "keys of `discover:`", "what is found", "requests"), rows)


def probes(providers: Providers) -> str:
    """The command that reads one job of each provider."""
    rows = []
    for name, provider in providers.items():
        fields = provider.JobKeys.model_fields
        needed = [f"{key}=…" for key, field in fields.items() if field.is_required()]
        command = f"`remote-job-exporter probe --config.file config.yaml SYSTEM {' '.join(needed)}`"
        for key, field in fields.items():
            if not field.is_required():
                command += f", and `{key}=…` unless it is `{field.default}`"
        rows.append((f"`{name}`", command if fields else _KEYS_IN_BRACES))
    return table(("`provider`", "command"), rows)


def jobs_json() -> str:
    """The fields of ``/jobs.json``, of the classes that it is made of."""
    parts = {"": JobList, "unlisted[].": Unlisted, "jobs[].": JobReport, "jobs[].problem.": Problem}
    rows = [
        (f"`{prefix}{field.name}`", _meaning(part, field.name))
        for prefix, part in parts.items()
        for field in fields(part)
    ]
    counts = ", ".join(f"`{name}`" for name in Items.__struct_fields__)
    return f"{table(('field', 'meaning'), rows)}\n\nThe fields of `items` are {counts}."


def jobs_schema() -> dict[str, Any]:
    """The JSON Schema of ``/jobs.json``, with what the docstrings say of each field."""
    parts = {part.__name__: part for part in (JobList, Unlisted, JobReport, Problem)}
    schema = msgspec.json.schema(JobList)
    for name, definition in schema["$defs"].items():
        definition["description"] = definition["description"].partition("\n")[0]
        # The exporter sends all fields, also those that are not known.
        definition["required"] = [*definition["properties"]]
        for field, described in definition["properties"].items():
            described.pop("default", None)
            if name in parts:
                described["description"] = _meaning(parts[name], field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The response of /jobs.json. Fields can be added.",
        **schema,
    }


def _meaning(documented: type, field: str) -> str:
    """What the docstring of a class says of a field.

    Raises:
        ValueError: it says nothing of it.
    """
    found = re.search(rf"^ {{4}}{field}: (.+?)\.?$", inspect.getdoc(documented) or "", re.MULTILINE)
    if found is None:
        raise ValueError(f"{documented.__name__}.{field} has no meaning")
    return found[1][0].upper() + found[1][1:] + "."


def _summary(documented: object) -> str:
    return (documented.__doc__ or "").partition("\n")[0].replace("``", "`")


def _between_marks(page: Path, mark: str, text: str) -> str:
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {mark} -->")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not begin or not end:
        raise ValueError(f"{page.name} has no <!-- {mark} --> … <!-- /{mark} -->")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def main() -> None:
    """Writes the files that have changed."""
    for file, text in pages().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
