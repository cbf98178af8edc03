"""The script that takes the pictures, against pages of which a dashboard is complete after a while."""

import struct
from pathlib import Path

import pytest

from grafana.source import pictures
from tests.command import vendor_beside
from tests.conftest import Program
from tests.vendor import Asked, Told

PAGE = b"""<!DOCTYPE html><body style="margin: 0">
<div class="react-grid-item" style="height: 500px"></div>
<script>setTimeout(() => { document.body.innerHTML =
  '<div class="react-grid-item" style="background: #FF0000; height: 100vh">1</div>' }, 700)</script>"""
SOURCES = {
    "-- Grafana --": {"uid": "grafana", "type": "datasource", "isDefault": False},
    "Another": {"uid": "another", "type": "prometheus", "isDefault": False},
    "Prometheus": {"uid": "one", "type": "prometheus", "isDefault": True},
}


def answer(asked: Asked) -> Told:
    if asked.path == "/api/frontend/settings":
        return Told({"datasources": SOURCES})
    if asked.path.startswith("/api/datasources/proxy/uid/one/api/v1/query?query=topk"):
        job = {"metric": {"system": "docs", "job_id": "p/0/en"}, "value": [0, "1"]}
        return Told({"data": {"result": [job]}})
    if asked.path.startswith("/jobs?"):
        link = b"<table class=jobs><tbody><tr><td><a href=/jobs/docs/p/0/en>A job</a></table>"
        return Told(link, headers={"Content-Type": "text/html"})
    if asked.path.startswith(("/d/", "/jobs/")):
        return Told(PAGE, headers={"Content-Type": "text/html"})
    return Told(status=404)


def test_each_picture_shows_a_whole_page(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program("chromium", "chromium")
    monkeypatch.setattr(pictures, "DASHBOARDS", pictures.DASHBOARDS[2:4])
    monkeypatch.setattr(pictures, "PAGES", pictures.PAGES[2:])
    monkeypatch.setattr(pictures, "SETTLED", 2)
    with vendor_beside(answer) as server:
        options = ["--grafana", f"{server.url}/", "--exporter", server.url, "--from", "now-2h"]
        pictures.main([*options, "--folder", str(tmp_path / "new")])
    pages = [asked.path for asked in server.asked if asked.path.startswith(("/d/", "/jobs"))]
    since = "?theme=dark&from=now-2h&to=now"
    assert pages == [
        f"/d/remote-job-system{since}&var-datasource=one",
        f"/d/remote-job-job{since}&var-datasource=one&var-system=docs&var-job_id=p%2F0%2Fen",
        "/jobs?system=docs",
        "/jobs?system=docs&state=running",
        "/jobs/docs/p/0/en",
    ]
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [file.name for file in files] == ["system.png", "job.png", "jobs-phone.png", "job-page.png"]
    for file, size in zip(files, [(1280, 1000)] * 2 + [(390, 720), (1120, 720)], strict=True):
        png = file.read_bytes()
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">II", png[16:24]) == size


def test_the_script_says_how_to_get_a_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "BROWSERS", ("no-such-browser",))
    with pytest.raises(SystemExit, match="apt-get install chromium"):
        pictures.main(["--exporter", "http://127.0.0.1:9", "--folder", str(tmp_path)])
