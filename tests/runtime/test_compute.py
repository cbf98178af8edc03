"""Work in slices on the event loop, and in the thread beside it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from exporter.runtime.compute import TURN_SECONDS, Turns, Worker


class Watch:
    """The time, which every look at it moves by ``step``."""

    def __init__(self, step: float) -> None:
        self.step = step
        self._time = 0.0

    def __call__(self) -> float:
        self._time += self.step
        return self._time


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


async def turns_of(count: int, watch: Watch) -> list[int]:
    """How many items each turn has of ``count``."""
    turns, done, ended = Turns(watch), [0], asyncio.Event()

    async def count_turns() -> None:
        while not ended.is_set():
            await asyncio.sleep(0)
            done.append(0)

    counting = asyncio.create_task(count_turns())
    await asyncio.sleep(0)
    seen = []
    for item in range(count):
        await turns.pause()
        seen.append(item)
        done[-1] += 1
    ended.set()
    await counting
    assert seen == list(range(count))
    return [each for each in done if each]


async def test_items_that_take_no_time_are_all_done_in_one_turn() -> None:
    assert await turns_of(1000, Watch(0.0)) == [1000]


async def test_a_turn_has_no_more_items_than_it_has_time_for() -> None:
    in_turns = await turns_of(100, Watch(TURN_SECONDS / 10))
    assert len(in_turns) >= 10
    assert max(in_turns) <= 11


async def test_all_who_ask_share_the_time_of_a_turn() -> None:
    watch = Watch(0.0)
    turns = Turns(watch)
    assert not turns.is_over
    watch.step = TURN_SECONDS
    assert turns.is_over
    watch.step = 0.0
    await turns.pause()
    assert not turns.is_over


async def test_work_runs_in_another_thread_in_its_order(worker: Worker) -> None:
    done: list[int] = []

    def work(number: int) -> threading.Thread:
        done.append(number)
        return threading.current_thread()

    threads = await asyncio.gather(*(worker.run(partial(work, number)) for number in range(20)))
    assert done == list(range(20))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    # A thread that is no daemon would delay the end of the process until its work has ended.
    assert threads[0].daemon


async def test_the_error_of_work_is_raised_where_it_is_awaited(worker: Worker) -> None:
    def fail() -> None:
        raise LookupError("what")

    with pytest.raises(LookupError, match="what"):
        await worker.run(fail)
    assert await worker.run(lambda: 5) == 5


async def test_work_of_a_cancelled_caller_is_left_out_if_it_has_not_begun(worker: Worker) -> None:
    gate, done = threading.Event(), []
    first = asyncio.create_task(worker.run(gate.wait))
    second = asyncio.create_task(worker.run(lambda: done.append(2)))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.wait([first, second])
    gate.set()
    await worker.run(lambda: done.append(3))
    assert done == [3]


async def test_closing_does_not_wait_for_work() -> None:
    worker, gate = Worker(), threading.Event()
    before = threading.enumerate()
    work = asyncio.create_task(worker.run(gate.wait))
    await asyncio.sleep(0)
    (thread,) = {*threading.enumerate()} - {*before}
    worker.close()
    assert thread.is_alive()
    gate.set()
    assert await work
    thread.join(10)
    assert not thread.is_alive()
