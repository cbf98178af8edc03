"""Memory that goes back to the system."""

from collections.abc import Sequence
from mmap import mmap


def joined(parts: Sequence[bytes]) -> mmap:
    """The parts, one after the other, in memory that is free as soon as the result is not used any more.

    Memory from malloc may stay with the process: after 16 MB have been freed once, glibc keeps blocks of this
    size for itself, in each thread.

    Args:
        parts: at least one byte.
    """
    memory = mmap(-1, sum(map(len, parts)))
    for part in parts:
        memory.write(part)
    return memory
