"""Memory that goes back to the system."""

import contextlib
import mmap
import sys
from collections.abc import Iterable

_LEAST_BYTES = 64 * 1024
_SPARE = 1.125
"""How much more than expected is reserved. What is not written to needs no memory."""


def joined(parts: Iterable[bytes], expected: int = 0) -> memoryview:
    """The parts, one after the other, in memory that is free as soon as the result is not used any more.

    Memory from malloc may stay with the process: after 16 MB have been freed once, glibc keeps blocks of this
    size for itself, in each thread.

    Args:
        parts: each is written before the next one is made, so a generator needs the memory of one of them.
        expected: bytes of all parts, a guess. More of them are possible; then some are copied twice.
    """
    memory, size = _reserved(expected), 0
    for part in parts:
        if size + len(part) > len(memory):
            smaller, memory = memory, _reserved(2 * size + len(part))
            memory.write(memoryview(smaller)[:size])
        memory.write(part)
        size += len(part)
    return memoryview(memory)[:size]


def _reserved(size: int) -> mmap.mmap:
    size = max(_LEAST_BYTES, int(size * _SPARE))
    # Private: the kernel needs half the time for it that it needs for shared memory.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        # A page of 2 MiB is faster than 512 small ones. Some kernels have none.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
