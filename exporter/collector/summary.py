"""How many jobs a system has in each state, as the system itself counts them in one answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.collector.record import Read
from exporter.model.job import State
from exporter.model.pacing import Pace, Why


@dataclass(eq=False, slots=True)
class Summary:
    """The count of one system.

    Args:
        pace: when it was asked and may be asked again.

    Attributes:
        counts: by our states; ``None`` while the last attempt failed.
        read: the count that is under way.
        unserved: what the last one brought has not been shown by any scrape yet.
    """

    pace: Pace
    counts: Mapping[State, int] | None = None
    read: Read | None = None
    unserved: bool = False

    def why_not(self, now: float) -> Why | None:
        """Why it may not be asked at ``now``, or ``None`` if it may."""
        if self.unserved:
            self.unserved = False
            return Why.FRESH  # it came too late for the scrape that asked, and serves this one
        return self.pace.why_not(now)

    def late(self, seconds: float) -> None:
        """A scrape's deadline passed before it was read."""
        self.counts = None
