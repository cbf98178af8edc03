"""Errors that a user can correct: one line each on stderr, and exit code 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from exporter import plugins
from exporter.cli import COMMAND
from exporter.collector.query import QueryError
from exporter.config import ConfigError, Registry
from exporter.web.listen import ListenError


class UserError(Exception):
    """An error of what a command was given; its text is for the user."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends the process where the configuration, a plug-in, an address or a recording cannot be used."""
    try:
        yield
    except (ConfigError, ListenError, plugins.PluginError, UserError) as error:
        for line in str(error).splitlines():
            click.echo(f"{COMMAND}: {line}", err=True)
        sys.exit(1)


@contextmanager
def query_errors(command: str) -> Iterator[None]:
    """Ends the process where the arguments of a command name nothing that is configured."""
    try:
        yield
    except QueryError as error:
        for line in error.lines:
            click.echo(f"{COMMAND} {command}: {line}", err=True)
        sys.exit(2)


def load_plugins() -> tuple[Registry, tuple[plugins.Plugin, ...]]:
    """The registry with all plug-ins, and which these are; ends the process if one is broken."""
    with user_errors():
        return plugins.load()
