"""Work that several ask for at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from exporter.runtime.shared import Rounds


class Work:
    """Counts its runs; each ends once the test lets it."""

    def __init__(self) -> None:
        self.begun = self.ended = self.most_at_once = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.most_at_once = max(self.most_at_once, self.begun - self.ended)
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        return number


@pytest.fixture
def work() -> Work:
    return Work()


def ask(rounds: Rounds[int], work: Callable[[], Awaitable[int]], key: str = "") -> asyncio.Task[int]:
    return asyncio.create_task(rounds.get(key, work))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_before_a_round_begins_share_it_and_later_ones_share_the_next(work: Work) -> None:
    rounds: Rounds[int] = Rounds()
    first = [ask(rounds, work) for _ in range(3)]
    await turns()
    later = [ask(rounds, work) for _ in range(3)]
    await turns()
    assert work.begun == 1
    work.go.set()
    assert await asyncio.gather(*first, *later) == [1, 1, 1, 2, 2, 2]
    assert work.begun == 2


async def test_different_work_is_not_shared_and_one_round_runs_at_a_time(work: Work) -> None:
    rounds: Rounds[int] = Rounds()
    asked = [ask(rounds, work, key) for key in "abca"]
    await turns()
    work.go.set()
    assert await asyncio.gather(*asked) == [1, 2, 3, 1]
    assert work.most_at_once == 1


async def test_work_goes_on_while_one_waits_for_it_and_ends_with_the_last(work: Work) -> None:
    rounds: Rounds[int] = Rounds()
    staying, *leaving = [ask(rounds, work) for _ in range(3)]
    await turns()
    for each in leaving:
        each.cancel()
    await turns()
    assert work.ended == 0
    staying.cancel()
    await turns()
    assert work.ended == 1
    work.go.set()
    assert await ask(rounds, work) == 2


async def test_work_that_all_have_left_before_it_begins_is_not_done(work: Work) -> None:
    rounds: Rounds[int] = Rounds()
    under_way = ask(rounds, work)
    await turns()
    leaving = ask(rounds, work)
    await turns()
    leaving.cancel()
    await turns()
    staying = ask(rounds, work)
    work.go.set()
    assert [await under_way, await staying] == [1, 2]
    assert vars(rounds)["_next"] == {}


async def test_an_error_reaches_all_who_wait_and_the_next_round_works(work: Work) -> None:
    async def fails() -> int:
        raise LookupError

    rounds: Rounds[int] = Rounds()
    failing = [ask(rounds, fails) for _ in range(2)]
    for each in failing:
        with pytest.raises(LookupError):
            await each
    work.go.set()
    assert await ask(rounds, work) == 1
