"""The command ``schema``."""

import json

import click

from exporter import config
from exporter.cli.user_errors import load_plugins


@click.command("schema")
def command() -> None:
    """Prints the JSON Schema of the configuration file, for editors.

    Exit codes: 0 done, 1 a plug-in is broken, 2 wrong arguments.
    """
    registry, _ = load_plugins()
    click.echo(json.dumps(config.json_schema(registry), indent=2))
