"""Throw-away certificates, and the two ways to send a request."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from exporter.transport import ConnectionPool, ConnectionSettings
from exporter.transport.adapter import CurlAdapter

Send = Callable[..., Awaitable["Seen"]]
DIRECT, LIMIT = ConnectionSettings(), 1 << 20


@dataclass
class Seen:
    """What both ways tell of an answer."""

    status: int
    body: bytes
    headers: dict[str, str]


def prepared(method: str, url: str, **more: Any) -> requests.PreparedRequest:
    return requests.Request(method, url, **more).prepare()


@pytest.fixture(params=["pool", "adapter"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends one request by the pool, or by the adapter in a thread: both keep the same rules."""

    async def by_pool(
        url: str,
        settings: ConnectionSettings = DIRECT,
        *,
        seconds: float = 30,
        max_bytes: int = 999_999,
        **more: Any,
    ) -> Seen:
        pool = ConnectionPool(settings)
        try:
            response = await pool.send(
                prepared(more.pop("method", "GET"), url, **more), timeout=seconds, max_bytes=max_bytes
            )
        finally:
            await pool.close()
        return Seen(response.status, response.body, dict(response.headers))

    async def by_adapter(
        url: str,
        settings: ConnectionSettings = DIRECT,
        *,
        seconds: float = 30,
        max_bytes: int = 999_999,
        **more: Any,
    ) -> Seen:
        adapter = CurlAdapter(settings, timeout=seconds, max_bytes=max_bytes)
        request = prepared(more.pop("method", "GET"), url, **more)
        response = await asyncio.to_thread(adapter.send, request)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Seen(response.status_code, response.content, headers)

    return by_pool if request.param == "pool" else by_adapter


@dataclass
class Authority:
    """A CA with its file."""

    ca: trustme.CA
    file: Path

    def server(self, *names: str, **options: Any) -> ssl.SSLContext:
        """The context of a server with a certificate for the names, 127.0.0.1 if none are given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("127.0.0.1",)), **options).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca, file = trustme.CA(), tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, file)


@pytest.fixture(autouse=True)
def _no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
