"""Wheel and sdist, built as for a release and installed where nothing else is."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import requests

from exporter import __version__
from tests.command import ROOT, running

OURS = sysconfig.get_path("purelib")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    folder = tmp_path_factory.mktemp("dist")
    _python("-m", "build", "--no-isolation", "--outdir", folder, ROOT, SOURCE_DATE_EPOCH="1700000000")
    return folder


def _python(*arguments: str | Path, **env: str) -> None:
    ended = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


def _names(built: Path) -> tuple[set[str], set[str]]:
    (wheel,) = built.glob(f"remote_job_exporter-{__version__}-*.whl")
    (sdist,) = built.glob(f"remote_job_exporter-{__version__}.tar.gz")
    with zipfile.ZipFile(wheel) as files, tarfile.open(sdist) as source:
        inside = (member.name.partition("/")[2] for member in source.getmembers())
        return set(files.namelist()), set(inside)


def test_wheel_and_sdist_hold_the_whole_package_and_nothing_that_lies_about(built: Path) -> None:
    package = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "exporter").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    wheel, sdist = _names(built)
    described = f"remote_job_exporter-{__version__}.dist-info/"
    assert {name for name in wheel if not name.startswith(described)} == package
    assert {name for name in sdist if name.startswith("exporter/")} == package
    others = {name.split("/")[0] for name in sdist} - {"exporter", "tests", "docs", "examples"}
    assert others <= {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def test_an_empty_environment_can_run_the_demo(built: Path, tmp_path: Path, kind: str) -> None:
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    (package,) = built.glob(kind)
    place = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    _python(
        *("-m", "pip", "--python", home / "bin" / "python", "install", "--quiet"),
        *("--no-index", "--no-deps", "--no-build-isolation", package),
        # With the build tools of the environment that tests run in.
        PYTHONPATH=OURS,
    )
    # What it depends on; a path file in there, such as that of this checkout, is not looked at.
    (place / "dependencies.pth").write_text(OURS + "\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    free = ("--web.listen-address", "127.0.0.1:0", "--listen-address", "127.0.0.1:0")
    command = ("sh", "-c", 'cd "$0" && exec "$@"', str(outside), str(home / "bin" / "remote-job-exporter"))
    with running(tmp_path / "demo", *command, "demo", *free) as demo:
        metrics = demo.says(r"(http://\S+/metrics)")
        text = requests.get(metrics, timeout=60).text
        assert f'version="{__version__}"' in text
        assert 'remote_job_up{system="' in text
        assert demo.end() == 0
