"""When a client certificate ends, told from its file."""

import base64
import datetime as dt
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from exporter.transport.certificate import not_after, pem_not_after

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def pem(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def made(end: dt.datetime, *, name: str = "client", serial: int = 1) -> bytes:
    """A certificate as another library writes it."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(dt.datetime(1950, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(end)
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@given(
    st.integers(-631_065_600, 253_402_300_799),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=16),  # that library takes 64 bytes
    st.integers(1, 2**158),
)
def test_the_end_is_what_another_library_wrote(end: int, name: str, serial: int) -> None:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=end)
    assert pem_not_after(pem(made(moment, name=name, serial=serial))) == end


@pytest.mark.parametrize("authority", [trustme.CA(), trustme.CA(key_type=trustme.KeyType.RSA)])
def test_the_owner_s_certificate_counts_wherever_its_key_stands(
    authority: trustme.CA, tmp_path: Path
) -> None:
    end = NOW + dt.timedelta(days=30)
    leaf = authority.issue_cert("client@example.com", not_after=end)
    key, cert, ca = (
        part.bytes() for part in (leaf.private_key_pem, leaf.cert_chain_pems[0], authority.cert_pem)
    )
    file = tmp_path / "client.pem"
    for content in (cert, cert + key, key + cert, b"subject=client\n" + cert + ca):
        file.write_bytes(content)
        assert not_after(file) == end.timestamp()


def sequence(content: bytes) -> bytes:
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content


def test_an_old_version_1_certificate_tells_its_end() -> None:
    # Version 1 has no version field; the rest stands as it does in version 3.
    _, _, rest = made(NOW).partition(bytes.fromhex("a003020102"))
    assert pem_not_after(pem(sequence(sequence(rest)))) == NOW.timestamp()


def test_a_file_that_is_not_there_or_no_certificate_has_no_end(tmp_path: Path) -> None:
    assert not_after(tmp_path / "none.pem") is None
    assert not_after(tmp_path) is None
    for text in ("", "-----BEGIN CERTIFICATE-----", pem(b""), pem(b"\x30\x80\x00\x00"), pem(b"\x30" * 50)):
        assert pem_not_after(text) is None


@given(st.binary(), st.integers(0, 400), st.integers(0, 20))
def test_a_damaged_certificate_has_an_end_or_none(noise: bytes, place: int, gone: int) -> None:
    der = made(NOW)
    damaged = der[:place] + noise + der[place + gone :]
    end = pem_not_after(pem(damaged))
    assert end is None or -631_152_000 <= end < 253_402_300_800


@given(st.text() | st.binary().map(pem))
def test_any_text_has_an_end_or_none(text: str) -> None:
    end = pem_not_after(text)
    assert end is None or end < 253_402_300_800
