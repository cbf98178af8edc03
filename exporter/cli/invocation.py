"""How this process was started, for the commands that it prints."""

import shlex
import shutil
import sys
from pathlib import Path

from exporter.cli import COMMAND


def command() -> str:
    """What starts this program again, in the same folder and the same shell.

    A checkout has no ``remote-job-exporter``, only an interpreter that runs the module.
    """
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        interpreter, here = Path(sys.executable), Path.cwd()
        # The path of a virtual environment is not resolved: its link leads to an interpreter outside of it.
        inside = interpreter.relative_to(here) if interpreter.is_relative_to(here) else interpreter
        return f"{shlex.quote(str(inside))} -m exporter"
    if started.name == COMMAND and not shutil.which(COMMAND):
        return shlex.quote(str(started))
    return COMMAND
