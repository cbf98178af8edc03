"""The lock files: every supported pip installs them, and they name no registry."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
LOCKS = ["runtime.txt", "build.txt", "dev.txt", "lowest.txt"]


def pins(lock: str) -> dict[str, Requirement]:
    """What a lock file pins, by the name of the distribution."""
    lines = (REQUIREMENTS / lock).read_text(encoding="utf-8").splitlines()
    pinned = (Requirement(line.rstrip(" \\")) for line in lines if "==" in line)
    return {requirement.name: requirement for requirement in pinned}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_pin_keeps_the_extras_that_others_ask_for(lock: str) -> None:
    """Without them pip before 23.3 looks for another version, and `--require-hashes` refuses it."""
    pinned = pins(lock)
    for name in pinned:
        for needed in map(Requirement, requires(name) or ()):
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if wanted and needed.extras:
                pin = pinned[re.sub(r"[-_.]+", "-", needed.name).lower()]
                assert needed.extras <= pin.extras, f"{name} needs {needed}"


@pytest.mark.parametrize("lock", [*LOCKS, "fuzz.txt", "audit.txt", "docs.txt"])
def test_a_lock_file_has_hashes_and_no_addresses(lock: str) -> None:
    text = (REQUIREMENTS / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert all(
        "--hash=sha256:" in block for block in re.findall(r"^\S+==.*\n(?:    .*\n?)*", text, re.MULTILINE)
    )


def test_the_lowest_versions_are_the_lower_bounds_of_the_package() -> None:
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = pins("lowest.txt")
    for needed in map(Requirement, project["dependencies"]):
        (version,) = (Version(pin.version) for pin in pinned[needed.name].specifier)
        bounds = [Version(one.version) for one in needed.specifier if one.operator == ">="]
        assert all(version == bound for bound in bounds), needed
