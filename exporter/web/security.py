"""Certificates, users and rate of the web server, loaded again when their files change."""

import base64
import binascii
import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.config import ConfigError, Finding
from exporter.metrics.instrumentation import Reloads
from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.runtime import files
from exporter.runtime.calls import Repeated
from exporter.web.config import RateLimit, WebConfig, expired, load
from exporter.web.passwords import BusyError, Passwords

_log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
REJECTION_LOG_SECONDS = 60.0
CHALLENGE = 'Basic realm="remote-job-exporter", charset="UTF-8"'
# Probes of health need no password and do not count for the rate.
OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})


class Security:
    """A web configuration file in force.

    The file and those it names are checked for changes when a client connects or sends a request, once a
    second at most. A state with errors changes nothing and is logged once. A reload cannot disable TLS
    or passwords, since a file that is being written could: that needs a restart.

    Args:
        reloads: shows whether the newest state of the files is in force.

    Attributes:
        headers: sent with every response.

    Raises:
        ConfigError: the file has errors.
    """

    def __init__(self, path: Path, reloads: Reloads, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = path
        self._reloads = reloads
        self._clock = clock
        self._stamps: dict[Path, files.Stamp] = {}
        config = load(path, self._stamps)
        for finding in expired(path, config):
            _log.warning("web configuration has an expired certificate", extra={"error": str(finding)})
        self._look_at = clock.monotonic() + LOOK_AGAIN_SECONDS
        self._lost = False
        self._unchanged = Repeated(
            lambda: all(files.stamp_here(path) == stamp for path, stamp in [*self._stamps.items()]), path
        )
        self._log_from = 0.0
        self._passwords = Passwords({})
        self._bucket = Bucket(config.rate_limit)
        self._apply(config)

    @property
    def tls(self) -> bool:
        """Whether HTTPS is served."""
        return self._config.tls_server_config is not None

    def context(self) -> ssl.SSLContext:
        """The TLS context for a new connection; only if HTTPS is served."""
        self.look_again()
        tls = self._config.tls_server_config
        if tls is None:
            raise ValueError("HTTPS is not served")
        return tls.context

    async def refusal(self, scope: Scope) -> Response | None:
        """The response to a request that is rejected, or ``None``."""
        if scope["path"] in OPEN_PATHS:
            return None
        if self._config.basic_auth_users:
            client = (scope.get("client") or ("",))[0]
            credentials = _credentials(scope["headers"])
            try:
                allowed = credentials and await self._passwords.check(*credentials, client)
            except BusyError:
                return PlainTextResponse("too many passwords to check\n", 429, {"Retry-After": "1"})
            if not allowed:
                if credentials:
                    self._log_rejection(client)
                return PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": CHALLENGE})
        if not self._bucket.take(self._clock.monotonic()):
            return PlainTextResponse("too many requests\n", 429, {"Retry-After": "1"})
        return None

    def close(self) -> None:
        """Stops the thread that checks passwords."""
        self._passwords.close()

    def look_again(self) -> None:
        """Loads the files again if they have changed; checks once a second at most."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_AGAIN_SECONDS
        try:
            unchanged = self._unchanged.result()
        except TimeoutError as error:
            if not self._lost:
                fields: dict[str, object] = {"path": str(self._path), "reason": error.strerror}
                _log.warning(
                    "failed to check web configuration for changes; keeping the previous one", extra=fields
                )
            self._lost = True
            self._reloads.ended(worked=False)
            return
        if unchanged and not self._lost:
            return
        self._lost = False
        # A state with errors is loaded only once, so it is logged once.
        self._stamps = {}
        try:
            config = load(self._path, self._stamps)
            self._check_change(config)
        except ConfigError as error:
            fields = {"error": str(error.errors[0]), "more_errors": len(error.errors) - 1}
            _log.error("failed to load web configuration; keeping the previous one", extra=fields)
            self._reloads.ended(worked=False)
            return
        self._apply(config)
        _log.info("web configuration loaded", extra={"path": str(self._path)})

    def _apply(self, config: WebConfig) -> None:
        self._config = config
        self.headers = config.http_server_config.headers.given()
        if self._bucket.limit != config.rate_limit:
            self._bucket = Bucket(config.rate_limit)
        self._passwords.replace(config.basic_auth_users)
        self._reloads.ended(worked=True)

    def _check_change(self, now: WebConfig) -> None:
        was = self._config
        needed = {
            "tls_server_config": bool(was.tls_server_config) != bool(now.tls_server_config),
            "basic_auth_users": bool(was.basic_auth_users and not now.basic_auth_users),
        }
        text = "cannot be added or removed at a reload; restart the exporter"
        errors = [Finding(self._path, 1, key, text) for key, changed in needed.items() if changed]
        # At a start there is nothing better to serve with; here there is the previous one.
        errors += expired(self._path, now)
        if errors:
            raise ConfigError(errors)

    def _log_rejection(self, client: str) -> None:
        # A client that guesses passwords must not fill the log.
        now = self._clock.monotonic()
        if now >= self._log_from:
            self._log_from = now + REJECTION_LOG_SECONDS
            _log.warning("request with wrong user name or password", extra={"client": client})


class Guard:
    """An ASGI application behind a `Security`: its headers, passwords and rate."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rejects the request, or passes it to the application."""
        self._security.look_again()
        headers = self._security.headers

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        response = await self._security.refusal(scope) or self._app
        await response(scope, receive, sending if headers else send)


class Bucket:
    """A token bucket: one token each interval, up to a burst of them."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._tokens = float(limit.burst)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Removes a token if there is one at ``now`` (monotonic seconds)."""
        if not self.limit.interval:
            return True
        gained = (now - self._at) / self.limit.interval
        self._tokens, self._at = min(self._tokens + gained, self.limit.burst), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _credentials(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """User name and password of a request (RFC 7617), or ``None`` if it has none or several."""
    given = [value for name, value in headers if name == b"authorization"]
    scheme, _, encoded = (given[0] if len(given) == 1 else b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return (user, password) if colon else None
