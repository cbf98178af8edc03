"""One system: its requests prepared once, its credentials, its wire.

Drives a provider's generator and turns whatever goes wrong into a `Failure` with its reason. How
many reads run at a time, and when, is the collector's business.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest

from exporter import __version__
from exporter.auth.credential import Credential
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.dates import http_date
from exporter.model.failure import Failure, Reason, reason_of_status
from exporter.model.http import Request, Response
from exporter.model.job import Job, State, Status
from exporter.model.pacing import retry_after
from exporter.providers.base import Counting, DiscoverKeys, Found, Listing, Provider, Steps
from exporter.providers.values import count
from exporter.transport import ClientCertificate, ConnectionSettings, ReloadingPool
from exporter.upstream.renewal import Renewal
from exporter.upstream.trace import Trace

_log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
MAX_LISTING_BODY = 16 << 20
MAX_ASKS = 10
MAX_PAGES = 500
MAX_FOUND = 100_000
LISTING_SECONDS = 60.0
MAX_PREPARED = 1000
USER_AGENT = f"remote-job-exporter/{__version__}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One attempt to read one job: what was understood, or why it was not.

    Args:
        read_at: Unix time at which the attempt began.
        seconds: how long it took.
    """

    status: Status | None
    failure: Failure | None
    read_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Listed:
    """One attempt to list the jobs of a system: what was found by ``job_id``, or why nothing was."""

    found: Mapping[str, Found]
    failure: Failure | None
    read_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Counted:
    """One attempt to count the jobs of a system by our states, or why it failed."""

    counts: Mapping[State, int] | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How much one read or listing may take, in monotonic seconds, bytes and requests."""

    deadline: float
    timeout: float
    max_bytes: int
    max_asks: int
    trace: Trace | None = None

    def remaining(self, now: float) -> float:
        return min(self.deadline - now, self.timeout)

    def count(self, ask: Request, asked: set[Request]) -> None:
        if ask in asked:
            raise Failure(Reason.INVALID_RESPONSE, "the same was to be asked again: it goes round in circles")
        asked.add(ask)
        if len(asked) > self.max_asks:
            raise Failure(Reason.TOO_LARGE, f"more than {self.max_asks} requests were needed")


class Upstream:
    """How to talk to one system. Lives on one event loop.

    Attributes:
        not_before: monotonic time until which the vendor wants no request of ours at all.
        place: the host that is asked and the proxy in use, for log lines.
        max_prepared: how many requests are kept ready; the oldest are made anew.
        rate_limit_remaining: calls the vendor still allows, where its last response says so.

    Args:
        base_url: the address that every ask's path is appended to.
        timeout: seconds for one whole read, however many requests it takes.
        headers: sent with every request besides those of the ask and of the credential.
    """

    def __init__(  # noqa: PLR0913  # all by keyword
        self,
        *,
        base_url: str,
        provider: Provider,
        credential: Credential,
        connection: ConnectionSettings,
        timeout: float,
        concurrency: int,
        headers: Mapping[str, str],
        instrumentation: SystemInstrumentation,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self.provider = provider
        self.rate_limit_remaining: int | None = None
        self.not_before = -inf
        self.max_prepared = MAX_PREPARED
        self._base_url = base_url
        self._timeout = timeout
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._instrumentation = instrumentation
        self._credential = credential
        credential.bind(base_url, self._headers)
        self._renewal = Renewal(credential, connection, timeout, instrumentation, clock)
        self._prepared: dict[Request, tuple[object, PreparedRequest]] = {}
        self._explained = False
        self.place = _place(base_url, connection)
        self._pool = ReloadingPool(connection, clock, max_connections=concurrency, grace=timeout)
        self._certificate = ClientCertificate(connection.tls)

    async def read(self, job: Job, previous: Status | None, trace: Trace | None = None) -> Reading:
        """Reads one job once; every fault is in the answer, none is raised.

        Args:
            previous: the status that was understood before, if any.
            trace: takes in what is sent and comes back.
        """
        read_at, began = self._clock.time(), self._clock.monotonic()
        bounds = _Bounds(began + self._timeout, self._timeout, MAX_BODY, MAX_ASKS, trace)
        status, failure = await self._attempt(lambda: self.provider.read(job, previous), bounds, {})
        return Reading(status, failure, read_at, self._clock.monotonic() - began)

    async def list_jobs(self, keys: DiscoverKeys, trace: Trace | None = None) -> Listed:
        """Lists the jobs of the system once; every fault is in the answer, none is raised."""
        read_at, began = self._clock.time(), self._clock.monotonic()
        found: dict[str, Found] = {}
        bounds = _Bounds(began + LISTING_SECONDS, self._timeout, MAX_LISTING_BODY, MAX_PAGES, trace)
        _, failure = await self._attempt(lambda: self.provider.discover(keys, read_at), bounds, found)
        return Listed({} if failure else found, failure, read_at, self._clock.monotonic() - began)

    async def count_jobs(self) -> Counted:
        """Asks the system how many jobs it has in each state; every fault is in the answer."""
        bounds = _Bounds(self._clock.monotonic() + self._timeout, self._timeout, MAX_BODY, MAX_ASKS)
        return Counted(*(await self._attempt(self._counting, bounds, {})))

    def _counting(self) -> Counting:
        steps = self.provider.summary()
        if steps is None:
            raise TypeError("the provider has no summary")
        return steps

    async def _attempt(
        self, begin: Callable[[], Steps | Listing | Counting], bounds: _Bounds, found: dict[str, Found]
    ) -> tuple[Any, Failure | None]:
        """What a provider returns, or why it did not."""
        try:
            with self._pool.in_use():
                return await self._drive(begin(), bounds, found), None
        except Failure as failure:
            return None, failure
        except Exception as error:  # noqa: BLE001  an error of ours costs this read, not the scrape
            internal = Failure(Reason.INTERNAL, type(error).__name__)
            internal.__cause__ = error
            return None, internal

    def credentials_expiry(self) -> float | None:
        """Unix time at which the first of the credentials ends unless somebody acts, where that is known."""
        ends = self._credential.expires_at(), self._certificate.expires_at()
        return min((end for end in ends if end is not None), default=None)

    async def close(self, *, grace: float) -> None:
        """Ends all connections; reads still under way have ``grace`` seconds before they fail."""
        await self._pool.close(grace)

    async def _drive(
        self, steps: Steps | Listing | Counting, bounds: _Bounds, found: dict[str, Found]
    ) -> Any:
        """Answers what a provider asks until it returns, and gathers what it finds on the way."""
        thrown: Failure | None = None
        asked: set[Request] = set()
        try:
            item = next(steps)
            while True:
                if isinstance(item, Found):
                    self._gather(item, found)
                    item = next(steps)
                    continue
                bounds.count(item, asked)
                try:
                    answer = await self._ask(item, bounds)
                except Failure as failure:
                    thrown = failure
                    item = steps.throw(failure)
                else:
                    item = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        except Failure as failure:
            if failure is not thrown:  # the provider's own verdict on an answer
                self._instrumentation.failed(failure.reason)
            raise
        finally:
            steps.close()

    def _gather(self, item: Found, found: dict[str, Found]) -> None:
        found[self.provider.identify(item.keys)[0]] = item
        if len(found) > MAX_FOUND:
            raise Failure(Reason.TOO_LARGE, f"the listing names more than {MAX_FOUND} jobs")

    async def _ask(self, ask: Request, bounds: _Bounds) -> Response:
        try:
            reply = await self._send(ask, bounds)
        except Failure as failure:
            if failure.reason is not Reason.AUTH:  # counted once, where the credential could not be had
                self._instrumentation.failed(failure.reason)
            raise
        if 200 <= reply.status < 300 or reply.status in ask.expect:
            self._explained = False
            return reply
        reason = reason_of_status(reply.status)
        self._instrumentation.failed(reason)
        wait = _retry_after(reply.headers, self.provider.retry_after_headers, self._clock.time())
        detail = f"HTTP status {reply.status}"
        if why := self._credential.explain(reply.headers) if reply.status == 401 else "":
            detail = f"{detail}: {why}"
            if not self._explained:
                _log.warning(
                    "requests are refused", extra={"system": self._instrumentation.system, "detail": why}
                )
            self._explained = True
        refused = Failure(reason, detail, status=reply.status, retry_after=wait)
        self._hold(refused)
        raise refused

    def _hold(self, failure: Failure) -> None:
        """A rate limit that is the whole client's holds back every job of the system."""
        wait = retry_after(failure)
        limited = failure.reason is Reason.RATE_LIMITED and self.provider.rate_limit_scope == "system"
        if limited and wait is not None:
            self.not_before = max(self.not_before, self._clock.monotonic() + wait)

    async def _send(self, ask: Request, bounds: _Bounds) -> Response:
        """Sends one request with proof of who we are; a refused credential is renewed once."""
        version = await self._renewal.ready(bounds.deadline)
        reply = await self._send_once(ask, version, bounds)
        if reply.status == 401 and self._credential.rejected(version):
            version = await self._renewal.ready(bounds.deadline)
            reply = await self._send_once(ask, version, bounds)
        return reply

    async def _send_once(self, ask: Request, version: object, bounds: _Bounds) -> Response:
        request = self._prepare(ask, version)
        remaining = bounds.remaining(self._clock.monotonic())
        if remaining <= 0:
            raise Failure(Reason.TIMEOUT, "no time left for another request")
        if bounds.trace is not None:
            bounds.trace.sending(self._plain(ask), request)
        try:
            reply = await self._pool.send(request, timeout=remaining, max_bytes=bounds.max_bytes)
        except Failure as failure:
            self.rate_limit_remaining = None
            if bounds.trace is not None:
                bounds.trace.failed(failure)
            raise
        if bounds.trace is not None:
            bounds.trace.answered(reply)
        self._instrumentation.answered(reply.status, reply.timing.total)
        # A refusal's cookies are those of a stranger.
        if self._credential.keeps_cookies and 200 <= reply.status < 300:
            self._credential.store_cookies(version, reply.headers.every("set-cookie"))
        if header := self.provider.rate_limit_remaining_header:
            self.rate_limit_remaining = count(reply.headers.get(header))
        return reply

    def _plain(self, ask: Request) -> PreparedRequest:
        """The request for an ask, without proof of who we are."""
        url, headers = self._base_url + ask.path, {**self._headers, **dict(ask.headers)}
        return requests.Request(ask.method, url, headers=headers, data=ask.body or None).prepare()

    def _prepare(self, ask: Request, version: object) -> PreparedRequest:
        """The request for an ask, made once and kept while the credential stays the same.

        A signature holds for one send only: it goes onto a copy, and what is kept has none.
        """
        signs = self._credential.signs
        kept = self._prepared.get(ask)
        if kept is None or (kept[0] != version and not signs):
            kept = version, self._plain(ask)
            if not signs:
                self._credential.apply(kept[1])
            if len(self._prepared) >= self.max_prepared:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[ask] = kept
        if not signs:
            return kept[1]
        request = kept[1].copy()
        self._credential.apply(request)
        return request


def _place(base_url: str, connection: ConnectionSettings) -> dict[str, str]:
    proxy = connection.proxy(base_url)
    return {"host": urlsplit(base_url).netloc, **({"proxy": proxy} if proxy else {})}


def _retry_after(headers: Mapping[str, str], names: tuple[str, ...], now: float) -> float | None:
    """How many seconds to wait: ``Retry-After`` as a number or a date (RFC 9110 section 10.2.3)."""
    value = next((headers[name] for name in names if name in headers), "")
    seconds = count(value)
    if seconds is not None:
        return float(seconds)
    moment = http_date(value)
    return None if moment is None else max(0.0, moment - now)
