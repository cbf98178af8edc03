"""One HTTP request and its response, as an ASGI 3 application sees them.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import h11
from starlette.types import ASGIApp, Message

ResponseEvent = h11.Response | h11.Data | h11.EndOfMessage
Write = Callable[[Sequence[ResponseEvent]], Awaitable[None]]
# Pages load style, script and pictures from the exporter alone, and have none of these inside.
CONTENT_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'"
)

_log = logging.getLogger(__name__)


def completed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a response, with those that each response has.

    These are the present time (RFC 9110 section 6.6.1) and, where the response has no other value, what
    a browser is allowed to do with it: https://owasp.org/www-project-secure-headers/.
    """
    complete = [*headers, (b"date", formatdate(usegmt=True).encode())]
    present = {name.lower() for name, _ in complete}
    frames = b"" if b"x-frame-options" in present else b"; frame-ancestors 'none'"
    for name, value in (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        # Browsers prefer `frame-ancestors` to X-Frame-Options, also to a configured one.
        (b"content-security-policy", CONTENT_POLICY + frames),
    ):
        if name not in present:
            complete.append((name, value))
    return complete


class RequestCycle:
    """A whole request, and the response that the application sends.

    Args:
        origin: ``scheme``, ``client`` and ``server`` of the scope.
        write: sends to the client.
    """

    def __init__(self, request: h11.Request, body: bytes, origin: Mapping[str, Any], write: Write) -> None:
        path, _, query = request.target.partition(b"?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            **origin,
        }
        self._body = body
        self._write = write
        self._received = False
        # None until the application starts the response.
        self._unsent: list[ResponseEvent] | None = None
        self._over = asyncio.Event()

    async def run(self, app: ASGIApp) -> None:
        """Calls the application and logs its error; the response may then be incomplete."""
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001  # an error of one request does not end the server
            _log.exception("a request failed")
        finally:
            self._over.set()

    def disconnect(self) -> None:
        """Reports to the application that the client is gone; what it still sends is dropped."""
        self._over.set()

    async def _receive(self) -> Message:
        if not self._received:
            body, self._body = self._body, b""
            self._received = not body
            return {"type": "http.request", "body": body, "more_body": bool(body)}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._over.is_set():
            return
        match message["type"]:
            case "http.response.start" if self._unsent is None:
                # Sent with the first part of the body: until then an error can still become a 500.
                headers = completed(message.get("headers", ()))
                self._unsent = [h11.Response(status_code=message["status"], headers=headers)]
            case "http.response.body" if self._unsent is not None:
                events, self._unsent = self._unsent, []
                if (body := message.get("body")) and self._scope["method"] != "HEAD":
                    events.append(h11.Data(data=body))
                if message.get("more_body", False):
                    await self._write(events)
                    return
                await self._write([*events, h11.EndOfMessage()])
                self._over.set()
            case other:
                raise RuntimeError(f"the application must not send {other} now")
