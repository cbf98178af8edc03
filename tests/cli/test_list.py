"""``list`` and ``probe`` as users run them to try out expressions: what they print, mask and repeat."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.cli import watching
from exporter.collector import explain_expressions, explain_listing
from exporter.collector.explain_expressions import expression_lines
from exporter.expressions.budget import Budget
from exporter.expressions.tree import place_of_loss
from exporter.providers.base import Explained
from exporter.upstream.masks import Masks
from tests.cli.conftest import Run
from tests.command import vendor_beside
from tests.vendor import Asked, Told, Vendor, caps, caps_config

TOKEN = "hush-hush-token"
RUNS = [
    {"id": 1, "status": {"state": "ok"}, "started": "2026-03-01T12:00:00Z", "by": None},
    {"id": 2, "status": {"state": "Odd"}, "started": "soon", "by": None},
    {"status": {"phase": "ok", "reason": "x"}},
]


class Server:
    """An API whose responses a test sets by path; it sends back the headers of each request."""

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {"/runs": {"runs": RUNS, "total": 3}, "/runs/1": {"run": RUNS[0]}}

    def __call__(self, asked: Asked) -> Told:
        if (body := self.bodies.get(asked.path)) is None:
            return Told({"error": "no such path"}, 404)
        return Told({**body, "you sent": dict(asked.headers)} if isinstance(body, dict) else body)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def vendor(server: Server) -> Iterator[Vendor]:
    with vendor_beside(server) as playing:
        yield playing


def _without_null(keys: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}


@pytest.fixture
def write(vendor: Vendor, tmp_path: Path) -> Callable[..., Path]:
    """Writes the configuration of one system with changed keys; ``None`` removes one."""

    def write(read: dict[str, Any] | None = None, **discover: Any) -> Path:
        file = tmp_path / "config.yaml"
        own = {
            "path": "/runs/{id}",
            "root": "run",
            "state": "status.state",
            "states": {"succeeded": ["ok"]},
            "started_at": "started",
            "labels_from": {"owner": "by"},
        }
        listing = {
            "path": "/runs",
            "items": "runs",
            "keys": {"id": "id"},
            "state": "status.state",
            "paging": {"total": "total"},
        }
        system = {
            "provider": "json",
            "base_url": vendor.url,
            "auth": {"type": "bearer", "token": TOKEN},
            "read": _without_null({**own, **(read or {})}),
            "discover": _without_null({**listing, **discover}),
        }
        file.write_text(json.dumps({"systems": {"ci": system}}))
        return file

    return write


def test_a_listing_shows_its_requests_its_first_entries_and_what_was_found(
    write: Callable[..., Path], vendor: Vendor, run: Run
) -> None:
    done = run("list", str(write()), "ci", "--first", "5")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["System  ci (json)", ""]
    assert f"  GET {vendor.url}/runs" in lines
    assert [line for line in lines if line.startswith("  → HTTP status 200, ")]
    for line in (
        "  paging.total: total → 3 (number)",
        "  keys.id: id → 1 (number)",
        '  state: status.state → "ok" (string) → succeeded',
        '  started_at: started → "2026-03-01T12:00:00Z" (string)',
        '  state: status.state → "Odd" (string) → unknown',
        '  started_at: started → "soon" (string); the value is not a time',
        "  labels_from.owner: by → nothing; null is there",
        "  keys.id: id → nothing; keys there: status",
        "  state: status.state → nothing; keys there: phase, reason",
        "  skipped: 1 entry (discover.keys.id: the expression found nothing)",
        "Watched: 2 of 2 found jobs",
    ):
        assert line in lines, line
    assert "Entry 3" in lines
    assert [line for line in lines if line.startswith("Listed in ") and line.endswith(": 2 jobs found")]
    assert max(map(len, lines)) <= 80
    assert len(vendor.asked) == 1


def test_only_the_first_entries_are_shown(write: Callable[..., Path], run: Run) -> None:
    shown = run("list", "--config.file", str(write()), "--first", "1", "ci").stdout
    assert "Entry 1\n" in shown
    assert "Entry 2\n" not in shown
    assert "Entry" not in run("list", str(write()), "ci", "--first", "0").stdout


def test_each_page_and_each_parent_is_shown(write: Callable[..., Path], server: Server, run: Run) -> None:
    server.bodies |= {
        "/projects": {"projects": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
        "/projects/a": {"runs": RUNS[:1], "next": "two"},
        "/projects/a?cursor=two": {"runs": RUNS[1:2]},
        "/projects/c": {"runs": RUNS[:1]},
    }
    file = write(
        {"path": "/projects/{project}/{id}"},
        path="/projects/{project}",
        parents={"path": "/projects", "items": "projects", "keys": {"project": "name"}},
        paging={"token": "cursor", "next": "next"},
    )
    done = run("list", str(file), "ci", "--first", "3")
    titles = [line for line in done.stdout.splitlines() if line.startswith(("Response", "Parent", "Entry"))]
    assert titles == [
        "Response 1 (discover.parents)",
        *("Parent 1", "Parent 2", "Parent 3"),
        *("Response 2 (discover)", "Entry 1"),
        *("Response 3 (discover)", "Entry 2"),
        *("Response 5 (discover)", "Entry 3"),
    ]
    assert "  → HTTP status 404, " in done.stdout
    assert "incomplete: the jobs of a parent cannot be listed: not_found" in done.stdout
    assert '  paging.next: next → "two" (string)\n' in done.stdout


def test_several_listings_are_shown_one_by_one(write: Callable[..., Path], server: Server, run: Run) -> None:
    server.bodies["/old"] = {
        "runs": [{"id": 1, "status": {"state": "ok"}}, {"id": 9, "status": {"state": "ok"}}]
    }
    file = write()
    config = json.loads(file.read_text())
    system = config["systems"]["ci"]
    system["discover"] = [system["discover"], {**system["discover"], "path": "/old"}]
    system["jobs"] = [{"id": "2"}]
    file.write_text(json.dumps(config))
    lines = run("list", str(file), "ci", "--first", "0").stdout.splitlines()
    assert "System  ci (json), listing 1 of 2" in lines
    assert "System  ci (json), listing 2 of 2" in lines
    assert lines[-2:] == ["Watched: 2 of 2 found jobs", "  found, and in jobs: as well: 1 job"]


def test_what_is_left_out_by_age_or_number_is_counted(
    write: Callable[..., Path], server: Server, run: Run
) -> None:
    ended = [
        {"id": each, "status": {"state": "ok"}, "end": f"202{each}-01-01T00:00:00Z"} for each in range(4)
    ]
    server.bodies["/runs"] = {"runs": ended}
    file = write({"ended_at": "end"}, newer_than="1d")
    assert (
        "Watched: 0 of 4 found jobs\n  newer_than leaves out 4 jobs\n" in run("list", str(file), "ci").stdout
    )
    config = json.loads(write({"ended_at": "end"}).read_text())
    config["systems"]["ci"]["max_jobs"] = 3
    file.write_text(json.dumps(config))
    assert "Watched: 3 of 4 found jobs\n  max_jobs leaves out 1 job\n" in run("list", str(file), "ci").stdout


def test_a_listing_that_fails_shows_the_reason_and_what_was_there(
    write: Callable[..., Path], run: Run
) -> None:
    wrong = run("list", str(write(items="run")), "ci")
    assert wrong.returncode == 1
    assert "  items: run → nothing; keys there: runs, total, you sent\n" in wrong.stdout
    assert "Not listed (invalid_response: discover.items: the value is not a list)\n" in wrong.stdout
    gone = run("list", str(write(path="/gone")), "ci")
    assert (gone.returncode, gone.stderr) == (1, "")
    assert "Not listed (not_found: HTTP status 404)\n" in gone.stdout


def test_bodies_are_shown_on_demand_bounded_and_masked(
    write: Callable[..., Path], server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.bodies["/runs"] = {"runs": RUNS, "id": "0b6f1a52-7f5a-4f7e-9a3a-5d6f0c2b1a90"}
    read = {"name": '"you sent".authorization'}
    assert "0b6f1a52" not in run("list", str(write()), "ci").stdout
    shown = run("list", str(write(read)), "ci", "--body", "--first", "0").stdout
    # Ids are what the user looks for; only secrets are masked.
    assert '"id": "0b6f1a52-7f5a-4f7e-9a3a-5d6f0c2b1a90"' in shown
    assert '"authorization": "***"' in shown
    assert "hush" not in shown
    monkeypatch.setattr(explain_listing, "MAX_LINES", 4)
    bounded = run("list", str(write()), "ci", "--body", "--first", "0").stdout
    body = bounded.partition(" ms\n")[2].partition("\n\n")[0].splitlines()
    assert len(body) == 5
    assert re.fullmatch(r"    … and \d+ more lines", body[-1])


def test_a_probe_shows_the_expressions_of_a_read_after_root(write: Callable[..., Path], run: Run) -> None:
    file = write({"step": "status.step", "name": "started", "level": "status"})
    done = run("probe", str(file), "ci", "id=1")
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.partition("Response\n")[2].partition("Samples\n")[0].splitlines()
    for line in (
        '  state: status.state → "ok" (string) → succeeded',
        "  step: status.step → nothing; keys there: state",
        '  level: status → {"state": "ok"} (object); the value is not text',
    ):
        assert line in table, line
    wrong = run("probe", str(write({"root": "runs[0]"})), "ci", "id=1")
    assert wrong.returncode == 1
    assert "  root: runs[0] → nothing; keys there: run, you sent\n" in wrong.stdout


def test_a_secret_is_masked_wherever_an_expression_finds_it(
    write: Callable[..., Path], server: Server, run: Run
) -> None:
    server.bodies["/runs/1"] = {
        "run": {"status": {"state": "ok"}, "token": "a-secret-of-the-vendor", f"x-{TOKEN}": 1}
    }
    file = write(
        {
            "root": '{run: run, sent: "you sent"}',
            "state": "run.status.state",
            "started_at": "run.nothing",
            "labels_from": {},
            "name": "sent.authorization",
            "type": "run.token",
            "level": "sent",
        }
    )
    shown = run("probe", str(file), "ci", "id=1").stdout
    table = shown.partition("Response\n")[2].partition("Samples\n")[0]
    assert '  name: sent.authorization → "***" (string)\n' in table
    assert '  type: run.token → "***" (string)\n' in table
    assert "x-***" in table
    assert "hush" not in table
    assert "a-secret-of-the-vendor" not in table


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("list", "F", "nope"), "remote-job-exporter list: system: is not configured; allowed: docs\n"),
        (("list", "F", "docs"), "remote-job-exporter list: docs: has no listing; add discover: to it\n"),
        (("list", "F"), "SYSTEM is missing, the name of a system; without --config.file the first"),
        (
            ("list", "--config.file", "F", "F", "docs"),
            "more than SYSTEM is given, the name of a system; with --",
        ),
        (("list", "F", "docs", "--first", "101"), "101 is not in the range"),
        (("probe", "--watch", "--record", "x", "F", "docs"), "--watch and --record exclude each other"),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    arguments: tuple[str, ...], error: str, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"systems:\n{caps_config('http://127.0.0.1:1')}")
    done = run(*(str(file) if word == "F" else word for word in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr


def test_any_provider_with_a_listing_can_be_listed(tmp_path: Path, run: Run) -> None:
    page = {"data": [{"id": "a", "system": {"status": "Running"}}, {"id": ""}]}
    with vendor_beside(lambda _: Told(page)) as xmc:
        file = tmp_path / "config.yaml"
        file.write_text(f"systems: {{xmc: {{provider: sitecore, base_url: '{xmc.url}', discover: {{}}}}}}\n")
        done = run("list", str(file), "xmc")
    assert (done.returncode, done.stderr) == (0, "")
    assert ": 1 job found\n  skipped: 1 entry (an entry has no valid id)\n" in done.stdout


class Saved:
    """The pauses of ``--watch``: after every other one, the next text is in the file."""

    def __init__(self, file: Path, *texts: str) -> None:
        self._file = file
        self._texts = list(texts)
        self._is_new = False

    def __call__(self, seconds: float) -> None:
        assert seconds == watching.POLL_SECONDS
        self._is_new = not self._is_new
        if self._is_new:  # the next pause finds the file as it is
            if not self._texts:
                raise KeyboardInterrupt
            self._file.write_text(self._texts.pop(0))


@pytest.mark.parametrize("command", [("list",), ("probe", "id=1")])
def test_with_watch_each_save_is_a_new_run_errors_included(
    command: tuple[str, ...],
    write: Callable[..., Path],
    vendor: Vendor,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write()
    first = file.read_text()
    monkeypatch.setattr(
        "exporter.cli.watching.time.sleep", Saved(file, "systems: {", first.replace("status.state", "id"))
    )
    done = run(command[0], str(file), "ci", *command[1:], "--watch")
    assert done.returncode == 0
    before, broken, after, end = done.stdout.split(f"{'─' * 80}\nSave {file} to run again; Ctrl-C ends.\n\n")
    assert '  state: status.state → "ok" (string) → succeeded\n' in before
    assert broken == end == ""
    assert done.stderr.count(f"remote-job-exporter: {file}:1: ") == 1
    assert "  state: id → 1 (number) → unknown\n" in after
    assert len(vendor.asked) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c\n"]), inner, max_size=3)
    ),
    max_leaves=12,
)
SOURCES = st.sampled_from(
    [
        "a.b",
        "a[0].b",
        "a[*].b | [0]",
        "a || b.a",
        "join('/', [a.b, b])",
        "let $x = a in $x.b",
        "a.b * `2`",
        "{a: b}.a.b",
    ]
)


@given(value=JSON, source=SOURCES)
@settings(max_examples=60, deadline=None)
def test_any_response_is_explained_in_lines_that_fit(value: object, source: str) -> None:
    row = Explained("state", source, value, "", place_of_loss(source, value, Budget()))
    lines = [*expression_lines([("Job", [row])], Masks(secrets_only=True))]
    assert all(line.isprintable() and len(line) <= explain_expressions.WIDTH for line in lines)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("a.x", {"b": 1, "n": None}),
        ("a.x.y", {"b": 1, "n": None}),
        ("a.n", None),
        ("a.n.x", None),
        ("x.y", {"a": {"b": 1, "n": None}, "l": [{"m": 1}]}),
        ("l[0].x", {"m": 1}),
        ("l[7].x", [{"m": 1}]),
        ("l | [0].x", {"m": 1}),
        ("x || a.x", {"a": {"b": 1, "n": None}, "l": [{"m": 1}]}),
        ("join('', [a.x])", {"b": 1, "n": None}),
        ("a.b.x", 1),
    ],
)
def test_the_place_of_a_loss_is_where_the_path_ends(source: str, place: object) -> None:
    assert place_of_loss(source, {"a": {"b": 1, "n": None}, "l": [{"m": 1}]}, Budget()) == place


def test_a_plug_in_that_cannot_explain_costs_only_its_table() -> None:
    def broken() -> Iterator[Any]:
        yield "Job", [Explained("state", "a", 1)]
        raise KeyError("secret")

    lines = [*expression_lines(broken(), Masks(secrets_only=True))]
    assert lines[-2] == "The expressions cannot be shown (KeyError)."


def test_a_probe_of_another_provider_has_no_table_of_expressions(tmp_path: Path, run: Run) -> None:
    with vendor_beside(lambda _: Told(caps())) as docs:
        file = tmp_path / "config.yaml"
        file.write_text("systems:\n" + caps_config(docs.url))
        shown = run("probe", str(file), "docs", "project_id=p", "build_job_id=0", "locale=en").stdout
    assert "→ succeeded\n" in shown
    assert "(string)" not in shown


def test_further_responses_of_a_read_are_part_of_what_its_expressions_find(
    write: Callable[..., Path], server: Server, run: Run
) -> None:
    server.bodies["/runs/1/steps"] = {"done": 3}
    also = {"steps": {"path": "/runs/{id}/steps"}, "gone": {"path": "/runs/{id}/gone"}}
    shown = run(
        "probe", str(write({"also": also, "items": "steps.done", "name": "gone.x"})), "ci", "id=1"
    ).stdout
    assert "  items: steps.done → 3 (number)\n" in shown
    assert "  name: gone.x → nothing; keys there: id, status, started, by (null), steps\n" in shown


def test_a_slot_without_a_run_is_shown_with_its_state(
    write: Callable[..., Path], server: Server, run: Run
) -> None:
    server.bodies["/runs/1"] = {"run": {"status": {}}}
    shown = run("probe", str(write({"kind": "slot", "missing": "idle"})), "ci", "id=1").stdout
    assert "  state: status.state → nothing → idle; there: {} (object)\n" in shown


def test_a_request_that_is_sent_again_with_another_token_is_explained_once(
    write: Callable[..., Path], vendor: Vendor, server: Server, run: Run
) -> None:
    tokens = itertools.cycle(["old-token", "new-token"])

    def answer(asked: Asked) -> Told:
        if asked.path == "/token":
            return Told({"access_token": next(tokens), "expires_in": 3600, "token_type": "Bearer"})
        return server(asked) if "new-token" in asked.headers["authorization"] else Told({"runs": []}, 401)

    vendor.answer = answer
    file = write()
    config = json.loads(file.read_text())
    config["systems"]["ci"]["auth"] = {
        "type": "oauth2",
        "token_url": f"{vendor.url}/token",
        "client_id": "me",
        "client_secret": TOKEN,
    }
    file.write_text(json.dumps(config))
    done = run("list", str(file), "ci", "--first", "1")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith(("Re", "Entry"))] == [
        "Request 1",
        "Request 2",
        "Response 2 (discover)",
        "Entry 1",
    ]
    assert "-token" not in done.stdout
    read = run("probe", str(file), "ci", "id=1").stdout
    assert "Request 2\n" in read
    assert '  state: status.state → "ok" (string) → succeeded\n' in read


def test_the_state_of_read_is_explained_in_the_entries_in_which_it_is_tried(
    write: Callable[..., Path], server: Server, run: Run
) -> None:
    file = write({"root": None}, state=None)
    shown = run("list", str(file), "ci").stdout
    assert '  state: status.state → "ok" (string) → succeeded\n' in shown
    assert "read by themselves" not in shown
    server.bodies["/runs"] = {"runs": [{"id": 1, "started": "x"}]}
    shown = run("list", str(file), "ci").stdout
    assert "  state: status.state → nothing (so the job is read by itself); keys there: id,\n" in shown
    assert "started_at:" not in shown
    assert "  read by themselves as well: 1 job\n" in shown
    names_only = run("list", str(write({"root": None}, state=None, interval="5m")), "ci").stdout
    assert "  state:" not in names_only
    assert "  read by themselves as well: 1 job\n" in names_only


def test_a_secret_in_the_address_of_a_page_is_masked(
    write: Callable[..., Path], server: Server, vendor: Vendor, run: Run
) -> None:
    server.bodies |= {
        "/runs": {"runs": RUNS[:1], "more": f"/runs?x={TOKEN}"},
        f"/runs?x={TOKEN}": {"runs": []},
    }
    done = run("list", str(write(paging={"next": "more"})), "ci")
    assert done.returncode == 0
    assert f"  GET {vendor.url}/runs?x=***\n" in done.stdout
    assert "hush" not in done.stdout
