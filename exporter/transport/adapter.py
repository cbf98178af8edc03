"""libcurl as a transport adapter of ``requests``, for single blocking calls outside the event loop."""

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

from exporter.model.failure import Failure, Reason
from exporter.model.http import Response
from exporter.transport.handle import Handle
from exporter.transport.pem import Pem
from exporter.transport.settings import DEFAULTS, ConnectionSettings


class CurlAdapter(BaseAdapter):
    """Sends the requests of a ``Session``, each over its own connection.

    Args:
        settings: how to connect; ``verify``, ``cert`` and ``proxies`` of the session are ignored.
        timeout: seconds for a whole transfer, unless the call has its own.
        max_bytes: limit of the decoded body.
    """

    def __init__(
        self, settings: ConnectionSettings = DEFAULTS, *, timeout: float = 10, max_bytes: int = 1 << 20
    ) -> None:
        super().__init__()
        self._settings = settings
        self._timeout = timeout
        self._max_bytes = max_bytes

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002  # the signature of requests
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002  # the same
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Sends a request and waits for the complete response, of any status.

        Raises:
            Failure: there is no complete response.
        """
        # Each parameter of a login is a secret, whatever its name.
        handle = Handle(self._settings, self._read_pem(), hides_query=True)
        try:
            handle.load(request, self._deadline(timeout), self._max_bytes)
            return self._response(request, handle.response(_perform(handle.curl)))
        finally:
            handle.curl.close()

    def close(self) -> None:
        """There is nothing to close."""

    def _read_pem(self) -> Pem:
        try:
            return self._settings.tls.read()
        except ValueError as error:
            raise Failure(Reason.TLS, str(error)) from None

    def _deadline(self, timeout: object) -> float:
        # A pair (connect, read) is no limit of the whole; its sum is the best guess.
        given = timeout if isinstance(timeout, tuple) else (timeout,)
        seconds = sum(part for part in given if isinstance(part, int | float))
        return seconds or self._timeout

    def _response(self, request: PreparedRequest, received: Response) -> requests.Response:
        response = requests.Response()
        response.status_code = received.status
        response.headers.update(received.headers)
        message = Message()
        for cookie in received.headers.every("set-cookie"):
            message.add_header("Set-Cookie", cookie)
        response.raw = _Raw(received.body, message)
        response.encoding = get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        response.request = request
        # On the response only: the session stores no cookies.
        raw = SimpleNamespace(_original_response=SimpleNamespace(msg=message))
        extract_cookies_to_jar(response.cookies, request, raw)  # type: ignore[no-untyped-call]
        return response


class _Raw(BytesIO):
    """The body, with the headers that are not joined in `requests.Response`, as other adapters have it."""

    def __init__(self, body: bytes, headers: Message) -> None:
        super().__init__(body)
        self.headers = headers


class _Session(Session):
    """A session without the defaults that would be unsafe for credentials."""

    def __init__(self) -> None:
        super().__init__()
        # Neither .netrc nor the CA bundle of the environment; libcurl reads the proxy variables itself.
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Redirects are not followed: they could send a secret to another host."""


def blocking_session(
    settings: ConnectionSettings = DEFAULTS, *, timeout: float = 10, max_bytes: int = 1 << 20
) -> Session:
    """A session for requests that credentials send: a `CurlAdapter`, no redirects, no cookies stored."""
    session = _Session()
    adapter = CurlAdapter(settings, timeout=timeout, max_bytes=max_bytes)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _perform(curl: pycurl.Curl) -> int:
    try:
        curl.perform()
    except pycurl.error as error:
        return int(error.args[0])
    return 0
