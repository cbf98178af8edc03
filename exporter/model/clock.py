"""The clock. It is passed in, so tests can use one that they control."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never set back. For ages, intervals and deadlines."""

    def time(self) -> float:
        """Unix time in seconds. For times that are shown."""


class _SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


SYSTEM_CLOCK: Clock = _SystemClock()
"""The clock of the machine."""
