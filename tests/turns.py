"""How long each turn of the event loop takes, while everything that a vendor or a scraper can send is sent.

``make turns`` prints, for each load, the longest turn and the callback that took most of it. A turn is
measured in CPU time of the loop's thread, so other threads and other processes of the machine do not count.
"""

import argparse
import asyncio
import contextlib
import gc
import gzip
import itertools
import json
import logging
import socket
import sys
import tempfile
import threading
import time
from asyncio import events
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bcrypt
import requests

from exporter.runtime import garbage
from exporter.service import Options, Service

LIMIT_SECONDS = {1_000: 0.020, 10_000: 0.050}
"""The longest turn that is accepted, by the number of watched jobs."""

HEADERS = {"X-Prometheus-Scrape-Timeout-Seconds": "60"}
FORMATS = (
    "text/plain;version=0.0.4",
    "application/openmetrics-text;version=1.0.0",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
)
MIB = 1 << 20
PASSWORD = "correct horse"


class Turns:
    """The longest turn of the running loop since the last `reset`.

    Attributes:
        longest: CPU seconds of the longest turn.
        callback: what ran longest within it, and how long.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.longest, self.callback = 0.0, ""
        self._slowest = 0.0, ""

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measures the running loop. Only turns that begin within the block count."""
        loop: Any = asyncio.get_running_loop()
        turn, call, owner = loop._run_once, events.Handle._run, threading.get_ident()  # noqa: SLF001  no public hook

        def measured_turn() -> None:
            self._slowest = 0.0, ""
            began = time.thread_time()
            turn()
            took = time.thread_time() - began
            if took > self.longest:
                seconds, name = self._slowest
                self.longest, self.callback = took, f"{name}: {seconds * 1000:.1f} ms"

        def measured_call(handle: events.Handle) -> None:
            began = time.thread_time()
            call(handle)
            took = time.thread_time() - began
            if took > self._slowest[0] and threading.get_ident() == owner:
                self._slowest = took, _name(handle)

        with (
            patch.object(loop, "_run_once", measured_turn),
            patch.object(events.Handle, "_run", measured_call),
        ):
            yield


def _name(handle: Any) -> str:
    owner = getattr(handle._callback, "__self__", None)  # noqa: SLF001  for people
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", "a task")
    return str(getattr(handle._callback, "__qualname__", handle._callback))  # noqa: SLF001


@dataclass
class Vendor:
    """A vendor in a thread of its own. It answers each path with prepared bytes.

    Args:
        answers: body and headers by path; a path without one is a running job.
    """

    answers: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    url: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MIB))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                body, headers = (
                    self.answers.get(path) or self.answers.get(path.partition("?")[0]) or (RUNNING, {})
                )
                lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
                writer.write(
                    f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n".encode()
                )
                writer.write(body)
                await writer.drain()


RUNNING = json.dumps({"state": "running", "done": 3, "all": 10, "failed": [], "items": []}).encode()
HEAVY = "length(items[?contains($.failed, @)])"


STATES = {"running": ["running"], "succeeded": ["succeeded"]}
READ = {"state": "state", "states": STATES}


