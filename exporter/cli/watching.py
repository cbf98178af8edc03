"""Runs a command again whenever its configuration is saved."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from exporter import config
from exporter.cli import options
from exporter.model.text import printable

POLL_SECONDS = 0.5
_RULE = "─" * 80

watch = options.option(
    "--watch", is_flag=True, help="Run again whenever the configuration is saved, until Ctrl-C."
)


def run(file: Path, once: Callable[[], int], *, repeat: bool) -> None:
    """Runs once and ends the process with the exit code; with ``repeat``, runs again after each change.

    Args:
        once: prints the result and returns an exit code, or exits; its errors do not end the repetition.
    """
    try:
        while True:
            loaded = config.stamp(file)
            try:
                code = once()
            except SystemExit:
                if not repeat:
                    raise
                code = 1
            if not repeat:
                sys.exit(code)
            click.echo(f"{_RULE}\nSave {printable(str(file))} to run again; Ctrl-C ends.\n")
            _wait(file, loaded)
    except KeyboardInterrupt:
        if not repeat:
            raise
        sys.exit(0)


def _wait(file: Path, loaded: object) -> None:
    """Returns when files have changed and then stayed the same between two checks."""
    seen = loaded
    while True:
        time.sleep(POLL_SECONDS)
        before, seen = seen, config.stamp(file)
        if seen == before and seen != loaded:
            return
