"""The plug-in of the page about new systems does what the page shows."""

import re
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

from tests.command import ROOT, run
from tests.test_plugins import CODE, documented, install

PAGE = (ROOT / "docs/extend/new-system.md").read_text(encoding="utf-8")
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """The blocks of the page in a language, without their indent."""
    found = _FENCED.findall(PAGE)
    return [
        re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        for indent, name, block in found
        if name == language
    ]


@contextmanager
def forge(folder: Path) -> Iterator[str]:
    """The server of the page, on a free port; its address."""
    code, last = blocks("python")[0].rsplit("\n\n\n", 1)
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
        file.write_text(blocks("yml")[0].replace("http://127.0.0.1:8017", address))
        printed = run("probe", str(file), "works", "build=17", **env).stdout
        gone = run("probe", str(file), "works", "build=18", **env).stdout
    assert "  state: busy → running\n  final: False\n  items.total: 4\n  items.processed: 3\n" in printed
    assert "X-Forge-Key: ***" in printed
    assert "Not read (not_found: HTTP status 404)" in gone


def test_an_error_in_its_configuration_is_reported_as_the_page_shows(tmp_path: Path) -> None:
    install(tmp_path / "site", CODE, documented())
    file = tmp_path / "forge.yaml"
    file.write_text(blocks("yml")[0].replace("build:", "built:"))
    printed = run("check", str(file), PYTHONPATH=str(tmp_path / "site"), FORGE_KEY="secret").stdout
    [shown] = [block for block in blocks("") if "did you mean build" in block]
    assert printed.replace(str(file), "forge.yaml") == shown
