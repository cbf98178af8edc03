"""What systemd is told and what it hands over: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

from exporter.model.text import printable

_log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
SEND_SECONDS = 2.0
MAX_STATUS_LENGTH = 1000
# Beyond these a number was not written by systemd.
_MAX_DIGITS = 19


class Notifier:
    """Tells systemd how the service does; where no systemd asked for it, does nothing.

    It never fails: a message that cannot be sent is lost, and the first time the log tells.

    Args:
        environ: what systemd put into the environment of this process.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _notify_address(environ.get("NOTIFY_SOCKET", ""))
        self._lost = self._ends = False
        self.watchdog = watchdog_seconds(environ) if self._address else None

    async def ready(self, status: str) -> None:
        """It listens, and a config is taken; also the end of a reload, whether it worked or not."""
        if not self._ends:
            await self._send("READY=1", _status(status))

    async def reloading(self) -> None:
        """It begins to read its config again."""
        # By the time in it systemd tells this reload from one before it was asked for.
        if not self._ends:
            await self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def stopping(self, status: str) -> None:
        """It ends; nothing but pings is said after this."""
        self._ends = True
        await self._send("STOPPING=1", _status(status))

    async def keep_alive(self) -> None:
        """Says that the event loop turns, twice in the time after which systemd would end the process."""
        while self.watchdog is not None:
            await self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    async def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            # A socket a message, as sd_notify(3) does it: systemd may have made its own anew.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(0)
                out.connect(self._address)
                async with asyncio.timeout(SEND_SECONDS):
                    await asyncio.get_running_loop().sock_sendall(out, "\n".join(lines).encode())
        except Exception as error:  # noqa: BLE001  # without pings systemd would end the process
            if not self._lost:
                self._lost = True
                if isinstance(error, OSError):
                    why = os.strerror(error.errno) if error.errno else type(error).__name__
                    _log.warning("systemd cannot be told", extra={"reason": why})
                else:
                    _log.exception("systemd cannot be told")


def _notify_address(text: str) -> str:
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _status(text: str) -> str:
    return f"STATUS={printable(text, MAX_STATUS_LENGTH)}"


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """After how long a silence systemd takes this process for stuck; nothing where it does not look."""
    if "WATCHDOG_PID" in environ and _number(environ["WATCHDOG_PID"]) != os.getpid():
        return None
    microseconds = _number(environ.get("WATCHDOG_USEC", ""))
    return microseconds / 1e6 if microseconds else None


def passed_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets on which systemd already listens for this process, in the order of its .socket unit.

    Raises:
        ValueError: there are none, or one is none to accept connections on; the text says why.
    """
    if "LISTEN_FDS" not in environ:
        raise ValueError("none were passed; is it started by a .socket unit?")
    if _number(environ.get("LISTEN_PID", "")) != os.getpid():
        raise ValueError("LISTEN_PID is not this process; they were passed to another one")
    count = _number(environ["LISTEN_FDS"])
    if not count:
        raise ValueError("LISTEN_FDS is not a number from 1")
    names = dict(enumerate(environ.get("LISTEN_FDNAMES", "").split(":"), FIRST_DESCRIPTOR))
    taken: list[socket.socket] = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
        try:
            taken.append(_passed(descriptor))
        except (OSError, ValueError) as error:
            # Not closed: where the number is wrong, a descriptor may be somebody else's.
            for each in taken:
                each.detach()
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            name = ascii(names.get(descriptor, ""))
            raise ValueError(f"descriptor {descriptor} (FileDescriptorName {name}): {why}") from None
    return taken


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
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None
