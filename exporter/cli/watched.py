"""What `watch` shows: the jobs of a configuration, or those that a running exporter has read."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests import PreparedRequest

from exporter.cli.user_errors import UserError
from exporter.config import Registry
from exporter.config_types import check_pem
from exporter.model.failure import Failure
from exporter.model.text import printable
from exporter.runtime import files, tasks
from exporter.service import Options, Service
from exporter.transport import ConnectionPool, ConnectionSettings, Tls
from exporter.views import Filters, JobList, Selection, Unlisted, duration, reports, select, unlisted

READ_SECONDS = 60.0
"""How long one read of all jobs is waited for."""
URL_SECONDS = 10.0
"""How long the response of an exporter is waited for."""
MAX_RESPONSE_BYTES = 64 << 20
"""Of the jobs of an exporter: some 100,000."""
MAX_PASSWORD_BYTES = 1024
NOTHING = Selection([], {}, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """The jobs at one moment.

    Args:
        selection: the jobs that match the filters.
        unlisted: systems whose jobs could not be listed.
        now: Unix time of the exporter's clock; 0 before the first response.
        error: why these are not the newest; empty if they are.
    """

    selection: Selection = NOTHING
    unlisted: Sequence[Unlisted] = ()
    now: float = 0.0
    error: str = ""


class Watched(Protocol):
    """Jobs to show.

    Attributes:
        title: where they are from, and the page that shows them.
    """

    title: str

    async def read(self) -> None:
        """Reads them again, as far as they are due.

        Raises:
            UserError: they cannot be read.
        """

    async def seen(self) -> Seen:
        """What is known of them now."""


class Configured:
    """The jobs of a configuration, read by this process as `serve` reads them for a scrape."""

    def __init__(self, service: Service, file: Path, filters: Filters) -> None:
        self.title = f"{printable(str(file))}, without a web server"
        self._collector = service.collector
        self._filters = filters

    async def read(self) -> None:
        """Reads each job that is due under pacing."""
        await self._collector.collect(READ_SECONDS)

    async def seen(self) -> Seen:
        """Also while they are being read."""
        selection = select(await reports(self._collector.records()), self._filters)
        failures = self._collector.listing_failures()
        return Seen(selection, unlisted(failures, self._filters.systems), time.time())


@asynccontextmanager
async def configured(file: Path, registry: Registry, filters: Filters) -> AsyncIterator[Configured]:
    """The jobs of a configuration. Raises a ``ConfigError`` if it has errors."""
    service = Service(file, Options(registry=registry))
    async with service.reading():
        yield Configured(service, file, filters)


@dataclass(frozen=True, slots=True)
class Login:
    """How a running exporter is reached.

    Args:
        url: as `base_address` returns it.
        username, password: sent if there is a user name.
        ca_file: of the certificate of the exporter; ``None`` for the default ones.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None


class Exporter:
    """The jobs of a running exporter. It sends no request to a vendor because of this."""

    def __init__(self, login: Login, pool: ConnectionPool, filters: Filters) -> None:
        self.title = f"{login.url}/jobs"
        self._pool = pool
        self._request = _request(login, filters)
        self._list = JobList("", 0.0, 0, {})
        self._received = 0.0
        self._error = ""

    async def read(self) -> None:
        """Gets what the exporter has read; it sends no request because of that."""
        try:
            self._list = await self._get()
        except UserError as error:
            self._error = str(error)
            raise
        self._received = time.monotonic()
        self._error = ""

    async def seen(self) -> Seen:
        """What it has last received."""
        if not self._received:
            return Seen(error=self._error)
        age = time.monotonic() - self._received
        error = f"{self._error}; the table is {duration(age)} old" if self._error else ""
        selection = Selection(self._list.jobs, self._list.counts, self._list.total)
        return Seen(selection, self._list.unlisted, self._list.time + age, error)

    async def _get(self) -> JobList:
        try:
            response = await self._pool.send(self._request, timeout=URL_SECONDS, max_bytes=MAX_RESPONSE_BYTES)
        except Failure as error:
            raise UserError(f"the exporter does not respond: {error.detail or error.reason}") from None
        if response.status == 401:
            raise UserError(
                "the exporter does not accept the user name and password; set --username and --password-file"
            )
        if response.status != 200:
            raise UserError(f"the exporter responds with HTTP status {response.status}; check --url")
        try:
            return msgspec.json.decode(response.body, type=JobList)
        except msgspec.DecodeError:
            raise UserError("the response is not the list of jobs of an exporter; check --url") from None


@asynccontextmanager
async def running(login: Login, filters: Filters) -> AsyncIterator[Exporter]:
    """The jobs of a running exporter. Raises a `UserError` if the CA file cannot be used."""
    try:
        if login.ca_file is not None:
            check_pem(login.ca_file)
        settings = ConnectionSettings(tls=Tls(ca_file=login.ca_file))
        pool = ConnectionPool(settings, await tasks.in_thread(settings.tls.read), max_connections=1)
    except ValueError as error:
        raise UserError(f"--ca-file: {error}") from None
    try:
        yield Exporter(login, pool, filters)
    finally:
        await pool.close(0.0)


def base_address(url: str) -> str:
    """The address of an exporter, of this address or of that of its page of jobs.

    Raises:
        ValueError: it is none; the text does not quote it, since it may contain a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
        raise ValueError("allowed is the address of an exporter, such as http://127.0.0.1:10072")
    if "@" in parts.netloc:
        raise ValueError("the user name and password are set with --username and --password-file")
    path = parts.path.rstrip("/").removesuffix("/jobs.json").removesuffix("/jobs")
    return f"{parts.scheme}://{parts.netloc}{path}"


def password_of(file: Path) -> str:
    """The first line of a file. Raises a `UserError` if it cannot be read."""
    name = f"--password-file: {printable(str(file))}"
    try:
        text = files.read(file, MAX_PASSWORD_BYTES + 1, pipe=True).decode()
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{name}: is not UTF-8 text") from None
    if len(text) > MAX_PASSWORD_BYTES:
        raise UserError(f"{name}: is too long; allowed are {MAX_PASSWORD_BYTES} bytes")
    return text.partition("\n")[0].rstrip("\r")


def _request(login: Login, filters: Filters) -> PreparedRequest:
    query = urlencode(filters.pairs())
    url = f"{login.url}/jobs.json" + (f"?{query}" if query else "")
    request = requests.Request("GET", url, headers={"Accept": "application/json"}).prepare()
    if login.username:
        # As UTF-8: requests itself encodes texts as Latin-1.
        request.prepare_auth((login.username.encode(), login.password.encode()))
    return request
