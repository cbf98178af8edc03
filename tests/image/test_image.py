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
DISTROLESS = "distroless"
APP = "/opt/remote-job-exporter"
ARGUMENTS = {
    "VERSION": __version__,
    "REVISION": "0123abc",
    "CREATED": "2026-01-02T03:04:05Z",
    # A root without a shell, where Python is where Debian has it.
    "RUNTIME_IMAGE": DISTROLESS,
    "RUNTIME_PYTHON": "/usr/bin/python3",
}
GLIBC = {
    *("ld-linux", "libc.so.6", "libdl.so.2", "libm.so.6"),
    *("libpthread.so.0", "libresolv.so.2", "librt.so.1"),
}
BESIDE_GLIBC = {"libgcc_s.so.1", "libz.so.1"}
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
def test_the_image_serves_as_nobody_where_there_is_python_and_nothing_else(
    program: Program, buildah: Buildah, tmp_path: Path
) -> None:
    program("debootstrap", "debootstrap")
    image = _built(buildah, tmp_path)
    _says_what_it_is(image.config)
    _contains_no_more_than_it_needs(image)
    _is_the_same_from_every_build(image)
    with simulating(tmp_path / "simulator") as simulator:
        config = tmp_path / "config"
        config.mkdir(mode=0o755)
        (config / "simulator.yaml").write_text(_get(f"{simulator}/config.yaml"))
        _serves(image, config, tmp_path / "container")


def _built(buildah: Buildah, folder: Path) -> Image:
    tree = base()
    buildah.load(tree, BASE)
    buildah.load_python_of(BASE, DISTROLESS, GLIBC | BESIDE_GLIBC)
    found = re.search(r"usr/bin/python(3\.\d+)\n", run("tar", "-tf", tree))
    assert found
    settings = folder / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    options = ["--volume", f"{settings}:/etc/pip.conf:ro", "--volume", f"{wheels(found[1])}:/wheels:ro"]
    for name, value in ARGUMENTS.items():
        options += ["--build-arg", f"{name}={value}"]
    buildah.build(ROOT, "image", *options)
    return buildah.unpacked("image")


def _contains_no_more_than_it_needs(image: Image) -> None:
    app = image.root / APP[1:]
    assert {file.name for file in (app / "bin").iterdir()} == {"python3", "remote-job-exporter"}
    (packages,) = app.glob("lib/python3*/site-packages")
    assert not [name for name in ("tests", "test", "pip", "hatchling") if (packages / name).exists()]
    libraries = _libraries_beside(app)
    assert BESIDE_GLIBC <= libraries <= GLIBC | BESIDE_GLIBC
    page = (ROOT / "docs" / "extend" / "releasing.md").read_text()
    assert all(f"`{name}`" in page for name in BESIDE_GLIBC)


def _is_the_same_from_every_build(image: Image) -> None:
    """All else is copied: only the compiler of Python could write other bytes the second time."""
    compiled = {file: file.read_bytes() for file in (image.root / APP[1:]).rglob("*.pyc")}
    assert len(compiled) > 1000
    again = (f"{APP}/bin/python3", "-m", "compileall", "-qf", "--invalidation-mode", "unchecked-hash")
    run("env", "PYTHONHASHSEED=7", "chroot", image.root, *again, f"{APP}/lib")
    assert [file for file, content in compiled.items() if file.read_bytes() != content] == []


def _libraries_beside(app: Path) -> set[str]:
    """The shared libraries that those of the app are linked with, and that it does not bring itself."""
    ours = [file for file in app.rglob("*.so*") if file.is_file()]
    linked = re.findall(r"^\t(\S+)(?: => (\S+))?", run("ldd", *ours), re.MULTILINE)
    names = {Path(name).name for name, found in linked if not found.startswith(str(app))}
    return {re.sub(r"^(ld-linux).*", r"\1", name) for name in names} - {"linux-vdso.so.1", "statically"}


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
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
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
