"""``probe --record`` and ``simulate --replay`` as users run them: what they print, write and refuse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from exporter.cli.main import load_command
from exporter.cli.recording import NOTHING
from tests.cli.conftest import Run
from tests.command import COMMAND, running, vendor_beside
from tests.vendor import Asked, Told, caps, caps_config

JOB = ("docs", "project_id=acme-project", "build_job_id=0", "locale=en-US")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A configuration of a job whose system names everything that must not be recorded."""

    def answer(asked: Asked) -> Told:
        body = caps(
            "Running", job_progress=0.4, message=f"acme-project by me@acme.example at {asked.headers['host']}"
        )
        return Told({**body, "you sent": dict(asked.headers)}, headers={"Set-Cookie": "a=b"})

    with vendor_beside(answer) as docs:
        file = tmp_path / "config.yaml"
        more = "auth: {type: bearer, token: acme-token}\nlabels: {squad: acme}\nheaders: {X-Tenant: acme}"
        file.write_text(
            "systems:\n"
            + caps_config(docs.url, more=more).replace("project_id: p", "project_id: acme-project")
        )
        yield file


def explained(output: str) -> str:
    """The part of the output that is about the job."""
    return re.sub(r"\d+\.\d ms", "", output.partition("Read in")[2].partition("  in this state")[0])


def test_a_recording_is_masked_and_replays_the_same_read(config: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "new" / "recording"
    recorded = run("probe", "--record", str(folder), str(config), *JOB)
    assert (recorded.returncode, recorded.stderr) == (0, "")
    assert f"1 request recorded in {folder}: config.yaml, exchanges.yaml\n" in recorded.stdout
    assert "read both files before you attach them" in recorded.stdout
    assert sorted(file.name for file in folder.iterdir()) == ["config.yaml", "exchanges.yaml"]
    for file in folder.iterdir():
        assert "acme" not in file.read_text()
        assert "127.0.0.1" not in file.read_text()
    with running(
        tmp_path, *COMMAND, "simulate", "--listen-address", "127.0.0.1:0", "--replay", str(folder)
    ) as replay:
        base = replay.says(r"1 recording replayed at (http://127\.0\.0\.1:\d+)")
        arguments = replay.says(r"probe replayed\.yaml (.+)").split()
        again = tmp_path / "replayed.yaml"
        again.write_text(requests.get(f"{base}/config.yaml", timeout=20).text)
        replayed = run("probe", str(again), *arguments)
        assert replay.end() == 0
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert explained(replayed.stdout) == explained(recorded.stdout) != ""


def test_an_id_that_is_a_word_of_an_expression_leaves_a_configuration_that_is_read(
    tmp_path: Path, run: Run
) -> None:
    with vendor_beside(lambda _: Told({"build": {"word": "BUSY"}})) as ci:
        read = "read: {path: '/x/{job}', state: build.word, states: {running: [BUSY]}}"
        file = tmp_path / "config.yaml"
        file.write_text(
            f"systems: {{ci: {{provider: json, base_url: '{ci.url}', {read}, jobs: [{{job: build}}]}}}}\n"
        )
        assert run("probe", "--record", str(tmp_path / "it"), str(file), "ci", "job=build").returncode == 0
    assert run("check", str(tmp_path / "it" / "config.yaml")).returncode == 0
    (entry,) = yaml.safe_load((tmp_path / "it" / "exchanges.yaml").read_text())
    assert entry["response"]["json"] == {"id_1": {"word": "BUSY"}}


def test_nothing_is_overwritten(config: Path, tmp_path: Path, run: Run) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "notes").write_text("mine")
    for folder, error in (
        (kept, "is not empty; nothing is overwritten, so name a new folder"),
        (config, "cannot be used"),
    ):
        ended = run("probe", "--record", str(folder), str(config), *JOB)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith(f"remote-job-exporter: {folder} {error}")
    assert [file.name for file in kept.iterdir()] == ["notes"]


def test_a_read_that_sent_no_request_leaves_no_folder(config: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "recording"
    token_url = yaml.safe_load(config.read_text())["systems"]["docs"]["base_url"]
    auth = f"{{type: oauth2, token_url: '{token_url}', client_id: me, client_secret: acme-token}}"
    config.write_text(config.read_text().replace("{type: bearer, token: acme-token}", auth))
    ended = run("probe", "--record", str(folder), str(config), *JOB)
    assert ended.returncode == 1
    assert "Not read (auth: could not get a token from 127.0.0.1" in ended.stdout
    assert ended.stdout.endswith(f"{NOTHING}\n")
    assert not folder.exists()


def test_a_recording_that_cannot_be_replayed_is_one_line(tmp_path: Path, run: Run) -> None:
    ended = run("simulate", "--replay", str(tmp_path), "--listen-address", "127.0.0.1:0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == f"remote-job-exporter: {tmp_path} has no exchanges.yaml, and no folder in it has one\n"
    )


def test_the_bug_report_asks_for_a_recording() -> None:
    form = yaml.safe_load((Path(__file__).parents[2] / ".github" / "ISSUE_TEMPLATE" / "bug.yaml").read_text())
    (field,) = (each for each in form["body"] if each.get("id") == "recording")
    flags = {option for parameter in load_command("probe").params for option in parameter.opts}
    assert "--record" in flags
    assert "probe --record" in field["attributes"]["description"]
