"""A server behind a web configuration file, to be imported: ``from tests.web.secured import Place``."""

import datetime as dt
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import trustme

from exporter.metrics.instrumentation import Instrumentation
from exporter.web.security import Security
from exporter.web.server import Server
from tests.vendor import read_samples
from tests.web.clients import Answer, connect

PASSWORD = "correct horse"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
VERIFY = "  client_ca_file: clients.pem\n  client_auth_type: RequireAndVerifyClientCert\n"


def hashed(password: str = PASSWORD, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def users(*names: str, password: str = PASSWORD) -> str:
    return "basic_auth_users:\n" + "".join(f"  {name}: {hashed(password)}\n" for name in names)


def basic(user: str, password: str = PASSWORD) -> bytes:
    return b"Basic " + b64encode(f"{user}:{password}".encode())


def applied(instrumentation: Instrumentation) -> bool:
    """Whether the metrics say that the files of the web configuration are in force as they are."""
    page = read_samples(instrumentation.render(openmetrics=False).decode())
    shown = page.get_one("remote_job_exporter_web_config_last_reload_successful")
    assert shown is not None
    return bool(shown)


class Place:
    """A folder with certificates, and the configuration file that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "web.yaml"
        self.authority = trustme.CA()
        self.clients = trustme.CA()
        (folder / "clients.pem").write_bytes(self.clients.cert_pem.bytes())
        self.rotate()

    def rotate(self, not_after: dt.datetime | None = None) -> None:
        """Gives the server another certificate."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1", not_after=not_after)
        issued.private_key_pem.write_to_path(self.folder / "server.key")
        (self.folder / "server.pem").unlink(missing_ok=True)
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.folder / "server.pem", append=True)

    def write(self, text: str) -> Path:
        self.file.write_text(text)
        return self.file

    def client(self, *names: str, of: trustme.CA | None = None) -> ssl.SSLContext:
        """A client that trusts the server; with names, one that has a certificate."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            (of or self.clients).issue_cert(*names).configure_cert(context)
        return context


@dataclass
class Secured:
    """A running server and what stands before it."""

    server: Server
    security: Security
    instrumentation: Instrumentation

    def applied(self) -> bool:
        """Whether the metrics say that the files are in force as they are."""
        return applied(self.instrumentation)

    async def get(
        self,
        path: str = "/metrics",
        *,
        authorization: bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        lines = [f"GET {path} HTTP/1.1".encode(), b"Host: x"]
        if authorization is not None:
            lines.append(b"Authorization: " + authorization)
        async with connect(self.server, tls) as client:
            client.say(b"\r\n".join(lines) + b"\r\n\r\n")
            return await client.answer()


Secure = Callable[[str], Awaitable[Secured]]
