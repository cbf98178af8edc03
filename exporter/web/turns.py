"""The turns of the event loop, shared fairly by the connections."""

import asyncio


class Turns:
    """Gives each turn of the running event loop to one connection, in order of arrival.

    The worst request that a client can send takes milliseconds to parse. Without this, all connections that
    become readable at the same time would be parsed, and their requests begun, in one turn.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def mine(self) -> None:
        """Returns in a turn that no other connection has. If none waits, this is the present turn."""
        await self._lock.acquire()
        # Runs in the next turn.
        asyncio.get_running_loop().call_soon(self._lock.release)
