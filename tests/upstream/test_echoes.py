"""A vendor that sends our secrets back, in any notation, publishes none of them in a label."""

import base64
import html
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.job import Category, State, Status
from exporter.providers.base import Found
from exporter.upstream.echoes import MIN_SECRET, Echoes
from tests.test_leaks import AUTHS, ENV, FILE, ISSUED, LOGIN, PLAIN, SESSION
from tests.vendor import Asked, Told, exporter, vendor

SYSTEM = """
defaults: {{min_interval: 0s, timeout: 40s}}
systems:
  docs:
    provider: json
    base_url: {url}
    auth: {auth}
    read:
      path: "/jobs/{{id}}"
      state: s
      step: s
      name: s
      labels_from: {{squad: s}}
    jobs: [{jobs}]
    discover: {{path: /list, items: jobs, keys: {{id: id}}}}
"""
# Nothing else brings a token or a cookie of the vendor in this test.
KINDS = [
    name
    for name in AUTHS
    if name not in {"form", "nonsense", "redirected", "broken", "wrong", "locked", "cookies"}
]


def notations(secret: str) -> Iterator[str]:
    """A secret as a server may write it, after other text too."""
    data = secret.encode()
    yield from (secret, f"bad token {secret}", quote(secret, safe=""), quote_plus(f"a {secret}"), data.hex())
    yield from (html.escape(f"<{secret}>"), json.dumps({"t": secret}), json.dumps(json.dumps(secret)))
    for before in (b"", b"a", b"ab"):
        yield base64.b64encode(before + data + b"c").decode()
        yield base64.urlsafe_b64encode(before + data).decode().rstrip("=")


NO_SECRET = "hush-plain-extra"  # of params, which are for no secrets


def known_to(auth: str) -> list[str]:
    """The secrets of an auth, and what the vendor issues."""
    found = [secret for secret in PLAIN if secret in auth and secret != NO_SECRET]
    found += [value for name, value in ENV.items() if name in auth]
    issued = {"oauth2": ISSUED, "huawei_token": ISSUED, "login": ISSUED, "crafter_session": SESSION}
    found += [value for kind, value in issued.items() if f"type: {kind}" in auth]
    return [*found, *([FILE] if "file" in auth else [])]


def parts(text: str, length: int = 8) -> Iterator[str]:
    return (text[at : at + length] for at in range(len(text) - length + 1))


# Of the other text in notations.
COMMON = {*parts("bad token h"), *parts('\\"{\\"t\\": \\"h')}


SENT = ("authorization", "x-auth-token", "cookie")


def echoing(written: list[str]) -> Callable[[Asked], Told]:
    """A vendor whose job number N has the text N of a list wherever it has a text, and all texts as ids."""

    def answer(asked: Asked) -> Told:
        match asked.path:
            case "/token" | "/json":
                return Told({"access_token": ISSUED, "expires_in": 3600})
            case "/iam":
                return Told({}, 201, {"X-Subject-Token": ISSUED})
            case path if path == LOGIN:
                return Told({}, headers={"Set-Cookie": f"JSESSIONID={SESSION}"})
            case "/list":
                return Told({"jobs": [{"id": text} for text in written]})
        number = asked.path.rpartition("/")[2]
        sent = next(asked.headers[name] for name in SENT if name in asked.headers)
        return Told({"s": written[int(number)] if number.isdigit() else sent})

    return answer


@pytest.mark.parametrize("kind", KINDS)
async def test_no_label_shows_a_secret_that_the_vendor_sends_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "token").write_text(FILE)
    secrets = known_to(AUTHS[kind])
    written = [text for secret in secrets for text in notations(secret)]
    async with vendor(echoing(written)) as hostile:
        jobs = ", ".join(f"{{id: '{number}'}}" for number in [*range(len(written)), "x"])
        auth = AUTHS[kind] % hostile.url if "%s" in AUTHS[kind] else AUTHS[kind]
        async with exporter(SYSTEM.format(url=hostile.url, auth=auth, jobs=jobs), tmp_path) as running:
            samples = await running.scrape()
            pages = [
                "/metrics",
                "/",
                "/sd",
                "/probe?system=docs&id=0&debug=true",
                "/probe?system=docs&id=x",
                "/jobs",
                "/jobs.json",
                "/jobs/docs/0",
            ]
            texts = [(await running.get(page)).text for page in pages]
    texts += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    words = [labels["status"] for labels, _ in samples.all("remote_job_status_info")]
    assert set(words) == {"***"}
    assert len(words) == len(written) + 1
    assert "  labels.squad: ***" in texts[3]
    hidden = {part for secret in secrets for text in notations(secret) for part in parts(text)} - COMMON
    for text in texts:
        assert hidden.isdisjoint(parts(text))


@given(st.text(min_size=MIN_SECRET, max_size=60).filter(str.isprintable), st.text(max_size=20))
def test_any_secret_is_found_in_every_notation(secret: str, other: str) -> None:
    echoes = Echoes([secret])
    for text in notations(secret):
        assert echoes.text(text) == "***"
    status = Status(State.RUNNING, raw=secret, labels={"a": f"x {secret}"}, categories={secret: Category(1)})
    masked = echoes.status(status)
    assert (masked.raw, masked.labels, masked.categories) == ("***", {"a": "***"}, {"***": Category(1)})
    assert echoes.found(Found({"id": secret})) is None
    if secret[:MIN_SECRET] not in other:
        plain = Found({"id": other}, Status(State.IDLE, raw=other), name=other)
        assert echoes.found(plain) is plain


def test_a_text_without_a_secret_is_the_same_object() -> None:
    status = Status(State.RUNNING, raw="RUNNING", labels={"a": "b"})
    assert Echoes(["hush-plain-token"]).status(status) is status
    assert Echoes().status(status) is status
