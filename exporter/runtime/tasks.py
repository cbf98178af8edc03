"""Background tasks: kept until they end, and their errors are logged."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


def start(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]], name: str) -> None:
    """Runs a coroutine as a task of the running loop.

    Args:
        tasks: contains the task until it ends, since the loop has only a weak reference.
        name: of the work, for the log.
    """
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    log_failure(task, name)


def log_failure(task: asyncio.Task[Any], name: str) -> None:
    """Logs the exception of a task, if it ends with one. For tasks whose result may never be read."""

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("task failed", exc_info=error, extra={"task": name})

    task.add_done_callback(ended)


async def in_thread(work: Callable[[], T]) -> T:
    """Runs blocking work in a daemon thread of its own.

    If it hangs, it delays the end of the process no more than a caller that is cancelled. The threads of
    ``asyncio.to_thread`` are waited for at the end, without a limit.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # so it cannot be cancelled: the thread ends it

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  raised where it is awaited
            # A future of asyncio refuses StopIteration; what is no Exception would end the event loop.
            fits = isinstance(error, Exception) and not isinstance(error, StopIteration)
            done.set_exception(error if fits else RuntimeError(type(error).__name__))

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)


class SharedRuns:
    """Work that runs once for all who ask for it before it begins: one run is under way, and one is next.

    So no result is older than the request for it, and any number of requests needs two runs at most.

    Args:
        work: one run. It logs its errors itself.

    Attributes:
        alone: a lock that each run acquires, so that no two run at the same time.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self.alone = asyncio.Lock()
        self._work = work
        self._next: asyncio.Task[None] | None = None
        self._runs: set[asyncio.Task[None]] = set()

    def soon(self) -> asyncio.Task[None]:
        """The next run, which begins when the one under way has ended."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run())
            self._runs.add(self._next)
            self._next.add_done_callback(self._ended)
        return self._next

    async def wait(self) -> None:
        """Waits for the next run and raises its error. A caller that is cancelled does not cancel the run."""
        await asyncio.shield(self.soon())

    async def cancel(self) -> None:
        """Cancels all runs."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _run(self) -> None:
        async with self.alone:
            self._next = None
            await self._work()

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if not run.cancelled():
            run.exception()  # logged by the work; perhaps nothing waits for it
