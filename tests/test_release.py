"""What is checked before a release, and the workflows that make one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from tests.chart.chart import render
from tests.chart.matrix import exporter
from tests.release import CHART, ROOT, errors, notes

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
TAG = f"v{__version__}"

Edit = Callable[[str, str, str], None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that a release is checked by, ready to be released."""
    for name in ("README.md", "CHANGELOG.md", "Dockerfile", "exporter/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docs", "examples", CHART):
        shutil.copytree(ROOT / name, tmp_path / name)
    changes = (tmp_path / "CHANGELOG.md").read_text()
    (tmp_path / "CHANGELOG.md").write_text(changes.replace(" - unreleased", " - 2026-01-31"))
    return tmp_path


@pytest.fixture
def edit(copy: Path) -> Edit:
    def edit(name: str, old: str, new: str) -> None:
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new, 1))

    return edit


def test_all_that_names_the_version_agrees() -> None:
    assert errors(ROOT) == []


def test_what_is_ready_can_be_released(copy: Path) -> None:
    assert errors(copy, TAG) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("exporter/__init__.py", __version__, "9.9.9", "Chart.yaml: version is"),
        (
            f"{CHART}/Chart.yaml",
            f"\nversion: {__version__}",
            "\nversion: 9.9.9",
            "Chart.yaml: version is 9.9.9",
        ),
        (
            f"{CHART}/Chart.yaml",
            f'appVersion: "{__version__}"',
            'appVersion: "9"',
            "Chart.yaml: appVersion is 9",
        ),
        (f"{CHART}/Chart.yaml", f"exporter:{__version__}", "exporter:9.9.9", "Chart.yaml: image is 9.9.9"),
        (f"{CHART}/values.yaml", '\n  tag: ""', "\n  tag: 9.9.9", "values.yaml: image.tag is 9.9.9"),
        ("Dockerfile", f"VERSION={__version__}", "VERSION=9.9.9", "Dockerfile: ARG VERSION is 9.9.9"),
        ("CHANGELOG.md", f"## [{__version__}]", "## [9.9.9]", "CHANGELOG.md: newest heading is 9.9.9"),
        (
            "docs/guides/upgrading.md",
            f"### To {__version__}",
            "### To 9.9.9",
            "upgrading.md: newest heading is 9.9.9",
        ),
        ("CHANGELOG.md", "2026-01-31", "unreleased", "CHANGELOG.md: 0.1.0 is unreleased"),
        ("README.md", "# ", "remote-job-exporter:9.9.9\n# ", "README.md: image is 9.9.9"),
    ],
)
def test_one_place_that_names_another_version_is_told(
    copy: Path, edit: Edit, name: str, old: str, new: str, told: str
) -> None:
    edit(name, old, new)
    assert any(told in error for error in errors(copy, TAG))


def test_a_tag_of_another_version_is_told(copy: Path) -> None:
    assert errors(copy, "v9.9.9") == [f"the tag is v9.9.9, not {TAG}"]


def test_the_command_fails_with_a_line_for_each_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.release", "v9.9.9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert f"the tag is v9.9.9, not {TAG}" in ended.stdout.splitlines()


