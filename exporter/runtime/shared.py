"""Work that is done once for all who want its result at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class SharedTask(Generic[T]):
    """A task and its users. It is cancelled when the last of them leaves.

    Each user enters it as a context, and leaves at any time.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.users = 0
        self._task = asyncio.create_task(work)

    def __enter__(self) -> Self:
        self.users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.users -= 1
        if not self.users:
            self._task.cancel()

    async def ends(self, seconds: float | None = None) -> bool:
        """Waits for its end, for ``seconds`` at most, and returns whether it has ended."""
        done, _ = await asyncio.wait((self._task,), timeout=seconds)
        return bool(done)

    def result(self) -> T:
        """Its result, once it has ended; raises its error."""
        return self._task.result()


class Rounds(Generic[T]):
    """Does work in rounds: those who ask for the same before its round begins share the result.

    No result is older than the request for it. Only one round is under way at a time, so that a burst of
    requests needs the memory and the CPU of one.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next: dict[Hashable, SharedTask[T]] = {}

    async def get(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work``, or that of another caller with an equal key; its error is raised.

        Args:
            key: what is asked for.
        """
        if key not in self._next:
            self._next[key] = SharedTask(self._run(key, work))
        task = self._next[key]
        try:
            with task:
                await task.ends()
                return task.result()
        finally:
            if not task.users and self._next.get(key) is task:
                del self._next[key]

    async def _run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            del self._next[key]
            return await work()
