"""Runs the generator of a provider step by step, each step where it does not block the event loop.

A step is what the generator does between two requests: it parses a response and reads its values, or all
entries of a page. A step after a small response is done before it could be handed to a thread and back, so it
runs on the event loop. All others run in the thread of `Compute`.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.providers.base import Found
from exporter.runtime.compute import Compute

T = TypeVar("T")

SLICE_SECONDS = 0.1
"""How long one read may use the thread before the next read has its turn there."""
LEAST_SECONDS = 1.0
"""The time that a step in the thread has at least, also after a response that came just in time."""


class Returned(Struct, Generic[T], frozen=True):
    """The generator has ended with this value."""

    value: T


class Walk(Generic[T]):
    """One run of a generator.

    Its steps follow each other, wherever they run. After one step in the thread all others run there too: the
    generator may have kept what it received.

    Args:
        collect: is called with each job that the generator finds, where the step runs.
        short_body: bytes of the largest body after which a step runs on the event loop.
    """

    def __init__(
        self,
        steps: Generator[Request | Found, Any, T],
        compute: Compute,
        collect: Callable[[Found], None],
        *,
        short_body: int,
    ) -> None:
        self._steps = steps
        self._compute = compute
        self._collect = collect
        self._short_body = short_body
        self._is_long = False
        self._in_thread = False

    def next(self, received: Response | Failure | None) -> Request | Returned[T] | None:
        """Runs one step, if that is short and this turn of the event loop has time for it.

        Args:
            received: what the last request brought; ``None`` for the first step.

        Returns:
            The next request, or the end; ``None``: `next_later` has to run the step.

        Raises:
            Failure: of the provider.
        """
        if isinstance(received, Response) and len(received.body) > self._short_body:
            self._is_long = True
        if self._is_long or self._compute.turns.is_over:
            return None
        return self._next_here(received)

    async def next_later(self, received: Response | Failure | None, seconds: float) -> Request | Returned[T]:
        """Runs one step in another turn of the event loop, or in the thread.

        Args:
            received: as in `next`.
            seconds: limit for a step in the thread.

        Raises:
            Failure: of the provider; ``timeout``, if the step does not end in time.
        """
        if self._is_long:
            return await self._next_in_thread(received, max(seconds, LEAST_SECONDS))
        await self._compute.turns.pause()
        return self._next_here(received)

    def _next_here(self, received: Response | Failure | None) -> Request | Returned[T]:
        item = self._resume(received)
        while isinstance(item, Found):
            self._collect(item)
            item = self._resume(None)
        return item

    async def _next_in_thread(
        self, received: Response | Failure | None, seconds: float
    ) -> Request | Returned[T]:
        run = self._compute.worker.run
        self._in_thread = True
        try:
            async with asyncio.timeout(seconds):
                item = await run(partial(self._resume, received))
                while isinstance(item, Found):
                    item = await run(partial(self._slice, item))
        except TimeoutError:
            raise Failure(Reason.TIMEOUT, "the response was not read in time") from None
        self._in_thread = False
        return item

    def _slice(self, item: Request | Found | Returned[T]) -> Request | Found | Returned[T]:
        """Collects jobs for a limited time; returns one that is not collected yet if there are more."""
        end = time.monotonic() + SLICE_SECONDS
        while isinstance(item, Found):
            self._collect(item)
            item = self._resume(None)
            if time.monotonic() >= end:
                break
        return item

    def _resume(self, received: Response | Failure | None) -> Request | Found | Returned[T]:
        try:
            if isinstance(received, Failure):
                return self._steps.throw(received)
            return self._steps.send(received)
        except StopIteration as stop:
            return Returned(stop.value)

    def close(self) -> None:
        """Ends the generator. One that a read has given up ends with its step in the thread."""
        if not self._in_thread:
            self._steps.close()
