"""The image as its users have it: built from the Dockerfile, run as its user on a read-only root."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from exporter import __version__
from tests.command import ROOT, Running, running, simulating, until
from tests.conftest import Program
from tests.image.buildah import NOBODY, Buildah, Image, base, may_mount, run, wheels

BASE = "python:3.13-slim-trixie"
ARGUMENTS = {
    "VERSION": __version__,
    "REVISION": "0123abc",
    "CREATED": "2026-01-02T03:04:05Z",
    # Where Debian and the image without a shell have it.
    "RUNTIME_PYTHON": "/usr/bin/python3",
}
PROGRAMS = ("bin/*", "sbin/*", "usr/sbin/*", "usr/bin/[!p]*", "usr/bin/p[!y]*")
NEEDED = {
    *("LICENSE", "README.md", "pyproject.toml", "requirements/build.txt", "requirements/runtime.txt"),
    *("exporter/cli/main.py", "exporter/py.typed", "exporter/web/app.py"),
}
LYING_ABOUT = {
    *(".env", ".git/config", ".venv/bin/python", "config.yaml", "docs/README.md", "id_rsa"),
    *("requirements/dev.txt", "exporter/__pycache__/cli.cpython-313.pyc", "exporter/web/odd.pyc"),
}


@pytest.fixture
def buildah(program: Program, tmp_path: Path) -> Iterator[Buildah]:
    program("buildah", "buildah")
    may_mount()
    buildah = Buildah(tmp_path / "buildah")
    yield buildah
    buildah.end()


def test_nothing_is_sent_to_the_build_but_what_it_needs(buildah: Buildah, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for path in NEEDED | LYING_ABOUT:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("anything")
    (checkout / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    everything = tmp_path / "Dockerfile"
    everything.write_text("FROM scratch\nCOPY . /\n")
    buildah.build(checkout, "context", "--file", everything)
    root = buildah.unpacked("context").root
    assert {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()} == NEEDED


@pytest.mark.timeout(600)
def test_the_image_serves_as_nobody_on_a_read_only_root_that_has_no_shell(
    program: Program, buildah: Buildah, tmp_path: Path
) -> None:
    program("debootstrap", "debootstrap")
    image, again = _built_twice(buildah, tmp_path)
    assert image.layers == again.layers, "the same sources make other bytes"
    _says_what_it_is(image.config)
    for pattern in PROGRAMS:
        for other in image.root.glob(pattern):
            other.unlink()
    with simulating(tmp_path / "simulator") as simulator:
        config = tmp_path / "config"
        config.mkdir(mode=0o755)
        (config / "simulator.yaml").write_text(_get(f"{simulator}/config.yaml"))
        _serves(image, config, tmp_path / "container")


def _built_twice(buildah: Buildah, folder: Path) -> tuple[Image, Image]:
    tree = base()
    buildah.load(tree, BASE)
    found = re.search(r"usr/bin/python(3\.\d+)\n", run("tar", "-tf", tree))
    assert found
    settings = folder / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    options = ["--volume", f"{settings}:/etc/pip.conf:ro", "--volume", f"{wheels(found[1])}:/wheels:ro"]
    for name, value in ARGUMENTS.items():
        options += ["--build-arg", f"{name}={value}"]
    buildah.build(ROOT, "image", *options)
    buildah.build(ROOT, "again", *options)
    return buildah.unpacked("image"), buildah.unpacked("again")


def _says_what_it_is(config: Mapping[str, object]) -> None:
    labels = config["Labels"]
    assert isinstance(labels, dict)
    prefix = "org.opencontainers.image."
    ours = {name.removeprefix(prefix): text for name, text in labels.items() if name.startswith(prefix)}
    assert ours["version"] == __version__
    assert ours["revision"] == ARGUMENTS["REVISION"]
    assert ours["created"] == ARGUMENTS["CREATED"]
    assert all(ours.values())
    assert config["User"] == NOBODY
    assert config["ExposedPorts"] == {"10072/tcp": {}}


def _serves(image: Image, config: Path, folder: Path) -> None:
    # The runtime makes the folder that something is mounted on.
    (image.root / "etc" / "remote-job-exporter").mkdir()
    assert image.config["Cmd"] == ["serve"]
    entry = tuple(image.config["Entrypoint"])
    empty = folder / "empty"
    empty.mkdir(parents=True)
    refused = subprocess.run(
        image.command(empty, *entry, "serve"), capture_output=True, text=True, timeout=60, check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "/etc/remote-job-exporter" in refused.stderr

    serve = image.command(config, *entry, "serve", "--web.listen-address", "127.0.0.1:0")
    with running(folder, *serve) as container:
        address = container.says(r"listening.*(http://127\.0\.0\.1:\d+)")
        text = _get(f"{address}/metrics")
        assert re.search(r"^remote_job_up\{.*\} 1$", text, re.MULTILINE)
        assert f'version="{__version__}"' in text
        assert f'revision="{ARGUMENTS["REVISION"]}"' in text
        health = [part.replace("10072", address.rpartition(":")[2]) for part in image.health]
        run(*image.command(config, *health), seconds=60)
        pid = _first_process(container)
        assert _effective_ids(pid) == {"Uid": "65532", "Gid": "65532"}
        os.kill(pid, signal.SIGTERM)
        assert container.process.wait(60) == 0
    ill = subprocess.run(image.command(config, *health), capture_output=True, timeout=60, check=False)
    assert ill.returncode == 1


def _get(url: str) -> str:
    return requests.get(url, timeout=60).text


def _first_process(container: Running) -> int:
    """The exporter, which knows itself as process 1."""
    parent = container.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return until(lambda: int(children.read_text().split()[0]), "a process in the container")


def _effective_ids(pid: int) -> dict[str, str]:
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return {words[0].rstrip(":"): words[2] for words in lines if words[0] in {"Uid:", "Gid:"}}
