"""Commands in this process, from their arguments to the exit code."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from subprocess import CompletedProcess

import pytest

from exporter.cli import COMMAND, main
from exporter.cli.options import ENVIRONMENT
from exporter.cli.simulate import simulating

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands set up logging for the whole process."""
    root, ours = logging.getLogger(), logging.getLogger("exporter")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line as ``main`` does; keywords are environment variables."""

    def run(*arguments: str, **env: str) -> CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as context:
            for name in [name for name in os.environ if name.startswith(ENVIRONMENT)]:
                context.delenv(name)
            for name, value in env.items():
                context.setenv(name, value)
            context.setattr("sys.argv", [COMMAND, *arguments])
            with pytest.raises(SystemExit) as end:
                main.main()
        return CompletedProcess(arguments, int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def simulated() -> Iterator[str]:
    """The address of a simulator on a loop of its own, for commands that have theirs."""
    started: Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def play() -> None:
        async with simulating("127.0.0.1:0", speed=1, seed=0) as address:
            ended = asyncio.Event()
            started.put((address, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    address, loop, ended = started.get(timeout=60)
    yield address
    loop.call_soon_threadsafe(ended.set)
    thread.join(60)
