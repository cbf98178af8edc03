"""The queue of reads, in any order of events: turns of the event loop are taken one by one."""

import asyncio
import itertools
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from exporter.collector.readers import Queued, Readers
from exporter.collector.source import Source, Waiter
from exporter.model.pacing import Rules
from exporter.upstream.reading import Outcome, Upstream
from exporter.upstream.trace import Trace
from tests.clock import FakeClock

NAMES = "abcd"
LONG = 1e6
TURNS_TO_SETTLE = 12
"""More than any chain of callbacks needs: a read ends, its waiter wakes and queues another, that begins."""

Answer = Outcome[Any]


class Asked(Source[Answer]):
    """A source that is always due. The test ends its reads with `answer`."""

    def __init__(self) -> None:
        super().__init__(Rules(0, 0), FakeClock())
        self.under_way: asyncio.Future[None] | None = None
        self.upstream: Upstream | None = None
        self.fails_to_apply = False

    async def _request(self, upstream: Upstream, trace: Trace | None) -> Answer:
        assert self.under_way is None, "one read at a time"
        self.under_way, self.upstream = asyncio.get_running_loop().create_future(), upstream
        try:
            await self.under_way
        finally:
            self.under_way = self.upstream = None
        return Outcome(None, None, 0.0, 0.0)

    def answer(self, error: Exception | None = None) -> None:
        assert self.under_way is not None
        if not self.under_way.done():
            self.under_way.set_exception(error) if error else self.under_way.set_result(None)

    async def apply(self, result: Answer, waiters: Collection[Waiter] = ()) -> None:
        if self.fails_to_apply:
            raise ArithmeticError

    async def missed_deadline(self, seconds: float) -> None:
        raise AssertionError


class Listing(Asked):
    """A source whose waiters wait for all jobs afterwards, as those of a listing do."""

    def __init__(self, queue: "Queue") -> None:
        super().__init__()
        self._queue = queue

    async def apply(self, result: Answer, waiters: Collection[Waiter] = ()) -> None:
        await super().apply(result)
        for waiter in waiters:
            self._queue.join(waiter, NAMES)


class Queue(RuleBasedStateMachine):
    """Whatever happens, a read that is queued while fewer than ``concurrency`` run is going to run."""

    kind: type[Readers] = Readers

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)
        self.jobs = {name: Asked() for name in NAMES}
        self.listing = Listing(self)
        self.tasks: list[asyncio.Task[None]] = []
        self.waiters: list[Waiter] = []
        self.start(1)

    def start(self, concurrency: int, queue: Sequence[Queued] = ()) -> None:
        self.concurrency = concurrency
        upstream = cast("Upstream", SimpleNamespace(not_before=-LONG))
        self.readers = self.kind("docs", upstream, concurrency, queue)
        self.loop.call_soon(self.readers.work)

    def join(self, waiter: Waiter, names: str) -> None:
        """As a scrape does."""
        for name in names:
            self.jobs[name].join(waiter, 0.0, -LONG, self.readers.queue)
        self.readers.work()

    async def wait(self, names: str, times: int, *, lists: bool) -> None:
        """A client that starts again as soon as it has been answered."""
        for _ in range(times):
            waiter = Waiter()
            self.waiters.append(waiter)
            self.readers.drop_abandoned()
            if lists:
                self.listing.join(waiter, 0.0, -LONG, self.readers.begin)
            self.join(waiter, names)
            try:
                await waiter.wait(LONG)
            finally:
                self.waiters.remove(waiter)

    def sources(self) -> list[Asked]:
        return [each for each in (*self.jobs.values(), self.listing) if each.under_way is not None]

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(
        names=st.sets(st.sampled_from(NAMES), min_size=1).map("".join),
        times=st.integers(1, 3),
        lists=st.sampled_from([False, False, True]),
        turns=st.integers(0, 2),
    )
    def client(self, names: str, times: int, turns: int, *, lists: bool) -> None:
        self.tasks.append(self.loop.create_task(self.wait(names, times, lists=lists)))
        self.turn(turns)

    @precondition(lambda self: self.sources())
    @rule(data=st.data(), error=st.sampled_from([None, None, None, OSError("refused")]))
    def answer(self, data: st.DataObject, error: Exception | None) -> None:
        data.draw(st.sampled_from(self.sources())).answer(error)

    @precondition(lambda self: self.sources())
    @rule(data=st.data())
    def fail_to_apply(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(self.sources()))
        source.fails_to_apply = True
        source.answer()
        self.settle()
        source.fails_to_apply = False

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.tasks)).cancel()

    @rule()
    def clear(self) -> None:
        self.readers.clear()

    @rule(concurrency=st.integers(1, 3))
    def reload(self, concurrency: int) -> None:
        self.start(concurrency, self.readers.give_up())

    @rule()
    def close(self) -> None:
        closing = self.loop.create_task(self.readers.close())
        self.settle()
        assert closing.done()
        self.start(self.concurrency)

    @rule()
    def settle(self) -> None:
        self.turn(TURNS_TO_SETTLE)
        waiting = {read for waiter in self.waiters for read in waiter.reads}
        assert all(read.waiters for read in waiting)
        queued = [read for read in waiting if not read.begun]
        running = [each for each in self.jobs.values() if each.upstream is self.readers.upstream]
        assert len(running) <= self.concurrency
        if queued:
            assert len(running) == self.concurrency

    def teardown(self) -> None:
        try:
            self.answer_all()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.turn(TURNS_TO_SETTLE)
            self.loop.close()

    def answer_all(self) -> None:
        errors = itertools.cycle((OSError("refused"), None))
        self.settle()
        while sources := self.sources():
            sources[0].answer(next(errors))
            self.settle()
        assert all(task.done() for task in self.tasks)


PHASES = [Phase.explicit, Phase.generate]
"""To shrink an example that fails would take minutes."""
CHEAP = settings(max_examples=60, stateful_step_count=20, phases=PHASES, deadline=None)
TestQueue = Queue.TestCase
TestQueue.settings = CHEAP


class CountsTooLong(Readers):
    """Counts a worker until its task is removed, a turn after the last read has ended."""

    def _count(self) -> int:
        return len(self._tasks)

    _workers = property(_count, lambda _, __: None)


class FaultyQueue(Queue):
    kind = CountsTooLong


def test_a_worker_that_is_counted_after_its_end_is_found() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(FaultyQueue, settings=CHEAP)


async def test_readers_that_close_wake_the_waiters_of_reads_that_have_not_begun() -> None:
    readers = Readers("docs", cast("Upstream", SimpleNamespace(not_before=-LONG)), 1)
    waiter, listing, job = Waiter(), Asked(), Asked()
    listing.join(waiter, 0.0, -LONG, readers.begin)
    job.join(waiter, 0.0, -LONG, readers.queue)
    readers.work()
    await readers.close()
    assert not waiter.reads
