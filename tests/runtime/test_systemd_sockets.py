"""The sockets that systemd hands to the exporter, and goes on listening on."""

import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.runtime.systemd import passed_sockets
from tests.command import COMMAND, ROOT, Running, environment, run
from tests.vendor import caps_config

# What systemd does between fork and exec: the descriptors from 3 on, and a LISTEN_PID that is the child's.
LAUNCH = """
import os, sys
listen_pid, descriptors, command = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
for number, descriptor in enumerate(descriptors, 3):
    os.dup2(int(descriptor), number)
os.environ["LISTEN_PID"] = listen_pid or str(os.getpid())
os.execv(command[0], command)
"""

ODD = st.one_of(st.none(), st.text(), st.integers().map(str), st.just(str(os.getpid())))


def variables(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("systems:\n" + caps_config("http://127.0.0.1:1", 2))
    return file


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose paths are short enough for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def asking(address: str) -> Iterator[socket.socket]:
    """A client that has connected and asked, and may have to wait for somebody who accepts it."""
    unix = address[0] in "/\0"
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client:
        client.settimeout(60)
        client.connect(address if unix else (host, int(port)))
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        yield client


def answered(client: socket.socket) -> bool:
    return b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 200")


def answers(address: str) -> bool:
    with asking(address) as client:
        return answered(client)


@contextmanager
def activated(
    folder: Path, config: Path, passed: Sequence[int], *, pid: str = "", **env: str
) -> Iterator[Running]:
    """An exporter to which systemd passes these descriptors; ``pid`` is whom they are said to be for."""
    folder.mkdir()
    # Out of the way of those that the launcher makes of them.
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in passed]
    command = [sys.executable, "-c", LAUNCH, pid, " ".join(map(str, high)), *COMMAND, "serve"]
    flags = ["--config.file", str(config), "--web.systemd-socket"]
    names = ":".join(["scrapes"] * len(high))
    env = environment({"LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names, **env})
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *flags], pass_fds=high, stdout=stdout, stderr=stderr, cwd=ROOT, env=env
        )
    for each in high:
        os.close(each)
    try:
        yield Running(process, folder)
    finally:
        process.kill()
        process.wait(60)


@contextmanager
def listening(kind: str, folder: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that systemd listens on, and its address."""
    if kind == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener, f"127.0.0.1:{listener.getsockname()[1]}"
        return
    with socket.socket(socket.AF_UNIX) as listener:
        address = str(folder / "http") if kind == "unix" else f"\0{uuid.uuid4()}"
        listener.bind(address)
        listener.listen()
        yield listener, address


@pytest.mark.parametrize("kind", ["tcp", "unix", "abstract"])
def test_whoever_comes_while_it_is_replaced_waits_and_is_answered(
    kind: str, config: Path, short: Path, tmp_path: Path
) -> None:
    with listening(kind, short) as (listener, address):
        shown = f"http://{address}" if kind == "tcp" else "unix:" + address.replace("\0", "@")
        with activated(tmp_path / "first", config, [listener.fileno()]) as first:
            assert first.says("listening.* addresses=(.*)") == shown
            assert answers(address)
            assert first.end() == 0
        with (
            asking(address) as client,
            activated(tmp_path / "second", config, [listener.fileno()]) as second,
        ):
            assert answered(client)
            assert second.end() == 0
        if kind == "tcp":
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_every_socket_that_is_passed_is_listened_on(config: Path, short: Path, tmp_path: Path) -> None:
    with (
        listening("tcp", short) as (one, address),
        listening("unix", short) as (other, path),
        activated(tmp_path / "exporter", config, [one.fileno(), other.fileno()]) as exporter,
    ):
        assert exporter.says("listening.* addresses=(.*)") == f'"http://{address} unix:{path}"'
        assert answers(address)
        assert answers(path)


def refused(folder: Path, config: Path, passed: Sequence[int], *, pid: str = "", **env: str) -> str:
    """What it says of sockets that it cannot use."""
    with activated(folder, config, passed, pid=pid, **env) as exporter:
        assert exporter.process.wait(60) == 1
    (line,) = [line for line in exporter.stderr.splitlines() if not line.startswith("time=")]
    return line.removeprefix("remote-job-exporter: cannot listen on the sockets of systemd: ")


def test_sockets_for_another_process_are_not_taken(config: Path, short: Path, tmp_path: Path) -> None:
    with listening("tcp", short) as (listener, _):
        said = refused(tmp_path / "exporter", config, [listener.fileno()], pid=str(os.getpid()))
    assert said == "LISTEN_PID is another process, which the sockets are for"


def test_a_socket_that_is_not_there_is_named(config: Path, short: Path, tmp_path: Path) -> None:
    with listening("tcp", short) as (listener, _):
        said = refused(tmp_path / "exporter", config, [listener.fileno()], LISTEN_FDS="9")
    assert re.match(r"descriptor \d+ \(FileDescriptorName ''\): ", said)


@pytest.mark.parametrize("kind", ["datagram", "connection", "packets", "file"])
def test_what_accepts_no_connections_is_named(kind: str, config: Path, short: Path, tmp_path: Path) -> None:
    one, other = socket.socketpair()
    with (
        one,
        other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets,
        (short / "file").open("w") as file,
    ):
        packets.bind(str(short / "packets"))
        packets.listen()
        sockets = {"datagram": datagram, "connection": one, "packets": packets}
        passed = sockets[kind].fileno() if kind in sockets else file.fileno()
        said = refused(tmp_path / "exporter", config, [passed])
    wanted = "does not accept TCP or UNIX connections; allowed is ListenStream= with Accept=no"
    why = "Socket operation on non-socket" if kind == "file" else wanted
    assert said == f"descriptor 3 (FileDescriptorName 'scrapes'): {why}"


def test_without_systemd_there_are_no_sockets_to_take(config: Path) -> None:
    done = run("serve", "--config.file", str(config), "--web.systemd-socket")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        ": cannot listen on the sockets of systemd: none were passed; start the exporter with a .socket unit"
    )


@pytest.mark.parametrize("by_flag", [True, False])
def test_addresses_beside_the_sockets_of_systemd_are_wrong_use(by_flag: bool, config: Path) -> None:  # noqa: FBT001
    flags = ("--web.listen-address", ":0") if by_flag else ()
    env = {} if by_flag else {"REMOTE_JOB_EXPORTER_WEB_LISTEN_ADDRESS": ":0"}
    done = run("serve", "--config.file", str(config), "--web.systemd-socket", *flags, **env)
    assert done.returncode == 2
    assert "--web.systemd-socket and --web.listen-address exclude each other" in done.stderr


@given(ODD, ODD, ODD)
def test_whatever_stands_in_the_environment_gives_sockets_or_one_line(
    pid: str | None, count: str | None, names: str | None
) -> None:
    said, taken = "", []
    try:
        taken = passed_sockets(variables(LISTEN_PID=pid, LISTEN_FDS=count, LISTEN_FDNAMES=names))
    except ValueError as error:
        said = str(error)
    assert bool(said) != bool(taken)
    assert said.isprintable()
    for each in taken:
        each.detach()
