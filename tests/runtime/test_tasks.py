"""Work that is shared by all who ask for it before it begins."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.runtime.tasks import SharedRuns


class Work:
    """Runs that end when the test lets them; the error of each names its number.

    Attributes:
        begun: how many runs have begun.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.under_way: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        self.begun += 1
        number = self.begun
        end = asyncio.get_running_loop().create_future()
        self.under_way.append(end)
        assert len(self.under_way) == 1, "two runs at the same time"
        await end
        self.under_way.remove(end)
        if number % 2:
            raise LookupError(number)

    def end(self) -> None:
        for each in self.under_way:
            if not each.done():
                each.set_result(None)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@given(st.lists(st.sampled_from(["ask", "leave", "end", "turn"]), max_size=30))
def test_each_gets_the_result_of_the_first_run_that_began_after_its_request(steps: list[str]) -> None:
    async def check() -> None:
        work, asked = Work(), list[asyncio.Task[None]]()
        runs = SharedRuns(work.run)

        async def ask() -> None:
            expected = work.begun + 1
            raised: tuple[object, ...] = ()
            try:
                await runs.wait()
            except LookupError as error:
                raised = error.args
            assert raised == ((expected,) if expected % 2 else ())

        for step in steps:
            match step:
                case "ask":
                    asked.append(asyncio.create_task(ask()))
                case "leave" if asked:
                    asked.pop().cancel()
                case "end":
                    work.end()
                case _:
                    await turns(1)
        while not all(task.done() for task in asked):
            work.end()
            await turns(1)
        await asyncio.gather(*asked)
        await runs.cancel()

    run(check())


def test_a_thousand_requests_make_two_runs() -> None:
    async def check() -> None:
        work = Work()
        runs = SharedRuns(work.run)
        first = asyncio.create_task(runs.wait())
        await turns(3)
        others = [asyncio.create_task(runs.wait()) for _ in range(1000)]
        await turns(3)
        work.end()
        with pytest.raises(LookupError):
            await first
        await turns(3)
        work.end()
        await asyncio.gather(*others)
        assert work.begun == 2

    run(check())


def test_cancelling_ends_the_run_under_way_and_the_next() -> None:
    async def check() -> None:
        work = Work()
        runs = SharedRuns(work.run)
        waiting = [asyncio.create_task(runs.wait())]
        await turns(3)
        waiting.append(asyncio.create_task(runs.wait()))
        await turns(3)
        await runs.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
        assert work.begun == 1

    run(check())
