"""Garbage collection in short pauses.

A collection blocks the event loop: for about half a millisecond per 1,000 objects that it scans. Python's
thresholds let a vendor or a client choose the moment of a full one, by what they make the exporter create.
Most garbage needs none, since it has no reference cycles.
"""

import asyncio
import gc
from collections.abc import Callable

_YOUNG = 2_000
"""New objects after which the newest are scanned, in 1 ms."""
_OLDER = 2
"""After so many of these scans, the next one includes what survived them: it takes 3 ms, or 6 ms where other
processes use the caches of the processor."""
_NEVER = 1_000_000_000
YOUNG_SECONDS = 0.1
"""Between two scans of what is new. The thresholds do not bound it: they count what was created less all that
was freed, and each read frees as many old objects as it creates. After a scrape of 10,000 jobs, 200,000 were
new, and one scan of them took 150 ms."""

FULL_SECONDS = 600.0
"""Between two full collections. Each takes about 30 ms for 1,000 jobs."""
LOOKS = 60
"""How often it looks for a moment without a scrape before it collects in any case."""
LOOK_SECONDS = 1.0


def configure() -> None:
    """Leaves what exists now out of all collections, and full ones to `collect_fully`.

    To scan what a start has created would take a tenth of the time of each read.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _NEVER)


async def collect_young() -> None:
    """Scans what is new often, and so little of it. Ends only when cancelled."""
    while True:
        await asyncio.sleep(YOUNG_SECONDS)
        gc.collect(1)


async def collect_fully(is_idle: Callable[[], bool]) -> None:
    """Collects all garbage now and then. Ends only when cancelled.

    Args:
        is_idle: whether no scrape is under way.
    """
    while True:
        await asyncio.sleep(FULL_SECONDS)
        for _ in range(LOOKS):
            if is_idle():
                break
            await asyncio.sleep(LOOK_SECONDS)
        gc.collect()
