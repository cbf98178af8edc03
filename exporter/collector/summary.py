"""How many jobs a system has in each state, as the system itself counts them in one response."""

from collections.abc import Collection, Mapping

from exporter.collector.source import Source, Waiter
from exporter.model.clock import Clock
from exporter.model.job import State
from exporter.model.pacing import Rules
from exporter.upstream.reading import Counted, Upstream
from exporter.upstream.trace import Trace


class Summary(Source[Counted]):
    """The count of one system.

    Attributes:
        counts: jobs by state; ``None`` while the last attempt failed.
    """

    def __init__(self, rules: Rules, clock: Clock) -> None:
        super().__init__(rules, clock)
        self.counts: Mapping[State, int] | None = None

    def reconfigure(self, rules: Rules) -> None:
        """Applies a changed configuration."""
        self._pace.rules = rules

    async def _request(self, upstream: Upstream, trace: Trace | None) -> Counted:
        return await upstream.count_jobs()

    async def apply(self, result: Counted, waiters: Collection[Waiter] = ()) -> None:
        """Remembers a count."""
        self.counts = result.value
        if result.failure is not None:
            self._pace.failed(self._clock.monotonic(), result.failure)

    async def missed_deadline(self, seconds: float) -> None:
        """An old count is not shown."""
        self.counts = None
