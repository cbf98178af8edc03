"""Several listings of one system, and listings of what has other listings, on the wire."""

from pathlib import Path

from exporter import config
from tests.vendor import Asked, Told, exporter, vendor

HEAD = """systems:
  ci:
    provider: json
    base_url: {url}
    min_interval: 0s
    read:
      path: "/projects/{{project}}/runs/{{id}}"
      state: s
      ended_at: end
"""
SEVERAL = (
    HEAD
    + """
    discover:
      - {{path: /open, items: runs, keys: {{project: p, id: id}}, state: s}}
      - path: /ended
        query: {{after: "{{since}}"}}
        items: runs
        keys: {{project: p, id: id}}
        state: s
        newer_than: 1d
"""
)
PARENTS = (
    HEAD
    + """
    discover:
      parents:
        path: "/projects/page/{{page}}"
        items: projects
        keys: {{project: name}}
        paging: {{page: page, into: path}}
      path: "/projects/{{project}}/runs"
      items: runs
      keys: {{id: id}}
      state: s
"""
)


def run(name: str, state: str, **more: object) -> dict[str, object]:
    return {"p": "web", "id": name, "s": state, **more}


async def test_what_has_not_ended_and_what_ended_lately_are_two_listings_of_one_system(
    tmp_path: Path,
) -> None:
    old = run("old", "queued"), run("same", "running")
    new = run("same", "succeeded", end="2026-03-01T10:00:00Z"), run("done", "failed")
    pages = {"/open": Told({"runs": old}), "/ended": Told({"runs": new})}
    async with (
        vendor(lambda asked: pages[asked.path.partition("?")[0]]) as ci,
        exporter(SEVERAL.format(url=ci.url), tmp_path) as running,
    ):
        samples = await running.scrape()
        states = {each: samples.state(f"web/{each}") for each in ("old", "same", "done")}
        assert states == {"old": "queued", "same": "running", "done": "failed"}
        assert {path.partition("?")[0] for path in ci.count()} == {"/open", "/ended"}

        pages["/ended"] = Told(status=500)
        broken = await running.scrape()
        assert broken.get_one("remote_job_system_up", system="ci") == 0
        assert broken.get_one("remote_job_exporter_jobs", system="ci") == 3


async def test_the_jobs_of_each_parent_are_found_and_one_closed_parent_hides_no_other(
    tmp_path: Path,
) -> None:
    def answer(asked: Asked) -> Told:
        projects = {"/projects/page/1": ["web", "a/b"], "/projects/page/2": ["closed"]}
        if asked.path.startswith("/projects/page/"):
            return Told({"projects": [{"name": name} for name in projects.get(asked.path, [])]})
        if asked.path == "/projects/closed/runs":
            return Told(status=403)
        return Told({"runs": [{"id": 7, "s": "running"}]})

    async with vendor(answer) as ci, exporter(PARENTS.format(url=ci.url), tmp_path) as running:
        samples = await running.scrape()
        assert samples.state("web/7") == samples.state("a/b/7") == "running"
        assert "/projects/a%2Fb/runs" in ci.count()
        assert samples.get_one("remote_job_system_up", system="ci") == 1
        assert samples.get_one("remote_job_system_read_error_info", reason="incomplete") == 1


ACTIVE_ONLY = (
    HEAD
    + """
    discover:
      {{path: /open, items: runs, keys: {{project: p, id: id}}, state: s, read_unlisted: true}}
"""
)


async def test_a_run_that_leaves_the_listing_at_its_end_is_read_to_its_end(tmp_path: Path) -> None:
    there = {name: Told(run(name, "running")) for name in ("good", "bad", "gone")}

    def answer(asked: Asked) -> Told:
        if asked.path == "/open":
            running = [each.body for each in there.values() if b"running" in each.render()]
            return Told({"runs": running})
        return there.get(asked.path.rpartition("/")[2], Told(status=404))

    async with vendor(answer) as ci, exporter(ACTIVE_ONLY.format(url=ci.url), tmp_path) as running:
        await running.scrape()
        assert set(ci.count()) == {"/open"}
        there |= {"good": Told(run("good", "succeeded")), "bad": Told(run("bad", "failed"))}
        del there["gone"]
        samples = await running.scrape()
        assert (samples.state("web/good"), samples.state("web/bad")) == ("succeeded", "failed")
        assert samples.reason("web/gone") == "not_found"
        # A success and a deleted run leave with the next listing; a failure stays for a day.
        samples = await running.scrape()
        jobs = {labels["job_id"] for labels, _ in samples.all("remote_job_up")}
        assert jobs == {"web/bad"}


async def test_a_listing_that_is_behind_the_own_read_of_a_slot_counts_no_run_twice(tmp_path: Path) -> None:
    text = ACTIVE_ONLY.replace("read_unlisted", "read_active").replace(
        "state: s\n", "state: s\n      kind: slot\n"
    )
    own = {"/open": Told({"runs": [run("nightly", "running")]})}

    def answer(asked: Asked) -> Told:
        return own.get(asked.path, Told(run("nightly", "failed")))

    async with vendor(answer) as ci, exporter(text.format(url=ci.url), tmp_path) as running:
        for _ in range(4):
            samples = await running.scrape()
            assert samples.state("web/nightly") == "failed"
        finished = samples.all("remote_job_runs_finished_total", result="failed")
        assert [value for _, value in finished] == [1]


def test_a_further_request_that_no_listed_job_makes_gets_a_warning(tmp_path: Path) -> None:
    file, url = tmp_path / "config.yaml", "https://ci.example.com"
    text = SEVERAL.format(url=url).replace("ended_at: end", 'also: {tasks: {path: "/tasks/{id}"}}')
    file.write_text(text.replace("state: s}", "state: s, read_active: true}"))
    why = "jobs with this state are not read, so also adds nothing; add read_active: true"
    found = config.warnings(config.load(file))
    assert [(each.path, each.text) for each in found] == [("systems.ci.discover[1].state", why)]
