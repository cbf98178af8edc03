"""The processes of a measurement: upstreams, exporters, json_exporter, Prometheus. Linux only."""

import contextlib
import functools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import trustme

JOBS_PATH = "/authoring/publishing/v1/jobs"
CLIENTS = 16
"""Connections over which json_exporter is scraped."""
START_SECONDS = 30.0

T = TypeVar("T")

# The numbers and the text that the peer reads from a response of `upstream.job`.
NUMBERS = {
    "items_sent": "{ .statistics.itemsSent }",
    "items_processed": "{ .statistics.itemsProcessed }",
    "items_failed": "{ .statistics.itemsFailed }",
    "items_additional": "{ .statistics.xmc.additionalItemsSent }",
    "items_skipped": "{ .statistics.xmc.itemsSkipped }",
    "items_deleted": "{ .statistics.xmc.itemsDeleted }",
    "items_acknowledged": "{ .statistics.xmc.itemsAcknowledged }",
    "sending_complete": "{ .statistics.xmc.itemsSendingComplete }",
    "cancelable": "{ .permissions.canCancel }",
}


@dataclass(frozen=True)
class Process:
    """A process under test.

    Args:
        url: its address, without a path.
    """

    child: "subprocess.Popen[Any]"
    url: str

    def cpu(self) -> float:
        """CPU seconds of all its threads so far, also of those that have ended, to the nanosecond."""
        # The number of the clock of another process, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~self.child.pid << 3) | 2)

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def get(self, path: str = "/metrics", *, gzip: bool = False) -> bytes:
        """The body of a response with status 200."""
        with contextlib.closing(self.connect()) as connection:
            return get(connection, path, gzip=gzip)

    def connect(self) -> HTTPConnection:
        """A connection to it."""
        return HTTPConnection(urlsplit(self.url).netloc, timeout=120)


def get(connection: HTTPConnection, path: str, *, gzip: bool = False) -> bytes:
    """The body of a response with status 200 over a connection that stays open."""
    headers = {"Accept-Encoding": "gzip" if gzip else "identity", "X-Prometheus-Scrape-Timeout-Seconds": "60"}
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        sys.exit(f"{path}: HTTP status {response.status}: {body[:200]!r}")
    return body


