"""``check --online``: what it says of credentials and rights, against the simulated systems."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import simulator
from exporter.simulator import caps, crafter, sitecore
from tests.cli.conftest import Run
from tests.command import vendor_beside
from tests.vendor import Told

Write = Callable[..., Path]
OTHER_TWIN = "00000000-0000-0000-0000-000000000000"
NO_RIGHTS = {"Authorization": caps.TOKEN_WITHOUT_RIGHTS, "TokenType": "jwt"}


@pytest.fixture
def write(simulated: str, tmp_path: Path) -> Write:
    """Writes a configuration of one simulated system with its first job and changed keys."""

    def write(name: str, auth: dict[str, Any] | None = None, **keys: Any) -> Path:
        system = yaml.safe_load(simulator.config(simulated))["systems"][name]
        system |= {"jobs": system["jobs"][:1], "timeout": "20s"} | keys
        system["auth"] |= auth or {}
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({"systems": {name: system}}))
        return file

    return write


def plain(text: str) -> str:
    """Without line breaks: lines are wrapped."""
    return " ".join(text.split())


def test_a_system_that_can_be_read_shows_its_listing_and_its_jobs(run: Run, write: Write) -> None:
    done = run("check", "--online", str(write("site")))
    assert done.returncode == 0, done.stdout
    _, _, head, listing, job = done.stdout.splitlines()
    assert head.startswith("site: crafter at 127.0.0.1:")
    assert re.fullmatch(r"  ok      listing: \d+ jobs found", listing)
    assert job.startswith("  ok      Corporate site: ")


def test_without_the_flag_nothing_is_requested(run: Run, write: Write) -> None:
    done = run("check", str(write("site", base_url="http://127.0.0.1:1/studio")))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("system", "auth", "keys", "said"),
    [
        (
            "xmc",
            {"client_id": sitecore.DEPLOY_CLIENT_ID, "client_secret": sitecore.DEPLOY_CLIENT_SECRET},
            {},
            "The token has none of the scopes xmcpub.jobs.a:r, xmcpub.jobs.t:r, xmcpub.jobs.t:rl.",
        ),
        ("xmc", {"client_secret": "wrong"}, {}, "audience (https://api.sitecorecloud.io, without a slash"),
        ("twins", {"client_secret": "wrong"}, {}, "scope (itwin-platform) with the service application"),
        ("twins", {}, {"discover": {"itwin_id": OTHER_TWIN}}, "is a member of"),
        ("builds", {"secret_key": "wrong"}, {}, "Compare access key and secret key"),
        ("site", {"token": "wrong"}, {}, "A token comes from the tool Token Management of Studio 4.0"),
        ("site", {"token": crafter.TOKEN_WITHOUT_RIGHTS}, {}, "needs the permission publish_status"),
        ("site-classic", {"password": "wrong"}, {}, "Compare username and password"),
        ("docs", {"headers": NO_RIGHTS}, {}, "operator"),
    ],
)
def test_what_the_vendor_refuses_comes_with_who_can_correct_it(
    system: str, auth: dict[str, Any], keys: dict[str, Any], said: str, run: Run, write: Write
) -> None:
    file = write(system, auth, **keys)
    done = run("check", "--online", str(file))
    assert said in plain(done.stdout)
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80
    secrets = [value for name, value in auth.items() if name not in ("client_id", "headers")]
    assert not any(secret in done.stdout for secret in secrets if secret != "wrong")


def test_a_host_without_a_server_is_named_and_the_exit_code_is_1(run: Run, write: Write) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        done = run("check", "--online", str(write("site", base_url=f"http://127.0.0.1:{port}/studio")))
    assert done.returncode == 1
    assert f"Connection refused (127.0.0.1:{port}, libcurl error 7)" in plain(done.stdout)
    assert "the firewall and the proxy. See docs/guides/systems/crafter.md" in plain(done.stdout)
    assert "docs/on-call/reasons.md#connect" in plain(done.stdout)


def test_a_token_endpoint_that_does_not_respond_is_named_instead_of_blaming_the_credential(
    run: Run, write: Write
) -> None:
    done = run("check", "--online", str(write("xmc", {"token_url": "http://127.0.0.1:1/oauth/token"})))
    assert "could not get a token from 127.0.0.1:1: could not connect" in plain(done.stdout)
    assert "No server responded at the address under auth:." in plain(done.stdout)
    assert "client_secret" not in done.stdout


def test_the_same_advice_is_printed_once_for_a_system(run: Run, write: Write) -> None:
    done = run("check", "--online", str(write("site", {"token": "wrong"})))
    assert done.stdout.count("  failed  ") == 2
    assert plain(done.stdout).count("A token comes from") == 1


@pytest.mark.parametrize(
    ("state", "key", "code", "said"),
    [
        (
            "stat",
            "id",
            1,
            "invalid_response: 2 of 2 jobs cannot be read: state: the expression found nothing",
        ),
        ("state", "no", 1, "invalid_response: 3 entries and no job: discover.keys.id: the expression found"),
        ("state", "id", 0, "ok listing: 2 jobs found, 1 entry skipped"),
    ],
)
def test_a_listing_whose_entries_are_no_jobs_is_no_success(
    state: str, key: str, code: int, said: str, run: Run, tmp_path: Path
) -> None:
    jobs = [{"id": "a", "state": "queued"}, {"id": "b", "state": "queued"}, {"state": "queued"}]
    with vendor_beside(lambda _: Told(jobs)) as vendor:
        read = {"path": "/jobs/{id}", "state": state}
        listing = {"path": "/jobs", "items": "@", "keys": {"id": key}, "state": state}
        system = {"provider": "json", "base_url": vendor.url, "read": read, "discover": listing}
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump({"systems": {"ci": system}}))
        done = run("check", "--online", str(file))
    assert said in plain(done.stdout)
    assert done.returncode == code


def test_programs_get_the_same_as_json(run: Run, write: Write) -> None:
    done = run("check", "--online", "--format", "json", str(write("site", {"token": "wrong"})))
    [system] = json.loads(done.stdout)["online"]
    assert (done.returncode, system["system"], system["works"]) == (1, "site", False)
    listing, job = system["attempts"]
    assert (listing["what"], listing["reason"], listing["jobs"]) == ("listing", "unauthorized", None)
    assert (job["reason"], job["state"]) == ("unauthorized", None)
    assert "Token Management" in job["next_step"]


def test_a_configuration_with_errors_is_not_tried(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("systems: {}\n")
    done = run("check", "--online", "--format", "json", str(file))
    assert (done.returncode, json.loads(done.stdout)["online"]) == (1, [])


def test_trying_needs_the_secrets(run: Run, tmp_path: Path) -> None:
    done = run("check", "--online", "--no-secrets", str(tmp_path))
    assert done.returncode == 2
    assert "--online and --no-secrets exclude each other" in done.stderr
