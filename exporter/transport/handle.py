"""One easy handle of libcurl: configured once, reused by one transfer after another."""

import logging
import math
import os
from urllib.parse import urlsplit

import pycurl

from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Response, Timing
from exporter.runtime.secret import masked_url
from exporter.transport.curl_errors import CERTIFICATE_ERRORS, CURL_ERRORS
from exporter.transport.pem import Pem
from exporter.transport.prepared import Outgoing, lines_of
from exporter.transport.settings import ConnectionSettings, Tls, bypasses_proxies

_log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 * 1024
BUFFER_BYTES = 1024
"""What libcurl receives at a time; before it returns, it does so some 40 times. In chunks of one byte, each
of which is a call of a callback, that takes 10 ms; with its default of 16 KiB it would take 100 ms.
"""
MAX_HEADER_LINES = 1000
"""Ten times as many as servers need."""
MAX_CONNECTION_SECONDS = 600

_ENDED = frozenset({16, pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR})
"""libcurl's numbers for the end of a connection; 16 is that of HTTP/2.

Not 92, a stream that ended alone: the server may want fewer requests (ENHANCE_YOUR_CALM).
"""

_AT_PROXY = frozenset({pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT, 97})
"""libcurl's numbers for errors at the proxy, if one is in use; 97 is that of the handshake with it."""
_REFUSED = 300
"""The lowest status with which a proxy refuses a tunnel."""

_PORTS = {"http": 80, "https": 443}

_TLS_VERSIONS = {"TLS12": pycurl.SSLVERSION_TLSv1_2, "TLS13": pycurl.SSLVERSION_TLSv1_3}


class Dropped(Failure):
    """A kept connection ended before the first byte of the response.

    Servers close idle connections, possibly while a request arrives. All requests only read, so one can be
    sent again, whatever its method (RFC 9110 section 9.2.2), and in any case if the server has refused it
    (RFC 9113 section 8.7). libcurl itself sends it again, up to five times, but on other kept connections if
    there are any, and not after each of these errors.
    """


