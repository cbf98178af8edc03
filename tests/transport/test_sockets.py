import socket

import pycurl

from exporter.transport.sockets import Sockets


async def test_a_socket_that_is_closed_while_another_one_is_handled_is_left_out() -> None:
    sockets = Sockets(lambda: None)
    pairs = [socket.socketpair(), socket.socketpair()]
    for near, far in pairs:
        sockets.watch(pycurl.POLL_IN, near.fileno())
        far.send(b"x")
    events = sockets.events()
    handled, _ = next(events)
    other = next(near for near, _ in pairs if near.fileno() != handled)
    sockets.watch(pycurl.POLL_REMOVE, other.fileno())
    other.close()
    assert list(events) == []
    sockets.close()
    for end in {end for pair in pairs for end in pair}:
        end.close()
