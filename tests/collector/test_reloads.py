"""Reloads between scrapes, probes and reads: no series is lost or doubled, and no client waits in vain.

The turns of the event loop are taken one by one, and the test ends each read.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from prometheus_client.parser import text_string_to_metric_families

from exporter.collector.collector import Collector
from exporter.collector.plan import Plan
from exporter.metrics.exposition import Format
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.job import Job
from exporter.model.pacing import Rules
from exporter.upstream.reading import Outcome, Reading
from tests.clock import FakeClock
from tests.collector.test_collector import RUNNING, FakeUpstream, job, plan

JOBS = "abcd"
LONG = 1e6
TURNS_TO_SETTLE = 30
"""More than the steps of a reload, or any chain of callbacks: a read ends, its scrape wakes and renders."""


class HeldUpstream(FakeUpstream):
    """Answers a read when the test says so."""

    def __init__(self, clock: FakeClock, concurrency: int) -> None:
        super().__init__(clock)
        self.concurrency = concurrency
        self.under_way: list[asyncio.Future[Failure | None]] = []

    async def read(self, job: Job, previous: object, trace: object = None) -> Reading:
        self.asked.append(job.id)
        answer = asyncio.get_running_loop().create_future()
        self.under_way.append(answer)
        try:
            failure = await answer
        finally:
            self.under_way.remove(answer)
        return Outcome(None if failure else RUNNING, failure, self._clock.time(), 0.1)


class Inline(ThreadPoolExecutor):
    """Does the work of a thread without one, so that no turn depends on its speed."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(work(*args, **named))
        return done


class Watched(Collector):
    """Reports when it changes.

    Attributes:
        on_change: called immediately before.
    """

    on_change: Callable[[], None]

    def _change(self, *systems: Any) -> list[object]:
        self.on_change()
        return super()._change(*systems)


