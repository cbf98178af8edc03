"""The group of commands. A command is imported when it is used, since its imports are slow."""

import gc
import os
import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from exporter import __version__
from exporter.cli import COMMAND

_IMPORTS = 150_000
"""New objects after which garbage is collected. Imports make 90,000 and no garbage: with Python's threshold
they take a tenth longer."""

COMMANDS = {
    "check": "Checks the configuration; without --online, without network access.",
    "demo": "Runs simulator and exporter in one process, preconfigured.",
    "docs": "Prints a reference table as Markdown, generated from the code.",
    "init": "Writes a first configuration: asks for each value and tries it.",
    "list": "Lists the jobs of a system once and explains the result.",
    "probe": "Reads one job of a system once and explains the result.",
    "schema": "Prints the JSON Schema of the configuration file, for editors.",
    "serve": "Runs the exporter, which reads jobs when it is scraped.",
    "simulate": "Simulates the vendors on one port, including credentials.",
    "watch": "Shows all jobs as a live table, trouble first.",
}
"""The commands by name, each with the first line of its help."""


def load_command(name: str) -> click.Command:
    """The command of this name."""
    command: click.Command = import_module(f"exporter.cli.{name}").command
    return command


def commands() -> dict[str, click.Command]:
    """All commands by name."""
    return {name: load_command(name) for name in COMMANDS}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands and flags; Click itself would import each command for its help."""
        names = [
            CompletionItem(name, help=about)
            for name, about in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments.",
)
@click.version_option(__version__, prog_name=COMMAND)
def cli() -> None:
    """Exposes the state of jobs that run elsewhere to Prometheus."""


def main() -> None:
    """Runs the command line; a wrong argument is one line on stderr and exit code 2."""
    _open_standard_streams()
    gc.set_threshold(_IMPORTS)
    try:
        sys.exit(cli.main(prog_name=COMMAND, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else COMMAND
        message = " ".join(error.format_message().split())
        click.echo(f"{command}: {message} (see {command} --help)", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):  # the latter during completion
        sys.exit(130)


def _open_standard_streams() -> None:
    """Opens those that are closed, so that no file or socket gets the descriptor of one of them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest descriptor that is free: this one
