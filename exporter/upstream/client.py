"""The HTTP client of one system: sends requests with its credential over its connection pool."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from exporter import __version__
from exporter.auth.credential import Credential
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.http import Headers, Request, Response
from exporter.providers.rate_limit import USUAL, RateLimit
from exporter.providers.values import instant
from exporter.runtime.compute import Turns
from exporter.runtime.secret import masked_url
from exporter.transport import ClientCertificate, ConnectionSettings, Dropped, PreparedRequest, ReloadingPool
from exporter.upstream.prepared import PreparedRequests
from exporter.upstream.renewal import Renewal
from exporter.upstream.sign_in import asks_to_sign_in, is_sign_in_page
from exporter.upstream.stored import StoredResponses
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

USER_AGENT = f"remote-job-exporter/{__version__}"

EXPIRY_HEADER = "github-authentication-token-expiration"
"""When the token of the request expires: ``2026-12-01 10:00:00 UTC``, or with an offset such as ``-0700``."""


@asynccontextmanager
async def _held(lock: asyncio.Lock, seconds: float) -> AsyncIterator[None]:
    """Acquires a lock, or nothing if that would take longer."""
    held = False
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            held = await lock.acquire()
    try:
        yield
    finally:
        if held:
            lock.release()


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client sends to one system, and how much at a time.

    Args:
        base_url: the path of each request is appended to it.
        headers: sent with every request.
        timeout: seconds for one request, and for one whole read.
        concurrency: limit of requests at a time.
        conditional: whether a response that did not change may be confirmed instead of sent again.
    """

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    concurrency: int
    conditional: bool = True


