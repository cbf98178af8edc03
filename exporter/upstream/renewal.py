"""Renews the credential of one system: once for all reads that wait for it, outside the event loop."""

import asyncio
import logging
from typing import TYPE_CHECKING

from exporter.auth.credential import Credential
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.model.pacing import MAX_RETRY_AFTER
from exporter.runtime.tasks import in_thread, log_failure
from exporter.transport import ConnectionSettings

if TYPE_CHECKING:
    from requests import Session

_log = logging.getLogger(__name__)

BACKOFF = (5.0, 120.0)
"""Seconds until the next attempt if the endpoint does not work: after the first failure, and at most."""

REFUSED_BACKOFF = (180.0, 900.0)
"""The same from the second failure on if it refuses the secrets. Some lock an account after five wrong
passwords within 15 minutes, and no 15 minutes have five attempts. A changed secret is tried immediately."""

# Too early, timeout, rate limit: not about the secrets.
_NOT_REFUSED = frozenset({408, 425, 429})


class Renewal:
    """Renews a credential when that is necessary. Lives on one event loop.

    Args:
        timeout: seconds for one request to the endpoint of the credential.
    """

    def __init__(
        self,
        credential: Credential,
        connection: ConnectionSettings,
        timeout: float,
        instrumentation: SystemInstrumentation,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._credential = credential
        self._instrumentation = instrumentation
        self._connection = connection
        self._timeout = timeout
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._error = ""
        self._cause: Reason | None = None
        self._error_logged = False
        self._remark = ""
        self._failed_with: tuple[object, bool] | None = None
        self._wait = 0.0
        self._not_before = 0.0

    async def ready(self, deadline: float) -> object:
        """Waits until the credential is valid. An early renewal runs in the background.

        Args:
            deadline: monotonic time.

        Returns:
            The version of the credential.

        Raises:
            Failure: reason ``auth``, it could not be renewed before the deadline.
        """
        now = self._clock.monotonic()
        if self._credential.must_renew(now):
            valid = self._credential.valid(now)
            if self._task is None and not self._in_backoff(now, valid=valid):
                self._task = asyncio.get_running_loop().create_task(self._renew())
                log_failure(self._task, f"renew the credential of {self._instrumentation.system}")
            if not valid:
                await self._wait_for_renewal(deadline - now)
        return self._credential.version()

    async def again(self, deadline: float) -> object:
        """As `ready`, but also waits for an early renewal; if that fails, the version is as before."""
        await self.ready(deadline)
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=max(0.0, deadline - self._clock.monotonic()))
        return self._credential.version()

    def _in_backoff(self, now: float, *, valid: bool) -> bool:
        """Whether the last failure is too recent to retry.

        Retried immediately: a changed secret, and a credential that was valid then and has expired since.
        """
        return now < self._not_before and self._failed_with == (self._credential.version(), valid)

    async def _wait_for_renewal(self, seconds: float) -> None:
        if self._task is not None:
            # Shielded: other reads wait for the same renewal, so a cancelled one must not end it.
            try:
                await asyncio.wait_for(asyncio.shield(self._task), max(0.0, seconds))
            except TimeoutError:
                raise Failure(Reason.AUTH, "the credential was not renewed before the deadline") from None
        if self._error:
            raise Failure(Reason.AUTH, self._error, cause=self._cause)

    async def _renew(self) -> None:
        version: object = None
        try:
            version = self._credential.version()
            await in_thread(self._renew_now)
        except Failure as failure:
            refused = 200 <= (failure.status or 0) < 500 and failure.status not in _NOT_REFUSED
            limits = REFUSED_BACKOFF if refused else BACKOFF
            self._cause = failure.cause
            self._failed(version, failure.detail or failure.reason, limits, failure.retry_after)
        except Exception as error:  # noqa: BLE001  only its type is shown: its text may contain a secret
            self._cause = None
            self._failed(version, f"the credential could not be renewed ({type(error).__name__})")
        else:
            self._error, self._error_logged, self._wait = "", False, 0.0
            self._log_remark()
        finally:
            self._task = None

    def _renew_now(self) -> None:
        """Blocks; called in a thread."""
        if self._session is None:
            # Only where a credential is renewed: `requests` is heavy.
            from exporter.transport.adapter import blocking_session  # noqa: PLC0415

            self._session = blocking_session(self._connection, timeout=self._timeout)
        self._credential.renew(self._session, self._clock.monotonic())

    def _log_remark(self) -> None:
        remark, self._remark = self._remark, self._credential.remark()
        if self._remark and self._remark != remark:
            fields = {"system": self._instrumentation.system, "detail": self._remark}
            _log.warning("the lifetime of a token is not known", extra=fields)

    def _failed(
        self,
        version: object,
        error: str,
        limits: tuple[float, float] = BACKOFF,
        retry_after: float | None = None,
    ) -> None:
        now = self._clock.monotonic()
        valid = self._credential.valid(now)
        self._error, self._failed_with = error, (version, valid)
        least, most = limits if self._wait else BACKOFF
        self._wait = min(max(self._wait * 2, least), most)
        self._not_before = now + max(self._wait, min(retry_after or 0.0, MAX_RETRY_AFTER))
        if valid:  # an early renewal is retried before the credential expires: not an error yet
            return
        self._instrumentation.failed(Reason.AUTH)
        if not self._error_logged:
            fields = {"system": self._instrumentation.system, "detail": error}
            _log.warning("could not get credentials", extra=fields)
        self._error_logged = True
