"""One system: its requests prepared once, its credentials, its wire.

Drives a provider's generator and turns whatever goes wrong into a `Failure` with its reason. How
many reads run at a time, and when, is the collector's business.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import TypeVar

from requests import PreparedRequest, Request

from exporter import __version__
from exporter.auth.base import Credential
from exporter.failure import Failure, Reason, reason_of_status
from exporter.job import Job, Status
from exporter.meters import SystemMeters
from exporter.pacing import retry_after
from exporter.providers.base import Answer, Ask, Provider
from exporter.providers.fields import count
from exporter.transport import Reply, Route, Wire, blocking_session

_log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
MAX_ASKS = 10
MAX_PREPARED = 50_000
AUTH_BACKOFF = (5.0, 120.0)
STAMP_SECONDS = 5.0
USER_AGENT = f"remote-job-exporter/{__version__}"

T = TypeVar("T")


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


class Upstream:
    """How to talk to one system. Lives on one event loop.

    Attributes:
        refusal: why the system as a whole cannot be read, ``None`` while it can.
        not_before: monotonic time until which the vendor wants no request of ours at all.
        rate_limit_remaining: calls the vendor still allows, where it says so.

    Args:
        base_url: the address that every ask's path is appended to.
        timeout: seconds for one whole read, however many requests it takes.
        headers: sent with every request besides those of the ask and of the credential.
    """

    def __init__(
        self,
        *,
        base_url: str,
        provider: Provider,
        credential: Credential,
        route: Route,
        timeout: float,
        concurrency: int,
        headers: Mapping[str, str],
        meters: SystemMeters,
    ) -> None:
        self.provider = provider
        self.rate_limit_remaining: int | None = None
        self.refusal: Reason | None = None
        self.not_before = -inf
        self._base_url = base_url
        self._timeout = timeout
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._meters = meters
        self._credential = _Renewing(credential, route, timeout, meters)
        self._prepared: dict[Ask, tuple[object, PreparedRequest]] = {}
        self._explained = False
        self._wires = _Wires(route, concurrency, timeout)

    async def read(self, job: Job, previous: Status | None) -> Reading:
        """Reads one job once; every fault is in the answer, none is raised."""
        read_at, began = time.time(), time.monotonic()
        status = failure = None
        try:
            status = await self._drive(job, previous, began + self._timeout)
        except Failure as error:
            failure = error
        except Exception as error:  # noqa: BLE001  a mistake of ours costs this job's read, not the scrape
            _log.exception("read failed inside the exporter", extra={"system": job.system, "job_id": job.id})
            failure = Failure(Reason.INTERNAL, type(error).__name__)
        return Reading(status, failure, read_at, time.monotonic() - began)

    async def close(self, *, grace: float) -> None:
        """Ends all connections; reads still under way have ``grace`` seconds before they fail."""
        await self._wires.close(grace)

    async def _drive(self, job: Job, previous: Status | None, deadline: float) -> Status:
        steps = self.provider.read(job, previous)
        thrown: Failure | None = None
        try:
            ask = next(steps)
            for _ in range(MAX_ASKS):
                try:
                    answer = await self._ask(ask, deadline)
                except Failure as failure:
                    thrown = failure
                    ask = steps.throw(failure)
                else:
                    ask = steps.send(answer)
        except StopIteration as stop:
            status: Status = stop.value
            return status
        except Failure as failure:
            if failure is not thrown:  # the provider's own verdict on an answer
                self._meters.failed(failure.reason)
            raise
        finally:
            steps.close()
        raise Failure(Reason.INTERNAL, f"the provider asked more than {MAX_ASKS} times for one job")

    async def _ask(self, ask: Ask, deadline: float) -> Answer:
        try:
            reply = await self._send(ask, deadline)
        except Failure as failure:
            if failure.reason is Reason.AUTH:  # counted once, where the credential could not be had
                self.refusal = Reason.AUTH
            else:
                self._meters.failed(failure.reason)
            raise
        if 200 <= reply.status < 300 or reply.status in ask.expect:
            self._explained = False
            return Answer(reply.status, reply.body, reply.headers)
        reason = reason_of_status(reply.status)
        self._meters.failed(reason)
        wait = _retry_after(reply.headers, self.provider.retry_after_headers)
        detail = f"HTTP status {reply.status}"
        if why := self._credential.explain(reply.headers) if reply.status == 401 else "":
            detail = f"{detail}: {why}"
            if not self._explained:
                _log.warning("requests are refused", extra={"system": self._meters.system, "detail": why})
            self._explained = True
        refused = Failure(reason, detail, status=reply.status, retry_after=wait)
        self._hold(refused)
        raise refused

    def _hold(self, failure: Failure) -> None:
        """A rate limit that is the whole client's holds back every job of the system."""
        wait = retry_after(failure)
        limited = failure.reason is Reason.RATE_LIMITED and self.provider.rate_limit_scope == "system"
        if limited and wait is not None:
            self.not_before = max(self.not_before, time.monotonic() + wait)

    async def _send(self, ask: Ask, deadline: float) -> Reply:
        """Sends one request with proof of who we are; a refused credential is renewed once."""
        version = await self._credential.ready(deadline)
        reply = await self._send_once(ask, version, deadline)
        if reply.status == 401 and self._credential.refused(version):
            version = await self._credential.ready(deadline)
            reply = await self._send_once(ask, version, deadline)
        self.refusal = Reason.UNAUTHORIZED if reply.status == 401 else None
        return reply

    async def _send_once(self, ask: Ask, version: object, deadline: float) -> Reply:
        request = self._prepare(ask, version)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise Failure(Reason.TIMEOUT, "no time left for another request")
        wire = self._wires.current()
        reply = await wire.send(request, timeout=remaining, max_bytes=MAX_BODY)
        self._meters.answered(reply.status, reply.timing.total)
        if header := self.provider.rate_limit_remaining_header:
            remaining_calls = count(reply.headers.get(header))
            if remaining_calls is not None:
                self.rate_limit_remaining = remaining_calls
        return reply

    def _prepare(self, ask: Ask, version: object) -> PreparedRequest:
        """The request for an ask, made once and kept while the credential stays the same.

        A signature holds for one send only: it goes onto a copy, and what is kept has none.
        """
        signs = self._credential.signs
        kept = self._prepared.get(ask)
        if kept is None or (kept[0] != version and not signs):
            url, headers = self._base_url + ask.path, {**self._headers, **dict(ask.headers)}
            kept = version, Request("GET", url, headers=headers).prepare()
            if not signs:
                self._credential.apply(kept[1])
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            self._prepared[ask] = kept
        if not signs:
            return kept[1]
        request = kept[1].copy()
        self._credential.apply(request)
        return request


