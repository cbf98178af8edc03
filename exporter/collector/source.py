"""What is read from a system, and who waits for a read.

A source is one thing that a system is asked for: a job, the listing of jobs, or the count of jobs. It owns
everything about its reads: when the next one is due, the one under way, and whether a result still has
to be shown. A scrape, a probe and a request for service discovery wait for reads; they own nothing.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from exporter.model.clock import Clock
from exporter.model.pacing import Pace, Rules, Why
from exporter.upstream.reading import Outcome, Upstream
from exporter.upstream.trace import Trace

Result = TypeVar("Result", bound=Outcome[Any])


@dataclass(eq=False, slots=True)
class Waiter:
    """A scrape, a probe or a request for service discovery.

    Args:
        only: the sources whose reads it wants once a listing has ended; ``None`` is every job found.
        trace: records the exchanges of its reads.

    Attributes:
        reads: those that have not ended; after `wait`, those that missed the deadline.
        joined: the sources that it has joined. It does not wait for another read of any.
    """

    only: "Collection[Source[Any]] | None" = None
    trace: Trace | None = None
    reads: "set[Read]" = field(default_factory=set)
    joined: "set[Source[Any]]" = field(default_factory=set)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> None:
        """Waits until every read has ended, for ``seconds`` at most."""
        try:
            if self.reads:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, seconds)):
                        # When the last read ends, it may join others before it is woken.
                        while self.reads:
                            self._done.clear()
                            await self._done.wait()
        finally:
            # Also when the client disconnects: a read that has no waiter is not sent.
            for read in tuple(self.reads):
                read.leave(self)

    def ended(self, read: "Read") -> None:
        """A read has ended."""
        self.reads.discard(read)
        if not self.reads:
            self._done.set()


@dataclass(eq=False, slots=True)
class Read:
    """One read of a source, queued or under way."""

    source: "Source[Any]"
    waiters: set[Waiter] = field(default_factory=set)
    begun: bool = False

    @property
    def trace(self) -> Trace | None:
        """The trace of the first waiter that has one."""
        return next((waiter.trace for waiter in self.waiters if waiter.trace is not None), None)

    def leave(self, waiter: Waiter) -> None:
        """A waiter stops waiting; without any, a read that has not begun is dropped."""
        self.waiters.discard(waiter)
        if not self.waiters and not self.begun:
            self.source.end(self)


class Source(ABC, Generic[Result]):
    """One thing that is read from a system.

    Args:
        rules: how often it may be read.
    """

    def __init__(self, rules: Rules, clock: Clock) -> None:
        # Only methods of sources change it, so that a reload cannot leave it half-updated.
        self._pace = Pace(rules)
        self._clock = clock
        self._read: Read | None = None
        self._unserved = False

    @property
    def asked_at(self) -> float:
        """Monotonic time of the last request."""
        return self._pace.asked_at

    def join(
        self, waiter: Waiter, now: float, not_before: float, start: Callable[[Read], None]
    ) -> Why | None:
        """Adds a waiter to the read under way, or to a new one if the source is due.

        Args:
            now: monotonic time.
            not_before: monotonic time until which the system accepts no request.
            start: queues a new read, or begins it.

        Returns:
            Why the source is not read, or ``None`` if the waiter waits for a read.
        """
        if self in waiter.joined:
            return None if self._read in waiter.reads else Why.FRESH
        waiter.joined.add(self)
        if self._read is None:
            why = self._why_not(now, not_before)
            if why is not None:
                return why
            self._read = Read(self)
            start(self._read)
        self._read.waiters.add(waiter)
        waiter.reads.add(self._read)
        return None

    def _why_not(self, now: float, not_before: float) -> Why | None:
        # A result that came after the deadline of its scrape is the result of the next one.
        unserved, self._unserved = self._unserved, False
        why = self._pace.why_not(now) or (Why.FRESH if unserved else None)
        if why is None and now < not_before:
            self.rate_limited()
            why = Why.PACING
        return why

    @property
    def is_being_read(self) -> bool:
        """Whether a read is queued or under way."""
        return self._read is not None

    def due_in(self, now: float, not_before: float) -> tuple[Why | None, float]:
        """Why the source may not be read, and seconds until it may.

        These are 0 if only the next scrape does not read it, because it shows a result that came too late.
        """
        why, seconds = self._pace.due_in(now, not_before)
        return why or (Why.FRESH if self._unserved else None), seconds

    async def run(self, read: Read, upstream: Upstream) -> None:
        """Carries out a read that `join` has started. Whatever goes wrong is part of the result."""
        try:
            now = self._clock.monotonic()
            if not read.waiters:
                return
            if now < upstream.not_before:  # since the read was queued
                self.rate_limited()
                return
            read.begun = True
            # Before the request and not after it: a slow response must not postpone the next read.
            self._pace.asked(now)
            result = await self._request(upstream, read.trace)
            # Not if the read was abandoned while it was under way.
            if self._read is read:
                await self.apply(result, read.waiters)
            if self._read is read:
                self._unserved = not read.waiters
                self._pace.hold(result.not_before)
        finally:
            self.end(read)

    def abandon(self) -> None:
        """Ignores the result of the read under way, if there is one; its waiters may join another one."""
        if self._read is not None:
            for waiter in self._read.waiters:
                waiter.joined.discard(self)
            self.end(self._read)

    def abandon_queued(self) -> None:
        """The same for a read that has not begun."""
        if self._read is not None and not self._read.begun:
            self.abandon()

    def end(self, read: Read) -> None:
        """A read is over, or its result is not wanted; its waiters wait no longer."""
        if self._read is read:
            self._read = None
        for waiter in read.waiters:
            waiter.ended(read)
        read.waiters.clear()

    @abstractmethod
    def _request(self, upstream: Upstream, trace: Trace | None) -> Awaitable[Result]:
        """Asks the system."""

    @abstractmethod
    async def apply(self, result: Result, waiters: Collection[Waiter] = ()) -> None:
        """Remembers the result of a read, in as many turns of the event loop as that needs.

        Args:
            waiters: those that wait for the read; they may join others before it ends.
        """

    @abstractmethod
    async def missed_deadline(self, seconds: float) -> None:
        """The deadline of a waiter has passed, ``seconds`` after it joined, and the read has not ended."""

    def rate_limited(self) -> None:
        """The system accepts no request for now, so the source is not read although it is due."""
