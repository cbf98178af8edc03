"""A stderr that nobody reads stops nothing: lines wait, then are dropped, counted and reported, in order."""

import fcntl
import http.client
import io
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.metrics.instrumentation import Instrumentation
from exporter.runtime import log_writer
from exporter.runtime.log_writer import LogWriter
from exporter.runtime.logging import dropped
from tests.command import COMMAND, ROOT, environment
from tests.waiting import until

CONFIG = "systems: {s: {provider: crafter, base_url: http://127.0.0.1:1, jobs: [{site_id: x}]}}\n"
REPORT = re.compile(r"dropped (\d+)\n")


class Plain(logging.Formatter):
    """The message, or how many were dropped."""

    def format(self, record: logging.LogRecord) -> str:
        lost = getattr(record, "messages", None)
        return record.getMessage() if lost is None else f"dropped {lost}"


class Gate(io.StringIO):
    """A stream without a descriptor that blocks or fails as long as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def write(self, text: str) -> int:
        self.open.wait(60)
        if self.broken:
            raise BrokenPipeError
        return super().write(text)


def writer_to(stream: io.StringIO | io.TextIOWrapper) -> LogWriter:
    writer = LogWriter(stream)
    writer.setFormatter(Plain())
    return writer


def flushed(writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "FLUSH_SECONDS", 60.0)
    writer.flush()


def full_pipe() -> tuple[int, int]:
    """Both ends of a pipe that accepts no byte more."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    assert os.write(writer, b"." * 8192) == 4096
    os.set_blocking(writer, True)
    return reader, writer


def read(reader: int) -> str:
    """What is in a pipe now."""
    data = b""
    while select.select([reader], [], [], 0)[0]:
        if not (piece := os.read(reader, 65536)):
            break
        data += piece
    return data.decode()


steps = st.lists(
    st.integers(0, 60) | st.sampled_from(["block", "open", "break", "repair", "flush"]), max_size=40
)


@settings(max_examples=40)
@given(steps)
@example([1, "break", 2, 3, "flush", 4, "flush", "repair", 5, "flush"])
@example([1, "block", 2, "break", 50, 60, 70, "open", "flush", 3])
def test_lines_keep_their_order_and_every_gap_is_reported_with_its_size(script: list[int | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_writer, "MAX_WAITING", 100)
        gate = Gate()
        writer = writer_to(gate)
        lines = 0
        for step in [*script, "repair", "open", "flush", 0]:
            match step:
                case int():
                    writer.put(f"{lines} ".ljust(step, ".") + "\n")
                    lines += 1
                case "block" | "open":
                    (gate.open.clear if step == "block" else gate.open.set)()
                case "break" | "repair":
                    gate.broken = step == "break"
                case "flush" if gate.open.is_set():
                    flushed(writer, patch)
        flushed(writer, patch)
        writer.close()
    seen, gap = -1, 0
    for line in gate.getvalue().splitlines(keepends=True):
        if report := REPORT.fullmatch(line):
            gap += int(report[1])
        else:
            number = int(line.split()[0])
            assert number == seen + 1 + gap
            seen, gap = number, 0
    assert (seen, gap) == (lines - 1, 0)
    assert writer.dropped == lines - len(REPORT.sub("", gate.getvalue()).splitlines())


def test_a_full_pipe_delays_nothing_and_its_reader_gets_the_lines_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_writer, "MAX_WAITING", 100)
    reader, descriptor = full_pipe()
    with os.fdopen(descriptor, "w") as stream:
        writer = writer_to(stream)
        for number in range(50):
            writer.handle(logging.makeLogRecord({"msg": f"line {number}"}))
        assert writer.dropped == 37
        first = read(reader)
        flushed(writer, monkeypatch)
        writer.close()
    lines = (first + read(reader)).removeprefix("." * 4096).splitlines()
    assert lines == [*(f"line {number}" for number in range(13)), "dropped 37"]
    os.close(reader)


