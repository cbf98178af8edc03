"""Runs commands in forks of one process that has loaded the exporter already.

Each is a process of its own, from its arguments to its exit code; only the imports are done once.
One request is one line of JSON on stdin, its result one line of JSON on stdout.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from tempfile import TemporaryFile
from typing import IO, Any

from exporter.cli.main import commands, main

SECONDS = 60
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def drop_capabilities() -> None:
    """Leaves root with the rights of a file's owner."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
        none = (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None).capset(header, none) != 0:
            raise OSError("the capabilities of root cannot be dropped")


def become(request: dict[str, Any], stdout: IO[bytes], stderr: IO[bytes]) -> None:
    """Makes this fork what a new process would be."""
    # Without a handler the signal ends the process: no command runs for longer.
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    os.environ.clear()
    os.environ.update(request["env"])
    # Python has read its own variable long ago.
    sys.path[1:1] = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.argv[1:] = request["arguments"]
    if request["unprivileged"]:
        drop_capabilities()


def text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def serve() -> None:
    commands()  # imports what they need
    # A fork need not look through what was loaded before it.
    gc.freeze()
    for line in sys.stdin:
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            child = os.fork()
            if child == 0:
                become(json.loads(line), stdout, stderr)
                main()
            _, status = os.waitpid(child, 0)
            ended = (os.waitstatus_to_exitcode(status), text(stdout), text(stderr))
            sys.stdout.write(f"{json.dumps(ended)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    serve()
    # The forks have written the coverage of all this; what came later would be left out or left behind.
    os._exit(0)
