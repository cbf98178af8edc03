"""How to get to one system: trust, client certificate, proxy."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import certifi
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator
from requests.utils import should_bypass_proxies

from exporter.config_types import Keys, host_is_read, in_folder
from exporter.runtime import files

Stamp = tuple[tuple[str, files.Stamp | None], ...]


def _readable(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("not a path; allowed is the name of a readable file")
    path = in_folder(value, info)
    if host_is_read(info):
        _check(path)
    return path


def _check(path: Path) -> None:
    try:
        files.check_pem(path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; allowed is a readable file") from None


def _server_name(value: str) -> str:
    if not value.isascii() or not value or any(sign in value for sign in "/:@?#[]\\ \t\r\n,"):
        raise ValueError("not a host name; allowed is a name such as api.example.com, without port")
    return value


ReadableFile = Annotated[Path, BeforeValidator(_readable, json_schema_input_type=str)]


class Tls(Keys):
    """The keys of ``tls:``. All files are PEM."""

    ca_file: ReadableFile | None = Field(None, description="CAs to trust instead of the usual ones")
    crl_file: ReadableFile | None = Field(None, description="revoked certificates, of each CA in the chain")
    cert_file: ReadableFile | None = Field(None, description="client certificate; may hold its key too")
    key_file: ReadableFile | None = Field(None, description="key of the client certificate, unencrypted")
    server_name: Annotated[str, AfterValidator(_server_name)] | None = Field(
        None, description="name that the certificate is for, when it is not the host of base_url"
    )
    min_version: Literal["TLS12", "TLS13"] = Field("TLS12", description="oldest TLS version accepted")
    insecure_skip_verify: bool = Field(default=False, description="accept any certificate")

    @model_validator(mode="after")
    def _usable(self, info: ValidationInfo) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if host_is_read(info):
            self._load()
        return self

    def _load(self) -> None:
        # Found here, an error is one line at start; found by libcurl, it is an outage.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name, path in (("ca_file", self.ca_file), ("crl_file", self.crl_file)):
            try:
                if path:
                    context.load_verify_locations(path)
            except (OSError, ValueError):
                raise ValueError(f"{name}: {path} is no PEM file") from None
        try:
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except (OSError, ValueError):
            place = self.key_file or self.cert_file
            raise ValueError(f"cert_file: {place} does not hold its unencrypted PEM key") from None

    def trusted(self) -> str:
        """The CA file in force: ours, else the environment's ``SSL_CERT_FILE``, else certifi's."""
        return str(self.ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where())

    def check_environment(self, info: ValidationInfo) -> Self:
        """Itself, once the file that ``SSL_CERT_FILE`` names is looked at, where that is in force.

        Raises:
            ValueError: it cannot be read; the text names the variable and the file.
        """
        if host_is_read(info) and not self.ca_file and (name := os.environ.get("SSL_CERT_FILE")):
            try:
                _check(Path(name))
            except ValueError as error:
                raise ValueError(f"the environment variable SSL_CERT_FILE: {error}") from None
        return self

    def stamp(self) -> Stamp | None:
        """What changes when any of the files does; ``None`` while one is missing.

        A wire keeps the trust it began with, also for new connections, so another stamp asks for a
        new `Wire`. While a file is missing (somebody is replacing it) the old wire is the better one.
        """
        paths = (Path(self.trusted()), self.crl_file, self.cert_file, self.key_file)
        stamps = tuple((str(path), files.stamp(path)) for path in paths if path)
        return None if any(stamp is None for _, stamp in stamps) else stamps


@dataclass(frozen=True, slots=True)
class Route:
    """How to get to one system.

    Args:
        tls: trust and client certificate.
        proxy_url: the proxy to use whatever the environment says; ``None`` leaves it to
            ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` as libcurl reads them.
            May hold a password, so it shows in no repr.
    """

    tls: Tls = field(default_factory=Tls)
    proxy_url: str | None = field(default=None, repr=False)

    def proxy(self, url: str) -> str:
        """Host and port of the proxy that requests to ``url`` pass; empty where there is none.

        The variables are those that libcurl reads (https://everything.curl.dev/usingcurl/proxies/env.html).
        """
        proxy = self.proxy_url
        if not proxy and not should_bypass_proxies(url, None):
            secure = ("https_proxy", "HTTPS_PROXY")
            names = secure if url.startswith("https:") else ("http_proxy",)
            found = (os.environ.get(name) for name in (*names, "all_proxy", "ALL_PROXY"))
            proxy = next(filter(None, found), None)
        # Without a user name and a password, which it may hold.
        return (proxy or "").rpartition("://")[2].rpartition("@")[2].partition("/")[0]


DIRECT = Route()
"""Nothing special."""
