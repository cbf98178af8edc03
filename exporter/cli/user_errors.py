"""Errors that a user can correct: one line each on stderr, and exit code 1."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from exporter import plugins
from exporter.cli import COMMAND
from exporter.collector.query import QueryError
from exporter.config import ConfigError, Registry
from exporter.runtime import logging
from exporter.web.listen import ListenError


class UserError(Exception):
    """An error of what a command was given; its text is for the user."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends the process where the configuration, a plug-in, an address or a recording cannot be used."""
    try:
        yield
    except (ConfigError, ListenError, plugins.PluginError, UserError) as error:
        _print(f"{COMMAND}: {line}" for line in str(error).splitlines())
        sys.exit(1)


@contextmanager
def query_errors(command: str) -> Iterator[None]:
    """Ends the process where the arguments of a command name nothing that is configured."""
    try:
        yield
    except QueryError as error:
        _print(f"{COMMAND} {command}: {line}" for line in error.lines)
        sys.exit(2)


def _print(lines: Iterable[str]) -> None:
    logging.flush()  # what was logged comes before the error that ends the process
    for line in lines:
        click.echo(line, err=True)


def load_plugins() -> tuple[Registry, tuple[plugins.Plugin, ...]]:
    """The registry with all plug-ins, and which these are; ends the process if one is broken."""
    with user_errors():
        return plugins.load()
