"""The pool: many transfers at once, connections kept, deadlines, cancellation and the end."""

import asyncio
import itertools
import os
import resource
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.runtime.compute import Turns
from exporter.transport import ConnectionPool
from exporter.transport.handle import Handle
from exporter.transport.pool import TOGETHER
from exporter.transport.sockets import Sockets
from tests.transport import servers
from tests.transport.conftest import prepared
from tests.transport.servers import Server, answer, answering, listening, saying
from tests.waiting import never, seen

LIMIT = 1 << 20
LONG = 60.0


async def get(pool: ConnectionPool, url: str, seconds: float = 30, *, phases: bool = False) -> Response:
    return await pool.send(prepared("GET", url), timeout=seconds, max_bytes=LIMIT, phases=phases)


async def test_timing_tells_each_phase_and_a_kept_connection_spares_some() -> None:
    pool = ConnectionPool()
    # The subject is the time to the first byte, so the server pauses.
    async with listening(answering(answer(), after=lambda: asyncio.sleep(0.1))) as server:
        begun = time.monotonic()
        first = (await get(pool, server.url(), phases=True)).timing
        took = time.monotonic() - begun
        second = (await get(pool, server.url(), phases=True)).timing
        total = (await get(pool, server.url())).timing
        await pool.close()
    assert first.connect > 0
    assert first.tls == 0
    assert 0.09 < first.first_byte < took
    assert first.total >= first.first_byte + first.connect
    assert second.connect == 0
    assert second.first_byte > 0.09
    assert (total.first_byte, total.total > 0.09) == (0, True)


