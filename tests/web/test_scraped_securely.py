"""A whole exporter behind a web configuration, scraped by a real Prometheus."""

import asyncio
from pathlib import Path

import pytest

from exporter.config import ConfigError
from exporter.service import Options, Service
from tests.conftest import Program
from tests.prometheus import Prometheus, scraping, static
from tests.vendor import Told, caps, caps_config, vendor
from tests.waiting import seen
from tests.web.secured import PASSWORD, TLS, VERIFY, Place, users

PASSWORD_FILE = {"basic_auth": {"username": "alice", "password_file": "password"}}
CERTIFICATE = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}


def scrapes(target: str) -> list[dict[str, object]]:
    return [
        static("certificate-and-password", target, scheme="https", tls_config=CERTIFICATE, **PASSWORD_FILE),
        static("certificate-alone", target, scheme="https", tls_config=CERTIFICATE),
        static("password-alone", target, scheme="https", tls_config={"ca_file": "ca.pem"}, **PASSWORD_FILE),
    ]


def write_client(place: Place) -> None:
    issued = place.clients.issue_cert("prometheus.example")
    place.authority.cert_pem.write_to_path(str(place.folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(place.folder / "client.key"))
    issued.cert_chain_pems[0].write_to_path(str(place.folder / "client.pem"))
    (place.folder / "password").write_text(PASSWORD)


async def health(prometheus: Prometheus) -> dict[str, tuple[str, str]]:
    """Health and last error of each scrape job, once each has been scraped within Prometheus's time."""
    found: dict[str, tuple[str, str]] = {}

    async def look() -> bool:
        found.update(await asyncio.to_thread(prometheus.health))
        slow = any(state == "unknown" or "deadline" in error for state, error in found.values())
        return len(found) == 3 and not slow

    await seen(look, "a scrape of each job")
    return found


async def test_a_real_prometheus_scrapes_with_certificate_and_password(
    place: Place, tmp_path: Path, program: Program
) -> None:
    path = program("prometheus", "prometheus")
    write_client(place)
    place.write(TLS + VERIFY + "  client_allowed_sans: [prometheus.example]\n" + users("alice"))
    config = tmp_path / "config.yaml"
    async with vendor(lambda _: Told(caps())) as docs:
        config.write_text("systems:\n" + caps_config(docs.url))
        service = Service(config, Options(listen=("127.0.0.1:0",), web_config=place.file, shutdown_timeout=1))
        await service.start()
        try:
            (address,) = service.addresses
            assert address.startswith("https://")
            with scraping(path, place.folder, scrapes(address), every="200ms", timeout="200ms") as prometheus:
                found = await health(prometheus)
        finally:
            await service.stop()
    assert found["certificate-and-password"] == ("up", "")
    assert found["certificate-alone"][0] == "down"
    assert "HTTP status 401" in found["certificate-alone"][1]
    assert found["password-alone"][0] == "down"
    assert "HTTP status" not in found["password-alone"][1]
    assert len(docs.asked) >= 1


async def test_a_service_does_not_start_with_errors_in_its_web_config(place: Place) -> None:
    config = place.folder / "config.yaml"
    config.write_text("systems:\n" + caps_config("http://127.0.0.1:1"))
    service = Service(config, Options(listen=("127.0.0.1:0",), web_config=place.write("x: y\n")))
    with pytest.raises(ConfigError, match=r"web\.yaml:1: x: unknown key"):
        await service.start()
