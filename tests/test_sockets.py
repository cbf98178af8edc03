"""A server of the tests that fails is a test that fails."""

import asyncio

import pytest
import requests

from tests.vendor import Asked, Told, vendor


async def test_what_a_server_raises_is_raised_at_its_end() -> None:
    def answer(asked: Asked) -> Told:
        raise LookupError(asked.path)

    async def ask() -> None:
        async with vendor(answer) as docs:
            with pytest.raises(requests.ConnectionError):
                await asyncio.to_thread(requests.get, f"{docs.url}/odd", timeout=10)

    with pytest.raises(ExceptionGroup) as caught:
        await ask()
    assert [str(error) for error in caught.value.exceptions] == ["/odd"]


async def test_a_client_that_leaves_in_the_midst_of_a_request_is_no_failure() -> None:
    async with vendor(lambda _: Told({})) as docs:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(docs.url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert docs.asked == []
