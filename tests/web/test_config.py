"""Whatever is in a web configuration file, it loads or its errors are told, each with its place."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter.cli.main import cli
from exporter.config import ConfigError
from exporter.web.config import WebConfig, load
from exporter.web.tls import ServerTls
from tests.web.secured import TLS, VERIFY, Place, hashed

HASH = "$2y$10$" + "a" * 21 + "u" + "b" * 31
NAMES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
)
MODES = "NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
UNVERIFIED = f"does not verify client certificates and is not supported; allowed: {MODES}"
NO_HASH = "not a bcrypt hash with a cost of 4 to 16; allowed is what htpasswd -nBC 10 prints after the colon"
OLD = "TLS 1.0 and 1.1 are insecure and not supported (RFC 8996); allowed: TLS12, TLS13"
TOP = "tls_server_config, http_server_config, basic_auth_users, rate_limit"


def tls(*lines: str) -> str:
    return TLS + "".join(f"  {line}\n" for line in lines)


MISTAKES = [
    ("", f":1: is empty; allowed: {TOP}"),
    ("{}", f":1: is empty; allowed: {TOP}"),
    ("- a", ":1: must be a mapping (key: value)"),
    (
        TLS + "basic_auth_user: {a: b}",
        f":4: basic_auth_user: unknown key; did you mean basic_auth_users? allowed: {TOP}",
    ),
    ("tls_server_config: {}", ":1: tls_server_config: cert_file (or cert) is missing"),
    (
        "tls_server_config:\n  min_version: TLS13",
        ":1: tls_server_config: cert_file (or cert) is missing",
    ),
    (
        "tls_server_config:\n  cert_file: server.pem",
        ":1: tls_server_config: key_file (or key) is missing",
    ),
    (
        TLS.replace("server.key", "clients.pem"),
        ":3: tls_server_config.key_file: is not an unencrypted PEM key, or the certificate is no PEM chain",
    ),
    (
        TLS.replace("server.key", "other.key"),
        ":3: tls_server_config.key_file: is not the key of this certificate",
    ),
    (TLS.replace("server.pem", "server.key"), ":2: tls_server_config.cert_file: contains no PEM certificate"),
    (
        TLS.replace("server.pem", "gone.pem"),
        (
            ":2: tls_server_config.cert_file: cannot read {folder}/gone.pem: No such file or directory; "
            "allowed is a readable PEM file"
        ),
    ),
    (
        TLS.replace("server.pem", "."),
        (
            ":2: tls_server_config.cert_file: cannot read {folder}: Is a directory; "
            "allowed is a readable PEM file"
        ),
    ),
    (tls("cert: x"), ":4: tls_server_config.cert: contains no PEM certificate"),
    (tls("client_auth_type: RequestClientCert"), f":4: tls_server_config.client_auth_type: {UNVERIFIED}"),
    (tls("client_auth_type: RequireAnyClientCert"), f":4: tls_server_config.client_auth_type: {UNVERIFIED}"),
    (tls("client_auth_type: RequireClientCert"), f":4: tls_server_config.client_auth_type: {UNVERIFIED}"),
    (
        tls("client_auth_type: requireandverifyclientcert"),
        (
            ":4: tls_server_config.client_auth_type: unknown value; did you mean RequireAndVerifyClientCert? "
            f"allowed: {MODES}"
        ),
    ),
    (
        tls("client_auth_type: RequireAndVerifyClientCert"),
        (":4: tls_server_config.client_auth_type: needs client_ca_file or client_ca to verify certificates"),
    ),
    (
        tls("client_ca_file: clients.pem"),
        (
            ":1: tls_server_config.client_auth_type: client_ca_file needs VerifyClientCertIfGiven or "
            "RequireAndVerifyClientCert; otherwise no client certificate is verified"
        ),
    ),
    (
        tls("client_allowed_sans: [a.example]"),
        (
            ":4: tls_server_config.client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert "
            "or VerifyClientCertIfGiven"
        ),
    ),
    (
        TLS + VERIFY + "  client_allowed_sans: []",
        ":6: tls_server_config.client_allowed_sans: must have at least 1 entry",
    ),
    (tls("min_version: TLS11"), f":4: tls_server_config.min_version: {OLD}"),
    (tls("max_version: TLS10"), f":4: tls_server_config.max_version: {OLD}"),
    (
        tls("max_version: SSL3"),
        ":4: tls_server_config.max_version: unknown value; allowed: TLS12, TLS13",
    ),
    (
        tls("min_version: TLS13", "max_version: TLS12"),
        ":5: tls_server_config.max_version: must not be below min_version",
    ),
    (
        tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"),
        f":4: tls_server_config.cipher_suites[0]: unknown cipher suite; allowed: {NAMES}",
    ),
    (
        tls("cipher_suites:", "- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "- TLS_AES_128_GCM_SHA256"),
        (
            ":6: tls_server_config.cipher_suites[1]: cipher suites of TLS 1.3 are always enabled; "
            f"allowed: {NAMES}"
        ),
    ),
    (
        tls("min_version: TLS13", "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"),
        ":5: tls_server_config.cipher_suites: applies only to TLS 1.2, which min_version excludes",
    ),
    (
        tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"),
        (
            ":1: tls_server_config: cipher_suites and curve_preferences allow no connection with TLS12 and "
            "this certificate; allow more, or exclude the version with min_version or max_version"
        ),
    ),
    (
        tls("curve_preferences: [X25519, CurveP256]"),
        (
            ":4: tls_server_config.curve_preferences: only one curve can be set; allowed: a list with one of "
            "CurveP256, CurveP384, CurveP521, X25519"
        ),
    ),
    (
        tls("curve_preferences: [P256]"),
        (
            ":4: tls_server_config.curve_preferences[0]: unknown curve; allowed: "
            "CurveP256, CurveP384, CurveP521, X25519"
        ),
    ),
    (
        "http_server_config: {http2: true}",
        ":1: http_server_config.http2: HTTP/2 is not supported; allowed is false",
    ),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: DENY",
        ":3: http_server_config.headers.X-Frame-Options: unknown value; allowed: deny, sameorigin",
    ),
    (
        "http_server_config:\n  headers:\n    X-Powered-By: us",
        (
            ":3: http_server_config.headers.X-Powered-By: unknown key; allowed: Content-Security-Policy, "
            "X-Frame-Options, X-Content-Type-Options, X-XSS-Protection, Strict-Transport-Security"
        ),
    ),
    (
        'http_server_config:\n  headers:\n    X-XSS-Protection: "a\\nb"',
        ":3: http_server_config.headers.X-XSS-Protection: must not contain control characters or line breaks",
    ),
    ("basic_auth_users: {}", ":1: basic_auth_users: must have at least 1 entry"),
    ("basic_auth_users:\n  alice: hunter2", f":2: basic_auth_users.alice: {NO_HASH}"),
    (f"basic_auth_users:\n  alice: {HASH.replace('10', '17')}", f":2: basic_auth_users.alice: {NO_HASH}"),
    (f"basic_auth_users:\n  alice: {HASH.replace('$2y', '$2x')}", f":2: basic_auth_users.alice: {NO_HASH}"),
    (f"basic_auth_users:\n  alice: {HASH.replace('ub', 'xb')}", f":2: basic_auth_users.alice: {NO_HASH}"),
    (
        f"basic_auth_users:\n  'a:b': {HASH}",
        ":2: basic_auth_users.?: not a user name; allowed is any text without colons and control characters",
    ),
    ("rate_limit: {burst: 0}", ":1: rate_limit.burst: must be at least 1"),
    (
        "rate_limit: {interval: 5}",
        (
            ":1: rate_limit.interval: not a duration; allowed are Prometheus durations such as 500ms, 10s, "
            "1m30s, 2h or 1d"
        ),
    ),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_an_error_is_told_in_one_line_with_its_place(place: Place, text: str, told: str) -> None:
    issued = place.authority.issue_cert("other.example")
    (place.folder / "other.key").write_bytes(issued.private_key_pem.bytes())
    with pytest.raises(ConfigError) as caught:
        load(place.write(text))
    assert str(caught.value) == f"{place.file}{told.replace('{folder}', str(place.folder))}"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["cert", "key", "client_ca"])
def test_text_and_file_do_not_stand_side_by_side(place: Place, key: str) -> None:
    name = {"cert": "server.pem", "key": "server.key", "client_ca": "clients.pem"}[key]
    pem = (place.folder / name).read_text().replace("\n", "\\n")
    with pytest.raises(ConfigError) as caught:
        load(place.write(f'{TLS}{VERIFY}  {key}: "{pem}"\n'))
    assert [error.path for error in caught.value.errors] == [f"tls_server_config.{key}_file"]
    assert "cannot be set together with" in caught.value.errors[0].text


def test_every_key_of_the_exporter_toolkit_is_known() -> None:
    assert set(WebConfig.model_fields) == set(TOP.split(", "))
    assert set(ServerTls.model_fields) == {
        *("cert", "key", "client_ca", "cert_file", "key_file", "client_auth_type", "client_ca_file"),
        *("client_allowed_sans", "min_version", "max_version", "cipher_suites", "curve_preferences"),
        "prefer_server_cipher_suites",
    }


def test_neither_key_nor_hashes_show(place: Place) -> None:
    key = (place.folder / "server.key").read_text().replace("\n", "\\n")
    text = f"{TLS.replace('key_file: server.key', f'key: {chr(34)}{key}{chr(34)}')}"
    shown = repr(load(place.write(f"{text}basic_auth_users: {{alice: {HASH}}}\n")))
    assert "PRIVATE" not in shown
    assert "$2y$" not in shown


def test_an_encrypted_key_is_an_error_and_no_question_at_the_terminal(place: Place) -> None:
    key = serialization.load_pem_private_key((place.folder / "server.key").read_bytes(), None)
    (place.folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    with pytest.raises(ConfigError, match=r"key_file: is not an unencrypted PEM key"):
        load(place.write(TLS))


def test_the_example_of_the_documentation_is_right(place: Place) -> None:
    page = Path(__file__).parents[2] / "docs" / "guides" / "web-config.md"
    example = page.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert set(load(place.write(example)).basic_auth_users) == {"prometheus"}


def test_bcrypt_is_imported_where_it_is_needed_only() -> None:
    code = "import sys, exporter.cli.serve; sys.exit('bcrypt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("flag", "said"), [("--format=text", "no errors"), ("--format=json", '"errors": []')]
)
def test_check_knows_such_files(place: Place, flag: str, said: str) -> None:
    config = place.folder / "config.yaml"
    config.write_text("systems: {a: {provider: sitecore, base_url: 'https://a.example', jobs: [{id: a}]}}\n")
    arguments = ["check", str(config), "--web.config.file", str(place.write(TLS)), flag]
    good = CliRunner().invoke(cli, arguments)
    assert good.exit_code == 0
    assert all(said in line for line in good.output.splitlines())
    config.write_text("systems: {}\n")
    place.write(tls("min_version: TLS9"))
    bad = CliRunner().invoke(cli, arguments)
    assert bad.exit_code == 1
    assert str(config) in bad.output
    assert "tls_server_config.min_version" in bad.output


GOOD = f"""\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: clients.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [a.example, 192.0.2.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [CurveP256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"""
LINES = GOOD.splitlines()
KEYS = sorted({line.partition(":")[0].strip() for line in LINES} | {"cert", "key", "client_ca", "alice", ""})
VALUES = ["server.pem", "server.key", "clients.pem", "web.yaml", "TLS13", "deny", "X25519", HASH, "1s", "/"]
relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
authority = trustme.CA()
server = authority.issue_cert("a.example")


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "web.yaml")
        file.write_bytes(data)
        authority.cert_pem.write_to_path(str(file.with_name("clients.pem")))
        server.private_key_pem.write_to_path(str(file.with_name("server.key")))
        server.cert_chain_pems[0].write_to_path(str(file.with_name("server.pem")))
        error = None
        try:
            assert load(file).model_fields_set
        except ConfigError as caught:
            error = caught
    if error is not None:
        assert error.errors
        assert all(1 <= error.line <= data.count(b"\n") + 1 for error in error.errors), error
        assert len(str(error).splitlines()) == len(error.errors)


def test_the_good_one_is_good() -> None:
    check(GOOD.encode())
    check(GOOD.replace(HASH, hashed()).encode())


@relaxed
@given(st.binary(max_size=200))
@example(b"\xff")
def test_any_bytes(data: bytes) -> None:
    check(data)


@relaxed
@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 12),
    st.sampled_from(
        ["", "\n", ":", "[", "{", "null", "true", "1", '"\\0"', "é", "x", "- ", "<<", "!a", *KEYS]
    ),
)
def test_a_good_one_with_something_typed_into_it(at: int, instead_of: int, piece: str) -> None:
    check(f"{GOOD[:at]}{piece}{GOOD[at + instead_of :]}".encode())


scalars = (
    st.sampled_from(VALUES) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


def flow(tree: object) -> str:
    """A value as YAML, one key or item a line."""
    match tree:
        case dict():
            return "{" + ",\n".join(f'"{key}": {flow(each)}' for key, each in tree.items()) + "}"
        case list():
            return "[" + ",\n".join(map(flow, tree)) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(character):08x}" for character in tree) + '"'
    return "null" if tree is None else str(tree).lower()


@relaxed
@given(trees, st.sampled_from(KEYS), trees)
@example(None, "cert", "\x80")
def test_any_values_under_known_keys(tree: object, key: str, value: object) -> None:
    check(flow(tree).encode())
    check(f"{TLS}  {key or 'x'}: {flow(value)}\n".encode())
    check(f"{key or 'x'}: {flow(value)}\n".encode())
