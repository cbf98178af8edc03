"""The reads that scrapes wait for. Scrapes of the same moment wait for the same ones."""

import asyncio
import contextlib
import math
import weakref
from collections.abc import Callable

from exporter.collector.source import Read, Waiter
from exporter.model.clock import Clock

MAX_GATHERINGS = 20
"""Each contains its reads that have not ended, so their memory is bounded. Beyond it the oldest ends."""
FREE_GATHERINGS = 4
"""Beyond it one begins each `SHARE_SECONDS`: more scrapers at the same time are unusual."""
SHARE_SECONDS = 1.0
"""Then the oldest of 20 has waited for 16 s, which is longer than the usual scrape timeout."""
QUIET_SECONDS = 0.1
"""For this time it is not looked again after nothing was due twice: to look takes 1 ms for 1,000 jobs."""
ROWS_PER_TURN = 50
"""Rows of missed reads that are rendered without a pause, each in up to 0.1 ms."""

Join = Callable[[Waiter, float], None]
"""Makes a waiter wait for every read that is due at a monotonic time, and that it has not joined yet."""


class Gathering:
    """Reads that several scrapes wait for, each until its own deadline.

    Args:
        join: is called again after each change of the configuration.

    Attributes:
        began: monotonic time since when the reads are under way; ``None`` until the next turn of the loop.
        scrapes: how many wait.
        is_quiet: nothing was due.
    """

    def __init__(self, join: Join, clock: Clock) -> None:
        self.began: float | None = None
        self.scrapes = 0
        self.is_quiet = False
        self._join = join
        self._clock = clock
        self._waiter = Waiter()
        self._missed: dict[Read, float] = {}
        self._over = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            now = self._clock.monotonic()
            self.began = now if self.began is None else self.began
            self._join(self._waiter, now)
            self.is_quiet = not self._waiter.reads
            await self._waiter.wait(math.inf)
        finally:
            self._over.set()

    def join_again(self) -> None:
        """The configuration has changed: its new jobs are read too."""
        if self.task.done():  # and the scrapes have not been woken yet
            self._over.clear()
            self.task = asyncio.create_task(self._run())
        elif self.began is not None:
            self._join(self._waiter, self._clock.monotonic())

    def end(self) -> None:
        """Ends as if the deadline of each scrape had passed."""
        self._over.set()

    async def wait(self, end: float) -> None:
        """Waits until each read has ended, until monotonic time ``end`` at most.

        Reads that have not ended by then show the reason ``deadline``. When the last scrape leaves, those
        that have not been sent are dropped.
        """
        self.scrapes += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, end - self._clock.monotonic())):
                    while not self._over.is_set():
                        await self._over.wait()
            if self.task.done():
                self.task.result()
            await self._miss()
        finally:
            self.scrapes -= 1
            if not self.scrapes:
                self.task.cancel()

    async def _miss(self) -> None:
        """Shows the reason of the reads that have not ended."""
        now = self._clock.monotonic()
        began = now if self.began is None else self.began
        for number, read in enumerate(tuple(self._waiter.reads), 1):
            # Scrapes with the same deadline show the same; a read that ends meanwhile shows its result.
            last = self._missed.get(read, -math.inf)
            if read in self._waiter.reads and now - last >= SHARE_SECONDS:
                self._missed[read] = now
                await read.source.missed_deadline(now - began)
            if number % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)


class Gatherings:
    """Those that are under way, the oldest first.

    Args:
        join: makes the waiter of a new one wait.
    """

    def __init__(self, join: Join, clock: Clock) -> None:
        self._join = join
        self._clock = clock
        self._open: list[Gathering] = []
        self._quiet: Gathering | None = None
        self._was_quiet = False
        self._waited: weakref.WeakSet[Gathering] = weakref.WeakSet()

    def current(self) -> Gathering:
        """The one for a scrape that begins now: a new one, or one of this moment."""
        if self._quiet is not None and self._age(self._quiet) < QUIET_SECONDS:
            return self._quiet
        newest = self._open[-1] if self._open else None
        if newest is not None and newest.scrapes and self._is_of_now(newest):
            return newest
        if len(self._open) >= MAX_GATHERINGS:
            self._open.pop(0).end()
        gathering = Gathering(self._join, self._clock)
        self._open.append(gathering)
        self._waited.add(gathering)
        gathering.task.add_done_callback(lambda _: self._discard(gathering))
        return gathering

    def _is_of_now(self, gathering: Gathering) -> bool:
        return gathering.began is None or (
            len(self._open) >= FREE_GATHERINGS and self._age(gathering) < SHARE_SECONDS
        )

    def _age(self, gathering: Gathering) -> float:
        now = self._clock.monotonic()
        return now - (now if gathering.began is None else gathering.began)

    @property
    def is_empty(self) -> bool:
        """Whether no scrape waits for reads."""
        return not self._open

    def join_again(self) -> None:
        """The configuration has changed: the scrapes that wait wait for its new jobs too."""
        self._quiet, self._was_quiet = None, False
        for gathering in tuple(self._waited):
            if gathering.scrapes:
                gathering.join_again()

    def _discard(self, gathering: Gathering) -> None:
        # Not the first time: what was shown without a read because its result came late is due again.
        if gathering.is_quiet and self._was_quiet:
            self._quiet = gathering
        self._was_quiet = gathering.is_quiet
        if gathering in self._open:
            self._open.remove(gathering)
