"""What the exporter is made of is listed, under licences that are allowed."""

import json
import subprocess
import sys
from importlib.metadata import version

import pycurl
import pytest
from packaging.version import Version

from tests.supply import audit, licences
from tests.supply.audit import vulnerabilities
from tests.supply.components import LIBRARIES, bundled, files_of_libraries, locked, pins

pinned = pytest.mark.skipif(
    any(Version(version(name)) != Version(wanted) for name, wanted in pins("dev.txt").items()),
    reason="the installed versions are not those of the lock files",
)


@pinned
def test_the_page_of_licences_is_up_to_date() -> None:
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(), "run make docs"


@pinned
def test_every_licence_is_allowed() -> None:
    shipped = {one.name: one.licence for one in (*locked("runtime.txt"), *bundled())}
    assert [name for name, one in shipped.items() if not licences.allowed(one, licences.SHIPPED)] == []
    developed = {one.name: one.licence for one in locked("dev.txt")}
    assert [name for name, one in developed.items() if not licences.allowed(one, licences.DEVELOPED)] == []


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 AND BSD-2-Clause", True),
    ],
)
def test_one_choice_of_licences_has_to_be_allowed(expression: str, fits: bool) -> None:  # noqa: FBT001  a case
    assert licences.allowed(expression, licences.SHIPPED) is fits


def test_the_libraries_of_pycurl_are_listed_with_the_versions_that_libcurl_prints() -> None:
    found = {one.name: one.version for one in bundled()}
    assert found["libcurl"] == pycurl.version_info()[1]
    assert f"OpenSSL/{found['openssl']} zlib/{found['zlib']}" in pycurl.version


def test_a_library_that_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pycurl, "version", f"{pycurl.version} novelty/1.0")
    with pytest.raises(ValueError, match="novelty"):
        bundled()


def test_every_file_of_the_wheel_of_pycurl_belongs_to_a_library() -> None:
    assert {*files_of_libraries()} <= {name for one in LIBRARIES for name in one.files}


REPORT = {
    "dependencies": [
        {"name": "fine", "version": "1.0", "vulns": []},
        {"name": "old", "version": "2.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["2.1"]}]},
    ]
}


def test_a_vulnerability_is_named_with_the_version_that_has_it_no_more() -> None:
    assert list(vulnerabilities(json.dumps(REPORT))) == ["old 2.0: CVE-2026-1, fixed in 2.1"]


SKIPPED = json.dumps({"dependencies": [{"name": "fine", "skip_reason": "not found"}]})


@pytest.mark.parametrize("printed", ["", "could not connect", SKIPPED])
def test_an_audit_without_advisories_is_not_passed_but_skipped(
    printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip-audit itself ends without an error where it has found no package."""
    ended = subprocess.CompletedProcess("", 0, printed, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    monkeypatch.setattr(sys, "argv", ["audit"])
    assert audit.main() == 0
    assert "skipped" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["audit", "--required"])
    assert audit.main() == 1
