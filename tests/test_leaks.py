"""No secret of the config is ever shown, whatever goes wrong: a config full of them, and every mishap."""

import base64
import html
import json
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import bcrypt
import pytest
import requests
import trustme

from exporter.config import ConfigError, load
from exporter.model.failure import Reason
from tests.command import ADDRESS, Running, run, running, until, vendor_beside
from tests.vendor import Asked, Told, caps, read_samples
from tests.waiting import never

ENV = {"HUSH_PASSWORD": "hush-env-password", "HUSH_SECRET": "hush-env-secret"}
PROXY, SCRAPER = "hush-env-proxy", "hush-web-password"
FILE = "hush-file-token"
PLAIN = (
    "hush-plain-header",
    "hush-plain-token",
    "hush-plain-secret",
    "hush-plain-extra",
    "hush-plain-access",
    "hush-plain-iam",
    "hush-plain-body",
    "hush-plain-send",
    "hush-plain-login",
)
ISSUED, SESSION = "hush-issued-token", "hush-issued-session"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
LOGIN = "/api/1/services/api/1/security/login.json"

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
    "redirected": "{type: oauth2, token_url: '%s/moved', client_id: me, client_secret: hush-plain-secret}",
    "signed": (
        "{type: huawei_aksk, access_key: hush-plain-access, secret_key: {env: HUSH_SECRET}, "
        "security_token: {file: token}}"
    ),
    "iam": (
        "{type: huawei_token, token_url: '%s/iam', username: me, password: hush-plain-iam, "
        "domain: d, project: p}"
    ),
    "session": "{type: crafter_session, username: me, password: hush-plain-login}",
    "json": (
        "{type: login, url: /json, body: {user: {name: hush-plain-body, password: {env: HUSH_PASSWORD}}}, "
        "token: access_token, send: {Authorization: 'Bearer {token}', X-Key: hush-plain-send}}"
    ),
    "cookies": (
        "{type: login, url: '%s/cookies', form: {password: {file: token}}, query: {key: {env: HUSH_SECRET}}, "
        "basic: {username: me, password: hush-plain-body}, cookies: true}"
    ),
    "wrong": "{type: login, url: /nonsense, body: {password: hush-plain-body}, token: you.sent}",
    "locked": "{type: crafter_session, username: me, password: {env: HUSH_PASSWORD}}",
}


LISTED = """
  listed:
    provider: json
    base_url: %s
    auth: %s
    read:
      path: /{id}
      state: state
      started_at: '"you sent".authorization'
      items: '"you sent"'
    discover:
      path: /listed
      items: '[@]'
      keys: {id: to_string(`1`)}
      state: to_string(`2`)
      paging: {total: body}
"""
"""A listing whose expressions find what was sent; none of it is of a type that is used."""


def echo(asked: Asked) -> bytes:
    """All that we sent, as a server shows it that means well: as it came, and in other notations."""
    sent = [*asked.headers.values(), asked.body.decode()]
    written = [text for each in sent for text in notations(each)]
    return json.dumps({"you sent": dict(asked.headers), "body": sent[-1], "written": written}).encode()


def notations(text: str) -> Iterator[str]:
    """A text in the notations in which a server may write it, besides its own."""
    data = text.encode()
    yield from (quote(text, safe=""), html.escape(text), json.dumps(text), data.hex())
    for before in (b"", b"a", b"ab"):  # what base64 looks like depends on where the text begins
        yield base64.b64encode(before + data).decode()


def elsewhere(asked: Asked) -> Told:
    token = quote(asked.headers.get("authorization", ""))
    named = {"Location": f"/elsewhere?token={token}", "Set-Cookie": f"a={token}", "X-Echo": token}
    return Told(echo(asked), 302, named)


def status(code: int) -> Callable[[Asked], Told]:
    headers = {"Retry-After": "nonsense", "WWW-Authenticate": "Bearer hush"}
    return lambda asked: Told(echo(asked), code, headers)


MISHAPS: dict[str, Callable[[Asked], Told]] = {
    "ok": lambda _: Told(caps()),
    "redirect": elsewhere,
    "html": lambda asked: Told(b"<html>" + echo(asked)),
    "large": lambda asked: Told(json.dumps(dict(asked.headers)).encode() * 10_000),
    "cut": lambda asked: Told(echo(asked), headers={"Transfer-Encoding": "chunked"}),
    "slow": lambda _: Told(caps(), after=never),
    "odd": lambda asked: Told([echo(asked).decode()]),
    "bug": lambda asked: Told(echo(asked)),
    **{str(code): status(code) for code in (401, 403, 404, 418, 429, 500)},
}


