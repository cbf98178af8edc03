"""A misplaced secret is quoted by no error: neither as a key nor as the name of a variable or file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config import ConfigError, load
from exporter.config.errors import shown
from exporter.web.config import load as load_web

SYSTEM = """systems:
  docs:
    provider: sitecore
    base_url: https://api.example.com
    jobs: [{id: a}]
    """
PLACES = [
    "auth: {SECRET: x}",
    "auth: {SECRET}",
    "auth: {type: SECRET}",
    "auth: {type: bearer, SECRET}",
    "auth: {type: bearer, SECRET: x}",
    "auth: {type: bearer, token: x, SECRET: x}",
    "auth: {type: bearer, token: x, SECRET: x, SECRET: x}",
    "auth: {type: bearer, token: {SECRET}}",
    "auth: {type: bearer, token: {SECRET: x}}",
    "auth: {type: bearer, token: {SECRET: x, SECRET: x}}",
    "auth: {type: bearer, token: {env: X, SECRET: x}}",
    "auth: {type: bearer, token: {env: SECRET}}",
    "auth: {type: bearer, token: {file: SECRET}}",
    "auth: {type: bearer, token: {file: ./SECRET}}",
    "auth: {type: bearer, token: {file: /SECRET}}",
    'auth: {type: bearer, token: {file: "SECRET\\nSECRET"}}',
    "auth: {type: basic, username: 'a:SECRET', password: x}",
    "auth: {type: basic, username: a, password: [SECRET]}",
    "auth: {type: headers, headers: {SECRET}}",
    "auth: {type: headers, headers: {Bearer SECRET: x}}",
    "auth: {type: headers, headers: {SECRET: [x]}}",
    "auth: {type: headers, headers: {SECRET: x, secret: x}}",
    "auth: {type: oauth2, token_url: 'https://a', client_id: a, client_secret: b, params: {SECRET: 3}}",
    "auth: {type: oauth2, token_url: 'SECRET', client_id: a, client_secret: b}",
    "auth: {type: huawei_aksk, access_key: 'a SECRET', secret_key: x, project_id: 'a SECRET'}",
    "auth: {type: login, url: SECRET, body: {a: b}, token: a}",
    "auth: {type: login, url: /a, body: {SECRET: {env: NOT_SET_ANYWHERE}}, token: a}",
    "auth: {type: login, url: /a, body: {a: {SECRET: {file: gone}}}, token: a}",
    "auth: {type: login, url: /a, form: {SECRET: {env: NOT_SET_ANYWHERE}}, token: a}",
    "auth: {type: login, url: /a, form: {a: b}, token: 'SECRET('}",
    "auth: {type: login, url: /a, form: {a: b}, token: a, lifetime: '1 SECRET'}",
    "auth: {type: login, url: /a, form: {a: b}, token: a, basic: {SECRET: x}}",
    "headers: {SECRET: 3}",
    "headers: {SECRET: a, secret: b}",
    "headers: {Authorization: [SECRET]}",
    "proxy_url: 'http://me:SECRET@proxy.example.com'",
    "tls: {key_file: SECRET}",
    'tls: {key_file: "-----BEGIN PRIVATE KEY-----\\nSECRET\\n"}',
]
WEB = [
    "basic_auth_users: {SECRET}",
    "basic_auth_users: {SECRET: x}",
    "tls_server_config: {cert_file: x, key_file: SECRET}",
]
# Like a token, a key or a password with a digit; not like the name of anything.
secrets = st.from_regex(r"[a-zA-Z]{2,6}[0-9][a-zA-Z0-9]{3,30}([_-][A-Za-z0-9]{17,30})?", fullmatch=True)


def shown_for(text: str, secret: str, folder: Path) -> str:
    config = folder / "config.yaml"
    config.write_text(text.replace("SECRET", secret).replace("secret:", f"{secret.swapcase()}:"))
    with pytest.raises(ConfigError) as caught:
        (load_web if text in WEB else load)(config)
    return str(caught.value)


@pytest.mark.parametrize("place", [*PLACES, *WEB])
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secrets)
def test_no_error_quotes_a_secret_in_the_wrong_place(place: str, tmp_path: Path, secret: str) -> None:
    text = shown_for(place if place in WEB else SYSTEM + place, secret, tmp_path)
    assert secret.casefold() not in text.casefold().replace(str(tmp_path).casefold(), "")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (
            "auth: {type: bearer, tokn: x}",
            "systems.docs.auth.?: unknown key; did you mean token? allowed: type",
        ),
        ("auth: {type: bearer, password: x}", "systems.docs.auth.password: unknown key"),
        ("auth: {type: bearer, token: {env: HUAWEI_SK2}}", "the environment variable HUAWEI_SK2 is not set"),
        ("auth: {type: bearer, token: {file: tls/token}}", "/tls/token: No such file or directory"),
        ("auth: {type: bearer, token: {file: /run/caps-2/x}}", "cannot read /run/caps-2/x: No such file"),
        ("auth: {type: bearer, token: {file: a1b2c3}}", "cannot read the file: No such file or directory"),
        ("auth: {type: headers, headers: {X-Key: []}}", "systems.docs.auth.headers.X-Key: not a secret"),
        ("headers: {X-Key: [], x-key: a}", "systems.docs.headers.X-Key: must be text"),
        ("auth: {type: login, url: /a, token: a, body: {b: [{env: GONE}]}}", "docs.auth.body.b[0]: the"),
    ],
)
def test_names_that_are_no_secrets_are_shown(place: str, expected: str, tmp_path: Path) -> None:
    assert expected in shown_for(SYSTEM + place, "", tmp_path)


def test_a_place_without_its_model_shows_no_key_below_auth() -> None:
    assert shown(("systems", "docs", "auth", "token", 0, "x")) == "systems.docs.auth.?[0].?"
