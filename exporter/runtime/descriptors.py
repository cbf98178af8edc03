"""The limit of open files and sockets of the process (``RLIMIT_NOFILE``)."""

import contextlib
import resource
import sys

# More than the exporter ever needs: 256 clients, and the requests of thousands of systems.
WANTED = 65_536


def limit() -> int:
    """How many files and sockets can be open: the soft limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raises the soft limit to the hard limit.

    The soft limit is usually 1,024 for the sake of programs that use ``select``; this one does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if limit() < wanted:
        # A sandbox can forbid it.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
