"""A whole exporter behind a web configuration, scraped by a real Prometheus."""

import asyncio
import socket
from pathlib import Path

import pytest
import requests

from exporter.config import ConfigError
from exporter.service import Options, Service
from tests.command import running
from tests.conftest import Program
from tests.vendor import Told, caps, caps_config, vendor
from tests.web.secured import PASSWORD, TLS, VERIFY, Place, users

SCRAPE = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: certificate-and-password
    scheme: https
    basic_auth: {{username: alice, password_file: password}}
    tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client.key}}
    static_configs: [{{targets: ['{target}']}}]
  - job_name: certificate-alone
    scheme: https
    tls_config: {{ca_file: ca.pem, cert_file: client.pem, key_file: client.key}}
    static_configs: [{{targets: ['{target}']}}]
  - job_name: password-alone
    scheme: https
    basic_auth: {{username: alice, password_file: password}}
    tls_config: {{ca_file: ca.pem}}
    static_configs: [{{targets: ['{target}']}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def write_client(place: Place) -> None:
    issued = place.clients.issue_cert("prometheus.example")
    place.authority.cert_pem.write_to_path(str(place.folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(place.folder / "client.key"))
    issued.cert_chain_pems[0].write_to_path(str(place.folder / "client.pem"))
    (place.folder / "password").write_text(PASSWORD)


async def health(url: str) -> dict[str, tuple[str, str]]:
    """Health and last error of each scrape job, once each has been scraped."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.1)
            try:
                answer = await asyncio.to_thread(requests.get, f"{url}/api/v1/targets", timeout=5)
            except requests.ConnectionError:
                continue
            found = {
                each["scrapePool"]: (each["health"], each["lastError"])
                for each in answer.json()["data"]["activeTargets"]
            }
            if len(found) == 3 and "unknown" not in {state for state, _ in found.values()}:
                return found


async def test_a_real_prometheus_scrapes_with_certificate_and_password(
    place: Place, tmp_path: Path, program: Program
) -> None:
    prometheus = program("prometheus", "prometheus")
    write_client(place)
    place.write(TLS + VERIFY + "  client_allowed_sans: [prometheus.example]\n" + users("alice"))
    config, port = tmp_path / "config.yaml", free_port()
    async with vendor(lambda _: Told(caps())) as docs:
        config.write_text("systems:\n" + caps_config(docs.url))
        service = Service(config, Options(listen=("127.0.0.1:0",), web_config=place.file, shutdown_timeout=1))
        await service.start()
        try:
            (address,) = service.addresses
            assert address.startswith("https://")
            (tmp_path / "prometheus.yml").write_text(SCRAPE.format(target=address.removeprefix("https://")))
            command = (
                prometheus,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
            with running(tmp_path / "prometheus", *command):
                found = await health(f"http://127.0.0.1:{port}")
        finally:
            await service.stop()
    assert found["certificate-and-password"] == ("up", "")
    assert found["certificate-alone"][0] == "down"
    assert "401" in found["certificate-alone"][1]
    assert found["password-alone"][0] == "down"
    assert "401" not in found["password-alone"][1]
    assert len(docs.asked) >= 1


async def test_a_service_does_not_start_with_mistakes_in_its_web_config(place: Place) -> None:
    config = place.folder / "config.yaml"
    config.write_text("systems:\n" + caps_config("http://127.0.0.1:1"))
    service = Service(config, Options(listen=("127.0.0.1:0",), web_config=place.write("x: y\n")))
    with pytest.raises(ConfigError, match=r"web\.yaml:1: x: unknown key"):
        await service.start()
