"""Recordings on one port: each request gets the response that was recorded for it."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator.recordings import ORIGIN, Answer, Recording
from exporter.simulator.responses import CutOff, reached_at

MAX_BODY = 1 << 20


def create_replay(recordings: Iterable[Recording], *, single: bool) -> ASGIApp:
    """The recordings as one ASGI application.

    Args:
        single: there is one, and its paths are as recorded; else each is below the name of its folder.
    """
    by_name = {recording.name: recording for recording in recordings}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await _respond(request, by_name, single=single)
        await response(scope, receive, send)

    return app


def config_of(recording: Recording, base: str) -> str:
    """The configuration of a recording that is replayed at an address."""
    return _at(recording.config.encode(), base).decode()


async def _respond(request: Request, recordings: Mapping[str, Recording], *, single: bool) -> Response:
    base = reached_at(request, None)
    raw = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    recording: Recording | None
    if single:
        recording, rest = next(iter(recordings.values())), raw
    else:
        name, _, below = raw.removeprefix("/").partition("/")
        recording, rest = {quote(each): recordings[each] for each in recordings}.get(name), f"/{below}"
        base = f"{base}/{name}"
    if recording is not None:
        body = await request.body()
        answer = recording.answer(request.method, f"{rest}?{query}" if query else rest, body)
        if answer is not None:
            return _response(answer, base)
        if rest == "/config.yaml":
            return PlainTextResponse(config_of(recording, base), media_type="application/yaml")
        where = f"in {recording.name}"
    else:
        where = f"here; the recordings are at /{', /'.join(map(quote, recordings))}"
    text = f"no response to {request.method} with this path and query is recorded {where}\n"
    return PlainTextResponse(text, 404)


def _response(answer: Answer, base: str) -> Response:
    if answer.closes:
        return CutOff()
    response = Response(_at(answer.body, base), answer.status)
    for name, value in answer.headers:
        response.headers[name] = _at(value.encode("latin-1"), base).decode("latin-1")
    return response


def _at(text: bytes, base: str) -> bytes:
    """A text with the real address in place of that of recordings, also where it is escaped."""
    for written in (str, lambda url: quote(url, safe=""), lambda url: url.replace("/", "\\/")):
        text = text.replace(written(ORIGIN).encode(), written(base).encode())
    return text
