"""No secret of the config is ever shown, whatever goes wrong: a config full of them, and every mishap."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from exporter.failure import Reason
from tests.command import Running, run, serving, until, vendor_beside
from tests.vendor import Asked, Told, caps, read_samples

ENV = {"HUSH_PASSWORD": "hush-env-password", "HUSH_SECRET": "hush-env-secret"}
FILE = "hush-file-token"
PLAIN = ("hush-plain-header", "hush-plain-token", "hush-plain-secret", "hush-plain-extra")
ISSUED = "hush-issued-token"

AUTHS = {
    "headers": "{type: headers, headers: {Authorization: hush-plain-header, X-Key: {file: token}}}",
    "basic": "{type: basic, username: me, password: {env: HUSH_PASSWORD}}",
    "bearer": "{type: bearer, token: hush-plain-token}",
    "broken": "{type: bearer, token: {file: broken}}",
    "oauth2": (
        "{type: oauth2, token_url: '%s/token', client_id: me, client_secret: hush-plain-secret, "
        "params: {tenant: hush-plain-extra}}"
    ),
    "form": "{type: oauth2, token_url: '%s/denied', client_id: me, client_secret: {env: HUSH_SECRET}}",
    "nonsense": "{type: oauth2, token_url: '%s/nonsense', client_id: me, client_secret: {file: token}}",
}


def echo(asked: Asked) -> bytes:
    """All that we sent, as a server shows it that means well."""
    return json.dumps({"you sent": dict(asked.headers), "body": asked.body.decode()}).encode()


def login(asked: Asked) -> Told:
    token = quote(asked.headers.get("authorization", ""))
    return Told(echo(asked), 302, {"Location": f"/login?token={token}"})


def status(code: int) -> Callable[[Asked], Told]:
    headers = {"Retry-After": "nonsense", "WWW-Authenticate": "Bearer hush"}
    return lambda asked: Told(echo(asked), code, headers)


MISHAPS: dict[str, Callable[[Asked], Told]] = {
    "ok": lambda _: Told(caps()),
    "redirect": login,
    "html": lambda asked: Told(b"<html>" + echo(asked)),
    "large": lambda asked: Told(echo(asked) * 10_000),
    "cut": lambda asked: Told(echo(asked), headers={"Transfer-Encoding": "chunked"}),
    "slow": lambda _: Told(caps(), after=lambda: asyncio.sleep(30)),
    "odd": lambda asked: Told([echo(asked).decode()]),
    **{str(code): status(code) for code in (401, 403, 404, 418, 429, 500)},
}


def answer(asked: Asked) -> Told:
    match asked.path:
        case "/token":
            return Told({"access_token": ISSUED, "expires_in": 3600, "token_type": "Bearer"})
        case "/denied":
            return Told({"error": "invalid_client", "error_description": asked.body.decode()}, 401)
        case "/nonsense":
            return Told(b"<html>" + echo(asked))
    return MISHAPS[asked.path.split("/BuildJobs/")[1].split("/")[0]](asked)


def full_of_secrets(folder: Path, vendor: str) -> Path:
    (folder / "token").write_text(f"{FILE}\n")
    (folder / "broken").write_text(FILE)
    lines = ["defaults: {timeout: 1s, min_interval: 0s}", "systems:"]
    for name, auth in AUTHS.items():
        lines += [f"  {name}:", "    provider: caps", f"    base_url: '{vendor}'"]
        lines += [f"    auth: {auth % vendor if '%s' in auth else auth}", "    jobs:"]
        lines += [f"      - {{project_id: p, build_job_id: '{mishap}', locale: en}}" for mishap in MISHAPS]
    lines += ["  gone:", "    provider: caps", "    base_url: http://127.0.0.1:1", "    auth:"]
    lines += ["      {type: bearer, token: hush-plain-token}", "    jobs:"]
    lines += ["      - {project_id: p, build_job_id: ok, locale: en}"]
    file = folder / "config.yaml"
    file.write_text("\n".join(lines))
    return file


def shown(exporter: Running, address: str) -> dict[str, str]:
    """Everything that anybody can get to see of an exporter."""
    pages = ("/metrics", "/", "/metrics?jobs=false", "/-/ready", "/metrics?jobs=maybe", "/hush")
    text = {page: requests.get(address + page, timeout=20).text for page in pages}
    reloaded = requests.post(f"{address}/-/reload", timeout=20)
    return {**text, "reload": reloaded.text, "stdout": exporter.stdout, "stderr": exporter.stderr}


def reasons(page: str, system: str | None = None) -> set[str]:
    wanted = {"system": system} if system else {}
    return {labels["reason"] for labels, _ in read_samples(page).all("remote_job_read_error_info", **wanted)}


def assert_hushed(texts: Mapping[str, str]) -> None:
    credentials = base64.b64encode(f"me:{ENV['HUSH_PASSWORD']}".encode()).decode()
    for where, text in texts.items():
        assert credentials not in text, where
        line = next((line for line in text.splitlines() if "hush" in line.lower()), "")
        assert line == "", where


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_no_secret_is_shown_whatever_goes_wrong(format_: str, tmp_path: Path) -> None:
    flags = ("--log.level", "debug", "--log.format", format_)
    with vendor_beside(answer) as vendor:
        config = full_of_secrets(tmp_path, vendor.url)
        with serving(tmp_path / "exporter", config, *flags, **ENV) as (exporter, address):
            first = shown(exporter, address)
            config.write_text(config.read_text().replace("client_id: me", "client_id: [hush]"))
            (tmp_path / "token").unlink()
            (tmp_path / "broken").write_text(f"{FILE}\r\n{FILE}")
            until(
                lambda: reasons(requests.get(f"{address}/metrics", timeout=20).text, "broken") == {"auth"},
                "auth",
            )
            second = shown(exporter, address)
            assert exporter.end() == 0
            last = {"stdout": exporter.stdout, "stderr": exporter.stderr}
    # All was sent that the config says, so whoever did not look would find it here.
    sent = "".join(f"{asked.headers}{asked.body!r}" for asked in vendor.asked)
    assert all(secret in sent for secret in (*PLAIN, FILE, ISSUED, ENV["HUSH_SECRET"]))
    assert reasons(first["/metrics"]) == {str(reason) for reason in Reason} - {
        "dns",
        "tls",
        "deadline",
        "internal",
    }
    for texts in (first, second, last):
        assert_hushed(texts)


MISTAKES = {
    "password in the address": "base_url: 'https://me:hush@example.com'",
    "query in the address": "base_url: 'https://example.com?token=hush'",
    "no address": "base_url: 'hush://hush:99999'",
    "secret is a list": "auth: {type: bearer, token: [hush]}",
    "secret with an odd source": "auth: {type: bearer, token: {vault: hush}}",
    "secret with two sources": "auth: {type: bearer, token: {env: HUSH_SECRET, file: token}}",
    "secret with a line break": 'auth: {type: bearer, token: "hush\\nhush"}',
    "secret with letters that no header takes": "auth: {type: bearer, token: hush€}",
    "user name with a colon": "auth: {type: basic, username: 'hush:hush', password: hush}",
    "secret in the wrong place": "auth: {type: none, token: hush}",
    "secret that is a number": "auth: {type: basic, username: me, password: 42}\n    tls: {hush: 1}",
    "proxy with a password": "proxy_url: 'http://me:hush@proxy.example.com'",
    "header twice": "headers: {X-A: hush, x-a: hush}",
    "broken yaml": "auth: {type: bearer, token: hush",
    "broken quotes": 'auth: {type: bearer, token: "hush',
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_no_mistake_in_a_config_shows_the_secret_beside_it(mistake: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    base = "" if "base_url" in mistake else "    base_url: https://example.com\n"
    config.write_text(
        f"systems:\n  docs:\n    provider: sitecore\n{base}    jobs: [{{id: a}}]\n    {mistake}\n"
    )
    ended = run("check", str(config), **ENV)
    assert ended.returncode == 1
    assert ended.stderr == ""
    assert str(config) in ended.stdout
    assert "hush" not in ended.stdout.replace("hush: unknown key", "").replace("tls.hush", "")