class _Renewing:
    """A credential that is renewed once for all who wait, off the loop, with a back-off when it fails."""

    def __init__(self, credential: Credential, route: Route, timeout: float, meters: SystemMeters) -> None:
        self._credential = credential
        self._meters = meters
        self._session = blocking_session(route, timeout=timeout)
        self._renewal: asyncio.Task[None] | None = None
        self._trouble = ""
        self._failed_version: object = None
        self._wait = 0.0
        self._not_before = 0.0

    def apply(self, request: PreparedRequest) -> None:
        self._credential.apply(request)

    @property
    def signs(self) -> bool:
        return self._credential.signs

    def refused(self, version: object) -> bool:
        return self._credential.refused(version)

    def explain(self, headers: Mapping[str, str]) -> str:
        return self._credential.explain(headers)

    async def ready(self, deadline: float) -> object:
        """Waits until the credential can be used.

        Returns:
            Its version.

        Raises:
            Failure: reason ``auth``: it cannot be had, or not before the deadline.
        """
        now = time.monotonic()
        if self._credential.must_renew(now):
            if self._renewal is None:
                self._still_failing(now)
                self._renewal = asyncio.get_running_loop().create_task(self._renew())
            # Shielded: the renewal belongs to all who wait for it, and none of them ends it.
            try:
                await asyncio.wait_for(asyncio.shield(self._renewal), max(0.0, deadline - now))
            except TimeoutError:
                raise Failure(Reason.AUTH, "no credential before the read's time was over") from None
            self._raise_trouble()
        return self._credential.version()

    def _still_failing(self, now: float) -> None:
        """Raises the kept trouble until its back-off is over, or the secret has changed."""
        if now < self._not_before and self._credential.version() == self._failed_version:
            self._raise_trouble()

    def _raise_trouble(self) -> None:
        if self._trouble:
            raise Failure(Reason.AUTH, self._trouble)

    async def _renew(self) -> None:
        version, known = self._credential.version(), self._trouble
        try:
            await _in_thread(lambda: self._credential.renew(self._session, time.monotonic()))
            self._trouble, self._wait = "", 0.0
        except Failure as failure:
            self._trouble = failure.detail or failure.reason
        except Exception as error:  # noqa: BLE001  whatever it was, its text may hold a secret
            self._trouble = f"the credential could not be renewed ({type(error).__name__})"
        finally:
            self._renewal = None
        if not self._trouble:
            return
        self._meters.failed(Reason.AUTH)
        self._failed_version = version
        self._wait = min(self._wait * 2, AUTH_BACKOFF[1]) or AUTH_BACKOFF[0]
        self._not_before = time.monotonic() + self._wait
        if not known:
            _log.warning(
                "no credential can be had", extra={"system": self._meters.system, "detail": self._trouble}
            )


class _Wires:
    """The wire of a system, made anew when its TLS files change."""

    def __init__(self, route: Route, connections: int, grace: float) -> None:
        self._route = route
        self._grace = grace
        self._connections = connections
        self._stamp = route.tls.stamp()
        self._look_at = time.monotonic() + STAMP_SECONDS
        self._wire: Wire | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> Wire:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + STAMP_SECONDS
            stamp = self._route.tls.stamp()
            if stamp not in (None, self._stamp):  # None: somebody is replacing a file just now
                self._stamp = stamp
                self._retire(self._grace)
        if self._wire is None:
            self._wire = Wire(self._route, max_connections=self._connections)
        return self._wire

    def _retire(self, grace: float) -> None:
        if self._wire is not None:
            task = asyncio.get_running_loop().create_task(self._wire.close(grace))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._wire = None

    async def close(self, grace: float) -> None:
        self._retire(grace)
        await asyncio.gather(*self._closing)


async def _in_thread(work: Callable[[], T]) -> T:
    """Runs blocking work in a daemon thread of its own, so that a hanging one cannot hold the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001  handed over whole
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _retry_after(headers: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    """How many seconds to wait: ``Retry-After`` as a number or a date (RFC 9110 section 10.2.3)."""
    value = next((headers[name] for name in names if name in headers), "")
    seconds = count(value)
    if seconds is not None:
        return float(seconds)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
