"""The units that users install, held against systemd's own tools and the command line."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from exporter import config as configs
from exporter.cli.main import load_command
from tests.command import COMMAND, ROOT, running, until
from tests.conftest import Program
from tests.vendor import caps_config

UNITS = ROOT / "examples" / "systemd"
SERVICE = UNITS / "remote-job-exporter.service"
INSTALLED = "/opt/remote-job-exporter/bin/remote-job-exporter"
VARIABLE = re.compile(r"REMOTE_JOB_EXPORTER_\w+")

# As MemoryDenyWriteExecute= has it from Linux 6.3 on; ends with 77 where the kernel is older.
NO_NEW_CODE = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_it_runs_where_no_code_can_be_made_at_run_time(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("systems:\n" + caps_config("http://127.0.0.1:1", 2))
    flags = ("--config.file", str(config), "--web.listen-address", "127.0.0.1:0")
    command = (sys.executable, "-c", NO_NEW_CODE, *COMMAND, "serve", *flags)
    with running(tmp_path / "exporter", *command) as exporter:
        if until(lambda: exporter.process.poll() or "listening" in exporter.stderr, "a start") == 77:
            pytest.skip("the kernel is older than Linux 6.3")
        address = exporter.says(r"listening.*(http://127\.0\.0\.1:\d+)")
        page = requests.get(f"{address}/metrics", timeout=60).text
    assert page.count('reason="connect"} 1') == 2


class Unit(configparser.RawConfigParser):
    """A unit as a parser of ini files takes it: of keys that come again, the last."""

    def __init__(self, file: Path) -> None:
        super().__init__(strict=False)
        self.read_string(file.read_text())

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Both units with a program that is there."""
    for unit in UNITS.glob("remote-job-exporter.*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.executable))
    return sorted(map(str, tmp_path.glob("remote-job-exporter.*")))


def test_systemd_understands_both_units(program: Program, units: list[str]) -> None:
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(units) == 2


def test_the_exposure_of_the_unit_is_at_most_one_and_a_half(program: Program, units: list[str]) -> None:
    analyze = program("systemd-analyze", "systemd")
    command = [analyze, "security", "--no-pager", "--offline=true", "--threshold=15", units[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-400:]
    assert "Overall exposure level for remote-job-exporter.service" in done.stdout


def test_the_command_of_the_unit_is_ours_and_has_time_to_end() -> None:
    unit = Unit(SERVICE)["Service"]
    path, name, *flags = shlex.split(unit["ExecStart"])
    assert path == INSTALLED
    context = load_command(name).make_context(name, flags)
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > context.params["web_shutdown_timeout"] + 5
    known = {parameter.envvar for parameter in context.command.params}
    named = {name for file in UNITS.iterdir() for name in VARIABLE.findall(file.read_text())}
    assert named
    assert named <= known


def test_the_secrets_of_the_page_are_where_the_unit_puts_them(tmp_path: Path) -> None:
    page = (UNITS / "README.md").read_text()
    name, _, folder = Unit(SERVICE)["Service"]["LoadCredential"].partition(":")
    assert f"{folder}/crafter" in page
    assert f"`/run/credentials/{SERVICE.name}/{name}_`" in page
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    assert f"/run/credentials/{SERVICE.name}/{name}_crafter" in block
    file = tmp_path / "config.yaml"
    file.write_text(re.sub(r"/run/credentials/[\w./-]+", str(secret), block))
    assert configs.load(file).systems
