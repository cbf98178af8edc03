"""The command ``watch``: once, in a pipe and live; of a configuration and of a running exporter."""

import asyncio
import base64
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from exporter.cli import watch
from exporter.cli.user_errors import UserError
from exporter.cli.watched import Login, Seen, base_address, configured, running
from exporter.config import BUILT_IN
from exporter.model.failure import Reason
from exporter.views import UNREADABLE, Filters, JobList, JobReport, Selection, problem
from tests.cli.conftest import Run
from tests.command import COMMAND, ROOT, environment, until, vendor_beside
from tests.vendor import Asked, Told, caps, caps_config, exporter, vendor
from tests.waiting import seen

NOW = 1.8e9
JOBS = [
    JobReport(
        "site",
        "campaigns",
        "Campaigns",
        "crafter",
        "slot",
        state=UNREADABLE,
        read_at=NOW - 3,
        problem=problem(Reason.RATE_LIMITED, "HTTP status 429"),
    ),
    JobReport("site", "brand", "Brand portal", "crafter", "slot", state="running", progress=0.5, read_at=NOW),
]
LIST = msgspec.json.encode(JobList("1.0", NOW, 2, {UNREADABLE: 1, "running": 1}, jobs=JOBS))
PASSWORD = "hush-pässword"
ALL = Filters()


def listing(_: Asked) -> Told:
    return Told(LIST)


def published(asked: Asked) -> Told:
    return Told(caps("Failed" if "/1/" in asked.path else "Running", job_progress=0.5))


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with vendor_beside(published) as docs:
        file = tmp_path / "config.yaml"
        file.write_text("systems:\n" + caps_config(docs.url, 3))
        yield file


def test_once_reads_the_jobs_of_a_configuration_and_prints_trouble_first(config: Path, run: Run) -> None:
    done = run("watch", str(config), "--once", COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    title, counts, header, *rows = done.stdout.splitlines()
    assert title == f"{config}, without a web server (read 0 s ago)"
    assert counts == "3 jobs  ✖ 1 failed  ▶ 2 running"
    assert header.split()[:3] == ["STATE", "SYSTEM", "JOB"]
    assert [row.split()[1:4:2] for row in rows] == [
        ["failed", "p/1/en"],
        ["running", "p/0/en"],
        ["running", "p/2/en"],
    ]
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("flags", "jobs"),
    [
        (("--state", "running"), ["p/0/en", "p/2/en"]),
        (("--state", "running", "--state", "failed", "--text", "p/1"), ["p/1/en"]),
        (("--system", "docs", "--text", "P/2 running"), ["p/2/en"]),
        (("--system", "other"), []),
        (("--label", "team=web"), []),
    ],
)
def test_filters_choose_the_jobs(flags: tuple[str, ...], jobs: list[str], config: Path, run: Run) -> None:
    done = run("watch", str(config), "--once", *flags)
    assert re.findall(r"p/\d/en", done.stdout) == jobs
    assert ("No jobs. The command list shows what the listing of a system finds." in done.stdout) == (
        not jobs
    )


def test_of_a_running_exporter_it_shows_what_that_has_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    with vendor_beside(listing) as server:
        flags = ("--username", "jo", "--password-file", str(tmp_path / "password"), "--state", "running")
        done = run("watch", "--once", "--url", f"{server.url}/prefix/jobs", *flags, COLUMNS="80")
        (asked,) = server.asked
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == f"{server.url}/prefix/jobs (read 0 s ago)"
    assert re.search(r"^⚠ unreadable  site    Campaigns     rate_limited", done.stdout, re.MULTILINE)
    assert all(cell_len(line) <= 80 for line in lines)
    assert asked.path == "/prefix/jobs.json?state=running"
    sent = base64.b64decode(asked.headers["authorization"].removeprefix("Basic "))
    assert sent.decode() == f"jo:{PASSWORD}"
    assert "hush" not in done.stdout


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (Told(b"unauthorized", 401), "does not accept the user name and password; set --username and"),
        (Told(b"nothing here", 404), "responds with HTTP status 404; check --url"),
        (Told(b"", 302, {"Location": "http://127.0.0.1:1/"}), "responds with HTTP status 302; check --url"),
        (Told(b"<html>hush-body"), "the response is not the list of jobs of an exporter; check --url"),
        (Told(b'{"jobs": "hush-body"}'), "the response is not the list of jobs of an exporter; check --url"),
    ],
)
def test_another_response_is_one_line_with_the_next_step(told: Told, error: str, run: Run) -> None:
    with vendor_beside(lambda _: told) as server:
        done = run(
            *("watch", "--once", "--url", server.url, "--username", "jo"),
            REMOTE_JOB_EXPORTER_PASSWORD="hush-password",
        )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("remote-job-exporter: ")
    assert error in line
    assert "hush" not in line


