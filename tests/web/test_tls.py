"""Real handshakes against every setting of ``tls_server_config``."""

import asyncio
import ssl
import warnings

import pytest
import trustme

from tests.web.secured import TLS, VERIFY, Place, Secure

REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = version
    if version < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def without_trust() -> ssl.SSLContext:
    """Takes any certificate, to look at it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_https_is_served(place: Place, secure_with: Secure) -> None:
    secured = await secure_with(TLS)
    assert secured.server.addresses[0].startswith("https://")
    assert (await secured.get(tls=place.client())).body == b"/metrics"


async def test_certificate_key_and_authority_may_stand_in_the_file_itself(
    place: Place, secure_with: Secure
) -> None:
    lines = ["tls_server_config:", "  client_auth_type: RequireAndVerifyClientCert"]
    for key, name in (("cert", "server.pem"), ("key", "server.key"), ("client_ca", "clients.pem")):
        lines += [f"  {key}: |", *(f"    {line}" for line in (place.folder / name).read_text().splitlines())]
    secured = await secure_with("\n".join(lines) + "\n")
    assert (await secured.get(tls=place.client("prometheus"))).status == 200
    with pytest.raises(REFUSED):
        await secured.get(tls=place.client())


async def test_without_client_auth_no_client_certificate_is_asked_for(
    place: Place, secure_with: Secure
) -> None:
    secured = await secure_with(TLS + "  client_auth_type: NoClientCert\n")
    assert (await secured.get(tls=place.client("a.example", of=trustme.CA()))).status == 200


async def test_a_client_certificate_is_required_and_verified(place: Place, secure_with: Secure) -> None:
    secured = await secure_with(TLS + VERIFY)
    assert (await secured.get(tls=place.client("a.example"))).status == 200
    for refused in (place.client(), place.client("a.example", of=trustme.CA())):
        with pytest.raises(REFUSED):
            await secured.get("/-/healthy", tls=refused)


async def test_a_client_certificate_is_verified_if_given(place: Place, secure_with: Secure) -> None:
    secured = await secure_with(TLS + VERIFY.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))
    assert (await secured.get(tls=place.client("a.example"))).status == 200
    assert (await secured.get(tls=place.client())).status == 200
    with pytest.raises(REFUSED):
        await secured.get(tls=place.client("a.example", of=trustme.CA()))


async def test_an_intermediate_authority_can_be_trusted_alone(place: Place, secure_with: Secure) -> None:
    between = place.clients.create_child_ca()
    (place.folder / "clients.pem").write_bytes(between.cert_pem.bytes())
    secured = await secure_with(TLS + VERIFY)
    assert (await secured.get(tls=place.client("a.example", of=between))).status == 200
    with pytest.raises(REFUSED):
        await secured.get(tls=place.client("a.example"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("prometheus.example", "prometheus.example"),
        ("ops@a.example", "ops@a.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:0DB8:0:0::7", "2001:db8::7"),
    ],
)
async def test_a_client_needs_one_of_the_allowed_names(
    place: Place, secure_with: Secure, allowed: str, name: str, version: ssl.TLSVersion
) -> None:
    text = f"{TLS}{VERIFY}  client_allowed_sans: ['other.example', '{allowed}']\n"
    secured = await secure_with(text)
    assert (await secured.get(tls=only(version, place.client(name, "x.example")))).status == 200
    for other in ("x.example", f"x{name}" if name.isalpha() else "x.prometheus.example", "192.0.2.8"):
        with pytest.raises(REFUSED):
            await secured.get(tls=only(version, place.client(other)))


async def test_allowed_names_hold_for_a_certificate_only_where_it_need_not_be_given(
    place: Place, secure_with: Secure
) -> None:
    optional = VERIFY.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    secured = await secure_with(f"{TLS}{optional}  client_allowed_sans: [a.example]\n")
    assert (await secured.get(tls=place.client())).status == 200
    assert (await secured.get(tls=place.client("a.example"))).status == 200
    with pytest.raises(REFUSED):
        await secured.get(tls=place.client("b.example"))


@pytest.mark.parametrize(
    ("settings", "spoken", "refused"),
    [
        ("", ["TLSv1_2", "TLSv1_3"], ["TLSv1", "TLSv1_1"]),
        ("  min_version: TLS13\n", ["TLSv1_3"], ["TLSv1_1", "TLSv1_2"]),
        ("  max_version: TLS12\n", ["TLSv1_2"], ["TLSv1_1", "TLSv1_3"]),
    ],
)
async def test_only_configured_versions_are_spoken(
    place: Place, secure_with: Secure, settings: str, spoken: list[str], refused: list[str]
) -> None:
    secured = await secure_with(TLS + settings)
    for name in spoken:
        assert (await secured.get(tls=only(ssl.TLSVersion[name], place.client()))).status == 200
    for name in refused:
        with pytest.raises(REFUSED):
            await secured.get(tls=only(ssl.TLSVersion[name], place.client()))


async def agreed(port: int, context: ssl.SSLContext) -> str:
    """The cipher that both sides take."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    name: str = writer.get_extra_info("cipher")[0]
    writer.close()
    await writer.wait_closed()
    return name


@pytest.mark.parametrize(
    ("prefer", "expected"), [("true", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("false", "ECDHE-ECDSA-AES128-SHA")]
)
async def test_ciphers_are_those_configured_in_the_order_configured(
    secure_with: Secure, prefer: str, expected: str
) -> None:
    secured = await secure_with(
        f"{TLS}  cipher_suites:\n"
        "  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n"
        "  - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA\n"
        f"  prefer_server_cipher_suites: {prefer}\n"
    )
    port = int(secured.server.addresses[0].rpartition(":")[2])
    context = only(ssl.TLSVersion.TLSv1_2, without_trust())
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384")
    assert await agreed(port, context) == expected
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(REFUSED):
        await agreed(port, context)


@pytest.mark.parametrize(
    ("version", "curve", "ours"), [("TLS12", "CurveP256", "prime256v1"), ("TLS13", "CurveP384", "secp384r1")]
)
async def test_the_curve_is_the_one_configured(
    secure_with: Secure, version: str, curve: str, ours: str
) -> None:
    # Some TLS 1.2 suites do without a curve.
    suites = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n" * (version == "TLS12")
    secured = await secure_with(f"{TLS}{suites}  min_version: {version}\n  curve_preferences: [{curve}]\n")
    port = int(secured.server.addresses[0].rpartition(":")[2])
    context = only(ssl.TLSVersion.TLSv1_2 if version == "TLS12" else ssl.TLSVersion.TLSv1_3, without_trust())
    context.set_ecdh_curve(ours)
    assert await agreed(port, context)
    context.set_ecdh_curve("secp521r1")
    with pytest.raises(REFUSED):
        await agreed(port, context)
