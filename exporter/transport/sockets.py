"""The sockets that libcurl waits for, as one file of the event loop."""

import asyncio
import select
import selectors
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pycurl

_IN, _OUT = 1, 4
"""``EPOLLIN`` and ``EPOLLOUT``. Errors and the end of a connection are other events, and count as both."""
_EVENTS = {pycurl.POLL_IN: _IN, pycurl.POLL_OUT: _OUT, pycurl.POLL_INOUT: _IN | _OUT}


class Sockets:
    """The sockets of one multi handle. Lives on the running event loop.

    They are in an epoll of their own, whose descriptor the loop watches: the loop would make a callback for
    each event of each socket. A socket stays in it while its connection waits for the next request.

    Args:
        on_events: is called while there are events.
    """

    def __init__(self, on_events: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._poll: Any = getattr(select, "epoll", Selector)()
        self._wanted: set[int] = set()
        self._loop.add_reader(self._poll.fileno(), on_events)

    def watch(self, events: int, fd: int, *_: object) -> None:
        """Watches a socket for these events, instead of those before: a callback of libcurl."""
        mask = _EVENTS.get(events)
        if mask is None:
            self._wanted.discard(fd)
            return
        self._wanted.add(fd)
        try:
            self._poll.modify(fd, mask)
        except FileNotFoundError:  # a new socket, perhaps with the number of one that was closed
            with suppress(OSError, ValueError):
                self._poll.register(fd, mask)
        except (OSError, ValueError):  # it is closed already, or the whole pool is
            self._wanted.discard(fd)

    def events(self) -> Iterator[tuple[int, int]]:
        """Each socket with events, and these as a bit mask of libcurl. They are reported until handled."""
        for fd, mask in self._poll.poll(0):
            if fd in self._wanted:
                found = pycurl.CSELECT_IN if mask & ~_OUT else 0
                yield fd, found | pycurl.CSELECT_OUT if mask & ~_IN else found
            else:  # the server has closed a connection that no request uses, or libcurl did just now
                with suppress(OSError):
                    self._poll.unregister(fd)

    def close(self) -> None:
        """Watches nothing any more."""
        self._loop.remove_reader(self._poll.fileno())
        self._poll.close()


class Selector:
    """What is used of ``select.epoll``, for platforms that have none."""

    def __init__(self) -> None:
        self._selector: Any = selectors.DefaultSelector()
        self.fileno, self.close = self._selector.fileno, self._selector.close

    def register(self, fd: int, mask: int) -> None:
        """Watches a socket that is not watched."""
        self._selector.register(fd, bool(mask & _IN) | 2 * bool(mask & _OUT))

    def modify(self, fd: int, mask: int) -> None:
        """Watches a socket for other events; a ``FileNotFoundError`` if it is not watched."""
        # Also for the same events: the number can be that of another socket by now.
        self.unregister(fd)
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        """Watches a socket no more; a ``FileNotFoundError`` if it is not watched."""
        try:
            self._selector.unregister(fd)
        except KeyError:
            raise FileNotFoundError(fd) from None

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Each socket with events."""
        found = self._selector.select(seconds)
        return [(key.fd, (events & 1) | (events & 2) * (_OUT // 2)) for key, events in found]