def test_lines_that_wait_during_a_failed_write_come_after_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    class FailsOnce(Gate):
        def write(self, text: str) -> int:
            began.set()
            try:
                return super().write(text)
            finally:
                self.broken = False

    gate = FailsOnce()
    gate.open.clear()
    gate.broken = True
    writer = writer_to(gate)
    writer.put("lost\n")
    assert began.wait(60)
    writer.put("later\n")
    gate.open.set()
    flushed(writer, monkeypatch)
    assert gate.getvalue() == "dropped 1\nlater\n"
    writer.close()


def test_the_end_waits_a_bounded_time_for_lines_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_writer, "FLUSH_SECONDS", 0.01)
    gate = Gate()
    gate.open.clear()
    writer = writer_to(gate)
    writer.put("stuck\n")
    writer.flush()
    assert gate.getvalue() == ""
    gate.open.set()
    flushed(writer, monkeypatch)
    assert gate.getvalue() == "stuck\n"
    writer.close()


def test_a_pipe_that_another_process_made_non_blocking_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, descriptor = full_pipe()
    os.set_blocking(descriptor, False)
    waits = threading.Event()

    class Poll:
        def register(self, *_: int) -> None:
            waits.set()

        def poll(self) -> None:
            assert read(reader) == "." * 4096

    with os.fdopen(descriptor, "w") as stream:
        writer = writer_to(stream)
        with monkeypatch.context() as patch:
            patch.setattr("exporter.runtime.log_writer.select.poll", Poll)
            writer.put("late\n")
            assert waits.wait(60)
            flushed(writer, monkeypatch)
        assert read(reader) == "late\n"
        writer.close()
    os.close(reader)


def test_a_line_that_cannot_be_formatted_is_counted() -> None:
    writer = writer_to(Gate())
    writer.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))
    assert writer.dropped == 1
    writer.close()


def test_letters_that_the_stream_does_not_have_are_escaped() -> None:
    reader, descriptor = os.pipe()
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        writer = writer_to(stream)
        writer.put("é\n")
        assert until(lambda: read(reader), "the line") == "\\xe9\n"
        writer.close()
    os.close(reader)


def test_a_stderr_that_was_closed_at_the_start_costs_nothing() -> None:
    writer = LogWriter(None)
    writer.put("unseen\n")
    writer.flush()
    assert writer.dropped == 0
    writer.close()


def test_the_metric_counts_what_the_log_has_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_to(Gate())
    writer.dropped = 3
    monkeypatch.setattr(logging.getLogger(), "handlers", [writer])
    assert dropped() == 3
    page = Instrumentation("").render(openmetrics=True).decode()
    assert "remote_job_exporter_log_messages_dropped_total 3.0" in page
    writer.close()


# The process.


@contextmanager
def connected(path: Path) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    connection.sock.connect(str(path))
    yield connection
    connection.close()


def test_an_exporter_whose_stderr_is_full_from_the_start_serves_and_ends(tmp_path: Path) -> None:
    config, address = tmp_path / "config.yaml", tmp_path / "socket"
    config.write_text(CONFIG)
    reader, stderr = full_pipe()
    flags = ("--log.level", "debug", "--web.listen-address", f"unix:{address}")
    command = [*COMMAND, "serve", str(config), *flags]
    with subprocess.Popen(command, cwd=ROOT, stderr=stderr, env=environment({})) as process:
        os.close(stderr)
        until(address.exists, "the socket")
        for _ in range(3):
            with connected(address) as connection:
                connection.request("GET", "/metrics")
                assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    # Its last line fits into no pipe, and it did not wait for that.
    assert read(reader) == "." * 4096
    os.close(reader)


def test_an_uncaught_exception_comes_after_the_lines_before_it() -> None:
    crash = (
        "import logging; from exporter.runtime.logging import setup; setup('info');"
        "logging.getLogger('exporter').info('before'); raise KeyError('why')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", crash], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    first, second, *_, last = ended.stderr.splitlines()
    assert "msg=before" in first
    assert second.startswith("Traceback")
    assert (last, ended.returncode) == ("KeyError: 'why'", 1)


def test_no_socket_gets_the_number_of_a_stream_that_is_closed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    script = (
        "import os, sys; from exporter.cli import main; sys.argv = ['x', 'check', sys.argv[1]]\n"
        "try: main.main()\n"
        "finally: os._exit(os.open('/dev/null', os.O_RDONLY))"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, script, str(config)]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == 3
