"""The content of TLS files in memory.

libcurl opens such files by their names while it connects, on the event loop. One that has become a pipe, or
whose file system does not respond, would block the loop. So libcurl gets what was read before.
"""

import threading
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from weakref import WeakValueDictionary

from exporter.runtime import files
from exporter.runtime.memory_file import MemoryFile


@dataclass(frozen=True, slots=True)
class Pem:
    """What a handle of libcurl is set up with.

    Args:
        trusted: the CA certificates to trust.
        crl: the revocation lists, if there are any.
        cert: the client certificate, if there is one.
        key: its key.
    """

    trusted: MemoryFile
    crl: MemoryFile | None = None
    cert: bytes | None = None
    key: bytes | None = field(default=None, repr=False)


class _Shared:
    """One `MemoryFile` for each content, since most systems trust the same CAs, and each is a descriptor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: WeakValueDictionary[bytes, MemoryFile] = WeakValueDictionary()

    def file(self, data: bytes) -> MemoryFile:
        with self._lock:
            digest = sha256(data).digest()
            found = self._files.get(digest)
            if found is None:
                found = self._files[digest] = MemoryFile(data)
            return found


_SHARED = _Shared()


def shared(data: bytes) -> MemoryFile:
    """Content that is not secret as a file, the same one for all systems."""
    return _SHARED.file(data)


def content(path: Path) -> bytes:
    """The content of a PEM file.

    Raises:
        ValueError: it cannot be read or is too large; the text names it.
    """
    try:
        return files.pem(path)
    except OSError as error:
        raise ValueError(files.problem(path, error)) from None