def answer(asked: Asked) -> Told:
    match asked.path:
        case "/token":
            return Told({"access_token": ISSUED, "expires_in": 3600, "token_type": "Bearer"})
        case "/json":
            return Told({"access_token": ISSUED, "you sent": asked.body.decode()}, 201)
        case path if path.startswith("/cookies?"):
            return Told(echo(asked), 302, {"Set-Cookie": f"session={SESSION}; Path=/", "Location": "/hush"})
        case "/listed":
            return Told(echo(asked))
        case "/denied":
            return Told({"error": "invalid_client", "error_description": asked.body.decode()}, 401)
        case "/nonsense":
            return Told(b"<html>" + echo(asked))
        case "/moved":
            return Told(echo(asked), 307, {"Location": f"/token?{asked.body.decode()}"})
        case "/iam":
            return Told(echo(asked), 201, {"X-Subject-Token": ISSUED})
        case path if path == LOGIN:
            right = PLAIN[-1] in asked.body.decode()
            cookie = {"Set-Cookie": f"JSESSIONID={SESSION}; Path=/"}
            return Told(echo(asked), 200 if right else 401, cookie)
    return MISHAPS[asked.path.split("/BuildJobs/")[1].split("/")[0]](asked)


def full_of_secrets(folder: Path, vendor: str, distrusted: str) -> Path:
    (folder / "token").write_text(f"{FILE}\n")
    (folder / "broken").write_text(FILE)
    systems = [
        (name, vendor, f"auth: {auth % vendor if '%s' in auth else auth}") for name, auth in AUTHS.items()
    ]
    bearer = f"auth: {AUTHS['bearer']}"
    systems += [
        ("gone", "http://127.0.0.1:1", bearer),
        ("proxied", "http://proxied.invalid", bearer),
        ("stalled", vendor, f"{bearer}\n    timeout: 1s"),
        (
            "distrusted",
            distrusted,
            f"{bearer}\n    tls: {{cert_file: client.pem, key_file: client.key}}",
        ),
    ]
    lines = ["defaults: {min_interval: 0s}", "systems:"]
    for name, base_url, auth in systems:
        mishaps = [each for each in MISHAPS if (each == "slow") == (name == "stalled")]
        lines += [
            f"  {name}:",
            "    provider: caps",
            f"    base_url: '{base_url}'",
            f"    {auth}",
            "    jobs:",
        ]
        lines += [f"      - {{project_id: p, build_job_id: '{mishap}', locale: en}}" for mishap in mishaps]
    lines.append(LISTED % (vendor, AUTHS["headers"]))
    file = folder / "config.yaml"
    file.write_text("\n".join(lines))
    return file


def lock(folder: Path) -> Path:
    """A web configuration with one user."""
    hashed = bcrypt.hashpw(SCRAPER.encode(), bcrypt.gensalt(4)).decode()
    file = folder / "web.yaml"
    file.write_text(f"basic_auth_users:\n  me: {hashed}\n")
    return file


def strange(folder: Path) -> ssl.SSLContext:
    """A server that nobody trusts; beside it the client certificate that it is shown."""
    authority = trustme.CA()
    client = authority.issue_cert("client@example.com")
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


SABOTAGE = """
from exporter.cli.main import main
from exporter.providers.caps import Caps

read = Caps.read

def broken(self, job, previous):
    if job.keys["build_job_id"] == "bug":
        answer = yield next(read(self, job, previous))
        raise KeyError(answer.body.decode())
    return (yield from read(self, job, previous))

Caps.read = broken
main()
"""
"""The command with a provider that has a bug, whose error tells all that was answered."""


@contextmanager
def sabotaged(folder: Path, config: Path, *flags: str, **env: str) -> Iterator[tuple[Running, str]]:
    flags = ("--config.file", str(config), "--web.listen-address", "127.0.0.1:0", *flags)
    with running(folder, sys.executable, "-c", SABOTAGE, "serve", *flags, **env) as exporter:
        yield exporter, exporter.says(rf"listening.*({ADDRESS})")


def get(address: str) -> requests.Response:
    patient = {"X-Prometheus-Scrape-Timeout-Seconds": "55"}
    return requests.get(address, headers=patient, auth=("me", SCRAPER), timeout=60)


def shown(exporter: Running, address: str) -> dict[str, str]:
    """Everything that anybody can get to see of an exporter."""
    pages = [
        "/metrics",
        "/",
        "/metrics?jobs=false",
        "/-/ready",
        "/metrics?jobs=maybe",
        "/hush",
        "/sd",
        "/jobs",
        "/jobs.json",
    ]
    keys = "project_id=p&locale=en&build_job_id"
    pages += [
        f"/probe?system={name}&{keys}=redirect&debug=true" for name in (*AUTHS, "proxied", "distrusted")
    ]
    pages += [f"/probe?system=basic&{keys}={mishap}" for mishap in ("bug", "ok")]
    text = {page: get(address + page).text for page in pages}
    wrong = requests.get(f"{address}/metrics", auth=("me", f"{SCRAPER}!"), timeout=60)
    reloaded = requests.post(f"{address}/-/reload", auth=("me", SCRAPER), timeout=60)
    openmetrics = requests.get(f"{address}/metrics", headers=OPENMETRICS, auth=("me", SCRAPER), timeout=60)
    more = {"wrong": wrong.text, "reload": reloaded.text, "openmetrics": openmetrics.text}
    return {**text, **more, "stdout": exporter.stdout, "stderr": exporter.stderr}


