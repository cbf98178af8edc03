"""The end of a transfer, which resumes the task that waits for it without a turn of the event loop."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Completion(asyncio.Future[int]):
    """libcurl's number for how a transfer has ended, for the one task that awaits it.

    The result must be set while no task runs. It resumes the task immediately, so the response is read and
    the next request is added before another response is received. An exception or a cancellation resumes the
    task in the next turn of the event loop, as that of any future does.
    """

    _resume: Callable[[Any], object] | None = None
    _context: Context | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Is called by the task that awaits it."""
        self._resume, self._context = fn, context

    def set_result(self, result: int) -> None:
        """Ends it and resumes the task."""
        super().set_result(result)
        if self._resume is not None and self._context is not None:
            self._context.run(self._resume, self)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Ends it; the task is resumed in the next turn."""
        super().set_exception(exception)
        self._resume_soon()

    def cancel(self, msg: Any = None) -> bool:
        """Cancels it; the task is resumed in the next turn."""
        if not super().cancel(msg):
            return False
        self._resume_soon()
        return True

    def _resume_soon(self) -> None:
        if self._resume is not None:
            self.get_loop().call_soon(self._resume, self, context=self._context)
