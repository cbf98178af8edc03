"""The tutorial: what a reader writes into files by its commands, and what it says about them."""

import re
import subprocess
from pathlib import Path

import pytest

from exporter import config
from tests.command import ROOT
from tests.conftest import Program

PAGE = (ROOT / "docs/start/tutorial.md").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of the tutorial, with every file that its commands write."""
    folder = tmp_path / "build/tutorial"
    folder.mkdir(parents=True)
    for name, text in re.findall(
        r"^cat > build/tutorial/(\S+) <<'END'\n(.*?)^END$", PAGE, re.DOTALL | re.MULTILINE
    ):
        (folder / name).write_text(text)
    (tmp_path / "grafana").symlink_to(ROOT / "grafana")
    return folder


def checked(*command: str | Path) -> str:
    """What a program prints, which must succeed."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_prometheus_accepts_the_configuration_of_the_tutorial_and_finds_its_rules(
    files: Path, program: Program
) -> None:
    said = checked(program("promtool", "prometheus"), "check", "config", files / "prometheus.yaml")
    (rules,) = re.findall(r"SUCCESS: (\d+) rules found", said)
    assert f"SUCCESS: {rules} rules found" in PAGE


def test_the_exporter_accepts_the_configuration_of_the_tutorial(files: Path) -> None:
    (files / "token").write_text("wrong\n")
    loaded = config.load(files / "config.yaml")
    assert [job.name for system in loaded.systems for job in system.jobs] == ["Brand portal"]
    assert config.warnings(loaded) == []


@pytest.mark.parametrize("squad", ["web", "press", "brand"])
def test_the_receiver_of_the_tutorial_gets_the_alerts_of_its_squads(squad: str, program: Program) -> None:
    assert f"`{squad}`" in PAGE
    routed = checked(
        *(program("amtool", "prometheus-alertmanager"), "config", "routes", "test", f"squad={squad}"),
        f"--config.file={ROOT / 'examples/quickstart/alertmanager.yaml'}",
    )
    assert f"--receiver={routed.strip()}" in PAGE