def test_release_notes_are_the_newest_part_of_the_changelog(copy: Path) -> None:
    (copy / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [2.0.0] - 2026-02-01\n\nNew.\n\n## [1.0.0] - 2026-01-01\n"
    )
    assert notes(copy) == "New."


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("github-issue-forms", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yaml"))),
        ("github-issue-config", [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"]),
    ],
)
def test_what_github_reads_is_what_its_schema_allows(schema: str, files: list[Path]) -> None:
    check = Path(sys.executable).with_name("check-jsonschema")
    assert files
    checked = subprocess.run(
        [check, "--builtin-schema", f"vendor.{schema}", *files], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def _workflow(name: str) -> Any:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def test_no_workflow_has_a_right_that_a_job_did_not_ask_for() -> None:
    assert _workflow("ci.yaml")["permissions"] == {"contents": "read"}
    rights: dict[str, dict[str, str]] = {}
    for name in ("release.yaml", "rebuild.yaml", "image.yaml"):
        made = _workflow(name)
        assert made["permissions"] == {}
        rights |= {job: settings["permissions"] for job, settings in made["jobs"].items()}
    assert {name for name, right in rights.items() if right.get("contents") == "write"} == {"publish", "site"}
    assert {name for name, right in rights.items() if right.get("packages") == "write"} == {"image", "chart"}


def test_every_action_is_of_a_certain_version() -> None:
    for file in WORKFLOWS:
        for job in _workflow(file.name)["jobs"].values():
            for step in job.get("steps", []):
                assert "@v" in step.get("uses", "@v"), step


def test_the_release_builds_what_the_dockerfile_says_from_pinned_images() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    job = _workflow("image.yaml")["jobs"]["image"]
    (given,) = [step["with"]["build-args"] for step in job["steps"] if "build-args" in step.get("with", {})]
    names = {line.split("=")[0] for line in given.splitlines()}
    assert names == {
        line.split()[1].split("=")[0] for line in dockerfile.splitlines() if line.startswith("ARG ")
    }
    slim, distroless = job["strategy"]["matrix"]["include"]
    assert f"ARG RUNTIME_IMAGE={slim['runtime']}\n" in dockerfile
    assert distroless["runtime"] == "${{ vars.DISTROLESS_IMAGE }}"
    assert all(image["python"] in dockerfile for image in (slim, distroless))


def test_a_release_and_a_rebuild_every_week_build_the_image_of_a_release_in_one_way() -> None:
    image = "./.github/workflows/image.yaml"
    assert _workflow("release.yaml")["jobs"]["image"]["uses"] == image
    rebuild = _workflow("rebuild.yaml")
    assert [len(one["cron"].split()) for one in rebuild[True]["schedule"]] == [5]  # YAML 1.1 reads on as true
    (newest,) = [step["run"] for step in rebuild["jobs"]["newest"]["steps"] if "run" in step]
    assert rebuild["jobs"]["image"]["uses"] == image
    script = f"git() {{ printf '%s\\n' v0.10.0 v0.9.1; }}; GITHUB_OUTPUT=/dev/stdout; {newest}"
    found = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)
    assert found.stdout == "tag=v0.10.0\n"


def test_an_image_gets_the_name_of_its_version_only_after_it_has_started_and_is_signed() -> None:
    steps = _workflow("image.yaml")["jobs"]["image"]["steps"]
    texts = [json.dumps(step) for step in steps]

    def place(words: str) -> int:
        (found,) = [number for number, text in enumerate(texts) if words in text]
        return found

    name = "imagetools create --tag"
    assert place("push=true") < place("--pull always") < place("cosign sign") == place(name)
    assert steps[place("push=true")]["with"]["tags"].endswith("-${{ steps.version.outputs.day }}")
    assert texts[place(name)].index("cosign attest") < texts[place(name)].index(name)
    assert place("make --silent sbom") < place(name)


def test_the_chart_that_is_released_takes_the_image_from_where_it_was_pushed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / CHART, tmp_path / CHART)
    for name, script in {"helm": "echo Digest: sha256:abc", "cosign": 'echo "$@" > signed'}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (script,) = [step["run"] for step in _workflow("release.yaml")["jobs"]["chart"]["steps"] if "run" in step]
    told = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "REGISTRY": "registry.example.com:5000",
        "CHARTS": "registry.example.com:5000/owner/charts",
        "GITHUB_REPOSITORY": "owner/remote-job-exporter",
        "GITHUB_REF_NAME": TAG,
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=told, check=True)
    signed = (tmp_path / "signed").read_text()
    assert signed == "sign --yes registry.example.com:5000/owner/charts/remote-job-exporter@sha256:abc\n"
    image = f"registry.example.com:5000/owner/remote-job-exporter:{__version__}"
    rendered = render(chart=tmp_path / CHART)
    assert exporter(rendered)["image"] == image
    assert f"image: {image}\n" in (tmp_path / CHART / "Chart.yaml").read_text()


def test_pypi_gets_wheel_and_sdist_and_a_release_the_checksums_of_all(tmp_path: Path) -> None:
    jobs = _workflow("release.yaml")["jobs"]
    files = ("a.whl", "a.tar.gz", "sbom.cdx.json")
    (tmp_path / "dist").mkdir()
    for name in files:
        (tmp_path / "dist" / name).write_text(name)
    (chosen,) = [step["run"] for step in jobs["pypi"]["steps"] if "run" in step]
    subprocess.run(["bash", "-eo", "pipefail", "-c", chosen], cwd=tmp_path, check=True)
    assert {file.name for file in (tmp_path / "upload").iterdir()} == {"a.whl", "a.tar.gz"}
    summed, published = [step for step in jobs["publish"]["steps"] if "run" in step]
    subprocess.run(["bash", "-c", summed["run"]], cwd=tmp_path / summed["working-directory"], check=True)
    sums = (tmp_path / "dist" / "SHA256SUMS").read_text()
    assert sorted(line.split()[1] for line in sums.splitlines()) == sorted(files)
    assert published["run"].endswith(" dist/*")


def test_ci_runs_on_every_python_from_the_oldest_supported() -> None:
    matrix = _workflow("ci.yaml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
