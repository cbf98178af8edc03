"""Files that a user names, read with limits of size and time.

Opening a pipe waits for its writer, a device has no end, a network mount may not respond, and ``pathlib``
raises for some names and hides the errors of others. So the configuration, its secrets and its certificates
are all read here, in threads for which the caller waits `calls.CALL_SECONDS` at most.
"""

import errno
import os
import re
import select
import stat
import time
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path

from exporter.runtime.calls import CALLS

MAX_PEM_BYTES = 16 * 1024 * 1024
PIPE_SECONDS = 30.0

_PIECE_BYTES = 1 << 20

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
# token, server.pem, /run/secrets/caps-token, ../tls/ca.pem
_ORDINARY_PATH = re.compile(
    r"[a-z]{1,12}(\.[a-z]{1,8})?|(\.{0,2}|[a-z]{1,20})(/(\.{0,2}|[a-z]{1,20}([._-]([a-z]{1,20}|[0-9]{1,4})){0,5}))+",
    re.ASCII,
)

Stamp = tuple[tuple[Path | int, ...] | None, ...]
"""The state of files at one moment, to compare; ``None`` for each that is missing."""


def read(path: Path, limit: int, *, pipe: bool = False) -> bytes:
    """The first ``limit`` bytes of a regular file.

    Args:
        pipe: also reads a pipe, such as ``/dev/stdin`` or ``<(…)`` of a shell, to its end, for 30 s at most.

    Raises:
        OSError: it cannot be read; ``strerror`` is the reason.
    """
    return CALLS.run(partial(read_here, path, limit, pipe=pipe), path, PIPE_SECONDS if pipe else 0.0)


def read_here(path: Path, limit: int, *, pipe: bool = False) -> bytes:
    """The same in the thread of the caller, which may hang."""
    _check_kind(status_here(path), pipe=pipe)
    # It may have been replaced since: do not wait for a writer, do not acquire a terminal.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        _check_kind(status, pipe=pipe)
        data = b"".join(_pieces(descriptor, limit, PIPE_SECONDS if pipe else 0.0))
    finally:
        os.close(descriptor)
    if not data and stat.S_ISFIFO(status.st_mode):
        raise OSError(errno.ENODATA, "an empty pipe; a pipe can be read only once")
    return data


def pem(path: Path) -> bytes:
    """The content of a file for a TLS library.

    Raises:
        OSError: it cannot be read or is larger than 16 MiB; ``strerror`` is the reason.
    """
    data = read(path, MAX_PEM_BYTES + 1)
    if len(data) > MAX_PEM_BYTES:
        raise OSError(errno.EFBIG, "larger than 16 MiB")
    return data


def problem(path: Path, error: OSError, written: str = "") -> str:
    """Why a file cannot be read, in one sentence that names the file.

    Args:
        written: the path as the configuration has it. A secret can be in its place, such as the content of
            a key file. So the name of a file that does not exist is shown only if it is of ordinary words.
    """
    shown = error.errno not in _MISSING or not written or _ORDINARY_PATH.fullmatch(written)
    return f"cannot read {path if shown else 'the file'}: {error.strerror}"


def look_at(path: Path) -> os.stat_result:
    """The status of a file; links are followed.

    Raises:
        OSError: it has none; ``strerror`` is the reason.
    """
    return CALLS.run(partial(status_here, path), path)


def listed(folder: Path) -> list[Path]:
    """The entries of a folder.

    Raises:
        OSError: it cannot be listed; ``strerror`` is the reason.
    """
    return CALLS.run(lambda: list(folder.iterdir()), folder)


def status_here(path: Path) -> os.stat_result:
    """As `look_at`, in the thread of the caller, which may hang."""
    try:
        return path.stat()
    except ValueError:  # a NUL, or what the file system cannot encode
        raise FileNotFoundError(errno.ENOENT, "not a valid file name") from None


def stamp(*paths: Path) -> Stamp:
    """A value that changes when one of the regular files, or its rights, change."""
    return tuple(map(_bounded_stamp, paths))


def stamp_here(*paths: Path) -> Stamp:
    """The same in the thread of the caller, which may hang."""
    return tuple(map(_stamp, paths))


def _bounded_stamp(path: Path) -> tuple[Path | int, ...] | None:
    try:
        return CALLS.run(partial(_stamp, path), path)
    except TimeoutError:
        return None


def _stamp(path: Path) -> tuple[Path | int, ...] | None:
    try:
        # Links are followed: Kubernetes changes what it mounts by swapping a link.
        at = status_here(path)
        _check_kind(at, pipe=False)
    except OSError:
        return None
    return path, at.st_dev, at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size


def digest(path: Path) -> bytes:
    """A value that changes when the content of a regular file changes, or the reason why it cannot be read.

    A stamp costs less, but is the same after two changes within one tick of the clock of the file system.
    """
    try:
        return digest_of(read(path, MAX_PEM_BYTES + 1))
    except OSError as error:
        return digest_of(error)


def digest_of(content: bytes | OSError) -> bytes:
    """The digest of a file with this content, or that cannot be read."""
    return blake2b(content).digest() if isinstance(content, bytes) else str(content.strerror).encode()


def _check_kind(status: os.stat_result, *, pipe: bool) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode)):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    raise OSError(errno.EINVAL, f"a {kind}, not a regular file")


def _pieces(descriptor: int, limit: int, seconds: float) -> Iterator[bytes]:
    """The content up to the end or the limit; waits ``seconds`` at most while there is nothing to read."""
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while limit > 0:
        try:
            piece = os.read(descriptor, min(limit, _PIECE_BYTES))
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"no end of the file within {seconds:g} s") from None
            continue
        if not piece:
            return
        limit -= len(piece)
        yield piece
