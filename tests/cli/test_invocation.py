"""The command that messages show, which must work where they are printed."""

import sys
from pathlib import Path

import pytest

from exporter.cli import COMMAND, invocation


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, without a command that is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.mark.parametrize(
    ("interpreter", "shown"),
    [
        ("{}/.venv/bin/python", ".venv/bin/python -m exporter"),
        ("{}/my venv/bin/python", "'my venv/bin/python' -m exporter"),
        ("/opt/python/bin/python3", "/opt/python/bin/python3 -m exporter"),
    ],
)
def test_a_checkout_shows_the_interpreter_that_runs_it(
    folder: Path, interpreter: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(folder / "exporter/__main__.py"), "demo"])
    monkeypatch.setattr(sys, "executable", interpreter.format(folder))
    assert invocation.command() == shown


def test_an_installed_command_is_shown_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = folder / "bin" / COMMAND
    installed.parent.mkdir()
    installed.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(installed), "demo"])
    assert invocation.command() == COMMAND


@pytest.mark.usefixtures("folder")
def test_a_command_outside_of_the_path_is_shown_as_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f".venv/bin/{COMMAND}", "demo"])
    assert invocation.command() == f".venv/bin/{COMMAND}"
