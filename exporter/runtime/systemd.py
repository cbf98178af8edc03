"""Notifications to systemd, and its sockets: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

import asyncio
import logging
import os
import re
import socket
import time
from collections.abc import Mapping

from exporter.model.text import printable

_log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
SEND_SECONDS = 2.0
MAX_STATUS_LENGTH = 1000


class Notifier:
    """Notifies systemd of the state of the service; does nothing without ``NOTIFY_SOCKET``.

    It raises nothing: a message that cannot be sent is lost, and the first such error is logged.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _notify_address(environ.get("NOTIFY_SOCKET", ""))
        self._lost = self._ends = False
        self.watchdog = watchdog_seconds(environ) if self._address else None

    async def ready(self, status: str) -> None:
        """The exporter listens, or a reload has ended, whatever its result."""
        if not self._ends:
            await self._send("READY=1", _status(status))

    async def reloading(self) -> None:
        """A reload starts."""
        # The time distinguishes this reload from an earlier one.
        if not self._ends:
            await self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def stopping(self, status: str) -> None:
        """The exporter stops. After this only pings are sent."""
        self._ends = True
        await self._send("STOPPING=1", _status(status))

    async def keep_alive(self) -> None:
        """Pings the watchdog from the event loop, twice within its timeout."""
        while self.watchdog is not None:
            await self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    async def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            # A new socket for each message, as in sd_notify(3): systemd may have replaced its own.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(0)
                out.connect(self._address)
                async with asyncio.timeout(SEND_SECONDS):
                    await asyncio.get_running_loop().sock_sendall(out, "\n".join(lines).encode())
        except Exception as error:  # noqa: BLE001  # without pings systemd would end the process
            if self._lost:
                return
            self._lost = True
            if isinstance(error, OSError):
                why = os.strerror(error.errno) if error.errno else type(error).__name__
                _log.warning("cannot notify systemd", extra={"reason": why})
            else:
                _log.exception("cannot notify systemd")


def _notify_address(text: str) -> str:
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _status(text: str) -> str:
    return f"STATUS={printable(text, MAX_STATUS_LENGTH)}"


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """The timeout of the watchdog in seconds; ``None`` if it is off for this process."""
    if "WATCHDOG_PID" in environ and _number(environ["WATCHDOG_PID"]) != os.getpid():
        return None
    microseconds = _number(environ.get("WATCHDOG_USEC", ""))
    return microseconds / 1e6 if microseconds else None


def passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd passed to this process, in the order of its .socket unit.

    Raises:
        ValueError: there are none, or one cannot accept connections; the text is the reason.
    """
    if "LISTEN_FDS" not in environ:
        raise ValueError("none were passed; start the exporter with a .socket unit")
    if _number(environ.get("LISTEN_PID", "")) != os.getpid():
        raise ValueError("LISTEN_PID is another process, which the sockets are for")
    count = _number(environ["LISTEN_FDS"])
    if not count:
        raise ValueError("LISTEN_FDS is not a number of at least 1")
    names = dict(enumerate(environ.get("LISTEN_FDNAMES", "").split(":"), FIRST_DESCRIPTOR))
    sockets: list[socket.socket] = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
        try:
            sockets.append(_passed(descriptor))
        except (OSError, ValueError) as error:
            # Not closed: if the number is wrong, a descriptor may belong to other code.
            for each in sockets:
                each.detach()
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            name = ascii(names.get(descriptor, ""))
            raise ValueError(f"descriptor {descriptor} (FileDescriptorName {name}): {why}") from None
    return sockets


def _passed(descriptor: int) -> socket.socket:
    passed = socket.socket(fileno=descriptor)
    known = passed.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    # With Accept=yes it is the connection of one client.
    accepting = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not (known and accepting and passed.type == socket.SOCK_STREAM):
        passed.detach()
        raise ValueError("does not accept TCP or UNIX connections; allowed is ListenStream= with Accept=no")
    passed.set_inheritable(False)
    return passed


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,19}", text) else None
