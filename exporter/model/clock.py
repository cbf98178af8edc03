"""The clock. It is passed in, so tests can use one that they control."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never set back. For ages, intervals and deadlines."""

    def time(self) -> float:
        """Unix time in seconds. For times that are shown."""


STEP_SECONDS = 1.0
"""The least that counts as set back. Time services change smaller differences slowly, at both rates."""


class SetBack:
    """Notices that the Unix time of a clock was set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch = self._now()

    def _now(self) -> float:
        return self._clock.time() - self._clock.monotonic()

    def seconds(self) -> float:
        """By how many seconds it was set back since the last call; less than 1 is added to the next ones."""
        epoch = self._now()
        back = self._epoch - epoch
        if 0 < back < STEP_SECONDS:
            return 0.0
        self._epoch = epoch
        return max(0.0, back)


class _SystemClock:
    """The clock of the machine."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


SYSTEM_CLOCK: Clock = _SystemClock()
"""The clock of the machine."""
