"""A file system that does not respond delays all beyond no limit: the loop, a reload, the end."""

import asyncio
import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config import ConfigError, load
from exporter.runtime import calls, files
from exporter.runtime.calls import MAX_HANGING, MAX_IDLE, Calls, Repeated
from exporter.runtime.secret import Secret
from exporter.service import Options, Service
from tests.clock import FakeClock
from tests.command import ROOT, environment
from tests.waiting import until

SYSTEM = "provider: crafter, base_url: https://a.example/studio, jobs: [{site_id: x}]"


class Mount:
    """Files below a folder that does not respond as long as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.responds = threading.Event()
        self.waiting = 0

    def wait(self, path: Path) -> None:
        if path.is_relative_to(self.folder) and not self.responds.is_set():
            self.waiting += 1
            self.responds.wait(60)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    """It responds at first. No call is waited for longer than 0.3 s."""
    for limit in ("CALL_SECONDS", "LOOP_SECONDS"):
        monkeypatch.setattr(calls, limit, 0.3)
    hanging = Mount(tmp_path / "mount")
    hanging.folder.mkdir()
    hanging.responds.set()
    status = files.status_here

    def waits(path: Path) -> os.stat_result:
        hanging.wait(path)
        return status(path)

    monkeypatch.setattr(files, "status_here", waits)
    yield hanging
    hanging.responds.set()
    until(lambda: not calls.CALLS.hanging, "the end of all calls")


def threads() -> int:
    return sum(thread.name == "files" for thread in threading.enumerate())


# Calls.


def test_a_call_returns_what_it_has_and_raises_what_it_raises(tmp_path: Path) -> None:
    made = Calls()
    assert made.run(lambda: 42, tmp_path) == 42
    with pytest.raises(ValueError, match="invalid literal"):
        made.run(lambda: int("why"), tmp_path)


def test_no_more_threads_hang_than_allowed_and_then_calls_fail_immediately() -> None:
    made, gate, before = Calls(), threading.Event(), threads()
    for number in range(MAX_HANGING):
        assert not made.wait(made.start(gate.wait, Path(f"/{number}/file")), 0.0)
    never: list[int] = []
    with pytest.raises(TimeoutError) as caught:
        made.run(lambda: never.append(1), Path("/other/file"))
    assert caught.value.strerror == "the file system does not respond"
    assert caught.value.errno == errno.ETIMEDOUT
    assert threads() == before + MAX_HANGING
    gate.set()
    until(lambda: threads() <= before + MAX_IDLE, "the end of the threads")
    assert made.run(lambda: 1, Path("/0/file")) == 1
    assert never == []


def test_one_call_that_hangs_costs_one_thread_and_other_folders_are_read() -> None:
    made, gate, before = Calls(), threading.Event(), threads()
    assert not made.wait(made.start(gate.wait, Path("/mount/file")), 0.0)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            made.run(gate.wait, Path("/mount/other"))
    assert made.run(threads, Path("/other/file")) == before + 2
    gate.set()
    until(lambda: not made.hanging, "the end of the call")
    assert made.run(lambda: 1, Path("/mount/file")) == 1


def test_the_loop_waits_for_a_call_that_hangs_once_and_gets_its_result_later(mount: Mount) -> None:
    made = 0

    def look() -> int:
        nonlocal made
        made += 1
        mount.wait(mount.folder)
        return made

    repeated = Repeated(look, mount.folder / "file")
    assert repeated.result() == 1
    mount.responds.clear()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            repeated.result()
    assert made == 2
    mount.responds.set()

    def late() -> int | None:
        try:
            return repeated.result()
        except TimeoutError:
            return None

    assert until(late, "the result") == 2
    assert repeated.result() == 3


# What is read.


def test_a_secret_on_a_mount_that_does_not_respond_keeps_its_value_and_the_log_names_it(
    mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = mount.folder / "token", FakeClock()
    file.write_text("old")
    secret = Secret.file(file, clock)
    file.write_text("newer")
    mount.responds.clear()
    for _ in range(5):
        clock.turn(2.0)
        assert secret.reveal() == "old"
    assert mount.waiting == 1
    (record,) = caplog.records
    assert record.getMessage() == "failed to read secret file; keeping the previous value"
    assert vars(record)["path"] == str(file)
    assert vars(record)["reason"] == "the file system does not respond"
    mount.responds.set()

    def now() -> bool:
        clock.turn(2.0)
        return secret.reveal() == "newer"

    until(now, "the new value")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"systems: {{s: {{{SYSTEM}, auth: {{type: bearer, token: {{file: mount/a}}}}}}}}", "s.auth.token"),
        (f"systems: {{s: {{{SYSTEM}, tls: {{ca_file: mount/a}}}}}}", "s.tls.ca_file"),
    ],
)
def test_a_file_of_the_config_that_does_not_respond_is_an_error_that_names_it(
    text: str, place: str, mount: Mount, tmp_path: Path
) -> None:
    (mount.folder / "a").write_text("x")
    (tmp_path / "config.yaml").write_text(text)
    mount.responds.clear()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml")
    assert f"{place}: cannot read {mount.folder}/a: the file system does not respond" in str(caught.value)


def test_a_config_that_does_not_respond_is_an_error(mount: Mount) -> None:
    mount.responds.clear()
    (mount.folder / "config.yaml").write_text("")
    for path in (mount.folder / "config.yaml", mount.folder):
        with pytest.raises(ConfigError, match="cannot be read: the file system does not respond"):
            load(path)


# The end.


def test_the_loop_ends_while_a_configuration_is_loaded_that_never_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, began = threading.Event(), threading.Event()

    def hangs(*_: object, **__: object) -> None:
        began.set()
        gate.wait(60)

    monkeypatch.setattr("exporter.config.loader.load", hangs)
    caplog.set_level(logging.CRITICAL)

    async def serve() -> None:
        Service(tmp_path / "config.yaml", Options()).reload_soon()
        await asyncio.to_thread(began.wait, 60)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    thread.join(30)
    assert began.is_set()
    assert not thread.is_alive()
    gate.set()


HANGS = """
import sys, threading
from exporter.cli import main
from exporter.runtime import calls, files
calls.CALL_SECONDS = 0.1
files.status_here = lambda path: threading.Event().wait()
sys.argv = ["remote-job-exporter", "check", sys.argv[1]]
main.main()
"""


def test_a_process_ends_while_its_call_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path / "config.yaml")]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=environment({})
    )
    assert ended.stdout == f"{tmp_path}/config.yaml:1: cannot be read: the file system does not respond\n"
    assert (ended.stderr, ended.returncode) == ("", 1)