class Client:
    """Sends the requests of one system. Lives on one event loop.

    Attributes:
        place: the host and, if there is one, the proxy: fields of log lines.
        authenticates: whether requests have a credential.
        timeout: seconds for one request, and for one whole read.
        in_use: makes `close` wait; a read may send more requests after the one under way.
        rate_limit_remaining: requests that the vendor still allows, if its last response shows that.

    Args:
        rate_limit: reads the rate limit from responses.
        turns: of the event loop.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        credential: Credential,
        connection: ConnectionSettings,
        instrumentation: SystemInstrumentation,
        clock: Clock,
        rate_limit: RateLimit = USUAL,
        turns: Turns | None = None,
    ) -> None:
        base_url, timeout = settings.base_url, settings.timeout
        self.clock = clock
        self.timeout = timeout
        self.instrumentation = instrumentation
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **settings.headers}
        credential.bind(base_url, headers)
        self._credential = credential
        self.authenticates = credential.kind != "none"
        self._prepared = PreparedRequests(base_url, headers, credential)
        self._renewal = Renewal(credential, connection, timeout, instrumentation, clock)
        self._alone: tuple[object, asyncio.Lock] = None, asyncio.Lock()
        self._pool = ReloadingPool(
            connection, clock, max_connections=settings.concurrency, grace=timeout, turns=turns
        )
        self.in_use: AbstractContextManager[None] = self._pool
        # A signature is for the headers of one request, so none may be added.
        stores = settings.conditional and not credential.signs
        self._stored = StoredResponses(clock) if stores else None
        self.rate_limit_remaining: int | None = None
        self._rate_limit = rate_limit
        self._observed = tuple(filter(None, ("limit", EXPIRY_HEADER, rate_limit.remaining)))
        self._renews = type(credential).renew is not Credential.renew
        self._header_expiry: tuple[object, float | None] = None, None
        self._expiry_error_logged = False
        self._certificate = ClientCertificate(connection.tls)
        self.place = {"host": urlsplit(base_url).netloc}
        if proxy := connection.proxy(base_url):
            self.place["proxy"] = proxy

    async def send(
        self, request: Request, *, deadline: float, max_bytes: int, trace: Trace | None = None
    ) -> Response:
        """Sends a request; if its credential is rejected, renews that and sends it a second time.

        It is rejected with a status of its ``rejections``, with a sign-in page or a redirect to one, and
        possibly with one of its ``doubts``.

        Args:
            deadline: monotonic time, for the renewal of the credential too.
            max_bytes: limit of the decoded body.
            trace: records what is sent and received.

        Returns:
            A response of any status.

        Raises:
            Failure: there is no response; reason ``auth``: there is no valid credential.
        """
        version, response = await self._send_ready(request, deadline, max_bytes, trace)
        if self._rejects(request, response):
            again = self._credential.rejected(version)
        else:
            again = response.status in self._credential.doubts and self._credential.doubted(version)
            again = again and await self._renewal.again(deadline) != version
        if again:
            _, response = await self._send_ready(request, deadline, max_bytes, trace)
        return response

    async def _send_ready(
        self, request: Request, deadline: float, max_bytes: int, trace: Trace | None
    ) -> tuple[object, Response]:
        """Sends a request with a valid credential; returns also the version of that.

        While that is unconfirmed, other requests wait for the response; after a failure, the next one is
        sent. Each waits at most half of its time, so a request that hangs does not stop the others.
        """
        version = await self._renewal.ready(deadline)
        while self._credential.is_unconfirmed(version):
            if self._alone[0] != version:
                self._alone = version, asyncio.Lock()
            seconds = min(deadline - self.clock.monotonic(), self.timeout) / 2
            async with _held(self._alone[1], seconds):
                waited_for, version = version, await self._renewal.ready(deadline)
                if version == waited_for and self._credential.is_unconfirmed(version):
                    return version, await self._send_once(request, version, deadline, max_bytes, trace)
        return version, await self._send_once(request, version, deadline, max_bytes, trace)

    def _rejects(self, request: Request, response: Response) -> bool:
        """Whether a response rejects the credential."""
        if response.status == 403 and self._rate_limit.forbids(response.headers):
            return False
        return response.status in self._credential.rejections or asks_to_sign_in(request, response)

    async def _send_once(
        self, request: Request, version: object, deadline: float, max_bytes: int, trace: Trace | None
    ) -> Response:
        prepared = self._prepared.with_credential(request, version)
        seconds = min(deadline - self.clock.monotonic(), self.timeout)
        if seconds <= 0:
            raise Failure(Reason.TIMEOUT, "no time left for another request")
        stored = self._stored.find(request, version) if self._stored is not None else None
        sent = prepared if stored is None else stored.ask(prepared)
        if trace is not None:
            plain = self._prepared.without_credential(request)
            trace.request(plain if stored is None else stored.ask(plain), sent)
        response = await self._exchange(sent, seconds, max_bytes, trace)
        self._observe(response.headers, version)
        if stored is not None and (why := stored.contradiction(response)):
            self._end_conditions(why)
            return await self._send_once(request, version, deadline, max_bytes, trace)
        confirmed = stored if response.status == 304 else None
        if trace is not None and confirmed is not None:
            trace.confirmed(len(confirmed.body))
        succeeded = 200 <= response.status < 300 and not is_sign_in_page(request, response)
        if self._credential.keeps_cookies:
            keep = succeeded or confirmed is not None or self._changes_session(request, response, version)
            self._credential.store_cookies(version, response.headers.every("set-cookie") if keep else ())
        if confirmed is not None:
            return confirmed.confirmed(response)
        if self._stored is not None and succeeded:
            self._stored.store(request, version, prepared, response)
        return response

    def _changes_session(self, request: Request, response: Response, version: object) -> bool:
        """Whether an error has cookies of this session: later ones may be for an anonymous one."""
        first = self._credential.is_unconfirmed(version)
        return first and response.status != 401 and not asks_to_sign_in(request, response)

    async def _exchange(
        self, sent: PreparedRequest, seconds: float, max_bytes: int, trace: Trace | None
    ) -> Response:
        try:
            response = await self._sent(sent, seconds, max_bytes, phases=trace is not None)
        except Failure as failure:
            self.rate_limit_remaining = None
            if trace is not None:
                trace.failure(failure)
            raise
        if trace is not None:
            trace.response(response)
        self.instrumentation.answered(response.status, response.timing.total)
        return response

    async def _sent(self, sent: PreparedRequest, seconds: float, max_bytes: int, *, phases: bool) -> Response:
        """The response; if the system has dropped the kept connection, that to a second request."""
        end = self.clock.monotonic() + seconds
        try:
            return await self._pool.send(sent, timeout=seconds, max_bytes=max_bytes, phases=phases)
        except Dropped:
            seconds = end - self.clock.monotonic()
            if seconds <= 0:
                raise
        self.instrumentation.retried()
        return await self._pool.send(sent, timeout=seconds, max_bytes=max_bytes, fresh=True, phases=phases)

    def _end_conditions(self, why: str) -> None:
        """Sends no condition any more: the server contradicts them, so its next 304 may be wrong as well."""
        if self._stored is not None:
            fields = {"system": self.instrumentation.system, "detail": why}
            _log.info("conditional requests do not work and are switched off", extra=fields)
        self._stored = None

    def shown(self, request: Request) -> str:
        """The method and the URL of a request, for people: without secrets."""
        plain = self._prepared.without_credential(request)
        return f"{plain.method} {masked_url(str(plain.url))}"

    def forget(self, request: Request) -> None:
        """Sends the next such request without a condition, so that the response has a body."""
        if self._stored is not None:
            self._stored.forget(request)

    def _observe(self, headers: Headers, version: object) -> None:
        """Reads what a response shows of the rate limit and of the credential that was sent."""
        self.rate_limit_remaining = None
        if headers.mention(*self._observed):
            self.rate_limit_remaining = self._rate_limit.calls_left(headers)
            # Errors of a gateway lack the header, so it is valid until the credential changes.
            if (expiry := _expiry(headers)) is not None:
                self._header_expiry = version, expiry

    def explain_unauthorized(self, response: Response) -> str:
        """Why the system responded with 401, in our own words, if the credential knows; else empty."""
        return self._credential.explain(response.headers) if response.status == 401 else ""

    def credentials_expiry(self) -> float | None:
        """Unix time at which the first credential expires that is not renewed here, if known."""
        try:
            ends = [self._credential.expires_at(), self._certificate.expires_at()]
            version, expiry = self._header_expiry
            if not self._renews and version == self._credential.version():
                ends.append(expiry)
        except Exception:  # noqa: BLE001  an error of a plug-in must not cost the scrape
            if not self._expiry_error_logged:
                fields = {"system": self.instrumentation.system}
                _log.exception("failed to read the expiry of credentials", extra=fields)
            self._expiry_error_logged = True
            return None
        return min((end for end in ends if end is not None), default=None)

    async def close(self, *, grace: float) -> None:
        """Closes all connections; reads in progress have ``grace`` seconds before they fail."""
        await self._pool.close(grace)


def _expiry(headers: Headers) -> float | None:
    return instant(headers.get(EXPIRY_HEADER, "").removesuffix(" UTC"))
