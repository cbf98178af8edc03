"""A whole exporter against the simulated vendor, and against one that refuses."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.simulator import config, create_app, huawei
from tests.simulator.conftest import serving
from tests.vendor import Asked, Samples, Told, exporter, vendor

JOB_ID = "48c66c6002964721be537cdc6ce0297b"
RECORD = {
    "result": {"state": "SUCCESS", "job_running_status": "Finished"},
    "error": None,
    "status": "success",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with serving(lambda url: create_app(base_url=url)) as base_url:
        yield base_url


def builds(base_url: str, auth: dict[str, Any] | None = None) -> str:
    """The demo's config of the build system, with this ``auth`` if one is given."""
    systems = yaml.safe_load(config(base_url))["systems"]
    if auth is not None:
        systems["builds"]["auth"] = auth
    return yaml.safe_dump({"systems": {"builds": systems["builds"]}})


def with_password(token_url: str, user: huawei.User = huawei.USER) -> dict[str, Any]:
    return {
        "type": "huawei_token",
        "token_url": token_url,
        "username": user.name,
        "password": user.password,
        "domain": huawei.DOMAIN,
        "project": huawei.REGION,
    }


def with_keys(user: huawei.User) -> dict[str, Any]:
    auth = {"type": "huawei_aksk", "access_key": user.access_key, "secret_key": user.secret_key}
    return {**auth, "security_token": user.security_token} if user.security_token else auth


def ups(samples: Samples) -> set[float]:
    return {value for _, value in samples.all("remote_job_up")}


async def test_the_demo_reads_its_builds_with_signed_requests(simulator: str, tmp_path: Path) -> None:
    text = builds(simulator)
    assert yaml.safe_load(text)["systems"]["builds"]["auth"]["type"] == "huawei_aksk"
    async with exporter(text, tmp_path) as running:
        samples = await running.scrape()
    assert ups(samples) == {1}
    # Those that the listing finds too, whose query is signed with the rest.
    assert len(samples.all("remote_job_up")) > len(yaml.safe_load(text)["systems"]["builds"]["jobs"])
    assert samples.all("remote_job_system_up") == [({"system": "builds", "squad": "platform"}, 1)]


async def test_temporary_keys_and_a_password_read_the_same(simulator: str, tmp_path: Path) -> None:
    for auth in (with_keys(huawei.TEMPORARY), with_password(f"{simulator}/iam/v3/auth/tokens")):
        async with exporter(builds(simulator, auth), tmp_path) as running:
            samples = await running.scrape()
        assert ups(samples) == {1}
        assert samples.get_one("remote_job_system_up", system="builds") == 1


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (huawei.WITHOUT_RIGHTS, "forbidden"),
        (huawei.User("", "", huawei.USER.access_key, "wrong"), "unauthorized"),
        (huawei.User("", "", "NOBODY", huawei.USER.secret_key), "unauthorized"),
    ],
)
async def test_keys_that_are_refused_are_told_by_their_reason(
    user: huawei.User, reason: str, simulator: str, tmp_path: Path
) -> None:
    async with exporter(builds(simulator, with_keys(user)), tmp_path) as running:
        samples = await running.scrape()
    assert ups(samples) == {0}
    assert {labels["reason"] for labels, _ in samples.all("remote_job_read_error_info")} == {reason}


async def test_a_wrong_password_is_reason_auth_and_asked_once_for_all(tmp_path: Path) -> None:
    refusal = Told({"error": {"code": 401, "message": "hidden", "title": "Unauthorized"}}, 401)
    async with vendor(lambda _: refusal) as played:
        text = builds(played.url, with_password(f"{played.url}/iam"))
        async with exporter(text, tmp_path) as running:
            samples = await running.scrape()
            samples = await running.scrape()
        assert played.count() == {"/iam": 1}
    assert {labels["reason"] for labels, _ in samples.all("remote_job_read_error_info")} == {"auth"}


async def test_a_token_that_is_refused_early_is_renewed_within_the_read(tmp_path: Path) -> None:
    issued = 0

    def answer(asked: Asked) -> Told:
        nonlocal issued
        if asked.path == "/iam":
            issued += 1
            ends = datetime.fromtimestamp(time.time() + 86400, UTC).isoformat()
            return Told({"token": {"expires_at": ends}}, 201, {"X-Subject-Token": f"t{issued}"})
        # The first token dies early: somebody has changed the user's password.
        if asked.headers.get("x-auth-token") == "t2":
            return Told(RECORD)
        return Told({"error_code": "APIGW.0301", "error_msg": "decrypt token fail"}, 401)

    async with vendor(answer) as played:
        text = yaml.safe_dump(
            {
                "systems": {
                    "builds": {
                        "provider": "codearts",
                        "base_url": played.url,
                        "min_interval": "0s",
                        "auth": with_password(f"{played.url}/iam"),
                        "jobs": [{"job_id": JOB_ID, "build_no": number} for number in range(1, 9)],
                    }
                }
            }
        )
        async with exporter(text, tmp_path) as running:
            samples = await running.scrape()
    assert ups(samples) == {1}
    assert issued == 2
