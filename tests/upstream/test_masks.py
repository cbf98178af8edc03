"""What a recording masks: every value in every notation, the same each time, and no word around it."""

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter.upstream.masks import Masks

SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=4, max_size=24)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
AROUND = st.text('abcXYZ019 /=.:%"\\', max_size=6)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


NOTATIONS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "path": quote,
    "form": quote_plus,
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "html": html.escape,
    "every letter": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "hex": lambda text: text.encode().hex(),
    "base64": base64_of,
    "base64 in a URL": lambda text: quote(base64_of(text), safe=""),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 of a pair": lambda text: base64_of(f"user:{text}"),
    "base64 of a longer text": lambda text: base64_of(f"ab{text}!"),
    "base64 in JSON": lambda text: base64_of(text).replace("/", "\\/"),
}


@pytest.mark.parametrize("notation", NOTATIONS)
@settings(max_examples=15)
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_secret_is_masked_in_every_notation(notation: str, secret: str, before: str, after: str) -> None:
    written = NOTATIONS[notation](secret)
    masks = Masks()
    placeholder = masks.add_secret(secret)
    # A secret of which the placeholder itself is made cannot be found in the result.
    assume(written.casefold() not in f"{before}{placeholder}{after}".casefold())
    masked = masks.text(f"{before} {written} {after}")
    assert written not in masked
    assert placeholder in masked


def test_the_same_value_has_the_same_placeholder_in_texts_and_numbers() -> None:
    masks = Masks()
    masks.add_secret("first-secret")
    masks.add_secret("second-secret")
    masks.add_id("455644833")
    masks.add_id("nightly")
    masks.add_id("5deff363-2bde-473e-8479-ea9ce1c4a6bc")
    masks.add_id("48c66c6002964721be537cdc6ce0297b")
    assert masks.json(
        {
            "of nightly": [455644833, "run 455644833 of NIGHTLY", True, 4, 0.5, None],
            "uuid": "/5DEFF363-2bde-473e-8479-ea9ce1c4a6bc/48c66c6002964721be537cdc6ce0297b",
            "other": "second-secret, first-secret, second-secret",
        }
    ) == {
        "of id_2": [900000001, "run 900000001 of id_2", True, 4, 0.5, None],
        "uuid": "/00000000-0000-4000-8000-000000000003/00000000000000000000000000000004",
        "other": "secret-2, secret-1, secret-2",
    }


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("web", "id_1"),
        ("/site/web/index?site=web&x=web1", "/site/id_1/index?site=id_1&x=web1"),
        ("%2Fweb%2F", "%2Fid_1%2F"),
        ("website, cobweb and web-7", "website, cobweb and id_1-7"),
        ("the ids a%2Fb c, a/b%20c", "the ids id_2, id_2"),
        ("5", "5"),
        ("commit 1f0c6d4e0b7a4b0e9a553f0d6e3f2b11", "commit 00000000000000000000000000000003"),
    ],
)
def test_an_id_is_masked_where_it_is_a_whole_word(text: str, masked: str) -> None:
    masks = Masks()
    for each in ("web", "a/b c", "5"):
        masks.add_id(each)
    assert masks.text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://ci.example.com:8443/acme/api/v1/x", "http://replay.invalid/path-1/api/v1/x"),
        ("see /acme/api, not acme", "see /path-1/api, not acme"),
        ("host ci.example.com", "host replay.invalid"),
        ("https%3A%2F%2FCI.example.com%3A8443%2Facme", "http%3A%2F%2Freplay.invalid%2Fpath-1"),
        (r"https:\/\/ci.example.com:8443\/acme\/", r"http:\/\/replay.invalid\/path-1\/"),
        ("https://ci.example.com:1/", "https://host-2.invalid/"),
        (
            "https://me:word@a.example/x, https://b.example.",
            "https://host-2.invalid/x, https://host-3.invalid.",
        ),
        ("token from ims.example.net", "token from host-1.invalid"),
        ("from A.B@example.com, a.b@example.com", "from mail-1@mail.invalid, mail-1@mail.invalid"),
        ("https://[::1]:80/x", "https://host-2.invalid/x"),
        ("https:// and http", "https:// and http"),
    ],
)
def test_hosts_and_addresses_are_masked(text: str, masked: str) -> None:
    masks = Masks()
    masks.add_system("https://ci.example.com:8443/acme/api/v1")
    masks.add_host("ims.example.net")
    assert masks.text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/logs?x=1&X-Amz-Signature=0a1b2c3d&y=2", "/logs?x=1&X-Amz-Signature=secret-2&y=2"),
        (r"/logs?sig=a%2Fb%3D12345\u0026se=2026", r"/logs?sig=secret-2\u0026se=2026"),
        ("?accessToken=issued-12;token=issued-12", "?accessToken=secret-2;token=secret-2"),
        ("?token=my+secret%21&api_key=455644833", "?token=secret-1&api_key=900000001"),
        ("?token=short&design=some-long-word", "?token=short&design=some-long-word"),
        (f"id: {JWT}?token={JWT}", "id: secret-2?token=secret-2"),
        ("mailto:a.b%40example.com, a.b@example.com", "mailto:mail-1@mail.invalid, mail-1@mail.invalid"),
    ],
)
def test_what_is_a_secret_or_an_address_by_its_form_is_masked(text: str, masked: str) -> None:
    masks = Masks()
    masks.add_secret("my secret!")
    masks.add_id("455644833")
    assert masks.text(text) == masked


def test_a_field_of_json_with_the_name_of_a_secret_is_masked() -> None:
    masks = Masks()
    masks.add_secret("my secret!")
    assert masks.json(
        {
            "clientSecret": "issued-12",
            "next_page_token": "abc/def=",
            "password": "my secret!",
            "token": 123456789,
        }
    ) == {
        "clientSecret": "secret-2",
        "next_page_token": "secret-3",
        "password": "secret-1",
        "token": 123456789,
    }
    assert masks.text("/list?page_token=abc/def=&x") == "/list?page_token=secret-3&x"
    assert masks.json({"token": "", "tokens": "several words", "secret": None}) == {
        "token": "",
        "tokens": "several words",
        "secret": None,
    }


def test_a_short_secret_is_masked_where_it_is_the_whole_text() -> None:
    masks = Masks()
    masks.add_secret("jwt")
    assert masks.json({"type": "jwt", "text": "a jwt"}) == {"type": "secret-1", "text": "a jwt"}


@pytest.mark.parametrize("piece", ["eyJ", "_eyJ", "a", "a@", "1", "%25", "?token=", "http://"])
def test_the_time_for_a_long_text_grows_with_its_length_only(piece: str) -> None:
    masks = Masks()
    masks.add_secret("my secret!")
    began = time.thread_time()
    masks.text(piece * (100_000 // len(piece)))
    # 0.3 s; as much for each eyJ as for the rest of the text, it would be 15 s.
    assert time.thread_time() - began < 3


@pytest.mark.parametrize("before", ["", "token_", "\\n", "%20", "v1-"])
def test_a_token_is_masked_also_within_a_word(before: str) -> None:
    assert JWT[:12] not in Masks().text(f"see {before}{JWT} there")
