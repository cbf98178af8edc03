"""The sockets that libcurl waits for, as one file of the event loop."""

import asyncio
import selectors
from collections.abc import Callable, Sequence
from contextlib import suppress

import pycurl

_EVENTS = {selectors.EVENT_READ: pycurl.CSELECT_IN, selectors.EVENT_WRITE: pycurl.CSELECT_OUT}
_EVENTS[selectors.EVENT_READ | selectors.EVENT_WRITE] = pycurl.CSELECT_IN | pycurl.CSELECT_OUT


class Sockets:
    """The sockets of one multi handle. Lives on the running event loop.

    They are in a selector of their own, whose descriptor the loop watches: each transfer adds its socket and
    removes it again, and the loop would make a callback for each event of each socket.

    Args:
        on_events: is called while there are events.
    """

    def __init__(self, on_events: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._selector = selectors.DefaultSelector()
        self._loop.add_reader(self._selector, on_events)

    def watch(self, fd: int, events: int) -> None:
        """Watches a socket for these events of libcurl, instead of those before; for none if it is 0."""
        with suppress(KeyError):
            self._selector.unregister(fd)
        if events in (pycurl.POLL_IN, pycurl.POLL_OUT, pycurl.POLL_INOUT):
            # libcurl may have closed the socket since. Its numbers for events are those of selectors.
            with suppress(OSError):
                self._selector.register(fd, events)

    def events(self) -> Sequence[tuple[int, int]]:
        """Each socket with events, and these as a bit mask of libcurl. They are reported until handled."""
        return [(key.fd, _EVENTS[events]) for key, events in self._selector.select(0)]

    def close(self) -> None:
        """Watches nothing any more."""
        self._loop.remove_reader(self._selector)
        self._selector.close()