class Reloads(RuleBasedStateMachine):
    """Any order of reloads, scrapes, probes, answers and clients that leave."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context["exception"]))
        self.loop.set_default_executor(Inline())
        self.clock = FakeClock(now=1000.0)
        self.upstreams = [HeldUpstream(self.clock, 1)]
        self.collector = Watched(Instrumentation("0"), clock=self.clock)
        self.clients: list[asyncio.Task[None]] = []
        self.errors: list[BaseException] = []
        self.version, self.origin = 0, 0
        self.reloading: asyncio.Task[None] | None = None
        self.plans: list[Plan] = []
        """All that have been in force."""
        self.asks: Counter[str] = Counter()
        """How many clients wanted a job, so how often it may be read."""
        self.apply("ab")
        self.turn(TURNS_TO_SETTLE)

    def planned(self, ids: str) -> Plan:
        upstream = self.upstreams[-1]
        made = plan(
            upstream,
            *ids,
            concurrency=upstream.concurrency,
            labels={"version": str(self.version)},
        )
        version, origin = str(self.version), str(self.origin)

        def labelled(keys: Mapping[str, str], name: str = "") -> Job:
            return replace(job(keys, name), labels={"version": version})

        jobs = [labelled({"id": each}) for each in ids]
        return replace(made, jobs=jobs, job=labelled, rules=Rules(0, 0), origin=origin)

    # What clients do.

    async def scrape(self) -> None:
        for each in self.plan.jobs:
            self.asks[each.id] += 1
        plans = len(self.plans) - 1
        await self.collector.collect(LONG)
        shown = self.rows(await self.collector.render(Format.TEXT))
        # One configuration, each of its jobs once, and all of them read.
        assert [row[:2] for row in shown] in [
            [(each.id, each.labels["version"]) for each in plan.jobs] for plan in self.plans[plans:]
        ]

    async def probe(self, job_id: str) -> None:
        self.asks[job_id] += 1
        probe = await self.collector.probe([("system", "xmc"), ("id", job_id)], LONG)
        assert probe.record.view is not None
        assert probe.record.job.labels == self.plan.labels

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self.clients.append(task)
        task.add_done_callback(self.ended)
        self.turn(1)

    def ended(self, task: asyncio.Task[None]) -> None:
        self.clients.remove(task)
        if not task.cancelled() and (error := task.exception()):
            self.errors.append(error)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        if self.errors:
            raise self.errors[0]

    @rule()
    def client_scrapes(self) -> None:
        self.begin(self.scrape())

    @rule(job_id=st.sampled_from(JOBS))
    def client_probes(self, job_id: str) -> None:
        self.begin(self.probe(job_id))

    @rule(number=st.integers(0, 9))
    def client_leaves(self, number: int) -> None:
        if self.clients:
            self.clients[number % len(self.clients)].cancel()

    # What the vendor does.

    @rule(number=st.integers(0, 9), fails=st.booleans())
    def answer(self, number: int, *, fails: bool) -> None:
        if reads := self.reads():
            reads[number % len(reads)].set_result(Failure(Reason.TIMEOUT) if fails else None)

    def reads(self) -> list[asyncio.Future[Failure | None]]:
        return [answer for each in self.upstreams for answer in each.under_way if not answer.done()]

    # What the operator does.

    @property
    def plan(self) -> Plan:
        return self.plans[-1]

    def apply(self, ids: str) -> None:
        """Begins to apply a new plan, a step in each turn, once the one before is applied."""
        self.finish_reload()
        self.reloading = self.loop.create_task(self.replace(self.planned(ids)))
        self.turn(1)

    def apply_now(self, ids: str) -> None:
        """Applies a new plan in one turn."""
        self.watch(new := self.planned(ids))
        self.loop.call_soon(self.collector.replace, [new])
        self.turn(1)

    def finish_reload(self) -> None:
        while self.reloading is not None and not self.reloading.done():
            self.turn(1)

    async def replace(self, new: Plan) -> None:
        self.watch(new)
        for _ in self.collector.replacing([new]):
            await asyncio.sleep(0)

    def watch(self, new: Plan) -> None:
        """Notes the moment at which a plan is in force."""

        def change() -> None:
            before = self.plans[-1] if self.plans else None
            known = {each.id for each in before.jobs} if before and before.origin == new.origin else set()
            # Jobs of another origin are other jobs, and so is one that is only probed from now on.
            fresh = {each.id for each in new.jobs} ^ known if known else set(JOBS)
            self.asks.update(dict.fromkeys(fresh, len(self.clients)))
            self.plans.append(new)

        self.collector.on_change = change

    def ids(self) -> str:
        return "".join(each.id for each in self.plan.jobs)

    @rule(ids=st.sets(st.sampled_from(JOBS)))
    def reload_jobs(self, ids: set[str]) -> None:
        self.apply("".join(sorted(ids)))

    @rule()
    def reload_labels(self) -> None:
        self.version += 1
        self.apply(self.ids())

    @rule()
    def reload_nothing(self) -> None:
        self.finish_reload()
        self.loop.call_soon(self.collector.replace, [self.plan])
        self.turn(1)

    @rule(concurrency=st.integers(1, 2))
    def reload_upstream(self, concurrency: int) -> None:
        self.upstreams.append(HeldUpstream(self.clock, concurrency))
        self.apply(self.ids())

    @rule()
    def reload_origin(self) -> None:
        self.origin += 1
        self.upstreams.append(HeldUpstream(self.clock, 1))
        self.apply(self.ids())

    @rule()
    def all_is_read(self) -> None:
        """Every client ends once the vendor answers, and no job was read again for the same client."""
        self.turn(TURNS_TO_SETTLE)
        for _ in range(100):
            if not (reads := self.reads()):
                break
            assert all(len(each.under_way) <= each.concurrency for each in self.upstreams)
            reads[0].set_result(None)
            self.turn(TURNS_TO_SETTLE)
        assert not self.clients, "a client waits in vain"
        asked = Counter(job_id for each in self.upstreams for job_id in each.asked)
        assert asked <= self.asks
        rows = self.rows(self.loop.run_until_complete(self.collector.render(Format.TEXT)))
        assert rows == sorted(
            (view.job.id, view.job.labels["version"], float(view.reason is None))
            for view in self.collector.views()
        )

    def rows(self, page: bytes | memoryview) -> list[tuple[str, str, float]]:
        """Id, label and value of each series of ``remote_job_up``."""
        return sorted(
            (sample.labels["job_id"], sample.labels["version"], sample.value)
            for family in text_string_to_metric_families(bytes(page).decode())
            for sample in family.samples
            if sample.name == "remote_job_up"
        )

    def teardown(self) -> None:
        try:
            if not self.errors:
                self.all_is_read()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.turn_quietly()
            self.loop.close()

    def turn_quietly(self) -> None:
        self.errors.clear()
        for _ in range(TURNS_TO_SETTLE):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()


TestReloads = Reloads.TestCase
TestReloads.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.fixture
def machine() -> Iterator[Reloads]:
    made = Reloads()
    yield made
    made.teardown()


@pytest.mark.parametrize("turns", range(6))
def test_a_scrape_that_is_about_to_end_reads_the_new_jobs_of_a_reload(machine: Reloads, turns: int) -> None:
    machine.client_scrapes()
    for wait in (TURNS_TO_SETTLE, turns):
        machine.turn(TURNS_TO_SETTLE)
        machine.reads()[0].set_result(None)
        machine.turn(wait)
    machine.version += 1
    machine.apply_now("abc")
    machine.all_is_read()


def test_a_queued_probe_is_read_by_what_replaces_its_connections(machine: Reloads) -> None:
    machine.client_probes("a")
    machine.client_probes("b")
    machine.turn(TURNS_TO_SETTLE)
    machine.reload_upstream(1)
    machine.all_is_read()
