"""Where the steps of a provider run, without sockets."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest

from exporter.config_types import Keys
from exporter.metrics.instrumentation import Instrumentation
from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.base import SHORT_BODY, DiscoverKeys, Found, Listing, Provider
from exporter.runtime.compute import Compute
from exporter.upstream import steps
from exporter.upstream.reading import LISTING_LIMITS, Upstream
from tests.clock import FakeClock
from tests.waiting import seen

JOB = Job("docs", "1", Kind.RUN, "scripted", {})
LONG = b"x" * (SHORT_BODY + 1)


class Received(Response, frozen=True, weakref=True):
    """A response that can be referenced weakly."""


class Scripted(Provider):
    """Requests ``/0``, ``/1`` and so on, and notes which thread each step runs in."""

    name: ClassVar[str] = "scripted"
    Options: ClassVar[type[Keys]] = Keys
    JobKeys: ClassVar[type[Keys]] = Keys

    def __init__(self) -> None:
        super().__init__(Keys())
        self.requests = 1
        self.threads: list[threading.Thread] = []
        self.closed = threading.Event()
        self.work: Callable[[Response], object] = len_of
        self.rows = 0

    @classmethod
    def identify(cls, keys: Mapping[str, str]) -> tuple[str, Kind]:
        return keys["id"], Kind.RUN

    def _steps(self) -> Generator[Any, Any, None]:
        try:
            self.threads.append(threading.current_thread())
            for number in range(self.requests):
                try:
                    response = yield Request(f"/{number}")
                    self.work(response)
                except Failure as failure:
                    if failure.reason is not Reason.NOT_FOUND:
                        raise
                self.threads.append(threading.current_thread())
        finally:
            self.closed.set()

    def read(self, job: Job, previous: Status | None) -> Generator[Any, Any, Status]:
        """Reads nothing."""
        yield from self._steps()
        return Status(State.RUNNING)

    def discover(self, keys: Any, now: float) -> Listing:
        """Finds ``rows`` jobs after each request."""
        yield from self._steps()
        for number in range(self.rows):
            self.threads.append(threading.current_thread())
            yield Found({"id": str(number)}, Status(State.UNKNOWN, raw="Odd"))
        return None


def len_of(response: Response) -> int:
    return len(response.body)


def failing(error: Exception) -> Callable[[Response], object]:
    def work(_: Response) -> object:
        raise error

    return work


@pytest.fixture
def compute() -> Iterator[Compute]:
    compute = Compute()
    yield compute
    compute.close()


@pytest.fixture
def provider() -> Scripted:
    return Scripted()


def upstream(
    provider: Scripted,
    compute: Compute,
    *bodies: bytes | int,
    received: list[Any] | None = None,
    timeout: float = 3.0,
) -> Upstream:
    """One whose system answers with these bodies and statuses."""
    provider.requests = len(bodies)

    async def send(request: Request, **_: object) -> Response:
        body = bodies[int(request.path[1:])]
        response = Received(body, b"") if isinstance(body, int) else Received(200, body)
        if received is not None:
            received.append(weakref.ref(response))
        return response

    instrumentation = Instrumentation("0").of("docs")
    client = Mock(timeout=timeout, clock=FakeClock(), instrumentation=instrumentation, send=send)
    client.in_use, client.explain_unauthorized = nullcontext(), lambda _: ""
    return Upstream(provider, client, compute)


async def where(provider: Scripted, compute: Compute, *bodies: bytes | int) -> list[bool]:
    """Whether each step of a read runs on the event loop."""
    outcome = await upstream(provider, compute, *bodies).read(JOB, None)
    assert outcome.value == Status(State.RUNNING)
    return [thread is threading.current_thread() for thread in provider.threads]


async def test_a_small_response_is_read_on_the_event_loop(provider: Scripted, compute: Compute) -> None:
    others = set(threading.enumerate())
    assert await where(provider, compute, b"{}", LONG[1:]) == [True, True, True]
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "compute"]


async def test_a_large_response_and_what_follows_it_are_read_in_a_thread(
    provider: Scripted, compute: Compute
) -> None:
    # The provider may have kept what it has read, and work with that after the next response or failure.
    assert await where(provider, compute, b"{}", LONG, b"{}", 404) == [True, True, False, False, False]


async def test_each_response_is_read_in_a_thread_if_the_provider_declares_it(
    provider: Scripted, compute: Compute
) -> None:
    provider.short_body = 0
    assert await where(provider, compute, b"{}") == [True, False]


async def test_entries_are_read_in_a_thread_above_a_smaller_size(
    provider: Scripted, compute: Compute
) -> None:
    provider.rows = 1000
    listed = await upstream(provider, compute, b"x" * (LISTING_LIMITS.short_body + 1)).list_jobs(
        [DiscoverKeys()]
    )
    assert list(listed.value) == [str(number) for number in range(1000)]
    assert threading.current_thread() not in provider.threads[1:]


class LongListing(DiscoverKeys):
    """Keys with which a page takes long, however small it is."""

    @property
    def short_body(self) -> int:
        return 0


async def test_each_page_is_read_in_a_thread_if_the_keys_of_the_listing_declare_it(
    provider: Scripted, compute: Compute
) -> None:
    provider.rows = 1
    await upstream(provider, compute, b"x").list_jobs([LongListing()])
    assert threading.current_thread() not in provider.threads[1:]


def noting(order: list[Scripted], provider: Scripted) -> Callable[[Mapping[str, str]], tuple[str, Kind]]:
    def identify(keys: Mapping[str, str]) -> tuple[str, Kind]:
        order.append(provider)
        return keys["id"], Kind.RUN

    return identify


async def test_reads_share_the_thread_slice_by_slice(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "SLICE_SECONDS", 0.0)
    order: list[Scripted] = []
    one, other = Scripted(), Scripted()
    for each in (one, other):
        each.rows = 20
        monkeypatch.setattr(each, "identify", noting(order, each))
    listings = [upstream(each, compute, LONG).list_jobs([DiscoverKeys()]) for each in (one, other)]
    assert [len(listed.value) for listed in await asyncio.gather(*listings)] == [20, 20]
    assert order[:10] == [one, other] * 5


@pytest.mark.parametrize("body", [b"{}", LONG])
@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (Failure(Reason.CLIENT_ERROR, "because"), Reason.CLIENT_ERROR, "because"),
        (LookupError("what"), Reason.INTERNAL, "LookupError"),
        (RecursionError(), Reason.INVALID_RESPONSE, "the response is nested too deeply"),
    ],
)
async def test_an_error_of_a_step_is_that_of_the_read(
    provider: Scripted, compute: Compute, body: bytes, error: Exception, reason: Reason, detail: str
) -> None:
    provider.work = failing(error)
    failure = (await upstream(provider, compute, body).read(JOB, None)).failure
    assert failure is not None
    assert (failure.reason, failure.detail) == (reason, detail)
    assert provider.closed.is_set()


async def test_a_step_that_takes_too_long_fails_its_read_alone(
    provider: Scripted, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LEAST_SECONDS", 0.01)
    gate = threading.Event()
    provider.work = lambda _: gate.wait()
    failure = (await upstream(provider, compute, LONG, timeout=0.01).read(JOB, None)).failure
    assert failure is not None
    assert (failure.reason, failure.detail) == (Reason.TIMEOUT, "the response was not read in time")
    assert not provider.closed.is_set()
    gate.set()
    await compute.worker.run(time.time)
    assert provider.closed.is_set()
    assert (await upstream(provider, compute, LONG).read(JOB, None)).value == Status(State.RUNNING)


async def test_a_cancelled_read_ends_although_its_step_goes_on(provider: Scripted, compute: Compute) -> None:
    gate, begun = threading.Event(), threading.Event()

    def work(_: Response) -> object:
        begun.set()
        return gate.wait()

    provider.work = work
    reading = asyncio.create_task(upstream(provider, compute, LONG, b"{}").read(JOB, None))
    await seen(begun.is_set, "the step")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    gate.set()
    await compute.worker.run(time.time)
    # Its result is dropped: the second request is not sent, and the generator is closed.
    assert len(provider.threads) == 2
    assert provider.closed.is_set()


@pytest.mark.parametrize("error", [None, Failure(Reason.CLIENT_ERROR, "because")])
async def test_a_read_in_the_thread_keeps_no_response(
    provider: Scripted, compute: Compute, error: Failure | None
) -> None:
    received: list[Any] = []
    provider.work = failing(error) if error is not None else len_of
    gc.disable()
    try:
        outcome = await upstream(provider, compute, LONG, received=received).read(JOB, None)
        assert outcome.failure is error
        await seen(lambda: [response() for response in received] == [None], "the end of the response")
    finally:
        gc.enable()
