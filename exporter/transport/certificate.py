"""The expiry of a certificate, read from its DER encoding (RFC 5280 section 4.1)."""

import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from exporter.runtime import files
from exporter.runtime.calls import Repeated
from exporter.transport.settings import Tls

MAX_BYTES = 1 << 20

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18


class ClientCertificate:
    """The client certificate of a system, read again when its files change."""

    def __init__(self, tls: Tls) -> None:
        self._file = tls.cert_file
        self._stamp: files.Stamp = ()
        self._expiry: float | None = None
        self._repeated = (
            None if self._file is None else Repeated(partial(self._changed, self._file), self._file)
        )

    def expires_at(self) -> float | None:
        """Unix time at which it expires; ``None`` if there is none or that is not known."""
        if self._repeated is not None:
            with suppress(OSError):  # it is being replaced, or its file system does not respond
                self._stamp, self._expiry = self._repeated.result()
        return self._expiry

    def _changed(self, file: Path) -> tuple[files.Stamp, float | None]:
        stamp = files.stamp_here(file)
        if stamp == self._stamp:
            return stamp, self._expiry
        return stamp, pem_not_after(files.read_here(file, MAX_BYTES).decode("latin-1"))


def not_after(path: Path) -> float | None:
    """Unix time at which the first certificate of a PEM file expires; the first is the owner's.

    Returns:
        ``None`` if the file cannot be read or contains no valid certificate.
    """
    with suppress(OSError):
        return pem_not_after(files.read(path, MAX_BYTES).decode("latin-1"))
    return None


def pem_not_after(text: str) -> float | None:
    """The same for the content of such a file."""
    with suppress(ValueError):
        if pem := _PEM.search(text):
            return _not_after(ssl.PEM_cert_to_DER_cert(pem[0]))
    return None


def _not_after(certificate: bytes) -> float:
    signed, _ = _read(_read(certificate, _SEQUENCE)[0], _SEQUENCE)
    if signed[:1] == bytes([_VERSION]):
        _, signed = _read(signed)
    # Skips the serial number, the signature algorithm and the issuer.
    for _ in range(3):
        _, signed = _read(signed)
    validity, _ = _read(signed, _SEQUENCE)
    _, end = _read(validity)
    return _time(end)


def _read(der: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it.

    Raises:
        ValueError: it is truncated, has another tag or no definite length.
    """
    if len(der) < 2 or (tag is not None and der[0] != tag):
        raise ValueError
    length, begin = der[1], 2
    if length & 0x80:
        begin += length & 0x7F
        if not 2 < begin <= 6:
            raise ValueError
        length = int.from_bytes(der[2:begin], "big")
    if len(der) < begin + length:
        raise ValueError
    return der[begin : begin + length], der[begin + length :]


def _time(der: bytes) -> float:
    text = _read(der)[0].decode("ascii")
    if der[0] == _UTC_TIME:
        # Two digits of the year: 50 to 99 mean 1950 to 1999.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif der[0] != _TIME:
        raise ValueError
    if not re.fullmatch(r"\d{14}Z", text, re.ASCII):
        raise ValueError
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
