"""The examples that the guides work through, step by step, do what the pages show."""

import json
import re
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest

from tests.command import ROOT, run, vendor_beside
from tests.test_plugins import CODE, documented, install
from tests.vendor import Asked, Told

DOCS = ROOT / "docs"
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a language, without their indent."""
    found = _FENCED.findall(text)
    return [
        re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        for indent, name, block in found
        if name == language
    ]


STEPS = (
    (DOCS / "guides/json.md")
    .read_text(encoding="utf-8")
    .partition("## Step by step")[2]
    .partition("\n## ")[0]
)
FIRST, DISCOVERING = blocks(STEPS, "yaml")
NOTHING, FOUND, LISTED = blocks(STEPS, "")[1:4]
JOB = json.loads(blocks(STEPS, "json")[0])
PAUSED = {"uid": "exp-3", "title": "Export to the shop", "phase": "PAUSED", "pct": None, "owner": "shop"}


def api(asked: Asked) -> Told:
    """The home-made API of the guide."""
    if asked.headers.get("authorization") != "Bearer sesame-open":
        return Told(status=401)
    jobs = [JOB, {**JOB, "uid": "imp-6", "phase": "DONE"}, PAUSED]
    return Told({"jobs": jobs} if asked.path == "/api/jobs" else JOB)


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        (FIRST, NOTHING),
        (FIRST.partition("    read:")[0] + blocks(STEPS, "yml")[0] + "    jobs: [{id: imp-7}]\n", FOUND),
    ],
    ids=["the first attempt", "with more fields"],
)
def test_probe_finds_what_the_guide_shows(config: str, shown: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with vendor_beside(api) as vendor:
        file.write_text(config.replace("https://ci.example.com", vendor.url))
        printed = run("probe", str(file), "imports", "id=imp-7", CI_TOKEN="sesame-open").stdout
    assert shown in printed


def test_list_finds_what_the_guide_shows(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with vendor_beside(api) as vendor:
        file.write_text(DISCOVERING.replace("https://ci.example.com", vendor.url))
        printed = run("list", str(file), "imports", CI_TOKEN="sesame-open").stdout
    varies = re.compile(r"items: jobs|Listed in|^$")
    shown = [line for line in LISTED.splitlines() if not varies.search(line)]
    assert [line for line in shown if line not in printed.splitlines()] == []


NEW = (DOCS / "extend/new-system.md").read_text(encoding="utf-8")


@contextmanager
def forge(folder: Path) -> Iterator[str]:
    """The server of the page, on a free port; its address."""
    code, last = blocks(NEW, "python")[0].rsplit("\n\n\n", 1)
    assert last == 'HTTPServer(("127.0.0.1", 8017), Forge).serve_forever()\n'
    (folder / "server.py").write_text(code)
    with HTTPServer(("127.0.0.1", 0), runpy.run_path(str(folder / "server.py"))["Forge"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_plugin_reads_the_simulated_vendor_of_the_page(tmp_path: Path) -> None:
    install(tmp_path / "site", CODE, documented())
    file = tmp_path / "forge.yaml"
    env = {"PYTHONPATH": str(tmp_path / "site"), "FORGE_KEY": "secret"}
    with forge(tmp_path) as address:
        file.write_text(blocks(NEW, "yml")[0].replace("http://127.0.0.1:8017", address))
        printed = run("probe", str(file), "works", "build=17", **env).stdout
        gone = run("probe", str(file), "works", "build=18", **env).stdout
    assert "  state: busy → running\n  final: False\n  items.total: 4\n  items.processed: 3\n" in printed
    assert "X-Forge-Key: ***" in printed
    assert "Not read (not_found: HTTP status 404)" in gone


def test_an_error_in_its_configuration_is_reported_as_the_page_shows(tmp_path: Path) -> None:
    install(tmp_path / "site", CODE, documented())
    file = tmp_path / "forge.yaml"
    file.write_text(blocks(NEW, "yml")[0].replace("build:", "built:"))
    printed = run("check", str(file), PYTHONPATH=str(tmp_path / "site"), FORGE_KEY="secret").stdout
    [shown] = [block for block in blocks(NEW, "") if "did you mean build" in block]
    assert printed.replace(str(file), "forge.yaml") == shown
