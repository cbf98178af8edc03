"""Bytes as a file."""

import os
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from weakref import finalize


class MemoryFile:
    """Bytes as a file, for libraries that read only files; it is removed with the last reference to it."""

    def __init__(self, data: bytes) -> None:
        # In memory: a key must not be on disk, and a container can have no writable disk.
        in_memory = sys.platform == "linux"
        file = os.fdopen(os.memfd_create("pem"), "wb") if in_memory else NamedTemporaryFile()  # noqa: SIM115
        self._close = finalize(self, file.close)
        file.write(data)
        file.flush()
        self.path = Path(f"/proc/self/fd/{file.fileno()}" if in_memory else file.name)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self._close()
