import asyncio
import gc
from collections.abc import Iterator

import pytest

from exporter.runtime import garbage
from tests.waiting import seen


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("thresholds")
def test_no_vendor_or_client_can_cause_a_full_collection() -> None:
    garbage.configure()
    full = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(200_000)]
    assert gc.get_stats()[1]["collections"] > 0
    assert gc.get_stats()[2]["collections"] == full
    del kept


@pytest.mark.usefixtures("thresholds")
async def test_what_replaces_older_objects_is_scanned_in_small_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "YOUNG_SECONDS", 0.0)
    kept = [[number] for number in range(100_000)]
    garbage.configure()
    task = asyncio.create_task(garbage.collect_young())
    most = 0
    for start in range(0, 100_000, 2_000):
        for number in range(start, start + 2_000):
            # As many are freed as are created, so that Python sees no reason for a scan.
            kept[number] = [number]
        most = max(most, len(gc.get_objects(generation=0)))
        await asyncio.sleep(0)
    task.cancel()
    assert most < 10_000


async def test_a_full_collection_waits_until_no_scrape_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "FULL_SECONDS", 0.0)
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.0)
    idle, collected = iter([False, False, True]), list[int]()
    looks = list[bool]()

    def is_idle() -> bool:
        looks.append(next(idle, True))
        return looks[-1]

    monkeypatch.setattr(gc, "collect", lambda: collected.append(len(looks)))
    task = asyncio.create_task(garbage.collect_fully(is_idle))
    await seen(lambda: bool(collected), "a full collection")
    task.cancel()
    assert collected[0] == 3


async def test_a_full_collection_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "FULL_SECONDS", 0.0)
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.0)
    collected = asyncio.Event()
    monkeypatch.setattr(gc, "collect", collected.set)
    task = asyncio.create_task(garbage.collect_fully(lambda: False))
    async with asyncio.timeout(30):
        await collected.wait()
    task.cancel()
