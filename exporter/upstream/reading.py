"""Reads one system: runs the generators of its provider and turns every error into a `Failure`.

How many reads run at a time, and when, is up to the collector.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from exporter.model.failure import Failure, Reason, reason_of_status
from exporter.model.http import Request, Response
from exporter.model.job import Job, State, Status
from exporter.model.pacing import bounded, retry_after
from exporter.providers.base import SHORT_BODY, Counting, DiscoverKeys, Found, ListingEnd, Provider
from exporter.runtime.compute import Compute
from exporter.upstream.client import Client
from exporter.upstream.echoes import NONE, Echoes, EchoesOf
from exporter.upstream.sign_in import is_sign_in_page, is_sign_in_redirect
from exporter.upstream.steps import Returned, Walk
from exporter.upstream.trace import Trace
from exporter.upstream.unknown_words import UnknownWords

_log = logging.getLogger(__name__)

MAX_FOUND = 100_000

T = TypeVar("T")
Steps = Generator[Request | Found, Any, T]
Send = Callable[[Request], Awaitable[Response]]


class ReadLimits(NamedTuple):
    """What one read may use.

    Args:
        seconds: for all its requests together; each has the system's timeout too.
        max_bytes: of one decoded response body.
        short_body: bytes of the largest body that is read on the event loop.
    """

    seconds: float
    max_bytes: int = 1 << 20
    max_requests: int = 10
    short_body: int = SHORT_BODY


# Each entry of a page costs as much as a job, so a page is short only up to 4 KiB. 4 MiB are 1,000 entries of
# 4 kB; to parse them takes 20 ms, in which nothing else runs.
LISTING_LIMITS = ReadLimits(60.0, max_bytes=4 << 20, max_requests=500, short_body=4 << 10)


class Outcome(Struct, Generic[T], frozen=True):
    """One attempt to read something: what was read, or why it failed.

    Args:
        read_at: Unix time at which the attempt began.
        seconds: how long it took.
        not_before: monotonic time before which the vendor wants no next read, although it answered this one.
    """

    value: T
    failure: Failure | None
    read_at: float
    seconds: float
    not_before: float = -inf


class Listed(Outcome[Mapping[str, Found]], frozen=True):
    """One attempt to list jobs; ``value`` is what was found, by ``job_id``, empty if it failed.

    Args:
        end: what else the listings reported.
        found_by: the number of the listing that found a job, by ``job_id``, if it is not the first.
    """

    end: ListingEnd = ListingEnd()
    found_by: Mapping[str, int] = msgspec.field(default_factory=dict)


class _Jobs:
    """What the listings of one system find.

    Attributes:
        found: by ``job_id``; of several listings the first counts, of several entries of one the last.
        found_by: as in `Listed`.
        skipped: how many jobs are left out, by the reason.
        listing: the number of the one that is read now.
    """

    def __init__(self, provider: Provider, unknown: UnknownWords, echoes: Callable[[], Echoes]) -> None:
        self.skipped: Counter[str] = Counter()
        self._echoes = echoes
        self.found: dict[str, Found] = {}
        self.found_by: dict[str, int] = {}
        self.listing = 0
        self._provider = provider
        self._unknown = unknown

    def add(self, job: Found) -> None:
        """Adds a job; fails with ``too_large`` if there are too many."""
        shown = self._echoes().found(job)
        if shown is None:
            self.skipped["a key of the job contains a secret of the exporter"] += 1
            return
        job = shown
        job_id, _ = self._provider.identify(job.keys)
        if job_id in self.found and self.found_by.get(job_id, 0) != self.listing:
            return
        self.found[job_id] = job
        if self.listing:
            self.found_by[job_id] = self.listing
        if job.status is not None:
            self._unknown.note(job_id, job.status)
        if len(self.found) > MAX_FOUND:
            raise Failure(Reason.TOO_LARGE, f"the listing has more than {MAX_FOUND} jobs")


Reading = Outcome[Status | None]
Counted = Outcome[Mapping[State, int] | None]


class Upstream:
    """Reads the jobs of one system. Lives on one event loop.

    Attributes:
        not_before: monotonic time before which the vendor allows no request at all.
        place: the host and the proxy, for log lines.
        compute: where responses are read.
    """

    def __init__(
        self,
        provider: Provider,
        client: Client,
        compute: Compute | None = None,
        echoes: EchoesOf | None = None,
    ) -> None:
        self.provider = provider
        self.compute = compute or Compute()
        self.place = client.place
        self.not_before = -inf
        self._rate_limit = provider.rate_limit()
        self._client = client
        self._limits = ReadLimits(client.timeout)
        self._instrumentation = client.instrumentation
        self._clock = client.clock
        self._rejection_logged = False
        self._echoes_of, self._echoes = echoes, NONE
        self._unknown = UnknownWords(client.instrumentation.system, provider.words)
        self.credentials_expiry = client.credentials_expiry
        self.close = client.close

    @property
    def rate_limit_remaining(self) -> int | None:
        """How many requests the vendor still allows, if its last response shows that."""
        return self._client.rate_limit_remaining

    def hold_until(self, moment: float) -> None:
        """Allows no request before a monotonic time, such as that of an upstream which this one replaces."""
        self.not_before = max(self.not_before, moment)

    async def read(self, job: Job, previous: Status | None, trace: Trace | None = None) -> Reading:
        """Reads one job once, ``previous`` being its last status; any error is in the outcome."""
        reading = await self._run(lambda: self.provider.read(job, previous), self._limits, trace)
        if reading.value is None:
            return reading
        status = self._echoes.status(reading.value)
        self._unknown.note(job.id, status)
        return reading if status is reading.value else replace(reading, value=status)

    def first_request(self, job: Job, previous: Status | None) -> str:
        """The request with which a read of the job begins, for people; empty if that fails. Sends nothing."""
        # A read reports its errors, also those of a plug-in.
        with suppress(Exception):
            steps = self.provider.read(job, previous)
            request = next(steps)
            steps.close()
            return self._client.shown(request)
        return ""

    async def list_jobs(self, listings: Sequence[DiscoverKeys], trace: Trace | None = None) -> Listed:
        """Lists the jobs of the system once, listing after listing; any error is in the outcome.

        The first listing that names a job counts. If one listing fails, all do: without its jobs, the
        others are only a part.
        """
        jobs = _Jobs(self.provider, self._unknown, lambda: self._echoes)
        skipped: Counter[str] = Counter()
        incomplete, not_before = "", -inf
        read_at, began = self._clock.time(), self._clock.monotonic()
        for jobs.listing, keys in enumerate(listings):
            start = partial(self.provider.discover, keys, self._clock.time())
            short = min(LISTING_LIMITS.short_body, keys.short_body)
            done = await self._run(start, LISTING_LIMITS._replace(short_body=short), trace, jobs)
            not_before = max(not_before, done.not_before)
            if done.failure is not None:
                seconds = self._clock.monotonic() - began
                return Listed({}, done.failure, read_at, seconds, not_before=not_before)
            if isinstance(done.value, ListingEnd):
                skipped.update(done.value.skipped)
                incomplete = incomplete or done.value.incomplete
        skipped.update(jobs.skipped)
        end, seconds = ListingEnd(skipped, incomplete), self._clock.monotonic() - began
        return Listed(jobs.found, None, read_at, seconds, not_before, end, jobs.found_by)

    async def count_jobs(self) -> Counted:
        """Counts the jobs of the system by state, if its provider can; any error is in the outcome."""
        return await self._run(cast("Callable[[], Counting]", self.provider.summary), self._limits)

    async def _run(
        self,
        start: Callable[[], Steps[T]],
        limits: ReadLimits,
        trace: Trace | None = None,
        jobs: _Jobs | None = None,
    ) -> Outcome[T | None]:
        read_at, began = self._clock.time(), self._clock.monotonic()
        holds = [-inf]
        deadline = began + limits.seconds
        send = partial(self._send, deadline=deadline, max_bytes=limits.max_bytes, trace=trace, holds=holds)
        value, failure = None, None
        try:
            with self._client.in_use:
                short = min(limits.short_body, self.provider.short_body)
                walk = Walk(start(), self.compute, jobs.add if jobs else _no_job, short_body=short)
                value = await self._drive(walk, send, limits.max_requests, deadline)
        except Failure as error:
            # A failure is kept; the frames of its traceback, and the response in them, are not.
            failure = error.with_traceback(None)
        except RecursionError:
            failure = Failure(Reason.INVALID_RESPONSE, "the response is nested too deeply")
        except Exception as error:  # noqa: BLE001  a bug costs this read, not the scrape
            failure = Failure(Reason.INTERNAL, type(error).__name__)
            failure.__cause__ = error
        seconds = self._clock.monotonic() - began
        return Outcome(value, failure, read_at, seconds, not_before=max(holds))

    async def _drive(self, walk: Walk[T], send: Send, max_requests: int, deadline: float) -> T:
        """Sends what a provider requests until it returns."""
        received: Response | Failure | None = None
        thrown: Failure | None = None
        requests: set[Request] = set()
        try:
            while True:
                item = walk.next(received)
                if item is None:
                    item = await walk.next_later(received, deadline - self._clock.monotonic())
                if isinstance(item, Returned):
                    return item.value
                _count(item, requests, max_requests)
                try:
                    received = await send(item)
                except Failure as failure:
                    received = thrown = failure
        except Failure as failure:
            if failure is not thrown:  # the provider rejects a response; `_send` counts the others
                self._instrumentation.failed(failure.reason)
                # It may have been cut off on the way: it must not be confirmed.
                for request in requests:
                    self._client.forget(request)
            raise
        finally:
            walk.close()

    async def _send(
        self,
        request: Request,
        *,
        deadline: float,
        max_bytes: int,
        trace: Trace | None,
        holds: list[float],
    ) -> Response:
        try:
            response = await self._client.send(request, deadline=deadline, max_bytes=max_bytes, trace=trace)
            if self._echoes_of is not None:
                self._echoes = self._echoes_of.now()
        except Failure as failure:
            if failure.reason is not Reason.AUTH:  # those are counted once for all reads, by Renewal
                self._instrumentation.failed(failure.reason)
            raise
        if is_sign_in_page(request, response):
            reason = Reason.UNAUTHORIZED if self._client.authenticates else Reason.INVALID_RESPONSE
            self._instrumentation.failed(reason)
            detail = f"HTTP status {response.status}, text/html: a sign-in page?"
            raise Failure(reason, detail, status=response.status)
        if 200 <= response.status < 300 or (
            response.status in request.expect and not self._is_about_the_client(response)
        ):
            self._rejection_logged = False
            if response.headers.mention("retry-after"):  # Azure DevOps, when it begins to delay responses
                wait = self._rate_limit.wait(response.status, response.headers, self._clock.time())
                holds.append(self._clock.monotonic() + bounded(wait or 0.0))
            return response
        raise self._http_error(response)

    def _is_about_the_client(self, response: Response) -> bool:
        """Whether a response is a rate limit or a redirect to sign in, and so nothing that was requested."""
        return is_sign_in_redirect(response) or self._is_rate_limit(response)

    def _is_rate_limit(self, response: Response) -> bool:
        """Whether a 403 is a rate limit."""
        is_forbidden = reason_of_status(response.status) is Reason.FORBIDDEN
        return is_forbidden and self._rate_limit.forbids(response.headers, response.body)

    def _http_error(self, response: Response) -> Failure:
        status, reason = response.status, reason_of_status(response.status)
        detail = f"HTTP status {status}"
        if self._is_rate_limit(response):
            reason, detail = (
                Reason.RATE_LIMITED,
                f"{detail}, which is a rate limit by its headers or its text",
            )
        if is_sign_in_redirect(response):
            detail = f"{detail}, a redirect to a sign-in page"
            reason = Reason.UNAUTHORIZED if self._client.authenticates else reason
        self._instrumentation.failed(reason)
        if why := self._client.explain_unauthorized(response):
            detail = f"{detail}: {why}"
            if not self._rejection_logged:
                fields = {"system": self._instrumentation.system, "detail": why}
                _log.warning("the system rejects our requests", extra=fields)
            self._rejection_logged = True
        seconds = self._rate_limit.wait(status, response.headers, self._clock.time())
        failure = Failure(reason, detail, status=status, retry_after=seconds)
        wait = retry_after(failure)
        if reason is Reason.RATE_LIMITED and self._rate_limit.scope == "system" and wait is not None:
            self.hold_until(self._clock.monotonic() + wait)
        return failure


def _no_job(found: Found) -> None:
    raise TypeError(f"only a listing may yield a {type(found).__name__}")


def _count(request: Request, requests: set[Request], max_requests: int) -> None:
    if request in requests:
        raise Failure(Reason.INVALID_RESPONSE, "the provider repeated a request")
    requests.add(request)
    if len(requests) > max_requests:
        raise Failure(Reason.TOO_LARGE, f"more than {max_requests} requests are needed")
