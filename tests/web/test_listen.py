import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.web.listen import listen_on
from exporter.web.server import ListenError, Server
from tests.web.clients import (
    GET,
    Client,
    Start,
    hello,
    scrape,
)


async def test_every_address_is_listened_on(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await start(listen=("127.0.0.1:0", f"unix:{path}", "localhost:0"))
    assert server.addresses[1] == f"unix:{path}"
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(GET)
    assert (await Client(reader, writer).answer()).status == 200
    writer.close()
    assert await scrape(server) == b"/metrics"
    await server.stop(0)
    assert not path.exists()


async def test_no_host_means_every_interface_in_both_families(start: Start) -> None:
    server = await start(listen=(":0",))
    port = int(server.addresses[0].rpartition(":")[2])
    hosts = ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    for host in hosts:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(GET)
        assert (await Client(reader, writer).answer()).status == 200
        writer.close()
        await writer.wait_closed()


async def test_a_socket_left_behind_is_replaced(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    await start(listen=(f"unix:{path}",))
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await writer.wait_closed()


async def test_a_unix_socket_in_use_is_left_alone(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "taken"
    await start(listen=(f"unix:{path}",))
    with pytest.raises(ListenError, match=r"cannot listen on unix:.*taken: Address already in use"):
        await start(listen=(f"unix:{path}",))
    assert path.exists()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
async def test_what_is_no_socket_is_named_and_left_alone(
    start: Start, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "taken"
    make(path)
    with pytest.raises(ListenError, match=rf"listen on unix:{path}: there is a file of this name that is no"):
        await start(listen=(f"unix:{path}",))
    assert path.exists() or path.is_symlink()


async def test_a_socket_that_cannot_be_removed_at_the_end_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "socket"
    server = Server(hello, (f"unix:{path}",))
    await server.start()
    path.unlink()
    path.mkdir()
    await server.stop(0.0)
    (line,) = (record for record in caplog.records if record.message == "a socket is left behind")
    assert vars(line)["path"] == str(path)


async def test_an_address_in_use_is_refused_and_nothing_stays_bound(start: Start) -> None:
    used = (await start()).addresses[0].removeprefix("http://")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ListenError) as info:
        await start(listen=(free, used))
    assert str(info.value) == (
        f"cannot listen on {used}: Address already in use; "
        "stop the process that listens there, or choose another address"
    )
    assert (await start(listen=(free,))).addresses == (f"http://{free}",)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "10072",
        "127.0.0.1",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "::1:80",
        "http://127.0.0.1:0",
        "127.0.0.1:²",
        "unix:",
        "203.0.113.7:0",
        "unix:/nowhere/s",
        "unix:" + "y" * 200,
        "a\nb:0",
        "a\0b:0",
        "[fe80::1%nowhere]:0",
    ],
)
async def test_a_bad_address_is_one_line_that_names_it(start: Start, address: str) -> None:
    with pytest.raises(ListenError) as info:
        await start(listen=("127.0.0.1:0", address))
    text = str(info.value)
    assert text.startswith("cannot listen on ")
    assert (address if address.isprintable() else ascii(address)) in text
    assert text.isprintable()


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
async def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(address: str) -> None:
    (listener,) = await listen_on(address)
    with listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        listener.settimeout(5)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