class Handle:
    """An easy handle and what its transfer has received.

    For each transfer: ``load`` the request, let libcurl perform it, read the ``response``, and ``clear``
    whatever happened.

    Args:
        pem: the content of the TLS files.
        hides_query: no value in the query of a URL is logged, whatever its name.
    """

    def __init__(self, settings: ConnectionSettings, pem: Pem, *, hides_query: bool = False) -> None:
        self.curl = pycurl.Curl()
        self._settings = settings
        self._pem = pem
        self._hides_query = hides_query
        self._method = self._url = ""
        # Not a list: a server can send a body in pieces of one byte, each of which would be an object.
        self._body, self._head = bytearray(), bytearray()
        self._body_limit = self._body_left = 0
        self._set_up()

    def _set_up(self) -> None:
        _set_up_http(self.curl)
        _set_up_tls(self.curl, self._settings.tls, self._pem)
        _set_up_proxy(self.curl, self._settings)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        # For each line. No limit is needed here: libcurl accepts 300 kB of headers at most.
        self.curl.setopt(pycurl.HEADERFUNCTION, self._head.extend)
        self._needs_reset = False

    def load(self, request: Outgoing, timeout: float, max_bytes: int, *, fresh: bool = False) -> None:
        """Configures the handle for a request.

        Args:
            request: prepared; its body, if any, is text or bytes.
            timeout: seconds for the whole transfer.
            max_bytes: limit of the unpacked body.
            fresh: send it on a new connection.

        Raises:
            Failure: ``internal``, libcurl cannot send such a request.
        """
        curl, url = self.curl, request.url or ""
        self._method, self._url = request.method or "", url
        if not url.startswith(("http://", "https://")) or not url.isascii():
            raise Failure(Reason.INTERNAL, "the URL must be prepared, with scheme http or https")
        headers = [*lines_of(request)]
        if self._settings.tls.server_name and url.startswith("https://"):
            self._needs_reset = True
            url = _override_server_name(curl, url, self._settings, headers)
        curl.setopt(pycurl.URL, url)
        if request.method != "GET" or request.body:
            self._needs_reset = True
            _set_body(curl, request, headers)
        curl.setopt(pycurl.HTTPHEADER, headers)
        if fresh:
            self._needs_reset = True
            curl.setopt(pycurl.FRESH_CONNECT, 1)
        # 0 would mean no timeout.
        curl.setopt(pycurl.TIMEOUT_MS, max(1, math.ceil(timeout * 1000)))
        if max_bytes != self._body_limit:
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes)
        self._body_limit = self._body_left = max_bytes

    def response(self, code: int, *, phases: bool = False) -> Response:
        """The response of a transfer that ended with libcurl's ``code``.

        Args:
            phases: its timing has each phase, not only the total.

        Raises:
            Failure: the code is not 0; a `Dropped` if the request can be sent again.
        """
        head = bytes(self._head)
        failure = None
        if code or _is_too_large(head) or not _is_complete(head):
            failure = self._failure(code, head)
        if _log.isEnabledFor(logging.DEBUG):
            self._log(failure)
        if failure is not None:
            raise failure
        curl = self.curl
        return Response(
            curl.getinfo(pycurl.RESPONSE_CODE),
            bytes(self._body),
            Headers(head),
            self._url,
            _phases(curl) if phases else Timing(total=curl.getinfo(pycurl.TOTAL_TIME)),
        )

    def _log(self, failure: Failure | None) -> None:
        url = masked_url(self._url, every=self._hides_query)
        fields: dict[str, object] = {"method": self._method, "url": url}
        if failure is None:
            fields["status"] = self.curl.getinfo(pycurl.RESPONSE_CODE)
        else:
            fields |= {"reason": failure.reason, "detail": failure.detail}
        seconds = round(self.curl.getinfo(pycurl.TOTAL_TIME), 6)
        _log.debug("request", extra={**fields, "seconds": seconds})

    def clear(self) -> None:
        """Removes everything of the transfer, its headers too, before the next one."""
        self._method = self._url = ""
        self._body.clear()
        self._head.clear()
        if self._needs_reset:
            self.curl.reset()
            self._body_limit = 0
            self._set_up()
        else:
            self.curl.unsetopt(pycurl.HTTPHEADER)

    def _on_body(self, data: bytes) -> int | None:
        self._body_left -= len(data)
        if self._body_left < 0:
            return 0
        self._body += data
        return None

    def _failure(self, code: int, head: bytes) -> Failure:
        if _is_too_large(head):
            limits = f"{MAX_HEADER_BYTES} bytes or {MAX_HEADER_LINES} lines"
            detail = f"the response headers are over {limits} ({self._peers(code)})"
            return Failure(Reason.TOO_LARGE, detail)
        if not code:
            detail = "the connection was closed in the middle of the response headers"
            return Failure(Reason.CONNECT, f"{detail} ({self._peers(code)})")
        if code == pycurl.E_BAD_FUNCTION_ARGUMENT and self._settings.tls.cert_file:
            # libcurl's number for a key that it cannot decrypt.
            code = pycurl.E_SSL_CERTPROBLEM
        reason, description = CURL_ERRORS.get(code, (Reason.INTERNAL, "unknown error of libcurl"))
        if code == pycurl.E_WRITE_ERROR and self._body_left < 0:
            reason = Reason.TOO_LARGE
            description = f"the decoded response body is over {self._body_limit} bytes"
        elif code == pycurl.E_OPERATION_TIMEDOUT:
            seconds = self.curl.getinfo(pycurl.TOTAL_TIME)
            description = f"{description} after {seconds:.1f} s {_phase(self.curl)}"
        elif cause := _cause(self.curl, code):
            description = f"{description}: {cause}"
        detail = f"{description} ({self._peers(code)}, libcurl error {code})"
        if code in _ENDED and not head and not self.curl.getinfo(pycurl.NUM_CONNECTS):
            return Dropped(Reason.CONNECT, detail)
        return Failure(reason, detail)

    def _peers(self, code: int) -> str:
        """Host and port of the URL and, if a proxy is in use, of that; without user names and passwords."""
        url = urlsplit(self._url)
        host = url.netloc.rpartition("@")[2]
        if ":" not in host.rpartition("]")[2]:
            host = f"{host}:{_PORTS[url.scheme]}"
        if not (proxy := self._settings.proxy(self._url)):
            return host
        at_proxy = code in _AT_PROXY or self.curl.getinfo(pycurl.HTTP_CONNECTCODE) >= _REFUSED
        return f"the proxy {proxy} for {host}" if at_proxy else f"{host} through the proxy {proxy}"


def _set_up_http(curl: pycurl.Curl) -> None:
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PATH_AS_IS, 1)
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
    curl.setopt(pycurl.ACCEPT_ENCODING, "")
    curl.setopt(pycurl.USERAGENT, "")
    curl.setopt(pycurl.MAXLIFETIME_CONN, MAX_CONNECTION_SECONDS)


