"""One system's credential kept usable: renewed once for all who wait, off the loop, with a back-off."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from exporter.auth.credential import Credential
from exporter.metrics.instrumentation import SystemInstrumentation
from exporter.model.clock import Clock
from exporter.model.failure import Failure, Reason
from exporter.runtime.tasks import log_failure
from exporter.transport import ConnectionSettings, blocking_session

_log = logging.getLogger(__name__)

BACKOFF = (5.0, 120.0)


class Renewal:
    """Renews a credential when it says so. Lives on one event loop.

    Args:
        connection: how to connect to the endpoint of the credential.
        timeout: seconds for one of its calls.
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
        self._session = blocking_session(connection, timeout=timeout)
        self._under_way: asyncio.Task[None] | None = None
        self._trouble = ""
        self._told = False
        self._failed_at: tuple[object, bool] | None = None
        self._wait = 0.0
        self._not_before = 0.0

    async def ready(self, deadline: float) -> object:
        """Waits until the credential can be used; not at all while the old one still serves.

        Returns:
            Its version.

        Raises:
            Failure: reason ``auth``: it cannot be had, or not before the deadline.
        """
        now = self._clock.monotonic()
        if self._credential.must_renew(now):
            serves = self._credential.valid(now)
            if self._under_way is None and not self._holds_back(now, serves=serves):
                self._under_way = asyncio.get_running_loop().create_task(self._renew())
                log_failure(self._under_way, f"renew the credential of {self._instrumentation.system}")
            if not serves:
                await self._end(deadline - now)
        return self._credential.version()

    def _holds_back(self, now: float, *, serves: bool) -> bool:
        """Whether the last failure is too fresh to try again.

        A changed secret, or an old credential that served then and has ended now, is tried at once.
        """
        return now < self._not_before and self._failed_at == (self._credential.version(), serves)

    async def _end(self, seconds: float) -> None:
        """Waits for the renewal under way, if there is one, and tells how the last one ended."""
        if self._under_way is not None:
            # Shielded: the renewal belongs to all who wait for it, and none of them ends it.
            try:
                await asyncio.wait_for(asyncio.shield(self._under_way), max(0.0, seconds))
            except TimeoutError:
                raise Failure(Reason.AUTH, "no credential before the read's time was over") from None
        if self._trouble:
            raise Failure(Reason.AUTH, self._trouble)

    async def _renew(self) -> None:
        version: object = None
        try:
            version = self._credential.version()
            await _in_thread(lambda: self._credential.renew(self._session, self._clock.monotonic()))
        except Failure as failure:
            self._failed(version, failure.detail or failure.reason)
        except Exception as error:  # noqa: BLE001  whatever it was, its text may hold a secret
            self._failed(version, f"the credential could not be renewed ({type(error).__name__})")
        else:
            self._trouble, self._told, self._wait = "", False, 0.0
        finally:
            self._under_way = None

    def _failed(self, version: object, trouble: str) -> None:
        now = self._clock.monotonic()
        serves = self._credential.valid(now)
        self._trouble, self._failed_at = trouble, (version, serves)
        self._wait = min(self._wait * 2, BACKOFF[1]) or BACKOFF[0]
        self._not_before = now + self._wait
        if serves:  # renewing early leaves time for another try: nothing is wrong yet
            return
        self._instrumentation.failed(Reason.AUTH)
        if not self._told:
            _log.warning(
                "no credential can be had", extra={"system": self._instrumentation.system, "detail": trouble}
            )
        self._told = True


async def _in_thread(work: Callable[[], None]) -> None:
    """Runs blocking work in a daemon thread of its own, so that a hanging one cannot hold the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except BaseException as caught:  # noqa: BLE001  handed over whole
            error = caught
        with suppress(RuntimeError):  # the loop has ended meanwhile, and with it who waited
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, daemon=True).start()
    await done
