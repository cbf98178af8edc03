"""Calls that may never return, such as those for a file on a network mount that does not respond.

Each runs in a daemon thread. So it delays its caller for a limited time, and the end of the process not at
all: neither the interpreter nor the event loop waits for such a thread.
"""

import errno
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

CALL_SECONDS = 5.0
"""How long a caller waits that is not the event loop: a slow mount responds in less."""

LOOP_SECONDS = 0.25
"""How long the event loop waits, once for a call that hangs. Most take less than a millisecond, but not if
other processes need the processor: a request with the old value of a secret would be rejected."""

MAX_HANGING = 8
"""Threads of calls that are no longer waited for. With that many, further calls fail immediately."""

MAX_IDLE = 2
"""Threads that are kept for the next calls: one for the event loop, one for a reload."""

IDLE_SECONDS = 2.0
"""For how long they are kept: secrets are checked every second."""


class Call(Generic[T]):
    """A call under way. Only `Calls` makes it.

    Attributes:
        folder: of the file. While a call for it hangs, no other one is made.
    """

    def __init__(self, work: Callable[[], T], folder: Path) -> None:
        self.folder = folder
        self.hangs = False
        self._work = work
        self._outcome: Future[T] = Future()
        self.ended = threading.Event()

    def carry_out(self) -> None:
        """Makes the call, in the thread for it."""
        try:
            self._outcome.set_result(self._work())
        except BaseException as error:  # noqa: BLE001  raised where the result is needed
            self._outcome.set_exception(error)

    def result(self) -> T:
        """What it has returned, once it has ended; raises what it has raised."""
        return self._outcome.result()


class Calls:
    """The threads of the calls of a process; a mount that does not respond can cost `MAX_HANGING` of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[Call[Any]]] = []
        self._hanging: Counter[Path] = Counter()

    @property
    def hanging(self) -> int:
        """How many calls hang."""
        return self._hanging.total()

    def run(self, work: Callable[[], T], path: Path, more: float = 0.0) -> T:
        """Makes a call for a file and returns its result.

        Args:
            more: seconds to wait besides `CALL_SECONDS`.

        Raises:
            TimeoutError: it has not ended within the time, or another call for this folder hangs.
        """
        call = self.start(work, path)
        if not self.wait(call, CALL_SECONDS + more):
            raise _no_response()
        return call.result()

    def start(self, work: Callable[[], T], path: Path) -> Call[T]:
        """Starts a call. Raises a `TimeoutError` if another one for this folder hangs, or too many hang."""
        call = Call(work, path.parent)
        with self._lock:
            if self._hanging[call.folder] or self.hanging >= MAX_HANGING:
                raise _no_response()
            queue = self._idle.pop() if self._idle else None
        if queue is None:
            queue = SimpleQueue()
            threading.Thread(target=self._serve, args=(queue,), name="files", daemon=True).start()
        queue.put(call)
        return call

    def wait(self, call: Call[Any], seconds: float) -> bool:
        """Whether a call has ended within the time; if not, it counts as one that hangs until it ends."""
        if call.ended.wait(seconds):
            return True
        with self._lock:
            if not call.ended.is_set() and not call.hangs:
                call.hangs = True
                self._hanging[call.folder] += 1
        return call.ended.is_set()

    def _serve(self, queue: "SimpleQueue[Call[Any]]") -> None:
        kept = True
        while kept:
            try:
                call = queue.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if queue in self._idle:
                        self._idle.remove(queue)
                        return
                call = queue.get()  # it has just been given one
            call.carry_out()
            with self._lock:
                if call.hangs:
                    self._hanging[call.folder] -= 1
                kept = len(self._idle) < MAX_IDLE
                if kept:
                    self._idle.append(queue)
                call.ended.set()
            del call


CALLS = Calls()
"""Those of this process: the bound is for all of its configurations and threads."""


class Repeated(Generic[T]):
    """A call that the event loop repeats: one at a time, and it waits only a moment for each.

    Args:
        path: the file that it is for.
    """

    def __init__(self, work: Callable[[], T], path: Path) -> None:
        self._work = work
        self._path = path
        self._call: Call[T] | None = None

    def result(self) -> T:
        """The result of a new call, or of the last one if that had not ended before.

        Raises:
            TimeoutError: it has not ended yet, or none can be made.
        """
        if self._call is None:
            self._call = CALLS.start(self._work, self._path)
            CALLS.wait(self._call, LOOP_SECONDS)
        if not self._call.ended.is_set():
            raise _no_response()
        call, self._call = self._call, None
        return call.result()


def _no_response() -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "the file system does not respond")
