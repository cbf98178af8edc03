"""The command ``check``."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from exporter import config, service
from exporter.cli import online as tried
from exporter.cli import options
from exporter.cli.user_errors import load_plugins, user_errors
from exporter.collector.online import Online
from exporter.config import ConfigError, Finding, SystemConfig
from exporter.model.text import printable
from exporter.runtime import logging as log
from exporter.runtime.logging import counted
from exporter.web import config as web_config


@click.command("check")
@options.file
@options.config_file
@options.web_config
@options.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Format of errors and warnings.",
)
@options.option(
    "--no-secrets",
    is_flag=True,
    help="Do not read what only the host of the exporter has: secrets in files and variables, and the files "
    "of tls. The files that --web.config.file names are still read.",
)
@options.option(
    "--online",
    is_flag=True,
    help="Then try the credentials and rights of each system: read its listing and up to five of its jobs.",
)
def command(
    *,
    file: Path | None,
    config_file: Path | None,
    web_config_file: Path | None,
    format_: str,
    no_secrets: bool,
    online: bool,
) -> None:
    """Checks the configuration; without --online, without network access.

    Prints every error on its own line: F:LINE: path.to.key: what is wrong, what is allowed. If there is
    none, lines that begin with "warning: " show what is allowed but almost certainly wrong.

    With --online, a configuration without errors is tried: for each system the result of its listing and of
    some of its jobs, what is wrong with credential or rights, and who can correct it.

    Exit codes: 0 no errors, 1 errors, a system that cannot be read or a broken plug-in, 2 wrong arguments.
    """
    path = options.config_path(file, config_file)
    if online and no_secrets:
        raise click.UsageError("--online and --no-secrets exclude each other: it needs the secrets")
    registry, _ = load_plugins()
    errors: list[Finding] = []
    warnings: list[Finding] = []
    systems: tuple[SystemConfig, ...] = ()
    try:
        loaded = config.load(path, host=not no_secrets, registry=registry)
        systems, warnings = loaded.systems, config.warnings(loaded, host=not no_secrets)
    except ConfigError as error:
        errors += error.errors
    try:
        if web_config_file:
            warnings += web_config.expired(web_config_file, web_config.load(web_config_file))
    except ConfigError as error:
        errors += error.errors
    jobs = sum(len(system.jobs) for system in systems)
    counts = {} if errors else {"systems": len(systems), "jobs": jobs}
    done = _try(path, registry) if online and not errors else []
    if format_ == "json":
        found = {"errors": errors, "warnings": warnings}
        listed = {name: [each.as_dict() for each in several] for name, several in found.items()}
        results = {"online": [tried.values(*each) for each in done]} if online else {}
        lines = [json.dumps({**listed, **counts, **results})]
    else:
        lines = [*map(str, errors), *(f"warning: {warning}" for warning in warnings)]
        if not errors:
            more = f", {counted(len(warnings), 'warning')}" if warnings else ""
            there = f"{counted(len(systems), 'system')}, {counted(jobs, 'job')}"
            lines.append(f"{printable(str(path))}: {there}, no errors{more}")
            lines += [f"{printable(str(web_config_file))}: no errors"] if web_config_file else []
        lines += [line for each in done for line in ("", *tried.lines(*each))]
    click.echo("\n".join(lines))
    sys.exit(1 if errors or not all(result.works for result, _ in done) else 0)


def _try(path: Path, registry: config.Registry) -> Sequence[tuple[Online, SystemConfig]]:
    """Tries each system; ends the process if a plug-in cannot be set up."""
    log.setup("error", "logfmt")
    with user_errors():
        results, loaded = asyncio.run(service.Service(path, service.Options(registry=registry)).try_online())
    systems = {system.name: system for system in loaded.systems}
    return [(result, systems[result.plan.name]) for result in results]