def config(url: str, jobs: int, *, note: str = "", more: int = 0) -> str:
    """Half of the jobs are configured, half are listed, and twenty have an expression that can take long.

    Args:
        note: a label of all configured jobs.
        more: configured jobs beside them.
    """
    reached: dict[str, Any] = {"provider": "json", "base_url": url}
    systems: dict[str, Any] = {
        "configured": {
            **reached,
            "concurrency": 50,
            "labels": {"note": note},
            "read": {"path": "/job/{id}", **READ, "progress": "done / all"},
            "jobs": [{"id": f"c{number}"} for number in range(jobs // 2 + more)],
        },
        "listed": {
            **reached,
            "read": {"path": "/job/{id}", **READ},
            "discover": {"path": "/list", "items": "rows", "keys": {"id": "id"}, "state": "state"},
        },
        "heavy": {
            **reached,
            "read": {"path": "/heavy/{id}", **READ, "items": HEAVY},
            "jobs": [{"id": f"h{number}"} for number in range(20)],
        },
    }
    defaults = {"min_interval": "0s", "final_interval": "0s", "timeout": "30s", "max_jobs": 50_000}
    return json.dumps({"defaults": defaults, "systems": systems})


def rows(jobs: int, state: str = "running") -> bytes:
    """A listing."""
    return json.dumps({"rows": [{"id": f"l{number}", "state": state} for number in range(jobs)]}).encode()


class Loads:
    """What vendors and scrapers send, each as a function that runs outside of the loop's thread.

    Args:
        url: of the exporter.
        file: its configuration.
    """

    def __init__(self, url: str, vendor: Vendor, file: Path, jobs: int) -> None:
        self._url, self._vendor, self._file, self._jobs = url, vendor, file, jobs
        self._fresh = itertools.count()

    def all(self) -> dict[str, Callable[[], None]]:
        """Each load by its name, in the order in which they run."""
        return {
            "scrape": self._scrape,
            "20 scrapes of each format, with and without gzip": self._formats,
            "/, /jobs, /jobs.json, /sd, /probe?debug": self._pages,
            "a listing in which every state changes": self._changes,
            "100 answers of 1 MiB": self._large,
            "a quadratic expression over 1 MiB": self._quadratic,
            "answers of 64 MiB that gzip makes small": self._bombs,
            "a listing of 16 MiB": self._long_listing,
            "a listing with as many rows as jobs, all new": self._new_jobs,
            "reload: no change": self._reload_same,
            "reload: one job more": self._reload_more,
            "reload: all labels change": self._reload_labels,
            "100 reloads": self._reloads,
            "guesses of passwords": self._guesses,
            "2,000 probes of unknown jobs": self._probes,
            "silent connections": self._silent,
            "pipelined and broken requests": self._pipelined,
        }

    def get(self, path: str, **headers: str) -> requests.Response:
        """A request with the right password."""
        return requests.get(
            self._url + path, headers={**HEADERS, **headers}, auth=("me", PASSWORD), timeout=60
        )

    def _scrape(self) -> None:
        assert self.get("/metrics").status_code == 200

    def _formats(self) -> None:
        wanted = itertools.product(FORMATS, ("gzip", "identity"), range(20))
        with ThreadPoolExecutor(20) as pool:
            list(
                pool.map(
                    lambda each: self.get("/metrics", Accept=each[0], **{"Accept-Encoding": each[1]}), wanted
                )
            )

    def _pages(self) -> None:
        for path in (
            "/",
            "/jobs",
            "/jobs?state=failed&text=c1",
            "/jobs.json",
            "/sd",
            "/probe?system=configured&id=c1&debug=true",
        ):
            self.get(path)

    def _changes(self) -> None:
        self._vendor.answers["/list"] = rows(self._jobs // 2, "succeeded"), {}
        self._scrape()
        self._vendor.answers["/list"] = rows(self._jobs // 2), {}
        self._scrape()

    @contextlib.contextmanager
    def _answering(self, paths: list[str], body: bytes, **headers: str) -> Iterator[None]:
        before = {path: self._vendor.answers.get(path) for path in paths}
        self._vendor.answers.update(dict.fromkeys(paths, (body, headers)))
        yield
        for path, answer in before.items():
            if answer is None:
                del self._vendor.answers[path]
            else:
                self._vendor.answers[path] = answer

    def _large(self) -> None:
        body = json.dumps(
            {"state": "running", "filler": [{"a": n, "b": "x" * 20} for n in range(20_000)]}
        ).encode()
        with self._answering([f"/job/c{number}" for number in range(100)], body):
            self._scrape()

    def _quadratic(self) -> None:
        many = [f"item-{number}" for number in range(30_000)]
        body = json.dumps({"state": "running", "items": many, "failed": many[::-1]}).encode()
        with self._answering([f"/heavy/h{number}" for number in range(20)], body):
            self._scrape()

    def _bombs(self) -> None:
        body = gzip.compress(b'{"state":"running","x":[' + b"[]," * (20 * MIB) + b"[]]}", 9)
        with self._answering(
            [f"/job/c{number}" for number in range(20)] + ["/list"], body, **{"Content-Encoding": "gzip"}
        ):
            self._scrape()

    def _long_listing(self) -> None:
        with self._answering(["/list"], rows(400_000)):
            self._scrape()

    def _new_jobs(self) -> None:
        body = rows(self._jobs // 2).replace(b'"l', b'"n%d-' % next(self._fresh))
        with self._answering(["/list"], body):
            self._scrape()
        self._scrape()

    def _reload(self, **changes: Any) -> None:
        self._file.write_text(config(self._vendor.url, self._jobs, **changes))
        self._reload_same()

    def _reload_same(self) -> None:
        answer = requests.post(self._url + "/-/reload", auth=("me", PASSWORD), timeout=60)
        assert answer.status_code == 200, answer.text

    def _reload_more(self) -> None:
        self._reload(more=1)
        self._reload()

    def _reload_labels(self) -> None:
        self._reload(note="x")
        self._scrape()
        self._reload()

    def _reloads(self) -> None:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: self._reload_same(), range(100)))

    def _guesses(self) -> None:
        guesses = [("me", f"guess {number}") for number in range(40)]
        with ThreadPoolExecutor(40) as pool:
            list(pool.map(lambda auth: requests.get(self._url + "/metrics", auth=auth, timeout=60), guesses))

    def _probes(self) -> None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda n: self.get(f"/probe?system=configured&id={n}{'x' * 500}"), range(2000)))

    def _connect(self) -> socket.socket:
        host, _, port = self._url.removeprefix("http://").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=30)

    def _silent(self) -> None:
        with contextlib.ExitStack() as kept:
            for _ in range(600):
                kept.enter_context(contextlib.closing(self._connect()))
            assert self.get("/-/healthy").status_code == 200

    def _pipelined(self) -> None:
        request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
        chunks = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000
        headers = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 4_000 + b"\r\n"
        for data in (request * 1000, chunks, headers, b"\r\n" * 10_000, bytes(range(256)) * 200):
            with contextlib.closing(self._connect()) as client, contextlib.suppress(OSError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while client.recv(MIB):
                    pass


def measure(jobs: int, folder: Path, only: str = "") -> dict[str, tuple[float, str]]:
    """The longest turn of each load in seconds of CPU, and the callback that ran longest in it.

    Args:
        jobs: how many the exporter watches.
        only: loads whose name contains this text.
    """
    vendor = Vendor({"/list": (rows(jobs // 2), {})})
    thresholds = gc.get_threshold()
    try:
        with vendor.running():
            return asyncio.run(_measure(vendor, jobs, folder, only))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _measure(vendor: Vendor, jobs: int, folder: Path, only: str) -> dict[str, tuple[float, str]]:
    file, web = folder / "config.yaml", folder / "web.yaml"
    file.write_text(config(vendor.url, jobs))
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    web.write_text(json.dumps({"basic_auth_users": {"me": hashed}}))
    service = Service(file, Options(listen=("127.0.0.1:0",), web_config=web))
    await service.start()
    garbage.configure()  # as `serve` does
    collecting = asyncio.create_task(garbage.collect_young())
    turns, results = Turns(), {}
    try:
        with turns.measured():
            for name, load in Loads(service.addresses[0], vendor, file, jobs).all().items():
                if only in name:
                    turns.reset()
                    try:
                        await asyncio.to_thread(load)
                    except (OSError, AssertionError) as error:
                        turns.callback += f"; the load failed: {type(error).__name__}"
                    results[name] = turns.longest, turns.callback
    finally:
        collecting.cancel()
        await service.stop()
    return results


def main() -> int:
    """Prints the longest turns; 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, choices=LIMIT_SECONDS, default=1_000)
    parser.add_argument("--only", default="", help="loads whose name contains this text")
    options = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options.jobs, Path(folder), options.only)
    limit = LIMIT_SECONDS[options.jobs]
    for name, (seconds, callback) in results.items():
        over = "over" if seconds > limit else ""
        print(f"{seconds * 1000:8.1f} ms {over:4}  {name:50} {callback}")  # noqa: T201  the report
    return int(any(seconds > limit for seconds, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