def printed(config: Path, web: Path) -> dict[str, str]:
    """What the commands that only read say of the same config."""
    commands = (
        ("check", str(config), "--web.config.file", str(web)),
        ("docs", "config"),
        ("schema",),
        ("list", str(config), "listed", "--body"),
        ("probe", str(config), "listed", "id=listed"),
    )
    ends = {command: run(*command, **ENV) for command in commands}
    return {" ".join(command): ended.stdout + ended.stderr for command, ended in ends.items()}


def reasons(page: str, system: str | None = None) -> set[str]:
    wanted = {"system": system} if system else {}
    return {labels["reason"] for labels, _ in read_samples(page).all("remote_job_read_error_info", **wanted)}


def assert_hushed(texts: Mapping[str, str], folder: Path) -> None:
    passwords = (ENV["HUSH_PASSWORD"], PROXY, SCRAPER)
    hidden = [base64.b64encode(f"me:{password}".encode()).decode() for password in passwords]
    for secret in (*PLAIN, *ENV.values(), FILE, ISSUED, SESSION, *passwords):
        hidden += [secret[at : at + 12] for at in range(len(secret) - 11)]
        # Without the ends, which depend on what is before and after.
        hidden += [text[4:16] for text in notations(secret) if text[4:16] not in json.dumps(secret)]
    hidden += (folder / "client.key").read_text().splitlines()[1:-1]
    hidden += (folder / "web.yaml").read_text().split()[-1:]
    for where, text in texts.items():
        assert [secret for secret in hidden if secret in text] == [], where
        line = next((line for line in text.splitlines() if "hush" in line.lower()), "")
        assert line == "", where


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_no_secret_is_shown_whatever_goes_wrong(format_: str, tmp_path: Path) -> None:
    web = lock(tmp_path)
    flags = ("--log.level", "debug", "--log.format", format_, "--web.config.file", str(web))
    with vendor_beside(answer) as vendor, vendor_beside(answer, strange(tmp_path)) as distrusted:
        config = full_of_secrets(tmp_path, vendor.url, distrusted.url)
        proxy = vendor.url.replace("http://", f"http://me:{PROXY}@")
        env = {**ENV, "http_proxy": proxy, "no_proxy": "127.0.0.1"}
        with sabotaged(tmp_path / "exporter", config, *flags, **env) as (exporter, address):
            first = shown(exporter, address)
            checked = printed(config, web)
            config.write_text(config.read_text().replace("client_id: me", "client_id: [hush]"))
            (tmp_path / "token").unlink()
            (tmp_path / "broken").write_text(f"{FILE}\r\n{FILE}")
            until(lambda: reasons(get(f"{address}/metrics").text, "broken") == {"auth"}, "auth")
            second = shown(exporter, address)
            assert exporter.end() == 0
            last = {"stdout": exporter.stdout, "stderr": exporter.stderr, **printed(config, web)}
    # All was sent that the config says, so whoever did not look would find it here.
    sent = "".join(f"{asked.headers}{asked.body!r}" for asked in vendor.asked)
    issued = (FILE, ISSUED, SESSION, ENV["HUSH_SECRET"], ENV["HUSH_PASSWORD"])
    assert [secret for secret in (*PLAIN, *issued) if secret not in sent] == []
    assert base64.b64encode(f"me:{PROXY}".encode()).decode() in sent
    assert reasons(first["/metrics"]) == {str(reason) for reason in Reason} - {"dns", "deadline"}
    assert reasons(first["/metrics"], "distrusted") == {"tls"}
    assert "KeyError" in last["stderr"]
    listed = next(text for command, text in checked.items() if command.startswith("list"))
    assert 'started_at: "you sent".authorization → "***"' in listed
    assert '"x-key": "***"' in listed
    assert all("***" in text for page, text in first.items() if page.startswith("/probe?system=bearer"))
    for texts in (first, checked, second, last):
        assert_hushed(texts, tmp_path)


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


@pytest.mark.parametrize("error", MISTAKES.values(), ids=MISTAKES.keys())
def test_no_error_in_a_config_shows_the_secret_beside_it(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    base = "" if "base_url" in error else "    base_url: https://example.com\n"
    config.write_text(
        f"systems:\n  docs:\n    provider: sitecore\n{base}    jobs: [{{id: a}}]\n    {error}\n"
    )
    monkeypatch.setenv("HUSH_SECRET", ENV["HUSH_SECRET"])
    with pytest.raises(ConfigError) as caught:
        load(config)
    told = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert str(config) in told
    assert "hush" not in told.replace("tls.hush", "")
