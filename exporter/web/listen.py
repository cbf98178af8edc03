"""Addresses as users write them, made into listening sockets."""

import asyncio
import errno
import os
import re
import socket
from pathlib import Path

from exporter.runtime import systemd

BACKLOG = 128
_ADDRESS = re.compile(r"(\[(?P<ip>[^/]*)\]|(?P<host>[^:/]*)):(?P<port>[0-9]+)")


class ListenError(OSError):
    """An address that cannot be listened on; the text is one line that names it."""


async def listen_on(address: str) -> list[socket.socket]:
    """The sockets of one address; a host name may have several.

    ``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` for all interfaces (IPv6 too where the machine has it), or
    ``unix:PATH``, where a socket left behind is removed first. Port 0 is any free one.

    Raises:
        ListenError: the address is malformed, in use or not an address of this machine.
    """
    listeners: list[socket.socket] = []
    try:
        if address.startswith("unix:"):
            return _prepared([_listen_unix(address.removeprefix("unix:"))])
        host, port = _host_and_port(address)
        if not host:
            return _prepared([_listen_everywhere(port)])
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, place in dict.fromkeys((entry[0], entry[4]) for entry in found):
            listeners.append(socket.create_server(place, family=family, backlog=BACKLOG))
        return _prepared(listeners)
    except (OSError, ValueError) as error:
        for listener in listeners:
            listener.close()
        name = address if address.isprintable() else ascii(address)
        raise ListenError(f"cannot listen on {name}: {reason(error)}") from None


def listeners_of_systemd() -> list[socket.socket]:
    """The sockets that systemd listens on for this process.

    Raises:
        ListenError: it has passed none, or one that cannot be used.
    """
    try:
        return _prepared(systemd.passed_sockets(os.environ))
    except ValueError as error:
        raise ListenError(f"cannot listen on the sockets of systemd: {error}") from None


def _host_and_port(address: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError("allowed are HOST:PORT, [IPV6]:PORT, :PORT and unix:PATH")
    if len(match["port"]) > 5 or int(match["port"]) > 65535:
        raise ValueError("the port must be 0 to 65535")
    return match["ip"] or match["host"] or "", int(match["port"])


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        except OSError as error:
            # Where IPv6 is compiled in but switched off.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port), backlog=BACKLOG)


def _prepared(listeners: list[socket.socket]) -> list[socket.socket]:
    for listener in listeners:
        listener.settimeout(0)
        if listener.family != socket.AF_UNIX:
            # Accepted sockets inherit it. asyncio sets it only where a socket names its protocol, and without
            # it every response on a kept connection waits 40 ms for the client's delayed acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listeners


def _listen_unix(path: str) -> socket.socket:
    if not path:
        raise ValueError("allowed is unix:PATH")
    _remove_stale(Path(path))
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Removes a socket that no process listens on any more, and nothing else."""
    if os.path.lexists(path) and not path.is_socket():
        raise ValueError("there is a file of this name that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return


def reason(error: Exception) -> str:
    """Why a call on a socket failed, without the address."""
    if isinstance(error, socket.gaierror):
        return "no such host is known"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{os.strerror(error.errno)}; stop the process that listens there, or choose another address"
    if isinstance(error, OSError) and error.errno:
        # `create_server` appends the address to the text in Python's own words.
        return os.strerror(error.errno)
    return str(error)


def shown(listener: socket.socket, scheme: str) -> str:
    """Where a socket listens: ``http://127.0.0.1:10072`` or ``unix:/path``."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        # An abstract name is bytes that begin with a zero.
        return f"unix:@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"unix:{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}"
