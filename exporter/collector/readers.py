"""The reads of one system that are queued or under way."""

import asyncio
import heapq
import itertools
from collections.abc import Iterable

from exporter.collector.source import Read
from exporter.runtime import tasks
from exporter.upstream.reading import Upstream

Queued = tuple[float, int, Read]
"""A read in the queue: since when its job is unread, and the place of the read among those of equal age."""


class Readers:
    """Carries out the reads of one system.

    Args:
        name: of the system.
        concurrency: reads of jobs at a time.
        queue: that of other readers, which these continue.
    """

    def __init__(self, name: str, upstream: Upstream, concurrency: int, queue: Iterable[Queued] = ()) -> None:
        self.upstream = upstream
        self._name = name
        self._concurrency = concurrency
        self._order = itertools.count()  # Reads cannot be compared; equal times keep their order.
        self._queue = [(since, next(self._order), read) for since, _, read in sorted(queue)]
        self._workers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def queue(self, read: Read, unread_since: float | None = None) -> None:
        """Queues the read of a job; `work` starts it. The job that was unread for longest is first."""
        since = read.source.asked_at if unread_since is None else unread_since
        heapq.heappush(self._queue, (since, next(self._order), read))

    def work(self) -> None:
        """Starts as many workers as the queue needs; none after `close`, when the waiters wait no longer."""
        if self._closed:
            self.clear()
        for _ in range(min(len(self._queue), self._concurrency - self._workers)):
            self._workers += 1
            tasks.start(self._work(), self._tasks, f"read {self._name}")

    def begin(self, read: Read) -> None:
        """Starts the read of a listing or a count: there is one at a time, and jobs may wait for it."""
        tasks.start(read.source.run(read, self.upstream), self._tasks, f"list or count {self._name}")

    def drop_abandoned(self) -> None:
        """Removes queued reads that have no waiter any more."""
        self._queue = [entry for entry in self._queue if entry[2].waiters]
        heapq.heapify(self._queue)

    def give_up(self) -> list[Queued]:
        """Gives up the queue, for other readers."""
        queue, self._queue = self._queue, []
        return queue

    def clear(self) -> None:
        """Removes every queued read; its waiters wait no longer."""
        for _, _, read in self._queue:
            read.source.end(read)
        self._queue.clear()

    async def close(self) -> None:
        """Cancels every read; its waiters wait no longer."""
        self._closed = True
        self.clear()
        under_way = tuple(self._tasks)
        # A task that is cancelled before it has begun would not end its read.
        await asyncio.sleep(0)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._queue:
                _, _, read = heapq.heappop(self._queue)
                await read.source.run(read, self.upstream)
        except Exception:
            # It is logged as the error of this task; the queued reads need another worker.
            asyncio.get_running_loop().call_soon(self.work)
            raise
        finally:
            # Here and not when the task is done: a waiter that the last read wakes may queue another first.
            self._workers -= 1
