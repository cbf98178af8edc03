"""Writes log lines from a thread of its own: a stream that nothing reads any more delays no other work.

The pipe behind stderr can be full without end: its reader is stopped, or its disk. A write then blocks, and a
handler that writes in the caller's thread would block the event loop, the signals and the end of the process.
"""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MAX_WAITING = 4 * 1024 * 1024
"""Characters of lines that are not written yet: a scrape of 10,000 jobs at level debug fits."""

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for its last lines: short, since a supervisor waits for the end."""


class LogWriter(logging.Handler):
    """Queues each line and writes them in order; beyond `MAX_WAITING` new ones are dropped and counted.

    The next line after dropped ones reports their number.

    Attributes:
        dropped: the number of lines that were not written: the queue was full, or the stream failed.

    Args:
        stream: written without its buffer, if it has a descriptor. A thread that hangs in a buffered write
            would keep its lock, which the end of the interpreter needs.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self.dropped = 0
        self._write = _writer(stream)
        # A number is the count of lines that were dropped at this place.
        self._waiting: deque[str | int] = deque()
        self._size = 0
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the line of a record. Raises nothing."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  # as in logging: an error here must not end what is logged
            line = None
        self.put(line)

    def put(self, text: str | None) -> None:
        """Queues text that ends with a line break; ``None`` counts as a line that was dropped."""
        with self._changed:
            if text is None or self._size + len(text) > MAX_WAITING:
                self.dropped += 1
                self._lost += 1
                return
            if self._lost:
                self._waiting.append(self._lost)
                self._lost = 0
            self._waiting.append(text)
            self._size += len(text)
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until all lines are written, for a second at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._size, FLUSH_SECONDS)

    def close(self) -> None:
        """Ends the thread when the lines that wait are written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _run(self) -> None:
        while lines := self._next():
            text = "".join(line if isinstance(line, str) else self._report(line) for line in lines)
            try:
                self._write(text)
                failed = False
            except (OSError, ValueError):  # no reader, a full disk; a closed stream
                failed = True
            with self._changed:
                self._size -= sum(len(line) for line in lines if isinstance(line, str))
                if failed:
                    self._failed(lines)
                self._changed.notify_all()

    def _failed(self, lines: list[str | int]) -> None:
        new = sum(isinstance(line, str) for line in lines)
        self.dropped += new
        lost = new + sum(line for line in lines if isinstance(line, int))
        if self._waiting:  # these came later
            self._waiting.appendleft(lost)
        else:  # not tried again before there is another line
            self._lost += lost

    def _next(self) -> list[str | int]:
        """The lines to write now; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            lines = list(self._waiting)
            self._waiting.clear()
            if lines and self._lost:
                lines.append(self._lost)
                self._lost = 0
            return lines

    def _report(self, lines: int) -> str:
        fields = {"msg": "log messages were dropped", "levelno": logging.WARNING, "levelname": "WARNING"}
        return self.format(logging.makeLogRecord({**fields, "messages": lines})) + "\n"


def _writer(stream: TextIO | None) -> Callable[[str], None]:
    if stream is None:  # a process that was started with a closed stderr
        return lambda _: None
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write
    encoding = stream.encoding
    return lambda text: _write_all(descriptor, text.encode(encoding, "backslashreplace"))


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # another process has made the pipe non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