class Stage(contextlib.ExitStack):
    """Starts each process once, when a measurement first needs it; ends all of them.

    Args:
        peer: the program json_exporter, if there is one.
    """

    def __init__(self, peer: str | None) -> None:
        super().__init__()
        self.peer = peer
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self._kept: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` has made when this was first called with the name."""
        if name not in self._kept:
            self._kept[name] = make()
        kept: T = self._kept[name]
        return kept

    def start(self, arguments: Sequence[str], url: str, ready: str) -> Process:
        """Starts a process and waits until the path ``ready`` responds with status 200."""
        child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.callback(end, child)
        process, limit = Process(child, url), time.monotonic() + START_SECONDS
        while time.monotonic() < limit and child.poll() is None:
            with contextlib.suppress(OSError), contextlib.closing(process.connect()) as connection:
                connection.request("GET", ready)
                if connection.getresponse().status == 200:
                    return process
            time.sleep(0.002)
        sys.exit(f"not ready: {' '.join(arguments)}")

    def upstream(self, *, tls: bool = False) -> str:
        """The address of the upstream."""
        return self.once(f"upstream {tls}", functools.partial(self._upstream, tls=tls))

    def _upstream(self, *, tls: bool) -> str:
        arguments = [sys.executable, str(Path(__file__).parent / "upstream.py")]
        if tls:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(self.authority))
            file = self.folder / "server.pem"
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
            arguments += ["--certificate", str(file)]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.callback(end, child)
        return child.stdout.readline().strip() if child.stdout else ""

    @property
    def authority(self) -> Path:
        """The certificate authority of the upstream with TLS."""
        return self.folder / "ca.pem"

    def exporter(
        self,
        name: str,
        path: str = "/now",
        jobs: int = 0,
        *,
        tls: bool = False,
        defaults: Any = None,
    ) -> Process:
        """An exporter of this project that has been scraped once.

        Args:
            name: the same name is the same process.
            path: of the upstream.
            jobs: how many are configured; 0 for a listing.
            defaults: of the configuration.
        """
        make = functools.partial(self._exporter, name, path, jobs, tls=tls, defaults=defaults)
        return self.once(f"exporter {name}", make)

    def _exporter(self, name: str, path: str, jobs: int, *, tls: bool, defaults: Any) -> Process:
        process = self.serve(self.config(name, path, jobs, tls=tls, defaults=defaults))
        process.get()
        return process

    def config(self, name: str, path: str, jobs: int, *, tls: bool = False, defaults: Any = None) -> Path:
        """A configuration file with one system, see `exporter`."""
        system: dict[str, Any] = {"provider": "sitecore", "base_url": self.upstream(tls=tls) + path}
        system["auth"] = {"type": "none"}
        if tls:
            system["tls"] = {"ca_file": str(self.authority)}
        if jobs:
            system["jobs"] = [{"id": f"job_{number}"} for number in range(jobs)]
        else:
            system["discover"] = {}
        limits = {"min_interval": "0s", "max_jobs": 20_000, "timeout": "30s", **(defaults or {})}
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"defaults": limits, "systems": {"content": system}}))
        return file

    def prometheus(self, name: str, scrape: dict[str, Any]) -> Process:
        """A Prometheus with one scrape configuration, which it has used twice."""
        return self.once(f"prometheus {name}", functools.partial(self._prometheus, name, scrape))

    def _prometheus(self, name: str, scrape: dict[str, Any]) -> Process:
        file = self.folder / f"prometheus-{name}.json"
        times = {"scrape_interval": "5s", "scrape_timeout": "5s"}
        file.write_text(json.dumps({"global": times, "scrape_configs": [{"job_name": name, **scrape}]}))
        address = f"127.0.0.1:{free_port()}"
        arguments = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self.folder / name}"]
        process = self.start(
            [*arguments, f"--web.listen-address={address}", "--log.level=error"],
            f"http://{address}",
            "/-/ready",
        )
        time.sleep(10)
        return process

    def serve(self, file: Path) -> Process:
        """An exporter with this configuration, once it is ready."""
        address = f"127.0.0.1:{free_port()}"
        arguments = [sys.executable, "-m", "exporter", "serve", "--config.file", str(file)]
        return self.start([*arguments, "--web.listen-address", address], f"http://{address}", "/-/ready")

    def json_exporter(self) -> Process:
        """The peer."""
        return self.once("json_exporter", self._json_exporter)

    def _json_exporter(self) -> Process:
        metrics: list[dict[str, Any]] = [
            {"name": f"job_{name}", "help": name, "path": path} for name, path in NUMBERS.items()
        ]
        metrics.append(
            {
                "name": "job",
                "help": "status",
                "type": "object",
                "path": "{ .system }",
                "labels": {"status": "{ .status }"},
                "values": {"status": 1},
            }
        )
        trusted = {"tls_config": {"ca_file": str(self.authority)}}
        modules = {
            "default": {"metrics": metrics},
            "tls": {"metrics": metrics, "http_client_config": trusted},
        }
        file = self.folder / "peer.json"
        file.write_text(json.dumps({"modules": modules}))
        self.upstream(tls=True)
        address = f"127.0.0.1:{free_port()}"
        arguments = [
            self.peer or "json_exporter",
            "--config.file",
            str(file),
            "--web.listen-address",
            address,
        ]
        return self.start([*arguments, "--log.level=error"], f"http://{address}", "/metrics")

    def probes(self, count: int, *, tls: bool = False) -> None:
        """Scrapes the peer for so many jobs, 16 at a time, each over a kept connection."""
        process = self.json_exporter()

        def some(first: int) -> None:
            with contextlib.closing(process.connect()) as connection:
                for number in range(first, count, CLIENTS):
                    body = get(connection, self.probe(number, tls=tls))
                    if body.count(b"\njob_") < len(NUMBERS) + 1:
                        sys.exit(f"json_exporter has not read everything: {body!r}")

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(some, range(CLIENTS)))

    def probe(self, number: int, *, tls: bool = False) -> str:
        """The path under which the peer reads one job."""
        target = f"{self.upstream(tls=tls)}/now{JOBS_PATH}/{quote(f'job_{number}')}"
        return "/probe?" + urlencode({"target": target, "module": "tls" if tls else "default"})


def end(child: "subprocess.Popen[Any]") -> None:
    """Ends a process."""
    child.terminate()
    child.wait(30)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
