"""The real command as a process of its own."""

import asyncio
import atexit
import functools
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import IO

from tests import waiting, warm
from tests.vendor import Asked, Told, Vendor, vendor

COMMAND = (sys.executable, "-m", "exporter")
ROOT = Path(__file__).parent.parent
ADDRESS = r"http://127\.0\.0\.1:\d+"
OURS = "REMOTE_JOB_EXPORTER_"

until = waiting.until
_one_at_a_time = threading.Lock()


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what would configure the exporter."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(OURS)}, **more}


def run_anew(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Starts the command as users do, runs it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=warm.SECONDS,
        check=False,
        cwd=ROOT,
        env=environment(env),
    )


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The same in a fork of a process that has loaded the exporter, which saves most of the time."""
    return _fork(arguments, env, unprivileged=False)


def run_unprivileged(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same with no more rights than the owner of the files, also where tests run as root."""
    return _fork(arguments, {}, unprivileged=True)


def _fork(
    arguments: Sequence[str], env: Mapping[str, str], *, unprivileged: bool
) -> subprocess.CompletedProcess[str]:
    request = {"arguments": arguments, "env": environment(env), "unprivileged": unprivileged}
    with _one_at_a_time:
        stdin, stdout = _warm_process()
        print(json.dumps(request), file=stdin, flush=True)
        code, out, err = json.loads(stdout.readline())
    if code == -signal.SIGALRM:
        raise subprocess.TimeoutExpired(arguments, warm.SECONDS, out, err)
    return subprocess.CompletedProcess(arguments, code, out, err)


@functools.cache
def _warm_process() -> tuple[IO[str], IO[str]]:
    """The process that forks, one for all tests: its stdin and stdout."""
    command = (sys.executable, "-m", warm.__name__)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment({})
    )
    # It ends with its stdin.
    atexit.register(process.communicate, timeout=warm.SECONDS)
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout


@dataclass
class Running:
    """A process that goes on; what it prints goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def says(self, pattern: str) -> str:
        """The group of the first line that fits, once it is printed."""

        def look() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.stdout}{self.stderr}")
            # Whole lines only: the last one may be half written.
            found = re.search(f"{pattern}.*\n", self.stdout) or re.search(f"{pattern}.*\n", self.stderr)
            return found and str(found[1])

        return until(look, f"a line like {pattern}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(folder: Path, *command: str, **env: str) -> Iterator[Running]:
    """Starts a program, whole command line, and ends it at last.

    Its coverage is not measured, which would double its CPU: other tests reach the same lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = environment(env)
    whole.pop("COVERAGE_PROCESS_CONFIG", None)
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=ROOT, env=whole)
    try:
        yield Running(process, folder)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)


@contextmanager
def serving(folder: Path, config: Path, *flags: str, **env: str) -> Iterator[tuple[Running, str]]:
    """An exporter of this config on a free port, and its address."""
    flags = ("--config.file", str(config), "--web.listen-address", "127.0.0.1:0", *flags)
    with running(folder, *COMMAND, "serve", *flags, **env) as exporter:
        yield exporter, exporter.says(rf"listening.*({ADDRESS})")


@contextmanager
def simulating(folder: Path, *flags: str) -> Iterator[str]:
    """The simulator on a free port, and its address."""
    with running(folder, *COMMAND, "simulate", "--listen-address", "127.0.0.1:0", *flags) as simulator:
        yield simulator.says(f"simulated at ({ADDRESS})")


@contextmanager
def vendor_beside(answer: Callable[[Asked], Told], tls: ssl.SSLContext | None = None) -> Iterator[Vendor]:
    """A vendor on a loop of its own, for tests that wait for processes."""
    started: Queue[tuple[Vendor, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def play() -> None:
        async with vendor(answer, tls) as playing:
            ended = asyncio.Event()
            started.put((playing, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    playing, loop, ended = started.get(timeout=60)
    try:
        yield playing
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
