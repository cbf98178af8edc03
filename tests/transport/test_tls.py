"""TLS: who is trusted, who we are, and what the keys of ``tls:`` refuse."""

import asyncio
import datetime as dt
import os
import ssl
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from pydantic import ValidationError

from exporter.model.failure import Failure, Reason
from exporter.transport import ConnectionPool, ConnectionSettings, Tls
from tests.transport import servers
from tests.transport.conftest import Authority, Send, prepared
from tests.transport.servers import answer, answering, listening

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def trusting(authority: Authority, **keys: object) -> ConnectionSettings:
    return ConnectionSettings(Tls.model_validate({"ca_file": str(authority.file), **keys}))


async def refused(send: Send, tls: ssl.SSLContext, settings: ConnectionSettings) -> Failure:
    async with listening(answering(answer()), tls) as server:
        with pytest.raises(Failure) as caught:
            await send(server.url(scheme="https"), settings)
    assert server.requests == []
    assert caught.value.reason is Reason.TLS
    return caught.value


async def test_the_ca_file_is_trusted(send: Send, authority: Authority) -> None:
    async with listening(answering(answer()), authority.server()) as server:
        assert (await send(server.url(scheme="https"), trusting(authority))).status == 200


async def test_without_the_ca_file_the_server_is_not_trusted(send: Send, authority: Authority) -> None:
    failure = await refused(send, authority.server(), ConnectionSettings())
    assert "CA" in failure.detail


