"""One easy handle: set up once, lent to one transfer after another."""

import logging
import math
import os
from urllib.parse import urlsplit

import pycurl
from requests import PreparedRequest
from requests.utils import should_bypass_proxies

from exporter.config_types import CONNECTION_HEADERS
from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Response, Timing
from exporter.runtime.secret import masked_url
from exporter.transport.curl_errors import (
    BAD_ARGUMENT,
    BAD_CERTIFICATE,
    CERTIFICATE_FAULTS,
    CLIENT_CERTIFICATE,
    FAULTS,
    NOT_TAKEN,
    TIMED_OUT,
)
from exporter.transport.settings import Route, Tls

_log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 * 1024
MAX_CONNECTION_SECONDS = 600

_TLS_VERSIONS = {"TLS12": pycurl.SSLVERSION_TLSv1_2, "TLS13": pycurl.SSLVERSION_TLSv1_3}


class Handle:
    """An easy handle and what it collects; serves one route.

    ``load`` a request, let libcurl carry it, take the ``reply``, and ``clear`` in any case.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_body_room",
        "_head",
        "_head_room",
        "_plain",
        "_request",
        "_route",
        "curl",
    )

    def __init__(self, route: Route) -> None:
        self.curl = pycurl.Curl()
        self._route = route
        self._request: PreparedRequest | None = None
        self._body: list[bytes] = []
        self._head: list[bytes] = []
        self._body_limit = self._body_room = self._head_room = 0
        self._set_up()

    def _set_up(self) -> None:
        _set_up_http(self.curl)
        _set_up_tls(self.curl, self._route.tls)
        _set_up_proxy(self.curl, self._route)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._take_body)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._take_head)
        self._plain = True

    def load(self, request: PreparedRequest, timeout: float, max_bytes: int) -> None:
        """Takes over a request.

        Args:
            request: prepared; its body, if any, is text or bytes.
            timeout: seconds for the whole transfer.
            max_bytes: limit of the unpacked body.

        Raises:
            Failure: ``internal``, it cannot be sent by this wire.
        """
        self._request = request
        curl, url = self.curl, request.url or ""
        if not url.startswith(("http://", "https://")) or not url.isascii():
            raise Failure(Reason.INTERNAL, "only prepared URLs of http and https can be sent")
        headers = _header_lines(request)
        if self._route.tls.server_name and url.startswith("https://"):
            self._plain = False
            url = _rename_server(curl, url, self._route, headers)
        curl.setopt(pycurl.URL, url)
        if request.method != "GET" or request.body:
            self._plain = False
            _set_body(curl, request, headers)
        curl.setopt(pycurl.HTTPHEADER, headers)
        # 0 would be no deadline at all.
        curl.setopt(pycurl.TIMEOUT_MS, max(1, math.ceil(timeout * 1000)))
        if max_bytes != self._body_limit:
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes)
        self._body_limit = self._body_room = max_bytes
        self._head_room = MAX_HEADER_BYTES

    def reply(self, code: int) -> Response:
        """The answer of a transfer that ended with libcurl's ``code``.

        Raises:
            Failure: the code is not 0.
        """
        failure = self._failure(code) if code else None
        if not code and not _whole(self._head):
            failure = Failure(Reason.CONNECT, "the connection was closed in the middle of the headers")
        if _log.isEnabledFor(logging.DEBUG):
            self._log(failure)
        if failure is not None:
            raise failure
        curl, body = self.curl, self._body
        return Response(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            body=body[0] if len(body) == 1 else b"".join(body),
            headers=Headers(self._head),
            url=(self._request and self._request.url) or "",
            timing=_timing(curl),
        )

    def _log(self, failure: Failure | None) -> None:
        """One line for the transfer that has ended."""
        seconds = round(self.curl.getinfo(pycurl.TOTAL_TIME), 6)
        request = self._request
        if request is None:
            return
        end = (
            {"status": self.curl.getinfo(pycurl.RESPONSE_CODE)}
            if failure is None
            else {"reason": failure.reason, "detail": failure.detail}
        )
        url = masked_url(request.url or "")
        _log.debug("request", extra={"method": request.method, "url": url, **end, "seconds": seconds})

    def clear(self) -> None:
        """Forgets the transfer: nothing of it, no header either, is left for the next."""
        self._request = None
        self._body, self._head = [], []
        if self._plain:
            self.curl.unsetopt(pycurl.HTTPHEADER)
        else:
            self.curl.reset()
            self._body_limit = 0
            self._set_up()

    def _take_body(self, data: bytes) -> int | None:
        self._body_room -= len(data)
        if self._body_room < 0:
            return 0
        self._body.append(data)
        return None

    def _take_head(self, line: bytes) -> int | None:
        self._head_room -= len(line)
        if self._head_room < 0:
            return 0
        self._head.append(line)
        return None

    def _failure(self, code: int) -> Failure:
        if code == BAD_ARGUMENT and self._route.tls.cert_file:
            # This is how libcurl calls a key that it cannot decrypt.
            code = CLIENT_CERTIFICATE
        reason, words = FAULTS.get(code, (Reason.INTERNAL, "libcurl met a fault that we do not know"))
        if code == NOT_TAKEN and self._body_room < 0:
            reason, words = Reason.TOO_LARGE, f"the unpacked answer is over {self._body_limit} bytes"
        elif code == NOT_TAKEN and self._head_room < 0:
            reason, words = Reason.TOO_LARGE, f"the headers are over {MAX_HEADER_BYTES} bytes"
        elif note := _note(self.curl, code):
            words = f"{words}: {note}"
        return Failure(reason, f"{words} (libcurl error {code})")


def _set_up_http(curl: pycurl.Curl) -> None:
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PATH_AS_IS, 1)
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
    curl.setopt(pycurl.ACCEPT_ENCODING, "")
    curl.setopt(pycurl.USERAGENT, "")
    curl.setopt(pycurl.MAXLIFETIME_CONN, MAX_CONNECTION_SECONDS)


def _set_up_tls(curl: pycurl.Curl, tls: Tls) -> None:
    trusted = os.fsencode(tls.trusted())
    for ca_file, ca_path in ((pycurl.CAINFO, pycurl.CAPATH), (pycurl.PROXY_CAINFO, pycurl.PROXY_CAPATH)):
        curl.setopt(ca_file, trusted)
        # A folder that libcurl was built with would be trusted besides.
        curl.unsetopt(ca_path)
    curl.setopt(pycurl.SSLVERSION, _TLS_VERSIONS[tls.min_version])
    if tls.crl_file:
        curl.setopt(pycurl.CRLFILE, os.fsencode(tls.crl_file))
    if tls.cert_file:
        curl.setopt(pycurl.SSLCERT, os.fsencode(tls.cert_file))
        curl.setopt(pycurl.SSLKEY, os.fsencode(tls.key_file or tls.cert_file))
        # Given none, or an empty one, OpenSSL would ask for a passphrase at the terminal.
        curl.setopt(pycurl.KEYPASSWD, "none")
    if tls.insecure_skip_verify:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)


def _set_up_proxy(curl: pycurl.Curl, route: Route) -> None:
    if route.proxy_url:
        curl.setopt(pycurl.PROXY, route.proxy_url.encode())
        curl.setopt(pycurl.NOPROXY, "")


def _rename_server(curl: pycurl.Curl, url: str, route: Route, headers: list[bytes]) -> str:
    """Asks for the certificate's name while connecting to, and naming in ``Host``, the URL's host."""
    parts = urlsplit(url)
    name, port = route.tls.server_name, parts.port or 443
    real = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    curl.setopt(pycurl.CONNECT_TO, [f"{name}:{port}:{real}:{port}"])
    if not route.proxy_url:
        # NO_PROXY is about the host of the URL, not about the certificate's name.
        curl.setopt(pycurl.NOPROXY, "*" if should_bypass_proxies(url, None) else "")
    if not any(line.lower().startswith(b"host:") for line in headers):
        headers.append(b"Host: " + parts.netloc.encode())
    return url.replace(f"https://{parts.netloc}", f"https://{name}:{port}", 1)


def _header_lines(request: PreparedRequest) -> list[bytes]:
    lines = []
    for name, value in request.headers.items():
        # A session of `requests` sets some of them; libcurl writes them as the connection needs them.
        if name.lower() not in CONNECTION_HEADERS:
            text = value if isinstance(value, str) else value.decode("latin-1")
            # libcurl's way to say "empty"; with a colon it would leave the header out.
            lines.append(f"{name}: {text}" if text else f"{name};")
    if not lines:
        return []
    head = "\n".join(lines)
    if head.count("\n") >= len(lines) or "\r" in head or "\0" in head:
        raise Failure(Reason.INTERNAL, "a header of the request holds a line break")
    try:
        return head.encode("latin-1").split(b"\n")
    except UnicodeEncodeError:
        raise Failure(Reason.INTERNAL, "a header of the request is not Latin-1") from None


def _set_body(curl: pycurl.Curl, request: PreparedRequest, headers: list[bytes]) -> None:
    body = request.body or b""
    if not isinstance(body, str | bytes):
        raise Failure(Reason.INTERNAL, "the body of a request must be text or bytes")
    if request.method == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
        return
    if body or request.method == "POST":
        curl.setopt(pycurl.POSTFIELDS, body.encode() if isinstance(body, str) else body)
        headers.append(b"Expect:")
        if "Content-Type" not in request.headers:
            headers.append(b"Content-Type:")
    curl.setopt(pycurl.CUSTOMREQUEST, request.method or "GET")


def _whole(head: list[bytes]) -> bool:
    """Whether the last head has come to its end; libcurl itself takes a part for the whole."""
    for line in reversed(head):
        if line in (b"\r\n", b"\n"):
            return True
        if line.startswith(b"HTTP/"):
            break
    return False


def _timing(curl: pycurl.Curl) -> Timing:
    # libcurl tells when each phase ended, counted from the start; 0 where there was none.
    name_lookup, connected = curl.getinfo(pycurl.NAMELOOKUP_TIME), curl.getinfo(pycurl.CONNECT_TIME)
    secured, ready = curl.getinfo(pycurl.APPCONNECT_TIME), curl.getinfo(pycurl.PRETRANSFER_TIME)
    return Timing(
        name_lookup,
        max(0.0, connected - name_lookup),
        max(0.0, secured - connected),
        max(0.0, curl.getinfo(pycurl.STARTTRANSFER_TIME) - ready),
        curl.getinfo(pycurl.TOTAL_TIME),
    )


def _note(curl: pycurl.Curl, code: int) -> str:
    """What is known besides the number, from figures only."""
    if code == TIMED_OUT:
        return f"{_phase(curl)} after {curl.getinfo(pycurl.TOTAL_TIME):.1f} s"
    if code == BAD_CERTIFICATE:
        return CERTIFICATE_FAULTS.get(curl.getinfo(pycurl.SSL_VERIFYRESULT), "")
    if (refused := curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= 300:
        return f"the proxy answered {refused}"
    if number := curl.getinfo(pycurl.OS_ERRNO):
        return os.strerror(number)
    return ""


def _phase(curl: pycurl.Curl) -> str:
    if not curl.getinfo(pycurl.NAMELOOKUP_TIME):
        return "still looking up the name"
    if not curl.getinfo(pycurl.CONNECT_TIME):
        return "still connecting"
    if not curl.getinfo(pycurl.REQUEST_SIZE):
        return "still in the TLS handshake"
    if not curl.getinfo(pycurl.HEADER_SIZE):
        return "no answer yet"
    return "still receiving"
