"""What an application may send and receive, and what the client sees of it."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.web.clients import GET, Start, connect, happens, reply

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


def body(part: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": part, "more_body": more}


@pytest.mark.parametrize(
    "messages",
    [[], [START], [body(b"half")], [START, START], [{"type": "http.response.trailers"}]],
    ids=["nothing", "start", "body-before-start", "start-twice", "unknown"],
)
async def test_a_response_that_has_no_body_yet_becomes_a_500(start: Start, messages: list[Message]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with connect(await start(app)) as client:
        client.say(GET)
        answer = await client.answer()
        assert (answer.status, answer.body) == (500, b"")
        assert {"date", "connection"} <= answer.headers.keys()
        assert await client.closed() == b""


@pytest.mark.parametrize(
    "parts",
    [[body(b"ha", more=True)], [body(b"ha")], [body(b"half a lot")], [body(b"ha", more=True), START]],
    ids=["without-end", "too-little", "too-much", "start-twice"],
)
async def test_a_response_with_a_wrong_body_is_cut(start: Start, parts: list[Message]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        for part in parts:
            await send(part)

    async with connect(await start(app)) as client:
        client.say(GET + GET)
        assert len((await client.closed()).partition(b"\r\n\r\n")[2]) < 4


async def test_a_body_in_parts_is_chunked_when_its_length_is_unknown(start: Start) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send(body(b"one ", more=True))
        await send(body(b"", more=True))
        await send(body(b"x" * 200_000, more=True))
        await send(body(b""))

    async with connect(await start(app)) as client:
        for _ in range(2):
            client.say(GET)
            answer = await client.answer()
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"one " + b"x" * 200_000)


async def test_http_1_0_is_answered_and_closed(start: Start) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send(body(b"one ", more=True))
        await send(body(b"two"))

    async with connect(await start(app)) as client:
        client.say(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        head, _, text = (await client.closed()).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert text == b"one two"


async def test_what_is_sent_after_the_response_is_dropped(start: Start) -> None:
    late: list[asyncio.Task[None]] = []
    ended = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        async def send_late() -> None:
            assert (await receive())["type"] == "http.request"
            assert (await receive())["type"] == "http.disconnect"
            await reply(send, b"late")
            ended.set()

        late.append(asyncio.create_task(send_late()))
        await reply(send)
        await reply(send, b"twice")

    async with connect(await start(app)) as client:
        client.say(GET)
        assert (await client.answer()).body == b"ok"
        await happens(ended)
        client.say(GET)
        assert (await client.answer()).body == b"ok"


CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("request_", [GET, b"nonsense\r\n\r\n"])
async def test_each_response_forbids_browsers_to_guess_its_type_and_to_frame_it(
    start: Start, request_: bytes
) -> None:
    async with connect(await start()) as client:
        client.say(request_)
        headers = (await client.answer()).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"] == CONTENT_POLICY
