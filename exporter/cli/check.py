"""The command ``check``."""

import json
import sys
from pathlib import Path

import click

from exporter import config
from exporter.cli import options
from exporter.cli.user_errors import load_plugins
from exporter.config import ConfigError, Finding, SystemConfig
from exporter.model.text import printable
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
def command(
    *,
    file: Path | None,
    config_file: Path | None,
    web_config_file: Path | None,
    format_: str,
    no_secrets: bool,
) -> None:
    """Checks the configuration without network access.

    Prints every error on its own line: F:LINE: path.to.key: what is wrong, what is allowed. If there is
    none, lines that begin with "warning: " show what is allowed but almost certainly wrong.

    Exit codes: 0 no errors, 1 errors or a broken plug-in, 2 wrong arguments.
    """
    path = options.config_path(file, config_file)
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
            web_config.load(web_config_file)
    except ConfigError as error:
        errors += error.errors
    jobs = sum(len(system.jobs) for system in systems)
    counts = {} if errors else {"systems": len(systems), "jobs": jobs}
    if format_ == "json":
        found = {"errors": errors, "warnings": warnings}
        listed = {name: [each.as_dict() for each in several] for name, several in found.items()}
        lines = [json.dumps({**listed, **counts})]
    else:
        lines = [*map(str, errors), *(f"warning: {warning}" for warning in warnings)]
        if not errors:
            more = f", {counted(len(warnings), 'warning')}" if warnings else ""
            there = f"{counted(len(systems), 'system')}, {counted(jobs, 'job')}"
            lines.append(f"{printable(str(path))}: {there}, no errors{more}")
            lines += [f"{printable(str(web_config_file))}: no errors"] if web_config_file else []
    click.echo("\n".join(lines))
    sys.exit(1 if errors else 0)
