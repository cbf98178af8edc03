"""libcurl as a transport adapter of ``requests``, for single blocking calls off the event loop."""

from email.message import Message
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pycurl
import requests
from requests import PreparedRequest, Session
from requests.adapters import BaseAdapter
from requests.cookies import extract_cookies_to_jar
from requests.utils import get_encoding_from_headers

from exporter.model.http import Response
from exporter.transport.handle import Handle
from exporter.transport.settings import DIRECT, Route


class CurlAdapter(BaseAdapter):
    """Carries the requests of a ``Session``, each over a connection of its own.

    Args:
        route: how to get there; a session's ``verify``, ``cert`` and ``proxies`` do not count.
        timeout: seconds for a whole transfer, where a call names none.
        max_bytes: limit of the unpacked body.
    """

    def __init__(self, route: Route = DIRECT, *, timeout: float = 10, max_bytes: int = 1 << 20) -> None:
        super().__init__()
        self._route = route
        self._timeout = timeout
        self._max_bytes = max_bytes

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002  # the signature is that of requests
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002  # the same
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Sends a request and waits for its whole answer, of any status.

        Raises:
            Failure: any fault of the wire.
        """
        handle = Handle(self._route)
        try:
            handle.load(request, self._deadline(timeout), self._max_bytes)
            return self._response(request, handle.reply(_perform(handle.curl)))
        finally:
            handle.curl.close()

    def close(self) -> None:
        """Nothing is kept."""

    def _deadline(self, timeout: object) -> float:
        # A pair (connect, read) has no time for the whole; its parts are a good guess.
        given = timeout if isinstance(timeout, tuple) else (timeout,)
        seconds = sum(part for part in given if isinstance(part, int | float))
        return seconds or self._timeout

    def _response(self, request: PreparedRequest, received: Response) -> requests.Response:
        response = requests.Response()
        response.status_code = received.status
        response.headers.update(received.headers)
        response.raw = BytesIO(received.body)
        response.encoding = get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        response.request = request
        # On the response only: whoever wants a cookie kept, keeps it.
        message = Message()
        for cookie in received.headers.every("set-cookie"):
            message.add_header("Set-Cookie", cookie)
        raw = SimpleNamespace(_original_response=SimpleNamespace(msg=message))
        extract_cookies_to_jar(response.cookies, request, raw)  # type: ignore[no-untyped-call]
        return response


class _Session(Session):
    """A session without the habits that a credential must not have."""

    def __init__(self) -> None:
        super().__init__()
        # Neither .netrc nor the environment's CA bundle; libcurl reads proxies itself.
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """A redirect is an answer; following it could carry a secret to a strange host."""


def blocking_session(route: Route = DIRECT, *, timeout: float = 10, max_bytes: int = 1 << 20) -> Session:
    """A session for what credentials call themselves: libcurl, no redirects, no cookies kept.

    Args:
        route: how to get there.
        timeout: seconds for a whole transfer, where a call names none.
        max_bytes: limit of the unpacked body.
    """
    session = _Session()
    adapter = CurlAdapter(route, timeout=timeout, max_bytes=max_bytes)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _perform(curl: pycurl.Curl) -> int:
    try:
        curl.perform()
    except pycurl.error as error:
        return int(error.args[0])
    return 0
