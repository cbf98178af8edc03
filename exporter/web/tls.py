"""TLS of the web configuration: its keys, and the context that is made of them.

The keys are those of the Prometheus exporter toolkit. What Python's ``ssl`` cannot do is rejected,
never ignored: an operator must not rely on a setting without effect.
"""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from exporter.config_types import Keys, PemFile
from exporter.runtime import files
from exporter.runtime.memory_file import MemoryFile

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
# Go's names (tls.CipherSuites) and OpenSSL's.
_CIPHERS = {
    f"TLS_ECDHE_{key}_WITH_{ours}": f"ECDHE-{key}-{theirs}"
    for key in ("ECDSA", "RSA")
    for ours, theirs in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python does not name
_TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


def _mode(value: object) -> object:
    if value in _UNVERIFIED:
        raise ValueError(f"does not verify client certificates and is not supported; {_allowed(_MODES)}")
    return value


def _version(value: object) -> object:
    if value in ("TLS10", "TLS11"):
        raise ValueError("TLS 1.0 and 1.1 are insecure and not supported (RFC 8996); allowed: TLS12, TLS13")
    return value


def _cipher(name: str) -> str:
    if name in _TLS13_CIPHERS:
        raise ValueError(f"cipher suites of TLS 1.3 are always enabled; {_allowed(_CIPHERS)}")
    if name not in _CIPHERS:
        raise ValueError(f"unknown cipher suite; {_allowed(_CIPHERS)}")
    if not _has_cipher(_CIPHERS[name]):
        raise ValueError("OpenSSL on this host does not support this cipher suite")
    return name


def _curve(name: str) -> str:
    if name not in _CURVES:
        raise ValueError(f"unknown curve; {_allowed(_CURVES)}")
    return name


def _allowed(names: Iterable[str]) -> str:
    return f"allowed: {', '.join(names)}"


def _has_cipher(name: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(name)
    except ssl.SSLError:
        return False
    return any(cipher["name"] == name for cipher in context.get_ciphers())


Mode = Annotated[
    Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"], BeforeValidator(_mode)
]
Version = Annotated[Literal["TLS12", "TLS13"], BeforeValidator(_version)]
Pem = Path | str  # a file, or its text


class ServerTls(Keys):
    """The keys of ``tls_server_config:``, checked in this order: each check can use the keys above it."""

    cert: str | None = Field(None, description="certificate chain as PEM text, in place of cert_file")
    cert_file: PemFile | None = Field(None, description="certificate chain, the server's own first")
    key: str | None = Field(None, repr=False, description="its key as PEM text, in place of key_file")
    key_file: PemFile | None = Field(None, description="its key, unencrypted")
    client_ca: str | None = Field(None, description="CAs as PEM text, in place of client_ca_file")
    client_ca_file: PemFile | None = Field(None, description="CAs that must have signed client certificates")
    client_auth_type: Mode = Field(
        "NoClientCert", validate_default=True, description="whether clients need a certificate"
    )
    client_allowed_sans: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="alternative names (DNS, e-mail, IP, URI), one of which a client certificate must have",
    )
    min_version: Version = Field("TLS12", description="oldest TLS version accepted")
    max_version: Version = Field("TLS13", description="newest TLS version accepted")
    cipher_suites: list[Annotated[str, AfterValidator(_cipher)]] = Field(
        default_factory=list, description="cipher suites of TLS 1.2, by Go's names; OpenSSL's when empty"
    )
    curve_preferences: list[Annotated[str, AfterValidator(_curve)]] = Field(
        default_factory=list, description="the one curve to use; OpenSSL's when empty"
    )
    prefer_server_cipher_suites: bool = Field(
        default=True, description="the order of cipher_suites decides, not the client's"
    )
    _context: ssl.SSLContext
    _expired: str = ""

    @property
    def context(self) -> ssl.SSLContext:
        """The context for new connections."""
        return self._context

    @property
    def expired(self) -> str:
        """When the certificate expired, if it had when the configuration was loaded; else empty."""
        return self._expired

    @field_validator("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file")
    @classmethod
    def _pem(cls, value: Pem | None, info: ValidationInfo) -> Pem | None:
        if value is None:
            return None
        inline = str(info.field_name).removesuffix("_file")
        if info.data.get(inline):
            raise ValueError(f"cannot be set together with {inline}; allowed is one of the two")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if inline != "key":
            _trust(context, value)
        elif certificate := info.data.get("cert") or info.data.get("cert_file"):
            _identify(context, certificate, value)
        return value

    @field_validator("client_auth_type")
    @classmethod
    def _has_authority(cls, value: str, info: ValidationInfo) -> str:
        # A key with an error of its own is missing here; that error is enough.
        if not {"client_ca", "client_ca_file"} <= info.data.keys():
            return value
        authority = info.data["client_ca"] or info.data["client_ca_file"]
        if value == "NoClientCert" and authority:
            raise ValueError(
                "client_ca_file needs VerifyClientCertIfGiven or RequireAndVerifyClientCert; "
                "otherwise no client certificate is verified"
            )
        if value != "NoClientCert" and not authority:
            raise ValueError("needs client_ca_file or client_ca to verify certificates")
        return value

    @field_validator("client_allowed_sans", "max_version", "cipher_suites", "curve_preferences")
    @classmethod
    def _consistent(cls, value: Any, info: ValidationInfo) -> Any:
        match info.field_name:
            case "client_allowed_sans" if info.data.get("client_auth_type") == "NoClientCert":
                raise ValueError(
                    "needs client_auth_type: RequireAndVerifyClientCert or VerifyClientCertIfGiven"
                )
            case "max_version" if value < info.data.get("min_version", value):
                raise ValueError("must not be below min_version")
            case "cipher_suites" if value and info.data.get("min_version") == "TLS13":
                raise ValueError("applies only to TLS 1.2, which min_version excludes")
            case "curve_preferences" if len(value) > 1:
                raise ValueError(
                    f"only one curve can be set; allowed: a list with one of {', '.join(_CURVES)}"
                )
        return value

    @model_validator(mode="after")
    def _usable(self) -> Self:
        certificate, key = self.cert or self.cert_file, self.key or self.key_file
        if not certificate:
            raise ValueError("cert_file (or cert) is missing")
        if not key:
            raise ValueError("key_file (or key) is missing")
        self._context = self._make(certificate, key)
        self._expired = _expired(self._context, certificate)
        return self

    def _make(self, certificate: Pem, key: Pem) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.min_version]
        context.maximum_version = _VERSIONS[self.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not self.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        if self.cipher_suites:
            context.set_ciphers(":".join(_CIPHERS[name] for name in self.cipher_suites))
        for curve in self.curve_preferences:
            context.set_ecdh_curve(_CURVES[curve])
        context.set_alpn_protocols(["http/1.1"])
        _identify(context, certificate, key)
        # Not every cipher suite and curve works with every certificate.
        tried = _VERSIONS.items() if self.cipher_suites or self.curve_preferences else ()
        for name, version in tried:
            if self.min_version <= name <= self.max_version and not _can_connect(context, version):
                raise ValueError(
                    f"cipher_suites and curve_preferences allow no connection with {name} and this "
                    "certificate; allow more, or exclude the version with min_version or max_version"
                )
        if authority := self.client_ca or self.client_ca_file:
            _trust(context, authority)
            # As in Go, an intermediate CA can be trusted without the one above it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = _MODES[self.client_auth_type]
        if self.client_allowed_sans:
            context.sslobject_class = _only(frozenset(map(_canonical, self.client_allowed_sans)))
        return context


def _trust(context: ssl.SSLContext, authority: Pem) -> None:
    try:
        with MemoryFile(_content(authority)) as file:
            context.load_verify_locations(cafile=file)
        empty = not context.cert_store_stats()["x509"]
    except (OSError, ValueError):
        empty = True
    if empty:
        raise ValueError("contains no PEM certificate")


def _identify(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    """Loads the certificate and key of the server; a `ValueError` has nothing of their content."""
    try:
        with MemoryFile(_content(certificate)) as chain, MemoryFile(_content(key)) as private:
            # An empty password, since OpenSSL would prompt for one at the terminal.
            context.load_cert_chain(chain, private, password="")
    except ssl.SSLError as error:
        match error.reason:
            case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
                raise ValueError("is not the key of this certificate") from None
            case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
                raise ValueError("key or signature of the certificate is too weak for OpenSSL") from None
        raise ValueError("is not an unencrypted PEM key, or the certificate is no PEM chain") from None
    except (OSError, ValueError):
        raise ValueError("certificate or key cannot be read") from None


def _expired(server: ssl.SSLContext, certificate: Pem) -> str:
    """When the certificate of the server expired, as OpenSSL writes it; empty if it is valid."""
    client = _client()
    client.verify_mode = ssl.CERT_REQUIRED
    # Verified by itself, since only a verified certificate is decoded.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    _trust(client, certificate)
    connection = _connected(client, server)
    decoded: Any = connection and connection.getpeercert()
    end: str = decoded["notAfter"] if decoded else ""
    return end if end and ssl.cert_time_to_seconds(end) < time.time() else ""


def _can_connect(server: ssl.SSLContext, version: ssl.TLSVersion) -> bool:
    client = _client()
    client.minimum_version = client.maximum_version = version
    return _connected(client, server) is not None


def _client() -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return client


def _connected(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject | None:
    """The end of the client of a connection in memory, or ``None`` if the handshake fails."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    try:
        for end in ends * 3:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLError:
        return None
    return ends[0] if all(end.version() for end in ends) else None


def _content(pem: Pem) -> bytes:
    """PEM data. OpenSSL opens no file itself: it would wait for a pipe, or for the file system."""
    return files.pem(pem) if isinstance(pem, Path) else pem.encode()


def _only(allowed: frozenset[str]) -> type[ssl.SSLObject]:
    """An SSL object whose handshake fails for a client certificate without any of the allowed names."""

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            certificate: Any = self.getpeercert()
            # None without a certificate, which `client_auth_type` allows or not.
            if certificate is not None and allowed.isdisjoint(_names(certificate)):
                raise ssl.SSLCertVerificationError("no name of the client certificate is allowed")

    return Checked


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            yield _canonical(name)


def _canonical(name: str) -> str:
    """An IP address in its canonical form; other names stay as they are."""
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name
