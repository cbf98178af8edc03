"""Files that a user names: read up to a bound, without waiting for anybody.

To open a pipe waits for its writer, a device has no end, and ``pathlib`` raises for some names and
hides what is wrong with others. So the config, its secrets and its certificates are all read here.
"""

import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

MAX_PEM_BYTES = 16 * 1024 * 1024
PIPE_SECONDS = 30.0

_PIECE_BYTES = 1 << 20

Stamp = tuple[tuple[Path, int, int, int, int, int] | None, ...]
"""The state of files at one moment, to compare; ``None`` for each that is missing."""


def read(path: Path, limit: int, *, pipe: bool = False) -> bytes:
    """The first ``limit`` bytes of a regular file.

    Args:
        pipe: also reads a pipe, such as ``/dev/stdin`` or ``<(…)`` of a shell, to its end, for 30 s at most.

    Raises:
        OSError: it cannot be read; ``strerror`` says why in a few words.
    """
    _check_kind(look_at(path), pipe=pipe)
    # It may have been replaced since: neither wait for a writer nor take over a terminal.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        _check_kind(status, pipe=pipe)
        data = b"".join(_pieces(descriptor, limit, PIPE_SECONDS if pipe else 0.0))
    finally:
        os.close(descriptor)
    if not data and stat.S_ISFIFO(status.st_mode):
        raise OSError(errno.ENODATA, "an empty pipe; what it held can be read only once")
    return data


def check_pem(path: Path) -> None:
    """Reads a file that a TLS library will open by its name, where nothing bounds it any more.

    Raises:
        OSError: it cannot be read or is over 16 MiB; ``strerror`` says why.
    """
    if len(read(path, MAX_PEM_BYTES + 1)) > MAX_PEM_BYTES:
        raise OSError(errno.EFBIG, "it is over 16 MiB")


def look_at(path: Path) -> os.stat_result:
    """What the system knows of a file; links are followed.

    Raises:
        OSError: it cannot be found out; ``strerror`` says why.
    """
    try:
        return path.stat()
    except ValueError:  # a NUL, or what the file system cannot encode
        raise OSError(errno.EINVAL, "not the name of a file") from None


def stamp(*paths: Path) -> Stamp:
    """A value that changes when one of the regular files, or its rights, change."""
    found: list[tuple[Path, int, int, int, int, int] | None] = []
    for path in paths:
        try:
            # Of what a link leads to: Kubernetes changes what it mounts by swapping a link.
            at = look_at(path)
            _check_kind(at, pipe=False)
        except OSError:
            found.append(None)
        else:
            found.append((path, at.st_dev, at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size))
    return tuple(found)


def _check_kind(status: os.stat_result, *, pipe: bool) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode)):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    raise OSError(errno.EINVAL, f"a {kind}, not a regular file")


def _pieces(descriptor: int, limit: int, seconds: float) -> Iterator[bytes]:
    """What comes until the end, the limit or, where there is nothing to read yet, the time is reached."""
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while limit > 0:
        try:
            piece = os.read(descriptor, min(limit, _PIECE_BYTES))
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"its end was not there within {seconds:g} s") from None
            continue
        if not piece:
            return
        limit -= len(piece)
        yield piece