def test_an_exporter_that_is_not_there_is_one_line(run: Run) -> None:
    done = run("watch", "--once", "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("remote-job-exporter: the exporter does not respond: could not connect: ")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ((), 2, "the configuration is missing"),
        (("c.yaml", "--url", "http://x"), 2, "--url and a configuration exclude each other"),
        (("--url", "http://jo:hush@x"), 2, "set with --username and --password-file"),
        (("--url", "ftp://hush"), 2, "--url: allowed is the address of an exporter, such as http://127."),
        (("--url", "http://x", "--state", "odd"), 2, "--state: allowed are failed, unreadable, "),
        (("--url", "http://x", "--label", "odd"), 2, "--label: allowed is NAME=VALUE"),
        (("--url", "http://x", "--interval", "0"), 2, "--interval"),
        (("--url", "http://x", "--password-file", "/nope"), 1, "--password-file: /nope: No such file"),
        (("--url", "http://x", "--ca-file", "/nope"), 1, "--ca-file: cannot read /nope: No such file"),
        (("/nope.yaml",), 1, "/nope.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_names_the_flag_and_what_is_allowed(
    arguments: tuple[str, ...], code: int, error: str, run: Run
) -> None:
    done = run("watch", "--once", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert error in done.stderr
    assert "hush" not in done.stderr


def test_a_variable_for_the_configuration_does_not_exclude_an_exporter(run: Run, config: Path) -> None:
    with vendor_beside(listing) as server:
        file = {"REMOTE_JOB_EXPORTER_CONFIG_FILE": str(config)}
        assert "Brand portal" in run("watch", "--once", "--url", server.url, **file).stdout


@pytest.mark.parametrize(
    "url",
    ["http://h:1", "http://h:1/", "http://h:1/jobs", "http://h:1/jobs/", "http://h:1/jobs.json?state=x"],
)
def test_the_address_of_any_page_of_jobs_is_that_of_the_exporter(url: str) -> None:
    assert base_address(url) == "http://h:1"


async def test_it_shows_the_jobs_of_a_real_exporter_as_they_were_scraped(tmp_path: Path) -> None:
    async with (
        vendor(published) as docs,
        exporter("systems:\n" + caps_config(docs.url, 3), tmp_path) as serving,
        running(Login(serving.url), ALL) as watched,
    ):
        await watched.read()
        assert {job.state for job in (await watched.seen()).selection.jobs} == {"unread"}
        assert docs.asked == []
        await serving.scrape()
        await watched.read()
        seen = await watched.seen()
        assert [(job.job_id, job.state) for job in seen.selection.jobs] == [
            ("p/1/en", "failed"),
            ("p/0/en", "running"),
            ("p/2/en", "running"),
        ]
        assert seen.selection.counts == {"failed": 1, "running": 2}
        assert len(docs.asked) == 3


async def test_an_exporter_that_has_gone_away_is_reported_above_its_last_jobs() -> None:
    async with vendor(listing) as server, running(Login(server.url), ALL) as watched:
        await watched.read()
        server.answer = lambda _: Told(b"", 503)
        with pytest.raises(UserError):
            await watched.read()
        seen = await watched.seen()
        assert seen.error == "the exporter responds with HTTP status 503; check --url; the table is 0 s old"
        assert len(seen.selection.jobs) == 2
        server.answer = listing
        await watched.read()
        assert (await watched.seen()).error == ""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_line_of_the_screen_fits_while_the_exporter_is_away(width: int) -> None:
    screen = watch._Screen("http://127.0.0.1:10072/a-prefix/of-a-proxy/that-is-long/jobs")  # noqa: SLF001
    screen.seen = Seen(
        Selection(JOBS, {UNREADABLE: 1, "running": 1}, 2), (), NOW, "the exporter does not respond " * 3
    )
    lines = [line.plain for line in screen.lines(width, 24)]
    assert len(lines) <= 24
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].startswith("http://127.0.0.1:10072/a-prefix")
    assert " ".join(lines[1:4]).count("respond") == 3
    screen.seen = Seen()
    assert len(screen.lines(width, 24)) == 1


class Screen(io.StringIO):
    """What a terminal was sent, and waiting for it."""

    async def shows(self, *texts: str) -> None:
        await seen(lambda: all(text in self.getvalue() for text in texts), " and ".join(texts))


async def test_live_it_reads_again_and_again_and_restores_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DRAW_SECONDS", 0.01)
    states = iter(["Queued", "Running"])
    async with vendor(lambda _: Told(caps(next(states, "Succeeded")))) as docs:
        file = tmp_path / "config.yaml"
        file.write_text("defaults: {min_interval: 0s}\nsystems:\n" + caps_config(docs.url))
        screen = Screen()
        console = Console(file=screen, force_terminal=True, width=80, height=24, color_system="standard")
        watching = asyncio.create_task(
            watch._watch(configured(file, BUILT_IN, ALL), console, 0.01, once=False, live=True)  # noqa: SLF001
        )
        await screen.shows("not read", "queued", "running", "succeeded")
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(watching, 20)
    assert screen.getvalue().startswith("\x1b[?1049h")
    assert screen.getvalue().endswith("\x1b[?25h\x1b[?1049l")


async def test_in_a_pipe_it_prints_the_table_after_each_read_without_escape_codes() -> None:
    async with vendor(listing) as server:
        screen = Screen()
        console = Console(file=screen, force_terminal=False, width=120)
        watching = asyncio.create_task(
            watch._watch(running(Login(server.url), ALL), console, 0.01, once=False, live=False)  # noqa: SLF001
        )
        await server.has_been_asked(2)
        server.answer = lambda _: Told(b"", 500)
        await screen.shows("the exporter responds with HTTP status 500; check --url; the table is 0 s old\n")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(watching, 20)
    assert screen.getvalue().count("Brand portal") >= 2
    assert "\x1b" not in screen.getvalue()


COLOR = re.compile(r"\x1b\[([\d;]*)m")


class Terminal:
    """A process in a terminal of its own."""

    def __init__(self, columns: int, *command: str, **env: str) -> None:
        self._main, other = pty.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=ROOT,
            env=environment(env),
            start_new_session=True,
        )
        os.close(other)
        os.set_blocking(self._main, False)
        self.text = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shows(self, pattern: str) -> bool:
        with suppress(BlockingIOError, OSError):  # Linux: EIO once the process has ended
            while data := os.read(self._main, 65536):
                self.text += data.decode(errors="replace")
        return re.search(pattern, COLOR.sub("", self.text)) is not None

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self.shows("")
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        os.close(self._main)


def test_in_a_terminal_it_follows_its_size_and_has_no_colors_with_no_color() -> None:
    with vendor_beside(listing) as server:
        command = (*COMMAND, "watch", "--url", server.url, "--interval", "1")
        terminal = Terminal(36, *command, NO_COLOR="1", TERM="xterm-256color", COLUMNS="")
        with closing(terminal):
            until(lambda: terminal.shows(r"STATE +JOB +%"), "the narrow table")
            assert "SYSTEM" not in terminal.text
            terminal.resize(100)
            terminal.process.send_signal(signal.SIGWINCH)
            until(lambda: terminal.shows(r"STATE +SYSTEM +JOB +PROGRESS +"), "the wide table")
            server.answer = lambda _: Told(b"", 500)
            until(lambda: terminal.shows("HTTP status 500"), "that the exporter has gone")
            assert terminal.end() == 0
    assert terminal.text.startswith("\x1b[?1049h")
    assert terminal.text.endswith("\x1b[?25h\x1b[?1049l")
    # 1 is bold, 2 is faint.
    assert set(";".join(COLOR.findall(terminal.text)).split(";")) <= {"0", "1", "2"}
    assert "Traceback" not in terminal.text
