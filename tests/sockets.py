"""Accepts connections on the loopback and lets go of every one of them, even in the midst of a handshake."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def accepting(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Plays ``serve`` to everybody who connects to the port given; at the end, cuts whoever is left.

    What ``serve`` raises, but for lost connections, is raised at the end where the test itself has passed.

    ``asyncio.start_server`` forgets the connections it accepted: one that still shakes hands when a test
    ends is then reported as never closed, in whichever test the garbage is collected.
    """
    loop = asyncio.get_running_loop()
    connections: set[asyncio.Task[None]] = set()

    failures: list[Exception] = []

    def ended(task: asyncio.Task[None]) -> None:
        connections.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            failures.append(error)

    async def keep(client: socket.socket) -> None:
        # A client that goes, or is cut at the end, in the midst of a request is no failure of the server.
        with suppress(OSError, asyncio.IncompleteReadError):
            reader = asyncio.StreamReader()
            transport, protocol = await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader), client, ssl=tls
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await serve(reader, writer)
                writer.close()
                await writer.wait_closed()
            finally:
                transport.abort()
                await writer.wait_closed()

    def accept(listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listener.accept()
            client.settimeout(0)
            task = loop.create_task(keep(client))
            connections.add(task)
            task.add_done_callback(ended)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.settimeout(0)
        loop.add_reader(listener, accept, listener)
        try:
            yield listener.getsockname()[1]
        finally:
            loop.remove_reader(listener)
            # A task that never ran would not close the socket it was made for.
            await asyncio.sleep(0)
            for task in connections:
                task.cancel()
            if connections:
                await asyncio.wait(connections)
                # Their callbacks run after this one.
                await asyncio.sleep(0)
        if failures:
            raise ExceptionGroup("a server of the test failed", failures)
