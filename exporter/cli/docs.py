"""The command ``docs``."""

import click

from exporter import config
from exporter.cli import reference
from exporter.cli.main import commands
from exporter.cli.user_errors import load_plugins


@click.command("docs")
@click.argument("table", type=click.Choice(["metrics", "config", "cli"]))
def command(table: str) -> None:
    """Prints a reference table as Markdown, generated from the code.

    Exit codes: 0 done, 1 a plug-in is broken, 2 wrong arguments.
    """
    registry, _ = load_plugins()
    match table:
        case "metrics":
            text = reference.metrics()
        case "config":
            text = config.reference(registry)
        case _:
            text = reference.commands(commands())
    click.echo(text, nl=False)
