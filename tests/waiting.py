"""How tests wait: until they see what they wait for, however long the machine takes.

The limits only end a test that would hang. No test asserts how long a wait took.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

LIMIT = 60.0

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, seconds: float = LIMIT) -> T:
    """Calls ``look`` again and again until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")


async def seen(look: Callable[[], object], what: str, seconds: float = LIMIT) -> None:
    """The same on an event loop, which goes on meanwhile; ``look`` may also return an awaitable."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        found = look()
        if await found if inspect.isawaitable(found) else found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds:g} s")


async def never() -> NoReturn:
    """Waits until it is canceled: for vendors and applications that do not answer."""
    while True:
        await asyncio.Event().wait()
