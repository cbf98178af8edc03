"""A limit of transfers at a time, which costs nothing while there are fewer."""

import asyncio
from collections import deque


class Slots:
    """As ``asyncio.Semaphore``, but without a coroutine to take a free slot, as nearly every transfer does.

    Args:
        free: how many there are.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Takes a slot if one is free."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, end: float) -> None:
        """Waits for a slot in order of arrival, and takes it.

        Args:
            end: time of the event loop.

        Raises:
            TimeoutError: none was free until then.
        """
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        async with asyncio.timeout_at(end):
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was given a slot in the same turn of the loop
                    self.give_back()
                raise

    def give_back(self) -> None:
        """Gives a slot to the one that has waited for longest, or frees it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