def _set_up_tls(curl: pycurl.Curl, tls: Tls, pem: Pem) -> None:
    # A path and no content: libcurl caches what it has read from a path, and CAs take long to read.
    trusted = os.fsencode(pem.trusted.path)
    for ca_file, ca_path in ((pycurl.CAINFO, pycurl.CAPATH), (pycurl.PROXY_CAINFO, pycurl.PROXY_CAPATH)):
        curl.setopt(ca_file, trusted)
        # Otherwise libcurl would also trust the directory that was set when it was built.
        curl.unsetopt(ca_path)
    curl.setopt(pycurl.SSLVERSION, _TLS_VERSIONS[tls.min_version])
    if pem.crl is not None:
        curl.setopt(pycurl.CRLFILE, os.fsencode(pem.crl.path))
    if pem.cert is not None:
        curl.setopt(pycurl.SSLCERT_BLOB, pem.cert)
        curl.setopt(pycurl.SSLKEY_BLOB, pem.key)
        # Without one, or with an empty one, OpenSSL would ask for the passphrase on the terminal.
        curl.setopt(pycurl.KEYPASSWD, "none")
    if tls.insecure_skip_verify:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)


def _set_up_proxy(curl: pycurl.Curl, settings: ConnectionSettings) -> None:
    if settings.proxy_url:
        curl.setopt(pycurl.PROXY, settings.proxy_url.encode())
        curl.setopt(pycurl.NOPROXY, "")


def _override_server_name(
    curl: pycurl.Curl, url: str, settings: ConnectionSettings, headers: list[bytes]
) -> str:
    """Verifies the certificate for ``server_name``; connects to the URL's host and sends that as ``Host``."""
    parts = urlsplit(url)
    name, port = settings.tls.server_name, parts.port or 443
    real = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    curl.setopt(pycurl.CONNECT_TO, [f"{name}:{port}:{real}:{port}"])
    if not settings.proxy_url:
        # NO_PROXY applies to the host of the URL, not to the certificate's name.
        curl.setopt(pycurl.NOPROXY, "*" if bypasses_proxies(url) else "")
    if not any(line.lower().startswith(b"host:") for line in headers):
        headers.append(b"Host: " + parts.netloc.encode())
    return url.replace(f"https://{parts.netloc}", f"https://{name}:{port}", 1)


def _set_body(curl: pycurl.Curl, request: Outgoing, headers: list[bytes]) -> None:
    body = request.body or b""
    if not isinstance(body, str | bytes):
        raise Failure(Reason.INTERNAL, "the request body must be text or bytes")
    if request.method == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
        return
    if body or request.method == "POST":
        curl.setopt(pycurl.POSTFIELDS, body.encode() if isinstance(body, str) else body)
        headers.append(b"Expect:")
        if "Content-Type" not in request.headers:
            headers.append(b"Content-Type:")
    curl.setopt(pycurl.CUSTOMREQUEST, request.method or "GET")


def _is_too_large(head: bytes) -> bool:
    return len(head) > MAX_HEADER_BYTES or head.count(b"\n") > MAX_HEADER_LINES


def _is_complete(head: bytes) -> bool:
    """Whether the last header section has ended; libcurl itself accepts a truncated one."""
    last = head.rfind(b"\nHTTP/") + 1
    return head.find(b"\n\r\n", last) >= 0 or head.find(b"\n\n", last) >= 0


def _phases(curl: pycurl.Curl) -> Timing:
    # libcurl has the end of each phase, in seconds from the start; 0 if there was no such phase.
    name_lookup, connected = curl.getinfo(pycurl.NAMELOOKUP_TIME), curl.getinfo(pycurl.CONNECT_TIME)
    secured, ready = curl.getinfo(pycurl.APPCONNECT_TIME), curl.getinfo(pycurl.PRETRANSFER_TIME)
    return Timing(
        name_lookup,
        max(0.0, connected - name_lookup),
        max(0.0, secured - connected),
        max(0.0, curl.getinfo(pycurl.STARTTRANSFER_TIME) - ready),
        curl.getinfo(pycurl.TOTAL_TIME),
    )


def _cause(curl: pycurl.Curl, code: int) -> str:
    """What libcurl knows besides its error number, derived from numbers only."""
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        return CERTIFICATE_ERRORS.get(curl.getinfo(pycurl.SSL_VERIFYRESULT), "")
    if (status := curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= _REFUSED:
        return f"the proxy responded with HTTP status {status}"
    if number := curl.getinfo(pycurl.OS_ERRNO):
        return os.strerror(number)
    return ""


def _phase(curl: pycurl.Curl) -> str:
    # On a kept connection, libcurl can report 0 for the phases that connect.
    if not curl.getinfo(pycurl.REQUEST_SIZE):
        if not curl.getinfo(pycurl.NAMELOOKUP_TIME):
            return "while resolving the host name"
        return "during the TLS handshake" if curl.getinfo(pycurl.CONNECT_TIME) else "while connecting"
    if not curl.getinfo(pycurl.HEADER_SIZE):
        return "while waiting for the response"
    return "while receiving the response"
