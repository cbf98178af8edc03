"""What the exporter says to systemd: that it is ready, reloads, ends, and that its event loop turns."""

import asyncio
import logging
import os
import re
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from exporter.runtime import systemd
from exporter.runtime.logging import Logfmt
from exporter.runtime.systemd import Notifier, watchdog_seconds
from tests.command import COMMAND, run, running, serving, vendor_beside
from tests.vendor import Told, caps, caps_config


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


class Manager:
    """The end at which systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address.replace("\0", "@")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def hears(self, wanted: str) -> Mapping[str, str]:
        """The next message with this variable; those without are let pass."""
        self.socket.settimeout(60)
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            message = dict(line.split("=", 1) for line in lines)
            if wanted in message:
                return message

    def has_heard(self) -> list[bytes]:
        """What has come until now."""
        self.socket.settimeout(0)
        heard = []
        with suppress(BlockingIOError):
            while True:
                heard.append(self.socket.recv(4096))
        return heard


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, short: Path) -> Iterator[Manager]:
    listening = Manager(str(short / "notify") if request.param == "path" else f"\0{uuid.uuid4()}")
    with listening.socket:
        yield listening


@pytest.fixture
def told(short: Path) -> Iterator[Manager]:
    listening = Manager(str(short / "notify"))
    with listening.socket:
        yield listening


def test_it_is_ready_when_it_listens_and_says_what_it_watches(
    manager: Manager, config: Path, short: Path, tmp_path: Path
) -> None:
    flags = ("--config.file", str(config), "--web.listen-address", f"unix:{short}/http")
    with running(tmp_path / "exporter", *COMMAND, "serve", *flags, NOTIFY_SOCKET=manager.address) as exporter:
        assert manager.hears("READY") == {"READY": "1", "STATUS": "2 jobs of 1 system"}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{short}/http")
        assert exporter.end() == 0
    assert manager.hears("STOPPING")["STOPPING"] == "1"
    assert manager.has_heard() == []


def test_it_is_never_ready_with_a_bad_config(told: Manager, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("systems: 3\n")
    done = run("serve", "--config.file", str(config), NOTIFY_SOCKET=told.address, WATCHDOG_USEC="1000")
    assert done.returncode == 1
    assert told.has_heard() == []


def test_every_reload_is_announced_and_ended_with_what_became_of_it(
    told: Manager, config: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "exporter", config, NOTIFY_SOCKET=told.address) as (exporter, address):
        assert told.hears("READY")
        config.write_text("systems:\n" + caps_config("http://127.0.0.1:1", 5))
        before = time.monotonic_ns() // 1000
        exporter.process.send_signal(signal.SIGHUP)
        begun = told.hears("RELOADING")
        assert before <= int(begun["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert told.hears("READY")["STATUS"] == "5 jobs of 1 system"

        config.write_text("systems: 3\n")
        error = f"{config}:1: systems: must be a mapping (key: value)"
        failed = f"failed to load configuration: {error}; still watching 5 jobs of 1 system"
        exporter.process.send_signal(signal.SIGHUP)
        assert told.hears("RELOADING")
        assert told.hears("READY")["STATUS"] == failed
        assert requests.post(f"{address}/-/reload", timeout=60).status_code == 500
        assert told.hears("RELOADING")
        assert told.hears("READY")["STATUS"] == failed


def test_a_config_that_is_watched_reloads_in_sight_of_systemd(
    told: Manager, config: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "exporter", config, "--config.watch", NOTIFY_SOCKET=told.address):
        assert told.hears("READY")
        found = "  x: {provider: sitecore, base_url: 'http://127.0.0.1:1', discover: {newer_than: 1d}}\n"
        config.write_text("systems:\n" + caps_config("http://127.0.0.1:1", 3) + found)
        assert told.hears("RELOADING")
        assert told.hears("READY")["STATUS"] == "3 jobs of 2 systems, and discovered jobs"


def test_pings_come_while_it_runs_and_not_while_it_is_stuck(
    told: Manager, config: Path, tmp_path: Path
) -> None:
    env = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "200000"}
    with serving(tmp_path / "exporter", config, **env) as (exporter, _):
        for _ in range(3):
            assert told.hears("WATCHDOG")["WATCHDOG"] == "1"
        exporter.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(exporter.process.pid, os.WUNTRACED)[1])
        told.has_heard()
        # Five intervals of pings: only time that passes can show that none comes.
        time.sleep(0.5)
        assert told.has_heard() == []
        exporter.process.send_signal(signal.SIGCONT)
        assert told.hears("WATCHDOG")


async def test_pings_come_from_the_event_loop_itself(told: Manager) -> None:
    alive = asyncio.create_task(
        Notifier({"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "20000"}).keep_alive()
    )
    assert await asyncio.to_thread(told.hears, "WATCHDOG")
    told.has_heard()
    time.sleep(0.2)  # noqa: ASYNC251  a stuck loop, for ten intervals of pings
    assert told.has_heard() == []
    assert await asyncio.to_thread(told.hears, "WATCHDOG")
    alive.cancel()


async def test_pings_go_on_after_one_has_failed_in_an_unexpected_way(
    told: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, left = socket.socket, [RuntimeError("hush"), RuntimeError("hush")]

    def opened(*kind: int) -> socket.socket:
        if left:
            raise left.pop()
        return real(*kind)

    monkeypatch.setattr("exporter.runtime.systemd.socket.socket", opened)
    notifier = Notifier({"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "20000"})
    alive = asyncio.create_task(notifier.keep_alive())
    assert await asyncio.to_thread(told.hears, "WATCHDOG")
    alive.cancel()
    (line,) = (Logfmt().format(record) for record in caplog.records)
    assert 'msg="cannot notify systemd" error="RuntimeError at exporter/runtime/systemd.py:' in line


def test_pings_go_on_while_a_scrape_finishes_at_the_end(told: Manager, config: Path, tmp_path: Path) -> None:
    asked, gate = threading.Event(), threading.Event()

    async def held() -> None:
        asked.set()
        await asyncio.to_thread(gate.wait, 60)

    env = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "100000"}
    with vendor_beside(lambda _: Told(caps(), after=held)) as docs:
        config.write_text("systems:\n" + caps_config(docs.url))
        with serving(tmp_path / "exporter", config, **env) as (exporter, address):
            scraper = threading.Thread(target=lambda: requests.get(f"{address}/metrics", timeout=60))
            scraper.start()
            assert asked.wait(60)
            exporter.process.send_signal(signal.SIGTERM)
            assert told.hears("STOPPING")["STATUS"] == "waiting for scrapes in progress"
            for _ in range(3):
                assert told.hears("WATCHDOG")
            gate.set()
            scraper.join(60)
            assert exporter.process.wait(60) == 0


def test_where_it_was_stuck_is_told_when_the_watchdog_ends_it(
    told: Manager, config: Path, tmp_path: Path
) -> None:
    command = ("sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *COMMAND, "serve")
    flags = ("--config.file", str(config), "--web.listen-address", "127.0.0.1:0")
    env = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "60000000"}
    with running(tmp_path / "exporter", *command, *flags, **env) as exporter:
        assert told.hears("WATCHDOG")
        assert exporter.end(signal.SIGABRT) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in exporter.stderr
    assert re.search(r'File ".*asyncio.*", line \d+ in run_forever', exporter.stderr)


def test_a_systemd_that_is_gone_is_told_of_once_and_changes_nothing(
    config: Path, short: Path, tmp_path: Path
) -> None:
    env = {"NOTIFY_SOCKET": str(short / "gone"), "WATCHDOG_USEC": "20000"}
    with serving(tmp_path / "exporter", config, **env) as (exporter, address):
        for _ in range(2):
            assert requests.post(f"{address}/-/reload", timeout=60).status_code == 200
        assert requests.get(f"{address}/-/ready", timeout=60).status_code == 200
        assert exporter.end() == 0
    lines = [line for line in exporter.stderr.splitlines() if "cannot notify systemd" in line]
    assert len(lines) == 1
    assert 'reason="No such file or directory"' in lines[0]


async def test_a_systemd_that_does_not_listen_holds_nothing_up(
    told: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd, "SEND_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        other.connect(told.address)
        with suppress(BlockingIOError):
            while True:
                other.send(b"x")
    with caplog.at_level(logging.WARNING):
        notifier = Notifier({"NOTIFY_SOCKET": told.address})
        await notifier.ready("fine")
        await notifier.ready("fine")
    assert [record.message for record in caplog.records] == ["cannot notify systemd"]


async def test_a_reload_that_outlasts_the_service_does_not_make_it_ready_again(told: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": told.address})
    await notifier.reloading()
    await notifier.stopping("a line\nREADY=1")
    await notifier.ready("fine")
    await notifier.reloading()
    first, last = told.has_heard()
    assert first.startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert last == b"STOPPING=1\nSTATUS=a line?READY=1"


ODD = st.one_of(st.none(), st.text(), st.integers().map(str), st.just(str(os.getpid())))


def variables(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


@given(ODD, ODD)
def test_whatever_stands_in_the_environment_gives_a_time_or_none(pid: str | None, time_: str | None) -> None:
    seconds = watchdog_seconds(variables(WATCHDOG_PID=pid, WATCHDOG_USEC=time_))
    assert seconds is None or (seconds > 0 and pid in (None, str(os.getpid())))


@pytest.mark.parametrize(
    ("pid", "time_", "seconds"),
    [
        (None, "30000000", 30.0),
        ("own", "500000", 0.5),
        ("1", "30000000", None),
        ("", "30000000", None),
        (None, "0", None),
        (None, "-1", None),
        (None, "30s", None),
        (None, "9" * 5000, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(
    pid: str | None, time_: str | None, seconds: float | None
) -> None:
    # Not the number itself as a parameter, which names the test: workers must agree on names.
    pid = str(os.getpid()) if pid == "own" else pid
    assert watchdog_seconds(variables(WATCHDOG_PID=pid, WATCHDOG_USEC=time_)) == seconds


@given(st.text(), st.text())
def test_whatever_address_and_status_are_given_telling_never_fails(address: str, status: str) -> None:
    asyncio.run(Notifier({"NOTIFY_SOCKET": address}).ready(status))
