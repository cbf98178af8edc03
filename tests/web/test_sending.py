"""Large pages and clients that read them slowly."""

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from exporter.web import sending
from exporter.web.sending import Pages
from tests.waiting import never, seen
from tests.web.clients import FAST, GET, Start, connect, happens

PAGE = b"remote_job_up 1\n" * 20_000
SCOPE: Scope = {"type": "http", "method": "GET", "path": "/metrics"}


class Renders:
    """Renders pages of one size that are all different."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> bytes:
        self.times += 1
        await asyncio.sleep(0)
        return b"%09d" % self.times + PAGE


class Reader:
    """A client that is sent a response and reads all of it, or nothing."""

    def __init__(self, response: Response, *, slow: bool = False) -> None:
        self.parts: list[bytes] = []
        self.begun = asyncio.Event()
        self.whole = False
        self._slow = slow
        self.task = asyncio.create_task(self._read(response))

    async def _read(self, response: Response) -> None:
        await response(SCOPE, never, self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            return
        self.begun.set()
        if self._slow:
            await never()
        self.parts.append(bytes(message["body"]))
        self.whole = not message.get("more_body", False)


class Cut:
    """Counts the responses that were cut."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.counter = Counter("cut", "Cut.", registry=self._registry)

    @property
    def responses(self) -> float:
        return self._registry.get_sample_value("cut_total") or 0.0


@pytest.fixture
def cut() -> Cut:
    return Cut()


@pytest.fixture
def pages(cut: Cut) -> Pages:
    return Pages(cut.counter)


@pytest.fixture
def renders() -> Renders:
    return Renders()


def ask(
    pages: Pages, render: Callable[[], Awaitable[bytes]], *, packed: bool = False
) -> asyncio.Task[Response]:
    return asyncio.create_task(pages.shared("key", "text/plain", render, accepts_gzip=packed))


async def test_all_who_ask_at_the_same_time_share_one_page_and_one_compressed_copy(
    pages: Pages, renders: Renders, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs, real = 0, gzip.compress

    def counted(*arguments: Any, **more: Any) -> bytes:
        nonlocal packs
        packs += 1
        return real(*arguments, **more)

    monkeypatch.setattr(gzip, "compress", counted)
    asked = [ask(pages, renders, packed=number % 2 == 0) for number in range(50)]
    readers = [Reader(response) for response in await asyncio.gather(*asked)]
    await asyncio.gather(*[reader.task for reader in readers])
    assert (renders.times, packs) == (1, 1)
    bodies = [b"".join(reader.parts) for reader in readers]
    assert {gzip.decompress(body) for body in bodies[::2]} | set(bodies[1::2]) == {b"000000001" + PAGE}


async def test_a_page_is_sent_in_slices_and_its_end_by_itself(pages: Pages, renders: Renders) -> None:
    reader = Reader(await ask(pages, renders))
    await reader.task
    *slices, end = reader.parts
    assert max(map(len, slices)) <= sending.SLICE_BYTES
    assert (b"".join(slices), end, reader.whole) == (b"000000001" + PAGE, b"", True)


async def test_slow_readers_of_the_oldest_page_make_way_for_new_pages(
    pages: Pages, renders: Renders, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_BYTES", 6 * len(PAGE) + 100)
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.0)
    slow: list[Reader] = []
    for number in range(12):
        response = await ask(pages, renders)
        slow += [Reader(response, slow=True) for _ in range(2)]
        await asyncio.gather(*[reader.begun.wait() for reader in slow])
        for _ in range(10):
            await asyncio.sleep(0)
        assert cut.responses == 2 * max(0, number - 5)
    healthy = Reader(await ask(pages, renders))
    await healthy.task
    assert healthy.whole
    assert [reader.task.done() for reader in slow] == [True] * 14 + [False] * 10
    assert not any(reader.whole for reader in slow)
    for reader in slow:
        reader.task.cancel()
    await asyncio.gather(*[reader.task for reader in slow], return_exceptions=True)
    assert vars(pages)["_sent"] == {}


async def test_the_largest_page_of_all_is_sent_whole(
    pages: Pages, renders: Renders, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_BYTES", 1)
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.0)
    readers = [Reader(await ask(pages, renders)) for _ in range(sending.MIN_PAGES)]
    await asyncio.gather(*[reader.task for reader in readers])
    assert all(reader.whole for reader in readers)
    assert cut.responses == 0


async def test_while_much_is_being_sent_the_next_page_is_not_made_immediately(
    pages: Pages, renders: Renders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_BYTES", 2 * len(PAGE))
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 3600.0)
    slow = Reader(await ask(pages, renders), slow=True)
    await slow.begun.wait()
    waiting = ask(pages, renders)
    for _ in range(10):
        await asyncio.sleep(0)
    assert renders.times == 1
    for task in (waiting, slow.task):
        task.cancel()
    await asyncio.gather(waiting, slow.task, return_exceptions=True)


async def test_of_many_clients_one_is_sent_a_slice_in_one_turn_of_the_loop(
    pages: Pages, renders: Renders
) -> None:
    responses = await asyncio.gather(*[ask(pages, renders) for _ in range(40)])
    readers = [Reader(response) for response in responses]
    most = before = 0
    while not all(reader.task.done() for reader in readers):
        await asyncio.sleep(0)
        sent = sum(len(part) for reader in readers for part in reader.parts)
        most, before = max(most, sent - before), sent
    assert most == sending.SLICE_BYTES


async def test_a_client_that_reads_for_too_long_is_cut_and_counted(
    start: Start, pages: Pages, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SENDING_SECONDS", 0.2)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await pages.single(PAGE * 40, "text/plain", accepts_gzip=False)
        await response(scope, receive, send)

    async with connect(await start(app)) as client:
        transport = cast("asyncio.ReadTransport", client.writer.transport)
        transport.pause_reading()
        client.say(GET)
        await seen(lambda: cut.responses == 1, "the cut")
        transport.resume_reading()
        head, _, body = (await client.closed()).partition(b"\r\n\r\n")
    assert b"content-length: %d" % (len(PAGE) * 40) in head.lower()
    assert len(body) < len(PAGE) * 40


async def test_for_a_client_that_does_not_read_the_kernel_keeps_little(start: Start) -> None:
    sent, gone = 0, asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        leaves = asyncio.create_task(_leaves(receive, gone))
        while not gone.is_set():
            await send({"type": "http.response.body", "body": PAGE[: 64 * 1024], "more_body": True})
            sent += 64 * 1024
            await asyncio.sleep(0)
        await leaves

    host, _, port = (await start(app, FAST)).addresses[0].removeprefix("http://").rpartition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(GET)
        await happens(gone)
    assert 0 < sent < 2**20


async def _leaves(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
