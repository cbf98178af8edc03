"""A page of another site in a browser cannot change anything here."""

import asyncio
from pathlib import Path

import pytest
import requests

from tests.vendor import Told, caps, caps_config, exporter, vendor

PATH = "/-/reload"


async def post(url: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(requests.post, url + PATH, headers=named, timeout=60)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example:{port}"},
        {"Origin": "http://evil.example:{port}"},
        {"Origin": "http://evil@127.0.0.1:{port}"},
        {"Origin": "file://"},
        {"Origin": "moz-extension://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}, https://evil.example"},
        {"Origin": "https://a.example", "Host": "b.example"},
        {"Origin": "https://a.example:8443", "Host": "a.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Sec-Fetch-Site": ""},
    ],
    ids=str,
)
async def test_a_reload_for_a_page_of_another_site_is_refused(
    headers: dict[str, str], tmp_path: Path
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        port = running.url.rpartition(":")[2]
        (tmp_path / "config.yaml").write_text("systems:\n" + caps_config(docs.url, 2))
        answer = await post(
            running.url, **{name: value.replace("{port}", port) for name, value in headers.items()}
        )
        assert answer.status_code == 403
        assert answer.text == (
            "sent by a page of another site; "
            "send it without Origin and Sec-Fetch-Site, for example with curl\n"
        )
        assert len((await running.scrape()).all("remote_job_up")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://Exporter.example", "Host": "exporter.example"},
        {"Origin": "https://exporter.example", "Host": "exporter.example:443"},
        {"Origin": "http://[::1]:10072", "Host": "[::1]:10072"},
        {"Origin": "http://[::1]", "Host": "[::1]"},
    ],
    ids=str,
)
async def test_a_reload_of_a_client_or_of_a_page_of_its_own_works(
    headers: dict[str, str], tmp_path: Path
) -> None:
    async with (
        vendor(lambda _: Told(caps())) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
    ):
        port = running.url.rpartition(":")[2]
        answer = await post(
            running.url, **{name: value.replace("{port}", port) for name, value in headers.items()}
        )
        assert (answer.status_code, answer.text) == (200, "reloaded\n")
