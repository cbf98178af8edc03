"""How to connect to one system: trusted CAs, client certificate, proxy."""

import os
import re
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import certifi
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from exporter.config_types import Keys, PemFile, check_pem, host_is_read, note
from exporter.runtime import files
from exporter.runtime.memory_file import MemoryFile
from exporter.runtime.secret import MASK
from exporter.transport.pem import Pem, content, shared

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]+)(:(?P<port>[0-9]+))?")


def _server_name(value: str) -> str:
    if not value.isascii() or not value or any(sign in value for sign in "/:@?#[]\\ \t\r\n,"):
        raise ValueError("not a host name; allowed is a name such as api.example.com, without port")
    return value


class Tls(Keys):
    """The keys of ``tls:``. All files are PEM files."""

    ca_file: PemFile | None = Field(None, description="CA certificates to trust instead of the default ones")
    crl_file: PemFile | None = Field(
        None, description="certificate revocation lists (CRL) of every CA in the chain"
    )
    cert_file: PemFile | None = Field(None, description="client certificate; may also contain its key")
    key_file: PemFile | None = Field(None, description="unencrypted key of the client certificate")
    server_name: Annotated[str, AfterValidator(_server_name)] | None = Field(
        None, description="name in the server certificate, if it differs from the host of base_url"
    )
    min_version: Literal["TLS12", "TLS13"] = Field("TLS12", description="lowest TLS version to accept")
    insecure_skip_verify: bool = Field(default=False, description="accept any server certificate")

    @model_validator(mode="after")
    def _usable(self, info: ValidationInfo) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if host_is_read(info):
            self.check(self._read_own())
        return self

    def read(self) -> Pem:
        """The content of its files and of the default CAs, as it is now.

        Raises:
            ValueError: one cannot be read; the text names it.
        """
        own = self._read_own()
        return own if self.ca_file else replace(own, trusted=shared(content(Path(self.trusted()))))

    def _read_own(self) -> Pem:
        ca, crl, cert = (
            content(path) if path else None for path in (self.ca_file, self.crl_file, self.cert_file)
        )
        key = content(self.key_file) if self.key_file else cert
        return Pem(shared(ca or b""), None if crl is None else shared(crl), cert, key)

    def check(self, pem: Pem) -> None:
        """Raises a ``ValueError`` that names the file if libcurl could not use the content of one."""
        # An error found here is reported when the configuration is loaded; found by libcurl, it is an outage.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name, path, file in (
            ("ca_file", self.ca_file, pem.trusted),
            ("crl_file", self.crl_file, pem.crl),
        ):
            try:
                if path and file:
                    context.load_verify_locations(file.path)
            except (OSError, ValueError):
                raise ValueError(f"{name}: {path} is not a PEM file") from None
        try:
            if pem.cert is not None and pem.key is not None:
                with MemoryFile(pem.cert) as cert, MemoryFile(pem.key) as key:
                    context.load_cert_chain(cert, key, password="")
        except (OSError, ValueError):
            path = self.key_file or self.cert_file
            raise ValueError(f"cert_file: {path} does not contain its unencrypted PEM key") from None

    def trusted(self) -> str:
        """The CA file to use: ``ca_file``, else the environment's ``SSL_CERT_FILE``, else certifi's."""
        return str(self.ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where())

    def check_environment(self, info: ValidationInfo) -> Self:
        """Checks the file of ``SSL_CERT_FILE``, if that is the CA file to use, and returns itself.

        Raises:
            ValueError: it cannot be read; the text names the variable and the file.
        """
        if host_is_read(info) and not self.ca_file and (name := os.environ.get("SSL_CERT_FILE")):
            note(Path(name), info)
            try:
                check_pem(Path(name))
            except ValueError as error:
                raise ValueError(f"the environment variable SSL_CERT_FILE: {error}") from None
        return self

    def stamp(self) -> files.Stamp | None:
        """A value that changes when any of the files does; ``None`` while one is missing."""
        paths = (Path(self.trusted()), self.crl_file, self.cert_file, self.key_file)
        stamp = files.stamp(*(path for path in paths if path))
        return None if None in stamp else stamp


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to connect to one system.

    Args:
        tls: trusted CAs and client certificate.
        proxy_url: the proxy to use; ``None``: the one of ``http_proxy``, ``https_proxy``, ``all_proxy`` and
            ``no_proxy`` as libcurl reads them. May contain a password, so it is in no repr.
    """

    tls: Tls = field(default_factory=Tls)
    proxy_url: str | None = field(default=None, repr=False)

    def proxy(self, url: str) -> str:
        """Host and port of the proxy for requests to ``url``; empty if there is none.

        The variables are those that libcurl reads (https://everything.curl.dev/usingcurl/proxies/env.html).
        """
        proxy = self.proxy_url
        if not proxy:
            secure = ("https_proxy", "HTTPS_PROXY")
            names = secure if url.startswith("https:") else ("http_proxy",)
            found = (os.environ.get(name) for name in (*names, "all_proxy", "ALL_PROXY"))
            proxy = next(filter(None, found), None)
            if proxy is None or bypasses_proxies(url):
                return ""
        return _host_and_port(proxy)


def bypasses_proxies(url: str) -> bool:
    """Whether ``no_proxy`` excludes a URL from the proxies of the environment."""
    # Only where there may be a proxy: `requests` is heavy.
    from requests.utils import should_bypass_proxies  # noqa: PLC0415

    return bool(should_bypass_proxies(url, None))


def _host_and_port(proxy: str) -> str:
    """Without the user name and password that the URL of a proxy may contain."""
    scheme, _, rest = proxy.rpartition("://")
    host = rest.rpartition("@")[2].partition("/")[0]
    match = _HOST_AND_PORT.fullmatch(host)
    if match is None:  # a user name and a password without a host
        return MASK
    # https://curl.se/libcurl/c/CURLOPT_PROXY.html has the ports that libcurl assumes.
    return host if match["port"] else f"{host}:{443 if scheme.lower() == 'https' else 1080}"


DEFAULTS = ConnectionSettings()
"""Default TLS settings, and the proxy of the environment."""
