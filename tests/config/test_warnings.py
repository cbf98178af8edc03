"""One config for each warning, whose first lines hold exactly what is said; and what no warning is for."""

import json
import os
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from exporter import simulator
from exporter.config import load, warnings
from exporter.config.errors import MAX_ERRORS
from exporter.expressions.tree import calculates_text, compiled, quoted_name, tight_minus
from tests.config.conftest import HERE, Load

ODD = sorted((HERE / "odd").glob("*.yaml"))
GOOD = sorted((HERE / "good").glob("*.yaml"))
MARK = "#! "
HIDDEN = "hunter2"
DAY = 86400


def warned(path: Path, *, host: bool = True, now: float | None = None) -> list[str]:
    """What is said of a config, each line without the folder of its file."""
    said = [str(warning) for warning in warnings(load(path, host=host), host=host, now=now)]
    assert HIDDEN not in "".join(said).casefold()
    return [line.replace(f"{path.parent}{os.sep}", "") for line in said]


@pytest.mark.parametrize("file", ODD, ids=lambda file: file.stem)
def test_what_is_surely_not_meant_is_warned_of_with_its_place(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert warned(file) == [
        f"{file.name}:{line.removeprefix(MARK)}" for line in lines if line.startswith(MARK)
    ]
    assert lines[0].startswith(MARK)


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_good_config_has_no_warnings(file: Path) -> None:
    assert warned(file) == []


def test_the_config_of_the_simulator_has_no_warnings(tmp_path: Path) -> None:
    file = tmp_path / "simulated.yaml"
    file.write_text(simulator.config("http://127.0.0.1:10073"))
    assert warned(file) == []


def jwt(expires: float) -> str:
    parts = ({"alg": "none"}, {"exp": expires, "sub": HIDDEN})
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.{HIDDEN}"


SYSTEM = """
systems:
  a:
    provider: sitecore
    base_url: https://edge.example.com
    jobs: [{id: "42"}]
"""


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (3 * DAY, ""),
        (3 * DAY - 1, "expires on 2033-05-18 03:33 UTC"),
        (1, "expires on 2033-05-18 03:33 UTC"),
        (0, "expired on 2033-05-18 03:33 UTC"),
        (-DAY, "expired on 2033-05-18 03:33 UTC"),
    ],
)
def test_a_token_that_expires_in_under_three_days_is_warned_of(
    left: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = 2_000_000_000
    (tmp_path / "token").write_text(f"{jwt(end)}\n")
    monkeypatch.setenv("REMOTE_JOB_TEST_TOKEN", f"Bearer {jwt(end)}")
    file = tmp_path / "config.yaml"
    for auth, key in (
        ("{type: bearer, token: {file: token}}", "token"),
        ("{type: headers, headers: {X-Key: {env: REMOTE_JOB_TEST_TOKEN}}}", "headers.X-Key"),
    ):
        file.write_text(f"{SYSTEM}    auth: {auth}\n")
        text = f"config.yaml:7: systems.a.auth.{key}: the token {said}; replace it"
        assert warned(file, now=end - left) == ([text] if said else [])


def test_a_client_certificate_that_expires_soon_is_warned_of(tmp_path: Path) -> None:
    end = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
    made = trustme.CA().issue_cert("client.example", not_after=end)
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    file = tmp_path / "config.yaml"
    file.write_text(f"{SYSTEM}    tls:\n      cert_file: client.pem\n")
    text = "config.yaml:8: systems.a.tls.cert_file: the certificate expires on 2033-05-18 03:33 UTC; "
    assert warned(file, now=end.timestamp() - 3 * DAY) == []
    assert warned(file, now=end.timestamp() - DAY) == [f"{text}replace it"]
    expired = warned(file, now=end.timestamp() + DAY)
    assert expired == [f"{text.replace('expires', 'expired')}replace it"]
    assert warned(file, host=False, now=end.timestamp()) == []


def test_a_variable_is_warned_of_wherever_the_secret_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_JOB_TEST_TOKEN", "${HUNTER2}")
    (tmp_path / "token").write_text("$HUNTER2\n")
    file = tmp_path / "config.yaml"
    for secret in ("{env: REMOTE_JOB_TEST_TOKEN}", "{file: token}"):
        file.write_text(f"{SYSTEM}    auth: {{type: bearer, token: {secret}}}\n")
        assert len(warned(file)) == 1
        assert warned(file, host=False) == []
    file.write_text(f"{SYSTEM}    auth: {{type: bearer, token: '${{HUNTER2}}'}}\n")
    assert len(warned(file, host=False)) == 1


def test_files_of_a_folder_that_are_not_read_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SYSTEM)
    (tmp_path / "nowhere").symlink_to("x" * 300)
    for name in (
        *("jobs.yaml.bak", "jobs.json", "JOBS.YAML", "jobs.yaml~", "old/a.yaml"),
        *(
            ".hidden.yaml",
            "..data/a.yaml",
            "README.md",
            "a.jsonl",
            "token",
            "ca.pem",
            "secrets/token",
            "more/.b.yaml",
        ),
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    rename = "is not read; rename it, as in jobs.yaml, or move it out of the folder"
    folder = "is a folder, and its files are not read; move them up or out of the folder"
    assert [str(warning).removeprefix(f"{tmp_path}/") for warning in warnings(load(tmp_path))] == [
        f"JOBS.YAML:1: {rename}",
        f"jobs.json:1: {rename}",
        f"jobs.yaml.bak:1: {rename}",
        f"jobs.yaml~:1: {rename}",
        f"old:1: {folder}",
    ]
    # A file by itself is all that is meant.
    assert warnings(load(tmp_path / "a.yaml")) == []


@pytest.mark.slow
def test_only_so_many_warnings_as_anybody_reads(config: Load) -> None:
    head = "{provider: sitecore, base_url: 'https://a.example', min_interval: 1d, jobs: [{id: a}]}"
    found = warnings(config("systems:\n" + "".join(f"  s{n}: {head}\n" for n in range(MAX_ERRORS + 5))))
    assert len(found) == MAX_ERRORS + 1
    assert found[-1].text == "more warnings from here on are not shown"


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
numbers = st.integers(-5, 500).map("`{}`".format)
contexts = st.sampled_from(
    ["{}", "x[?{} > `1`]", "sum([{}])", "{{a: {}}}", "{} || z", "a.b | {}", "z.{}", "({})"]
)
signs = st.sampled_from([" - ", " -", "- ", "\n-", "  -  "])


@given(contexts, names, names)
def test_a_minus_between_two_names_is_found(context: str, left: str, right: str) -> None:
    source = context.format(f"{left}-{right}")
    assert tight_minus(source) == source.index("-")


@given(
    contexts,
    st.tuples(names, signs, names)
    | st.tuples(names, st.just("-"), numbers | names.map('"{}"'.format) | st.just("length(list)"))
    | st.tuples(numbers | names.map('"{}"'.format) | names.map("{}[0]".format), st.just("-"), names)
    | st.tuples(names.map('"{}-b"'.format) | names.map("'{}-b'".format))
    | st.tuples(names, st.just("\N{MINUS SIGN}"), names),
)
def test_no_other_minus_is_warned_of(context: str, parts: tuple[str, ...]) -> None:
    assert tight_minus(context.format("".join(parts))) is None


operators = st.sampled_from([" == ", "!=", " && 'x' || ", "|| ", " && "])


@given(contexts, names, operators, names)
def test_a_text_in_double_quotes_is_found(context: str, left: str, operator: str, text: str) -> None:
    source = context.format(f'{left}{operator}"{text}"')
    assert quoted_name(source) == source.index('"')
    assert quoted_name(context.format(f"{left}{operator}'{text}'")) is None
    assert quoted_name(context.format(f'{left}{operator}a."{text}"')) is None
    assert quoted_name(context.format(f'{left}{operator}"{text}-1"')) is None


@given(st.text(st.sampled_from("ab_1-.[]()`'\"{}:,|&?* $@"), max_size=20))
@example("a-b")
def test_what_is_found_in_any_expression_is_a_minus_between_two_names(source: str) -> None:
    try:
        compiled(source)
    except ValueError:
        return
    at = tight_minus(source)
    if at is not None:
        assert source[at] == "-"
        assert (source[at - 1] + source[at + 1]).replace("_", "a").isalnum()
    at = quoted_name(source)
    assert at is None or source[at] == '"'


@pytest.mark.parametrize(
    ("source", "calculates"),
    [
        ("labels.app.kubernetes.io/name", True),
        ("name || labels.app.kubernetes.io/name", True),
        ("labels && labels.io/name", True),
        ("join('-', [name, build - `1`])", True),
        ('labels."app.kubernetes.io/name"', False),
        ("done / total > `0.5` && 'late' || 'early'", False),
        ("to_string(number + `1`)", False),
        ("items[?a / b > `1`].name | [0]", False),
    ],
)
def test_a_text_that_is_calculated_is_found(source: str, calculates: bool) -> None:  # noqa: FBT001
    assert calculates_text(compiled(source)) is calculates