async def test_the_ca_file_of_the_environment_is_trusted(
    send: Send, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with listening(answering(answer()), authority.server()) as server:
        assert (await send(server.url(scheme="https"))).status == 200


async def test_our_own_ca_file_alone_is_trusted_whatever_the_environment_says(
    send: Send, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    await refused(
        send, authority.server(), ConnectionSettings(Tls.model_validate({"ca_file": certifi.where()}))
    )


async def test_a_certificate_for_another_name_is_refused(send: Send, authority: Authority) -> None:
    failure = await refused(send, authority.server("other.example.com"), trusting(authority))
    assert "another host name" in failure.detail
    assert "other.example.com" not in str(failure)


async def test_an_expired_certificate_is_refused_and_says_so(send: Send, authority: Authority) -> None:
    expired = authority.server(not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    assert "expired" in (await refused(send, expired, trusting(authority))).detail


async def test_insecure_skip_verify_takes_any_certificate(send: Send, authority: Authority) -> None:
    settings = ConnectionSettings(Tls(insecure_skip_verify=True))
    async with listening(answering(answer()), authority.server("other.example.com")) as server:
        assert (await send(server.url(scheme="https"), settings)).status == 200


async def test_the_server_name_is_asked_for_while_the_host_stays(send: Send, authority: Authority) -> None:
    settings = trusting(authority, server_name="api.example.com")
    async with listening(answering(answer()), authority.server("api.example.com")) as server:
        seen = await send(server.url("/a?b=%2F", scheme="https"), settings)
    assert seen.status == 200
    assert server.names == ["api.example.com"]
    assert server.requests[0].startswith(b"GET /a?b=%2F HTTP/1.1\r\n")
    assert server.requests[0].lower().count(b"host:") == 1
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.requests[0]


async def test_the_server_name_must_be_in_the_certificate(send: Send, authority: Authority) -> None:
    await refused(send, authority.server(), trusting(authority, server_name="api.example.com"))


async def test_the_server_name_keeps_connections_and_changes_nothing_over_plain_http(
    authority: Authority,
) -> None:
    pool = ConnectionPool(trusting(authority, server_name="api.example.com"))
    secure = listening(answering(answer()), authority.server("api.example.com"))
    async with secure as server, listening(answering(answer())) as plain:
        for _ in range(3):
            await pool.send(prepared("GET", server.url(scheme="https")), timeout=30, max_bytes=99)
            await pool.send(prepared("GET", plain.url()), timeout=30, max_bytes=99)
        await pool.close()
    assert (server.accepts, plain.accepts) == (1, 1)


async def test_an_old_tls_version_is_refused(send: Send, authority: Authority) -> None:
    old = authority.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    await refused(send, old, trusting(authority, min_version="TLS13"))
    async with listening(answering(answer()), old) as server:
        assert (await send(server.url(scheme="https"), trusting(authority))).status == 200


def client_files(ca: trustme.CA, folder: Path) -> tuple[str, str]:
    leaf = ca.issue_cert("client@example.com")
    cert, key = folder / "client.pem", folder / "client.key"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    return str(cert), str(key)


@pytest.fixture
def wants_client(authority: Authority) -> ssl.SSLContext:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    return context


async def test_a_client_certificate_is_shown(
    send: Send, authority: Authority, wants_client: ssl.SSLContext, tmp_path: Path
) -> None:
    cert, key = client_files(authority.ca, tmp_path)
    both = joined(cert, key)
    async with listening(answering(answer()), wants_client) as server:
        for keys in ({"cert_file": cert, "key_file": key}, {"cert_file": both}):
            assert (await send(server.url(scheme="https"), trusting(authority, **keys))).status == 200


def joined(*files: str) -> str:
    both = Path(files[0] + ".both")
    both.write_text("".join(Path(file).read_text() for file in files))
    return str(both)


async def test_a_missing_client_certificate_is_no_timeout(
    send: Send, authority: Authority, wants_client: ssl.SSLContext
) -> None:
    async with listening(answering(answer()), wants_client) as server:
        with pytest.raises(Failure) as caught:
            await send(server.url(scheme="https"), trusting(authority))
    assert caught.value.reason in (Reason.TLS, Reason.CONNECT)


async def test_a_revoked_certificate_is_refused(send: Send, authority: Authority, tmp_path: Path) -> None:
    leaf = authority.ca.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    revoked = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    file = tmp_path / "crl.pem"
    file.write_bytes(revocations(authority, revoked.serial_number))
    settings = trusting(authority, crl_file=str(file))
    assert "revoked" in (await refused(send, context, settings)).detail
    async with listening(answering(answer()), authority.server()) as server:
        assert (await send(server.url(scheme="https"), settings)).status == 200


def revocations(authority: Authority, serial: int) -> bytes:
    issuer = x509.load_pem_x509_certificate(authority.ca.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.ca.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(NOW - DAY).next_update(NOW + DAY).add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_a_new_pool_has_the_new_trust(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(trustme.CA().cert_pem.bytes())
    tls = Tls.model_validate({"ca_file": str(file)})
    before = tls.stamp()
    async with listening(answering(answer()), authority.server()) as server:
        request = prepared("GET", server.url(scheme="https"))
        old = ConnectionPool(ConnectionSettings(tls))
        with pytest.raises(Failure):
            await old.send(request, timeout=30, max_bytes=99)
        file.write_bytes(authority.ca.cert_pem.bytes())
        os.utime(file, ns=(1, 1))
        assert tls.stamp() != before
        new = ConnectionPool(ConnectionSettings(tls))
        assert (await new.send(request, timeout=30, max_bytes=99)).status == 200
        await asyncio.gather(old.close(), new.close())


def test_the_stamp_is_steady_and_nothing_while_a_file_is_missing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = client_files(authority.ca, tmp_path)
    tls = Tls.model_validate({"cert_file": cert, "key_file": key})
    assert tls.stamp() == tls.stamp() is not None
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with_environment = tls.stamp()
    assert with_environment != Tls().stamp()
    Path(key).rename(tmp_path / "moved")
    assert tls.stamp() is None
    # libcurl would wait for its writer, and with it the event loop.
    os.mkfifo(key)
    assert tls.stamp() is None
    (tmp_path / "moved").rename(key)
    assert tls.stamp() is not None


async def test_http_2_carries_many_transfers_over_one_connection(authority: Authority) -> None:
    tls = authority.server()
    tls.set_alpn_protocols(["h2"])
    pool = ConnectionPool(trusting(authority))
    async with listening(servers.http_2(path_and_method), tls) as server:
        request = prepared("GET", server.url("/a?b", scheme="https"), headers={"Connection": "keep-alive"})
        await pool.send(request, timeout=30, max_bytes=99)
        sends = (pool.send(request, timeout=30, max_bytes=99) for _ in range(10))
        responses = await asyncio.gather(*sends)
        await pool.close()
    assert [response.body for response in responses] == [b"GET /a?b"] * 10
    assert responses[0].headers["content-type"] == "text/plain"
    assert server.accepts == 1


def path_and_method(_: int, stream: int, fields: bytes) -> bytes:
    method = b"GET" if b"\x82" in fields else b""
    path = fields.partition(b"\x04/a?b")[1][1:]
    headers = servers.frame(servers.HEADERS, 4, stream, b"\x88\x0f\x10\x0atext/plain")
    return headers + servers.frame(servers.DATA, 1, stream, method + b" " + path)


@pytest.mark.parametrize("key", ["ca_file", "crl_file", "cert_file", "key_file"])
@pytest.mark.parametrize("value", ["/no/such/file.pem", "", 7, "."])
def test_a_file_that_cannot_be_read_is_named(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Tls.model_validate({key: value})
    error = caught.value.errors()[0]
    assert error["loc"] == (key,)
    assert "allowed is" in error["msg"]
    assert not value or not isinstance(value, str) or value in error["msg"]


@pytest.mark.parametrize("key", ["ca_file", "crl_file", "cert_file"])
def test_a_file_that_is_no_pem_is_refused(key: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValidationError, match=key):
        Tls.model_validate({key: str(tmp_path / "notes.txt")})


def test_a_key_needs_its_certificate(authority: Authority, tmp_path: Path) -> None:
    cert, key = client_files(authority.ca, tmp_path)
    (tmp_path / "other").mkdir()
    _, other = client_files(authority.ca, tmp_path / "other")
    with pytest.raises(ValidationError, match="key_file needs cert_file"):
        Tls.model_validate({"key_file": key})
    with pytest.raises(ValidationError, match="cert_file"):
        Tls.model_validate({"cert_file": cert})
    with pytest.raises(ValidationError, match="cert_file"):
        Tls.model_validate({"cert_file": cert, "key_file": other})


def encrypt(key: str) -> None:
    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"word")
    Path(key).write_bytes(
        loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    )


async def test_a_key_that_becomes_encrypted_fails_and_asks_nobody_for_its_word(
    send: Send, authority: Authority, wants_client: ssl.SSLContext, tmp_path: Path
) -> None:
    cert, key = client_files(authority.ca, tmp_path)
    settings = trusting(authority, cert_file=cert, key_file=key)
    encrypt(key)
    failure = await refused(send, wants_client, settings)
    assert "client certificate" in failure.detail
    with pytest.raises(ValidationError, match="unencrypted"):
        Tls.model_validate({"cert_file": cert, "key_file": key})


@pytest.mark.parametrize("name", ["", "https://a", "a:443", "a b", "a/b", "\u00e9.example", "a\nb", "a,b"])
def test_a_server_name_is_a_host_name(name: str) -> None:
    with pytest.raises(ValidationError, match="host name"):
        Tls.model_validate({"server_name": name})


@pytest.mark.parametrize("keys", [{"min_version": "TLS11"}, {"insecure_skip_verify": "yes"}, {"ca": "x"}])
def test_other_errors_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Tls.model_validate(keys)


def test_the_schema_of_the_keys_can_be_made() -> None:
    properties = Tls.model_json_schema()["properties"]
    assert set(properties) == set(Tls.model_fields)
    assert all("description" in entry for entry in properties.values())
