"""A clock that a test turns by hand, in place of the machine's."""

import time
from dataclasses import dataclass, field


@dataclass
class FakeClock:
    """Stands still until `turn` is called.

    Args:
        epoch: the Unix time at which it begins.
    """

    now: float = 0.0
    epoch: float = field(default_factory=time.time)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.epoch + self.now

    def turn(self, seconds: float) -> None:
        """So much time passes."""
        self.now += seconds
