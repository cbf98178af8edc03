"""The tool that measures how long the event loop is held finds what holds it."""

import asyncio
import time

from tests.turns import Turns, config, rows


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_the_longest_turn_and_what_took_most_of_it_are_found() -> None:
    turns = Turns()
    with turns.measured():
        asyncio.get_running_loop().call_soon(burn, 0.03)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turns.longest >= 0.03
        assert turns.callback.startswith("burn: ")
        turns.reset()
        await asyncio.sleep(0)
        assert turns.longest < 0.03


async def test_short_callbacks_of_one_turn_count_together() -> None:
    turns = Turns()
    with turns.measured():
        for _ in range(10):
            asyncio.get_running_loop().call_soon(burn, 0.003)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turns.longest >= 0.03


async def test_other_threads_do_not_count() -> None:
    turns = Turns()
    with turns.measured():
        await asyncio.to_thread(burn, 0.1)
        assert turns.longest < 0.1


def test_half_of_the_jobs_are_configured_and_half_are_listed() -> None:
    assert config("http://127.0.0.1", 10).count('"id": "c') == 5
    assert rows(5).count(b'"id": "l') == 5