@pytest.mark.parametrize("has_epoll", [True, False])
async def test_connections_are_kept_and_shared(*, has_epoll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_epoll:  # as on macOS
        monkeypatch.delattr(select, "epoll")
    pool = ConnectionPool(max_connections=4)
    async with listening(answering(answer(bytes(1000)))) as server:
        for _ in range(20):
            await get(pool, server.url())
        assert server.accepts == 1
        await asyncio.gather(*(get(pool, server.url()) for _ in range(40)))
        await pool.close()
    assert server.accepts <= 4
    assert len(server.requests) == 60


async def test_a_kept_connection_that_the_server_closed_is_no_fault() -> None:
    pool = ConnectionPool()
    async with listening(saying(answer(b"1"))) as server:
        for _ in range(3):
            assert (await get(pool, server.url())).body == b"1"
        await pool.close()
    assert server.accepts == 3


@pytest.mark.parametrize("has_epoll", [True, False])
async def test_a_connection_that_the_server_closes_while_it_is_idle_is_one_event(
    *, has_epoll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_epoll:
        monkeypatch.delattr(select, "epoll")
    events, looks = Sockets.events, Counter[str]()

    def counted(sockets: Sockets) -> Iterator[tuple[int, int]]:
        looks["all"] += 1
        return events(sockets)

    monkeypatch.setattr(Sockets, "events", counted)
    pool = ConnectionPool()
    async with listening(answering(answer())) as server:
        await get(pool, server.url())
        before = looks["all"]
    await seen(lambda: looks["all"] > before, "the end of the connection")
    for _ in range(50):
        await asyncio.sleep(0)
    await pool.close()
    assert looks["all"] == before + 1


async def test_of_responses_that_arrive_together_a_few_are_followed_by_the_next_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readers = 3 * TOGETHER
    together, steps = asyncio.Barrier(readers), list[str]()

    def noted(name: str, step: str) -> None:
        real: Any = getattr(Handle, name)

        def call(*arguments: Any, **named: Any) -> Any:
            steps.append(step)
            return real(*arguments, **named)

        monkeypatch.setattr(Handle, name, call)

    async def read_twice(url: str) -> None:
        await get(pool, url)
        await get(pool, url)

    pool = ConnectionPool(max_connections=readers)
    noted("load", "request")
    noted("_on_body", "response")
    async with listening(answering(answer(b"1"), after=together.wait)) as server:
        await asyncio.gather(*(read_twice(server.url()) for _ in range(readers)))
        await pool.close()
    sent = [len([*group]) for step, group in itertools.groupby(steps) if step == "request"]
    assert sum(sent) == 2 * readers
    assert sent[0] == readers
    assert max(sent[1:]) <= TOGETHER


async def test_a_connection_is_not_kept_beyond_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    async def renewed(pool: ConnectionPool, server: Server) -> bool:
        await get(pool, server.url())
        return server.accepts > 1

    async with listening(answering(answer())) as server, listening(answering(answer())) as other:
        pool = ConnectionPool()
        for _ in range(3):
            assert not await renewed(pool, server)
        await pool.close()
        monkeypatch.setattr("exporter.transport.handle.MAX_CONNECTION_SECONDS", 1)
        pool = ConnectionPool()
        await seen(lambda: renewed(pool, other), "another connection, though the first one was in use")
        await pool.close()


async def test_more_transfers_than_connections_wait_their_turn() -> None:
    most = 0
    gate = asyncio.Semaphore(0)

    async def counting(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            server.requests.append(await servers.read_request(reader))
            server.names.append(None)
            most = max(most, len(server.names))
            await gate.acquire()
            server.names.pop()
            writer.write(answer())

    pool = ConnectionPool(max_connections=3)
    async with listening(counting) as server:
        transfers = [asyncio.create_task(get(pool, server.url(), LONG)) for _ in range(12)]
        for ended in range(12):
            await server.has_been_asked(min(ended + 3, 12))
            gate.release()
        await asyncio.gather(*transfers)
        await pool.close()
    assert most == 3
    assert server.accepts == 3


async def test_responses_of_one_moment_are_received_in_as_many_turns_as_they_need() -> None:
    # Each look at the time is one at the end of a turn, so a turn has time for one socket.
    seconds, gate = itertools.count(), asyncio.Event()
    pool = ConnectionPool(turns=Turns(lambda: next(seconds)))
    ended, turn = Counter[int](), 0

    async def count(url: str) -> None:
        assert (await get(pool, url, LONG)).status == 200
        ended[turn] += 1

    async with listening(answering(answer(), after=gate.wait)) as server:
        transfers = [asyncio.create_task(count(server.url())) for _ in range(12)]
        await server.has_been_asked(12)
        gate.set()
        while not all(transfer.done() for transfer in transfers):
            turn += 1
            await asyncio.sleep(0)
        await pool.close()
    assert max(ended.values()) == 1


async def test_waiting_for_a_turn_counts_against_the_timeout() -> None:
    pool, gate = ConnectionPool(max_connections=1), asyncio.Event()
    async with listening(answering(answer(), after=gate.wait)) as server:
        first = asyncio.create_task(get(pool, server.url(), LONG))
        await server.has_been_asked(1)
        with pytest.raises(Failure, match="no connection was free") as caught:
            await get(pool, server.url(), 0.1)
        gate.set()
        assert (await first).status == 200
        assert (await get(pool, server.url())).status == 200
        await pool.close()
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_timeout_on_a_kept_connection_names_what_it_waited_for() -> None:
    pool, gates = ConnectionPool(), iter((asyncio.sleep(0), never()))
    async with listening(answering(answer(), after=lambda: next(gates))) as server:
        assert (await get(pool, server.url())).status == 200
        with pytest.raises(Failure, match="while waiting for the response"):
            await get(pool, server.url(), 0.1)
        assert server.accepts == 1
        await pool.close()


async def test_slow_transfers_hold_up_no_other_pool() -> None:
    slow, quick = ConnectionPool(), ConnectionPool()
    async with listening(servers.mute) as silent, listening(answering(answer())) as server:
        held = [asyncio.create_task(get(slow, silent.url(), LONG)) for _ in range(16)]
        await silent.has_accepted(16)
        await get(quick, server.url(), LONG / 2)
        assert not any(each.done() for each in held)
        await asyncio.gather(slow.close(grace=0), quick.close())
        results = await asyncio.gather(*held, return_exceptions=True)
    assert all(isinstance(result, Failure) for result in results)


async def test_a_canceled_transfer_leaves_the_pool_usable() -> None:
    pool = ConnectionPool(max_connections=2)
    async with listening(servers.mute) as silent, listening(answering(answer(b"ok"))) as server:
        for round_ in range(1, 6):
            tasks = [asyncio.create_task(get(pool, silent.url(), LONG)) for _ in range(4)]
            await silent.has_accepted(2 * round_)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        responses = await asyncio.gather(*(get(pool, server.url()) for _ in range(4)))
        assert [response.body for response in responses] == [b"ok"] * 4
        assert server.accepts == 2
        await pool.close()


async def test_a_transfer_canceled_in_the_middle_leaves_nothing_to_the_next() -> None:
    pool, other = ConnectionPool(max_connections=1), ConnectionPool()
    half = b"HTTP/1.1 200 OK\r\nX-Old: 1\r\nContent-Length: 99\r\n\r\nold"
    async with listening(saying(half, close=False)) as slow, listening(answering(answer(b"new"))) as server:
        task = asyncio.create_task(get(pool, slow.url(), LONG))
        await slow.has_been_asked(1)
        await get(other, server.url())  # ends after the half was read, which was sent before it began
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        response = await get(pool, server.url())
        await asyncio.gather(pool.close(), other.close())
    assert response.body == b"new"
    assert "x-old" not in response.headers


async def test_closing_lets_quick_transfers_end_and_ends_slow_ones() -> None:
    pool, gate = ConnectionPool(), asyncio.Event()
    async with (
        listening(servers.mute) as silent,
        listening(answering(answer(), after=gate.wait)) as server,
        asyncio.timeout(LONG / 2),
    ):
        slow = asyncio.create_task(get(pool, silent.url(), LONG))
        quick = asyncio.create_task(get(pool, server.url(), LONG))
        await silent.has_accepted(1)
        await server.has_been_asked(1)
        closing = asyncio.create_task(pool.close(grace=2))
        late = asyncio.create_task(get(pool, server.url(), LONG))
        with pytest.raises(Failure, match="closed"):
            await late
        gate.set()
        assert (await quick).status == 200
        with pytest.raises(Failure, match="closed"):
            await slow
        await closing
        with pytest.raises(Failure, match="closed"):
            await get(pool, server.url())
        await pool.close()
        await seen(lambda: server.open == 0, "the end of the connections")


async def test_closing_an_idle_pool_takes_no_time_and_closes_its_connections() -> None:
    pool = ConnectionPool()
    async with listening(answering(answer())) as server:
        await get(pool, server.url())
        async with asyncio.timeout(LONG / 2):
            await pool.close(grace=LONG)
        await seen(lambda: server.open == 0, "the end of the connections")


async def test_a_timeout_of_nothing_is_still_a_timeout() -> None:
    pool = ConnectionPool()
    async with listening(servers.mute) as server:
        with pytest.raises(Failure) as caught:
            await get(pool, server.url(), 0.0)
        await pool.close()
    assert caught.value.reason is Reason.TIMEOUT


async def test_descriptors_above_1024_work_without_spinning() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    pool = ConnectionPool()
    try:
        # The subject is the CPU time used while it waits.
        async with listening(answering(answer(), after=lambda: asyncio.sleep(0.2))) as server:
            spent = time.process_time()
            assert (await get(pool, server.url())).status == 200
            assert time.process_time() - spent < 0.1
            await pool.close()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SLOW_NAMES = """
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)
{
    int begun = open(getenv("BEGUN"), O_WRONLY | O_APPEND);
    if (write(begun, ".", 1) != 1) abort();
    close(begun);
    sleep(100);
    return EAI_AGAIN;
}
"""
"""Look-ups of names that are noted in a file and take longer than any test."""


PROGRAM = """
import asyncio, os, sys
from requests import Request
from exporter.model.failure import Failure
from exporter.transport import ConnectionPool
from exporter.transport.handle import Handle
from exporter.transport.sockets import Sockets
from tests.waiting import never, seen

async def get(pool, url, seconds):
    try:
        return (await pool.send(Request("GET", url).prepare(), timeout=seconds, max_bytes=999)).status
    except Failure as failure:
        return failure.reason.value

async def main():
    slow, quick = ConnectionPool(), ConnectionPool()
    names = [asyncio.create_task(get(slow, f"http://h{n}.example/", 0.5)) for n in range(16)]
    await seen(lambda: os.stat(os.environ["BEGUN"]).st_size >= 16, "all look-ups under way")
    assert await get(quick, sys.argv[1], 60) == 200, "another pool was held up"
    assert set(await asyncio.gather(*names)) == {"timeout"}
    await asyncio.gather(slow.close(), quick.close())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="slow names need a C compiler")
async def test_slow_name_look_ups_hold_up_nobody(tmp_path: Path) -> None:
    source, library, begun = tmp_path / "slow.c", tmp_path / "slow.so", tmp_path / "begun"
    source.write_text(SLOW_NAMES)
    begun.touch()
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: ASYNC221  # a test
    async with listening(answering(answer())) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            server.url(),
            env={
                **os.environ,
                "BEGUN": str(begun),
                "LD_PRELOAD": str(library),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stderr=asyncio.subprocess.PIPE,
        )
        # Neither a look-up's deadline, nor closing, nor the end waits for the look-ups.
        async with asyncio.timeout(90):
            _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
