"""No secret and no configured id is in a file of a recording, whatever the vendor sends back."""

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from exporter.cli import recording
from exporter.config.masked import MaskedConfig
from exporter.service import Options, Service
from exporter.upstream.recording import Recorder
from tests.test_leaks import AUTHS, ENV, FILE, ISSUED, LOGIN, PLAIN, SESSION
from tests.vendor import Asked, Told, caps, vendor

PROJECT = "5deff363-2bde-473e-8479-ea9ce1c4a6bc"
TASK = "hush/Größe 7--promote"
ACCOUNT = "hush-account"
WITH_ACCOUNT = {
    "account": "{type: basic, username: hush-account, password: hush-plain-login}",
    "client": "{type: oauth2, token_url: '%s/token', client_id: hush-account, client_secret: {file: token}}",
    "domain": (
        "{type: huawei_token, token_url: '%s/iam', username: me, password: hush-plain-iam, "
        "domain: hush-account, project: hush-account}"
    ),
}
# The vendor of this test brings no token for these, so nothing is recorded.
WITHOUT_TOKEN = {"form", "nonsense", "redirected", "json", "wrong"}
SENT = {
    **{name: auth for name, auth in AUTHS.items() if name not in WITHOUT_TOKEN},
    **WITH_ACCOUNT,
    "login": (
        "{type: login, url: '%s/token', body: {username: hush-account, password: hush-plain-login}, "
        "token: access_token}"
    ),
}


def escaped(text: str) -> Iterator[str]:
    """A text as a server may write it."""
    yield from (text, quote(text), quote(text, safe=""), quote_plus(text), html.escape(text))
    yield from (json.dumps(text), json.dumps(json.dumps(text)), quote(json.dumps(text)), f"{text}:{text}")


def encoded(text: str) -> Iterator[str]:
    """A text as a server may encode it."""
    data = text.encode()
    yield data.hex()
    for padded in (data, b"a" + data, b"ab" + data + b"c", b"me:" + data):
        letters = base64.b64encode(padded).decode()
        yield from (letters, quote(letters, safe=""), base64.urlsafe_b64encode(padded).decode())


def echo(auth: str) -> Callable[[Asked], Told]:
    """A vendor that sends back all that it was sent and all secrets of ``auth``, in every notation."""
    secrets = [secret for secret in PLAIN if secret in auth]
    secrets += [value for variable, value in ENV.items() if variable in auth] + [FILE] * ("file" in auth)

    def answer(asked: Asked) -> Told:
        match asked.path:
            case "/token":
                return Told({"access_token": ISSUED, "expires_in": 3600, "token_type": "Bearer"})
            case "/iam":
                return Told({}, 201, {"X-Subject-Token": ISSUED})
            case path if path.endswith(LOGIN):
                return Told({}, headers={"Set-Cookie": f"JSESSIONID={SESSION}; Path=/"})
        host, sent = asked.headers["host"], asked.headers.get("authorization", "none")
        known = [*secrets, *asked.headers.values(), asked.path, PROJECT, TASK, ACCOUNT]
        written = [each for text in known for each in escaped(text)]
        written += [each for text in (*secrets, sent) for each in encoded(text)]
        headers = {
            "Link": f"<http://{host}{asked.path}&token={quote(sent)}>; rel=next",
            "ETag": f'"{quote(sent)}"',
            "Location": f"http://{host}/{quote(TASK, safe='')}/{quote(sent)}",
            "X-Request-Id": PROJECT,
            "Set-Cookie": f"a={quote(sent)}",
            "X-Echo": quote(sent),
        }
        at = f"{host} http://{host}/a http%3A%2F%2F{quote(host, safe='')} hush@a.example"
        body = {"list": written, "text": " ".join(written), "keys": dict.fromkeys(written), "at": at}
        return Told({**caps(), **body}, headers=headers)

    return answer


def decoded(text: str) -> Iterator[str]:
    """A text, and what it contains in base64."""
    yield text
    for run in re.findall(
        r"[A-Za-z0-9+/_-]{8,}", text.replace("%2B", "+").replace("%2F", "/").replace("\\/", "/")
    ):
        for start in range(4):
            part = run[start:].replace("-", "+").replace("_", "/")
            yield base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1")


@pytest.mark.parametrize("name", SENT)
async def test_no_secret_and_no_configured_id_is_in_a_recording(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in ENV.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "token").write_text(f"{FILE}\n")
    (tmp_path / "broken").write_text(FILE)
    async with vendor(echo(SENT[name])) as hostile:
        auth = SENT[name] % hostile.url if "%s" in SENT[name] else SENT[name]
        config = tmp_path / "config.yaml"
        config.write_text(
            f"systems: {{docs: {{provider: caps, base_url: '{hostile.url}/hush', auth: {auth}, "
            f"labels: {{squad: hush}}, headers: {{X-Key: hush-plain-extra, X-Tenant: hush-account}}, "
            f"jobs: [{{project_id: {PROJECT}, build_job_id: '{TASK}', locale: en}}]}}}}"
        )
        recorder = Recorder()
        pairs = [("system", "docs"), ("project_id", PROJECT), ("build_job_id", TASK), ("locale", "en")]
        probed, loaded = await Service(config, Options()).probe(pairs, 30, recorder)
    folder = tmp_path / "recording"
    recording.write(folder, MaskedConfig(loaded, probed.record.job), recorder)
    for file in folder.iterdir():
        for text in decoded(file.read_text()):
            assert "hush" not in text.casefold(), file
            assert PROJECT not in text, file
            assert hostile.url.removeprefix("http://") not in text, file
