"""Labels that come from the response: on every series of a job, and stable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter import config as configuration
from tests.vendor import Asked, Told, exporter, vendor

CONFIG = """systems:
  ci:
    provider: json
    base_url: {url}
    min_interval: 0s
    labels: {{env: live}}
    read:
      path: "/jobs/{{id}}"
      state: s
      labels_from: {{team: {team}, dag: "join('-', [dag, 'x'])"}}
    {jobs}
"""
LISTED = "discover: {path: /jobs, items: jobs, keys: {id: id}, state: s}"
NAMED = "discover: {path: /jobs, items: jobs, keys: {id: id}}"
BY_HAND = "jobs: [{id: a, labels: {team: mine}}, {id: b}]"


def entry(job: str, **more: object) -> dict[str, object]:
    return {"id": job, "s": "running", "team": f"team-{job}", "dag": "daily", **more}


def answering(jobs: dict[str, dict[str, Any]]) -> Callable[[Asked], Told]:
    def answer(asked: Asked) -> Told:
        if asked.path == "/jobs":
            return Told({"jobs": list(jobs.values())})
        return Told(dict(jobs[asked.path.rpartition("/")[2]]))

    return answer


@pytest.mark.parametrize("jobs", [LISTED, NAMED, "jobs: [{id: a}, {id: b}]"])
async def test_every_series_of_a_job_has_the_labels_of_its_first_response(jobs: str, tmp_path: Path) -> None:
    there = {"a": entry("a"), "b": entry("b", team=None, dag=7)}
    async with (
        vendor(answering(there)) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=jobs), tmp_path) as running,
    ):
        samples = await running.scrape()
        mine = {name for name, labels in samples if ("job_id", "a") in labels}
        assert len(mine) > 5
        labelled = {"env": "live", "team": "team-a", "dag": "daily-x"}
        assert all(samples.all(name, job_id="a", **labelled) for name in mine)
        # What cannot be read as text is no label; the others are there.
        assert [set(labels) & {"team", "dag"} for labels, _ in samples.all("remote_job_up", job_id="b")] == [
            set()
        ]
        there["a"]["team"] = "other"
        again = await running.scrape()
        assert again.all("remote_job_up", job_id="a", team="team-a")
        assert len(again.all("remote_job_up", job_id="a")) == 1


async def test_a_reload_applies_another_expression_with_the_next_read(tmp_path: Path) -> None:
    async with (
        vendor(answering({"a": entry("a", owner="ada")})) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=LISTED), tmp_path) as running,
    ):
        assert (await running.scrape()).all("remote_job_up", team="team-a")
        (tmp_path / "config.yaml").write_text(CONFIG.format(url=ci.url, team="owner", jobs=LISTED))
        await running.service.reload()
        samples = await running.scrape()
        assert [labels["team"] for labels, _ in samples.all("remote_job_up")] == ["ada"]


@pytest.mark.parametrize("jobs", [NAMED, LISTED.replace("s}", "s, read_active: true}")])
async def test_a_label_that_an_entry_of_a_listing_lacks_is_that_of_the_job_itself(
    jobs: str, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Told:
        own = {"s": "running", "dag": "other", "team": "web"}
        listed = {"id": "a", "dag": "daily", **({} if jobs == NAMED else {"s": "running"})}
        return Told({"jobs": [listed]} if asked.path == "/jobs" else own)

    async with (
        vendor(answer) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=jobs), tmp_path) as running,
    ):
        for _ in range(2):
            ((labels, _),) = (await running.scrape()).all("remote_job_up")
            assert (labels["dag"], labels["team"]) == ("daily-x", "web")


async def test_a_reload_without_labels_removes_them(tmp_path: Path) -> None:
    text = CONFIG.replace("      labels_from: {{team: {team}, dag: \"join('-', [dag, 'x'])\"}}\n", "")
    # A run that has ended is not read again, so its next read cannot remove them.
    async with (
        vendor(answering({"a": entry("a", s="failed")})) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=NAMED), tmp_path) as running,
    ):
        assert (await running.scrape()).all("remote_job_up", team="team-a")
        (tmp_path / "config.yaml").write_text(text.format(url=ci.url, jobs=NAMED))
        await running.service.reload()
        ((labels, _),) = (await running.scrape()).all("remote_job_up")
        assert not labels.keys() & {"team", "dag"}


async def test_a_label_of_the_configuration_counts_before_that_of_the_response(tmp_path: Path) -> None:
    async with (
        vendor(answering({"a": entry("a"), "b": entry("b")})) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=BY_HAND), tmp_path) as running,
    ):
        samples = await running.scrape()
        assert {labels["job_id"]: labels["team"] for labels, _ in samples.all("remote_job_up")} == {
            "a": "mine",
            "b": "team-b",
        }


async def test_a_label_value_is_cut(tmp_path: Path) -> None:
    async with (
        vendor(answering({"a": entry("a", team="x" * 5000)})) as ci,
        exporter(CONFIG.format(url=ci.url, team="team", jobs=LISTED), tmp_path) as running,
    ):
        ((labels, _),) = (await running.scrape()).all("remote_job_up")
        assert len(labels["team"]) == 128


def test_a_label_that_the_system_has_too_gets_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    text = CONFIG.format(url="https://ci.example.com", team="team", jobs=BY_HAND)
    file.write_text(text.replace("env: live", "team: web"))
    found = configuration.warnings(configuration.load(file))
    assert [(each.path, each.text) for each in found] == [
        ("systems.ci.read.labels_from.team", "is in labels of the system as well, which count; remove one")
    ]
