"""The command ``check`` in process: what it leaves out and what it warns of."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.cli.main import cli
from tests.config.conftest import BAD, GOOD
from tests.web.secured import TLS, Place

HIDDEN = "hunter2"


def check(path: Path, *flags: str, **env: str) -> Result:
    done = CliRunner(env=env).invoke(cli, ["check", str(path), *flags])
    assert HIDDEN not in done.output
    return done


ODD = BAD[0].parent.parent / "odd" / "min_interval.yaml"


def test_warnings_are_lines_of_their_own_and_no_errors() -> None:
    done = check(ODD)
    *lines, last = done.output.splitlines()
    said = "is more than 1m, so scrapes can show values of that age; set it below the scrape interval"
    assert done.exit_code == 0
    assert lines == [
        f"warning: {ODD}:3: defaults.min_interval: {said}",
        f"warning: {ODD}:8: systems.a.min_interval: {said}",
    ]
    assert last == f"{ODD}: 3 systems, 3 jobs, no errors, 2 warnings"


def test_programs_find_warnings_beside_the_errors() -> None:
    done = check(ODD, "--format", "json")
    found = json.loads(done.output)
    assert (done.exit_code, found["errors"], found["systems"], found["jobs"]) == (0, [], 3, 3)
    lines = [
        f"warning: {one['file']}:{one['line']}: {one['path']}: {one['text']}" for one in found["warnings"]
    ]
    assert lines == check(ODD).output.splitlines()[:-1]


def test_a_config_with_errors_is_not_looked_through_for_warnings(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("defaults: {min_interval: 1d}\nsystems: {}\n")
    done = check(file, "--format", "json")
    assert (done.exit_code, json.loads(done.output)["warnings"]) == (1, [])
    assert "warning" not in check(file).output


def test_an_error_in_the_web_config_hides_no_warning(tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    web.write_text("rate_limit: {burst: 0}\n")
    done = check(ODD, "--web.config.file", str(web))
    first, *lines = done.output.splitlines()
    assert (done.exit_code, first) == (1, f"{web}:1: rate_limit.burst: must be at least 1")
    assert lines == check(ODD).output.splitlines()[:-1]


def test_an_expired_certificate_of_the_exporter_is_a_warning(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rotate(dt.datetime(2026, 1, 5, 9, 30))  # noqa: DTZ001  trustme takes it for UTC
    done = check(GOOD, "--web.config.file", str(place.write(TLS)))
    said = "the certificate expired on Jan  5 09:30:00 2026 GMT; clients that verify it cannot connect"
    assert f"warning: {place.file}:1: tls_server_config: {said}\n" in done.output
    assert done.exit_code == 0


# Every credential, with its secrets left to the host.
ELSEWHERE = """
systems:
  a: &system
    provider: sitecore
    base_url: https://a.example
    auth: {type: bearer, token: {file: absent/token}}
    jobs: [{id: a}]
  b: {<<: *system, auth: {type: basic, username: u, password: {env: REMOTE_JOB_TEST_UNSET}}}
  c: {<<: *system, auth: {type: headers, headers: {A: {file: absent}, B: {env: REMOTE_JOB_TEST_UNSET}}}}
  d:
    <<: *system
    auth: {type: oauth2, token_url: "https://a.example/t", client_id: x, client_secret: {file: absent}}
  e:
    <<: *system
    auth:
      type: huawei_aksk
      access_key: {file: absent}
      secret_key: {file: absent}
      security_token: {env: REMOTE_JOB_TEST_UNSET}
  f:
    <<: *system
    auth: {type: none}
    tls: {ca_file: absent, crl_file: absent, cert_file: absent, key_file: absent}
"""


def test_without_secrets_what_only_the_host_has_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ELSEWHERE)
    assert check(file).exit_code == 1
    done = check(file, "--no-secrets")
    assert (done.exit_code, done.output) == (0, f"{file}: 6 systems, 6 jobs, no errors\n")


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("{env: X, file: y}", "not a secret; allowed is a string, {env: NAME} or {file: PATH}"),
        ("{env: 42}", "not a secret; allowed is a string, {env: NAME} or {file: PATH}"),
        ('{env: ""}', "not a secret; allowed is a string, {env: NAME} or {file: PATH}"),
        ('{file: ""}', "not a secret; allowed is a string, {env: NAME} or {file: PATH}"),
        ("[hunter2]", "not a secret; allowed is a string, {env: NAME} or {file: PATH}"),
        ('""', "must not be empty; allowed is a string, {env: NAME} or {file: PATH}"),
        ('"two hunter2"', "must not contain spaces; allowed is the token alone, without the word Bearer"),
        ('"hunter2\\u00e9\\u20ac"', "must contain only Latin-1 characters"),
    ],
)
def test_without_secrets_the_config_itself_is_checked_as_ever(
    written: str, wrong: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ELSEWHERE.replace("{file: absent/token}", written))
    done = check(file, "--no-secrets")
    assert (done.exit_code, done.output) == (1, f"{file}:6: systems.a.auth.token: {wrong}\n")


def test_without_secrets_a_key_still_needs_its_certificate(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ELSEWHERE.replace("cert_file: absent, ", ""))
    done = check(file, "--no-secrets")
    assert (done.exit_code, done.output) == (1, f"{file}:23: systems.f.tls: key_file needs cert_file\n")


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_without_secrets_no_error_but_those_of_the_host_goes_missing(file: Path) -> None:
    every = set(check(file).output.splitlines())
    kept = set(check(file, "--no-secrets").output.splitlines())
    if "no errors" in " ".join(kept):
        kept = set()
    assert kept <= every
    assert all("cannot read " in line or "environment variable" in line for line in every - kept)
    assert check(GOOD, "--no-secrets").exit_code == 0
