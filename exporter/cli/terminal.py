"""The terminal, or the file or pipe in its place."""

import io
import os
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 200
"""Columns of a line where there is no terminal, such as in a pipe."""


def console() -> Console:
    """Standard output: without escape codes in a pipe, without colors where ``NO_COLOR`` is set."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names are in any script; a terminal that is not UTF-8 shows "?" for what it lacks.
        sys.stdout.reconfigure(errors="replace")
    terminal = sys.stdout.isatty()
    width = None if terminal or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(force_terminal=terminal, width=width, highlight=False, markup=False, emoji=False)


def show(shown: Console, lines: Iterable[Text]) -> None:
    """Prints lines, none of which is broken."""
    for line in lines:
        shown.print(line, soft_wrap=True)


def height(shown: Console, beside: int) -> int | None:
    """Lines that a terminal has left beside so many others; ``None`` where there is no end."""
    return max(shown.height - beside, 0) if shown.is_terminal else None
