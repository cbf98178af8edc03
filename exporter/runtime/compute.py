"""Where work that needs the processor runs: in slices on the event loop, or in one thread beside it.

In one turn the loop resumes everything that is ready. A hundred responses that arrive together are a hundred
short pieces of work and one long turn, in which no scrape is served.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

TURN_SECONDS = 0.005
"""After this time, work that can wait is left to the next turn. A quarter of the 20 ms that a turn may take,
since the last piece of work that begins within it may be a long one."""

_Work = tuple[Future[Any], Callable[[], Any]]


class Turns:
    """Ends a turn of the event loop for work that can wait, once there was time for some of it.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether work that can wait must be left to the next turn."""
        if self._is_over:
            return True
        now = self._now()
        if self._began is None:
            self._began = now  # there is time for one piece of work in each turn, so there is always progress
            return False
        # It can have begun in an earlier turn. To know that would cost a callback in each turn; so the
        # event loop has one turn more than necessary now and then.
        if now - self._began < TURN_SECONDS:
            return False
        self._is_over = True
        asyncio.get_running_loop().call_soon(self._end)  # in the next turn
        return True

    def _end(self) -> None:
        self._began, self._is_over = None, False

    async def pause(self) -> None:
        """Leaves what follows to the next turn that has time, if this one has none left."""
        over = self.is_over
        while over:
            await asyncio.sleep(0)
            over = self.is_over


class Worker:
    """One thread that does one piece of work after another, in the order of arrival.

    There is only one: threads of Python do not compute in parallel, and with one the memory that all work
    needs is that of one piece. It starts with the first piece. It is a daemon, so work that hangs does not
    delay the end of the process.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``, or its exception, which must not be a ``StopIteration``.

        If the caller is cancelled, work that has not begun is left out. Other work ends by itself, and its
        result is dropped.
        """
        done: Future[T] = Future()
        self._queue.put((done, work))
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._queue,), name="compute", daemon=True)
            self._thread.start()
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Ends the thread after the work that it has, without waiting for it."""
        if self._thread is not None:
            self._thread = None
            self._queue.put(None)


def _serve(queue: "SimpleQueue[_Work | None]") -> None:
    while (piece := queue.get()) is not None:
        _carry_out(*piece)
        # While it waits for the next piece, the thread must not keep what the last one has read.
        del piece


def _carry_out(done: Future[Any], work: Callable[[], Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  raised where it is awaited
        done.set_exception(error)
    else:
        done.set_result(result)


class Compute:
    """What all systems share.

    Attributes:
        turns: of the event loop.
        worker: the thread beside it.
    """

    def __init__(self) -> None:
        self.turns = Turns()
        self.worker = Worker()

    def close(self) -> None:
        """Ends the thread, without waiting for it."""
        self.worker.close()
