"""The wire: many transfers at once, connections kept, deadlines, cancellation and the end."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.failure import Failure, Reason
from exporter.transport import Reply, Wire
from tests.transport import servers
from tests.transport.conftest import prepared
from tests.transport.servers import Server, answer, answering, listening, saying

LIMIT = 1 << 20


async def get(wire: Wire, url: str, seconds: float = 5) -> Reply:
    return await wire.send(prepared("GET", url), timeout=seconds, max_bytes=LIMIT)


async def test_timing_tells_each_phase_and_a_kept_connection_spares_some() -> None:
    wire = Wire()
    async with listening(answering(answer(), delay=0.1)) as server:
        first = (await get(wire, server.url())).timing
        second = (await get(wire, server.url())).timing
        await wire.close()
    assert first.connect > 0
    assert first.tls == 0
    assert 0.09 < first.first_byte < 0.5
    assert first.total >= first.first_byte + first.connect
    assert second.connect == 0


async def test_connections_are_kept_and_shared() -> None:
    wire = Wire(max_connections=4)
    async with listening(answering(answer(bytes(1000)))) as server:
        for _ in range(20):
            await get(wire, server.url())
        assert server.accepts == 1
        await asyncio.gather(*(get(wire, server.url()) for _ in range(40)))
        await wire.close()
    assert server.accepts <= 4
    assert len(server.requests) == 60


async def test_a_kept_connection_that_the_server_closed_is_no_fault() -> None:
    wire = Wire()
    async with listening(saying(answer(b"1"))) as server:
        for _ in range(3):
            assert (await get(wire, server.url())).body == b"1"
        await wire.close()
    assert server.accepts == 3


async def test_a_connection_is_not_kept_beyond_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.transport.handle.MAX_CONNECTION_SECONDS", 1)
    wire = Wire()
    async with listening(answering(answer(), delay=0.4)) as server:
        for _ in range(3):
            await get(wire, server.url())
        assert server.accepts == 1
        await get(wire, server.url())
        await wire.close()
    assert server.accepts == 2


async def test_more_transfers_than_connections_wait_their_turn() -> None:
    most = 0

    async def counting(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            await servers.read_request(reader)
            server.names.append(None)
            most = max(most, len(server.names))
            await asyncio.sleep(0.02)
            server.names.pop()
            writer.write(answer())

    wire = Wire(max_connections=3)
    async with listening(counting) as server:
        await asyncio.gather(*(get(wire, server.url()) for _ in range(12)))
        await wire.close()
    assert most == 3
    assert server.accepts == 3


async def test_waiting_for_a_turn_counts_against_the_timeout() -> None:
    wire = Wire(max_connections=1)
    async with listening(answering(answer(), delay=0.3)) as server:
        first = asyncio.create_task(get(wire, server.url()))
        await asyncio.sleep(0)
        with pytest.raises(Failure, match="no connection was free") as caught:
            await get(wire, server.url(), 0.1)
        assert (await first).status == 200
        assert (await get(wire, server.url())).status == 200
        await wire.close()
    assert caught.value.reason is Reason.TIMEOUT


async def test_slow_transfers_hold_up_no_other_wire() -> None:
    slow, quick = Wire(), Wire()
    async with listening(servers.mute) as silent, listening(answering(answer())) as server:
        held = [asyncio.create_task(get(slow, silent.url(), 2)) for _ in range(16)]
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        await get(quick, server.url())
        assert time.monotonic() - begun < 1.5
        results = await asyncio.gather(*held, return_exceptions=True)
        await asyncio.gather(slow.close(), quick.close())
    assert all(isinstance(result, Failure) for result in results)


async def test_a_canceled_transfer_leaves_the_wire_usable() -> None:
    wire = Wire(max_connections=2)
    async with listening(servers.mute) as silent, listening(answering(answer(b"ok"))) as server:
        for _ in range(5):
            tasks = [asyncio.create_task(get(wire, silent.url())) for _ in range(4)]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        replies = await asyncio.gather(*(get(wire, server.url()) for _ in range(4)))
        assert [reply.body for reply in replies] == [b"ok"] * 4
        assert server.accepts == 2
        await wire.close()


async def test_a_transfer_canceled_in_the_middle_leaves_nothing_to_the_next() -> None:
    wire = Wire(max_connections=1)
    half = b"HTTP/1.1 200 OK\r\nX-Old: 1\r\nContent-Length: 99\r\n\r\nold"
    async with listening(saying(half, close=False)) as slow, listening(answering(answer(b"new"))) as server:
        task = asyncio.create_task(get(wire, slow.url()))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        reply = await get(wire, server.url())
        await wire.close()
    assert reply.body == b"new"
    assert "x-old" not in reply.headers


async def test_closing_lets_quick_transfers_end_and_ends_slow_ones() -> None:
    wire = Wire()
    async with listening(servers.mute) as silent, listening(answering(answer(), delay=0.1)) as server:
        slow = asyncio.create_task(get(wire, silent.url(), 30))
        quick = asyncio.create_task(get(wire, server.url(), 30))
        await asyncio.sleep(0.02)
        begun = time.monotonic()
        await wire.close(grace=1)
        assert time.monotonic() - begun < 10
        assert (await quick).status == 200
        with pytest.raises(Failure, match="closed"):
            await slow
        with pytest.raises(Failure, match="closed"):
            await get(wire, server.url())
        await wire.close()
        await asyncio.sleep(0.1)
        assert server.open == 0


async def test_closing_an_idle_wire_takes_no_time_and_closes_its_connections() -> None:
    wire = Wire()
    async with listening(answering(answer())) as server:
        await get(wire, server.url())
        begun = time.monotonic()
        await wire.close(grace=30)
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.1)
        assert server.open == 0


async def test_a_timeout_of_nothing_is_still_a_timeout() -> None:
    wire = Wire()
    async with listening(servers.mute) as server:
        with pytest.raises(Failure) as caught:
            await get(wire, server.url(), 0.0)
        await wire.close()
    assert caught.value.reason is Reason.TIMEOUT


async def test_descriptors_above_1024_work_without_spinning() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    wire = Wire()
    try:
        async with listening(answering(answer(), delay=0.2)) as server:
            spent = time.process_time()
            assert (await get(wire, server.url())).status == 200
            assert time.process_time() - spent < 0.1
            await wire.close()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SLOW_NAMES = """
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)
{ sleep(20); return EAI_AGAIN; }
"""


PROGRAM = """
import asyncio, sys, time
from requests import Request
from exporter.failure import Failure
from exporter.transport import Wire

async def get(wire, url, seconds):
    try:
        return (await wire.send(Request("GET", url).prepare(), timeout=seconds, max_bytes=999)).status
    except Failure as failure:
        return failure.reason.value

async def main():
    slow, quick = Wire(), Wire()
    names = [asyncio.create_task(get(slow, f"http://h{n}.example/", 0.5)) for n in range(16)]
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    assert await get(quick, sys.argv[1], 5) == 200
    assert time.monotonic() - begun < 5, "another wire was held up"
    assert set(await asyncio.gather(*names)) == {"timeout"}
    assert time.monotonic() - begun < 10, "the look-up had no deadline"
    begun = time.monotonic()
    await asyncio.gather(slow.close(), quick.close())
    assert time.monotonic() - begun < 5, "closing held the loop up"

begun = time.monotonic()
asyncio.run(main())
assert time.monotonic() - begun < 18, "the end waited for name look-ups"
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="slow names need a C compiler")
async def test_slow_name_look_ups_hold_up_nobody(tmp_path: Path) -> None:
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_NAMES)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: ASYNC221  # a test
    async with listening(answering(answer())) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            server.url(),
            env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=asyncio.subprocess.PIPE,
        )
        begun = time.monotonic()
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert time.monotonic() - begun < 20
