"""Who waits for a connection of the pool, in any order of events, one turn of the event loop at a time."""

import asyncio
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from exporter.model.failure import Failure
from exporter.transport import ConnectionPool
from tests.transport.conftest import prepared

CONNECTIONS = 2
TURNS_TO_SETTLE = 10
LONG = 1e6


class Slots(RuleBasedStateMachine):
    """Whatever happens, as many requests run as are allowed, and no slot is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.loop = asyncio.new_event_loop()
        self.pool: Any = None
        self.running: list[asyncio.Future[None]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.loop.run_until_complete(self.open())

    async def open(self) -> None:
        async def transfer(*_: object, **__: object) -> None:
            ended = asyncio.get_running_loop().create_future()
            self.running.append(ended)
            try:
                await ended
            finally:
                self.running.remove(ended)

        self.pool = ConnectionPool(max_connections=CONNECTIONS)
        self.patch.setattr(self.pool, "_transfer", transfer)

    async def send(self, seconds: float) -> None:
        await self.pool.send(prepared("GET", "http://example.com"), timeout=seconds, max_bytes=1)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(seconds=st.sampled_from([LONG, LONG, 0.0, 1e-6]), turns=st.integers(0, 2))
    def request(self, seconds: float, turns: int) -> None:
        self.tasks.append(self.loop.create_task(self.send(seconds)))
        self.turn(turns)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, *, fails: bool) -> None:
        ended = data.draw(st.sampled_from(self.running))
        if not ended.done():
            ended.set_exception(OSError()) if fails else ended.set_result(None)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.tasks)).cancel()

    @rule()
    def settle(self) -> None:
        self.turn(TURNS_TO_SETTLE)
        wanted = sum(not task.done() for task in self.tasks)
        assert len(self.running) == min(wanted, CONNECTIONS)

    def teardown(self) -> None:
        try:
            self.settle()
            while self.running:
                self.running[0].set_result(None)
                self.settle()
            for task in self.tasks:
                assert task.done()
                assert task.cancelled() or isinstance(task.exception(), Failure | OSError | None)
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.turn(TURNS_TO_SETTLE)
            self.loop.run_until_complete(self.pool.close())
            self.loop.close()
            self.patch.undo()


TestSlots = Slots.TestCase
TestSlots.settings = settings(
    max_examples=40, stateful_step_count=20, phases=[Phase.explicit, Phase.generate], deadline=None
)
